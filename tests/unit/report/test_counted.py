"""`otel_audit.report.counted`: a log counted while it is verified."""

from __future__ import annotations

from otel_audit.report.counted import Counting
from otel_audit.report.timeline import timeline
from otel_audit.verify.declared import find_declaration
from otel_audit.verify.segment import Segment
from otel_audit.verify.start import Start
from otel_audit.verify.unit import Reader, Terms, units
from tests import logs

TIMELINE = timeline(logs.time_text(1), logs.time_text(60))


def test_an_action_whose_ends_different_workers_see() -> None:
    """An action that began in one unit and failed in another counts once, and both its entries matter."""
    ended = {"audit.phase": "outcome", "audit.outcome": "failure"}
    entries = [
        logs.opened(),
        *(logs.entry(seq, **{"audit.phase": "intent"}) for seq in range(2, 12)),
        *(logs.entry(seq, **ended, **{"audit.intent.id": logs.record_id(seq - 10)}) for seq in range(12, 21)),
    ]
    data = logs.join(list(logs.chain(entries)))
    segment = Segment("a", "a", 1, len(data), lambda at, n: data[at : at + n])
    terms = Terms(find_declaration([segment])[1], None, (), chain_only=False, now=None)
    counting = Counting(TIMELINE)
    watch = counting.watch
    onlookers = [watch.onlooker(), watch.onlooker()]
    readers = [Reader(terms, onlooker) for onlooker in onlookers]
    for index, unit in enumerate(units([segment], Start(), len(data) // 2)):
        part = readers[index % 2].read(segment, unit)
        assert part is not None
        if part.lines:
            watch.join(part.seen)
    watch.totals += [onlooker.totals() for onlooker in onlookers]
    totals = counting.totals()
    totals.finish()
    assert (totals.entries, totals.actions) == (20, 10)
    assert sorted(totals.seqs) == list(range(2, 21))
    assert totals.open_seqs == [11]
