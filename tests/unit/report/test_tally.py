from __future__ import annotations

from typing import Any

import pytest

from otel_audit.report import sorts
from otel_audit.report import tally as tally_module
from otel_audit.report.summary import summarize
from otel_audit.report.tally import Tally
from otel_audit.report.timeline import timeline
from otel_audit.report.totals import OTHERS, Totals
from otel_audit.verify.onlooker import Seen
from tests import logs

TIMELINE = timeline(logs.time_text(1), logs.time_text(60))


def tallied(*entries: dict[str, Any], cut: int = 0) -> Totals:
    """Return what some entries add up to, counted in two stretches."""
    totals = None
    for stretch in (entries[:cut], entries[cut:]):
        tally = Tally(TIMELINE)
        for entry in stretch:
            tally.add(Seen.of([entry]))
        if totals is None:
            totals = tally.totals()
        else:
            totals.add(tally.totals())
    assert totals is not None
    totals.finish()
    return totals


def results(tally: Totals) -> dict[str, int]:
    """Return how many actions went how."""
    found: dict[str, int] = {}
    for (_, _, result), steps in tally.cells.items():
        found[result] = found.get(result, 0) + sum(steps)
    return found


def test_an_action_counts_once() -> None:
    """An intent and its outcome are one action, a record by itself is one, the log's own entries are none."""
    intent = logs.entry(2, **{"audit.phase": "intent", "audit.outcome": "unknown"})
    outcome = logs.entry(3, **{"audit.phase": "outcome", "audit.intent.id": logs.record_id(2)})
    tally = tallied(logs.opened(), intent, outcome, logs.entry(4))
    assert (tally.entries, tally.actions) == (4, 2)
    assert results(tally) == {"success": 2}


def test_how_it_went() -> None:
    """A block is told from a failure, what says neither is unknown, and an intent alone never ended."""
    tally = tallied(
        logs.entry(2, **{"audit.outcome": "failure", "error.type": "TimeoutError"}),
        logs.entry(3, **{"audit.decision": "block"}),
        logs.entry(4, **{"audit.outcome": "no such word"}),
        logs.entry(5, **{"audit.phase": "intent"}),
    )
    assert results(tally) == {"failure": 1, "blocked": 1, "unknown": 1, "open": 1}
    assert sorted(tally.seqs) == [2, 3, 5]
    assert dict(tally.errors) == {"TimeoutError": 1}


def test_a_failure_brings_its_intent() -> None:
    """What matters of a failed action is its outcome and its intent."""
    tally = tallied(
        logs.entry(2, **{"audit.phase": "intent"}),
        logs.entry(3),
        logs.entry(4, **{"audit.phase": "outcome", "audit.intent.id": logs.record_id(2), "audit.outcome": "failure"}),
    )
    assert sorted(tally.seqs) == [2, 4]


def test_the_first_of_two_outcomes_counts_over_a_border() -> None:
    """A failure brings its intent, wherever a stretch ends, and whatever is said of the action later."""
    ended = {"audit.phase": "outcome", "audit.intent.id": logs.record_id(2)}
    entries = (
        logs.entry(2, **{"audit.phase": "intent"}),
        logs.entry(3),
        logs.entry(4, **ended, **{"audit.outcome": "failure"}),
        logs.entry(5, **ended),
    )
    assert [sorted(tallied(*entries, cut=cut).seqs) for cut in (0, 1, 2)] == [[2, 4]] * 3


def test_for_whom() -> None:
    """An action is done for the first of its delegation, else for the actor itself."""
    tally = tallied(logs.entry(2, "mcp.tool.call", **{"audit.delegation": ["ana", "agent"]}), logs.entry(3))
    assert {flow[0]: count for flow, count in tally.flows.items()} == {"ana": 1, "agent": 1}


def test_names_without_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many actors there are, memory stays bounded, and it is said how many actions are of none by name."""
    monkeypatch.setattr(sorts, "MOST_SORTS", 400)
    tally = tallied(*(logs.entry(seq, **{"audit.actor.id": f"actor {seq}"}) for seq in range(2, 1002)))
    assert len({flow[1] for flow in tally.flows}) <= 401
    assert (tally.actions, len(tally.actors)) == (1000, 1000)
    assert list(tally.services.values()) == [1000]
    together = sum(count for (_, actor, *_), count in tally.flows.items() if actor == OTHERS)
    assert together >= 600
    assert summarize(tally, TIMELINE, {"findings": [], "unfinished": []})["together"] == together


def test_who_acts_often_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever acts often is told by name, however late that begins, and however many others there are."""
    monkeypatch.setattr(sorts, "MOST_SORTS", 100)
    entries = []
    for seq in range(2, 2002):
        late = seq > 1500 and seq % 5 == 0
        more = {"audit.actor.id": "bot", "audit.outcome": "failure"} if late else {"audit.actor.id": f"session {seq}"}
        entries.append(logs.entry(seq, **more))
    tally = tallied(*entries)
    told = {flow[1:]: count for flow, count in tally.flows.items()}
    assert 95 <= told["bot", "mcp.tool.call", "failure"] <= 100
    assert sum(tally.flows.values()) == tally.actions == 2000
    assert sum(map(sum, tally.cells.values())) == 2000


def test_flows_without_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are for whom something was done, each action counts, and it is said how many are not told."""
    monkeypatch.setattr(tally_module, "MOST_KEPT", 10)
    delegations: list[Any] = [[f"user {number}", "agent"] for number in range(100)]
    tally = tallied(*(logs.entry(seq, "pay", **{"audit.delegation": each}) for seq, each in enumerate(delegations, 2)))
    assert (tally.actions, sum(tally.flows.values())) == (100, 100)
    assert summarize(tally, TIMELINE, {"findings": [], "unfinished": []})["together"] == 90


def test_values_of_any_type() -> None:
    """Where an attribute is not what it should be, the entry is counted all the same."""
    strange: list[Any] = [None, 3, ["x"], {"a": 1}, True]
    for value in strange:
        names = ["actor.id", "outcome", "decision", "delegation", "target.id", "phase", "record.id", "intent.id"]
        tally = tallied(
            logs.entry(2, "mcp.tool.call", **{f"audit.{name}": value for name in names}, **{"error.type": value})
        )
        assert tally.actions == 1
        assert tallied(logs.entry(2, "mcp.tool.call", **{"audit.target.type": value})).actions == 1


def test_losses_matter() -> None:
    """Entries of the log about losses are kept; opening and closing are only counted."""
    tally = tallied(logs.opened(), logs.log_entry(2, "audit.log.dropped", **{"audit.dropped.count": 7}))
    assert tally.seqs == [2]
    assert dict(tally.log_event_counts) == {"audit.log.opened": 1, "audit.log.dropped": 1}


def test_stretches_add_up() -> None:
    """Wherever a log is cut, its stretches add up to the same as the whole, also between an intent and its outcome."""
    entries = [
        logs.opened(),
        logs.entry(2, **{"audit.phase": "intent"}),
        logs.entry(3, **{"audit.phase": "intent", "audit.actor.id": "other"}),
        logs.entry(4, **{"audit.phase": "outcome", "audit.intent.id": logs.record_id(2), "audit.outcome": "failure"}),
        logs.entry(5, **{"audit.decision": "block", "error.type": "Late"}),
        logs.log_entry(6, "audit.log.voided"),
    ]
    whole = tallied(*entries)
    whole.seqs.sort()
    for cut in range(len(entries) + 1):
        parts = tallied(*entries, cut=cut)
        parts.seqs.sort()
        parts.pending.strays.clear()
        assert parts == whole


def test_of_two_copies_of_an_intent_the_first_is_open() -> None:
    """An intent that stands twice and never ended is one open action, the first, wherever a stretch ends."""
    entries = [
        logs.entry(2, **{"audit.phase": "intent"}),
        {**logs.entry(2, **{"audit.phase": "intent"}), "seq": 3},
        logs.entry(4),
    ]
    for cut in range(4):
        tally = tallied(*entries, cut=cut)
        assert (tally.actions, tally.open_seqs) == (2, [2])


def test_an_outcome_before_its_intent() -> None:
    """An intent whose outcome stands before it has ended, wherever a stretch ends."""
    entries = [
        logs.entry(2, **{"audit.phase": "outcome", "audit.intent.id": logs.record_id(3)}),
        logs.entry(3, **{"audit.phase": "intent"}),
    ]
    for cut in range(3):
        tally = tallied(*entries, cut=cut)
        assert (tally.actions, tally.open_seqs) == (1, [])
