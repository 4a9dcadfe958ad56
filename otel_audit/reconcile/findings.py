"""A comparison that is done, as findings: one for each stretch of entries."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from otel_audit import semconv
from otel_audit.chain import Head
from otel_audit.reconcile.log_lines import survey
from otel_audit.reconcile.report import CopyFinding, CopyKind, ReconcileReport
from otel_audit.reconcile.seq_set import SeqRange, SeqSet, stretches_of, subtract
from otel_audit.verify.seal import split_seal

if TYPE_CHECKING:
    from otel_audit.reconcile.copied import Judgement
    from otel_audit.reconcile.log_index import LogIndex
    from otel_audit.reconcile.reconciler import Comparison

MAX_FINDINGS: Final = 1000
"""Listed of each kind."""
MAX_CHANGED: Final = 100
_MAX_PLACED: Final = 20
"""To know the number of a line, all lines before it are counted."""
_OWN: Final = b'"event_name":"' + semconv.LOG_EVENT_PREFIX.encode()
_OWN_WITHIN: Final = 80


def make_report(done: Comparison) -> ReconcileReport:
    """Return the report on a comparison.

    Raises:
        AuditVerifyError: The log became shorter since it was read.
    """
    index, counts = done.index, done.counts
    log, rivals = survey(index)
    done.take_rivals(rivals)
    missing, not_sent = _missing(done)
    unplaced = list(_cut_at_head(stretches_of(sorted(done.leftover.seqs)), index.head))
    found: list[CopyFinding] = []
    for cut, make in (
        (missing.ranges(), _not_in_copy),
        (_cut_at_head(done.lost.ranges(), index.head), _lost),
        (_by_reason(done, "diverged", done.diverged.ranges()), _diverged),
        (_by_reason(done, "altered", done.altered.ranges()), _altered),
        (unplaced, _unplaced),
    ):
        stretches = islice(cut, MAX_FINDINGS)
        found += [make(done, one, number < _MAX_PLACED) for number, one in enumerate(stretches)]
    lost_beyond = sum(one.size for one in _cut_at_head(done.lost.ranges(), index.head) if one.first > index.head)
    totals: dict[CopyKind, int] = {
        "not_in_copy": len(missing),
        "truncated": lost_beyond,
        "gap": len(done.lost) - lost_beyond,
        "diverged": len(done.diverged),
        "altered": len(done.altered),
        "unplaced": sum(one.size for one in unplaced),
    }
    return ReconcileReport(
        path=index.path,
        stream_id=index.declared.stream_id,
        entries=sum(one.size for one in index.spans()),
        log=log,
        head=_head(index),
        findings=tuple(found),
        totals=totals,
        missing=missing,
        copied=len(done.seen),
        doubles=done.doubles,
        not_sent=not_sent,
        records=counts.records,
        foreign=counts.foreign,
        others=done.belonging.others,
        unlinked=done.belonging.left(),
        torn=counts.torn,
        unreadable=counts.unreadable,
        unreadable_first=counts.first,
    )


def _missing(done: Comparison) -> tuple[SeqSet, int]:
    """Return the entries that no copy has, and how many more of the log's own the live way never sends."""
    stretches = subtract(done.index.spans(), done.seen.ranges())
    missing, not_sent = SeqSet(), 0
    for stretch in stretches:
        for seq in range(stretch.first, stretch.last + 1):
            if not done.lines_seen and done.seen and _is_own(done.index, seq):
                not_sent += 1
            else:
                missing.add(seq)
    return missing, not_sent


def _is_own(index: LogIndex, seq: int) -> bool:
    return any(line.find(_OWN, 0, _OWN_WITHIN + len(_OWN)) >= 0 for line in index.lines(seq))


def _cut_at_head(stretches: Iterable[SeqRange], head: int) -> Iterator[SeqRange]:
    for one in stretches:
        if one.first <= head < one.last:
            yield SeqRange(one.first, head)
            yield SeqRange(head + 1, one.last)
        else:
            yield one


def _by_reason(done: Comparison, kind: str, stretches: Iterable[SeqRange]) -> Iterator[SeqRange]:
    """Cut stretches where the reason changes, as far as reasons were kept."""
    reasons = {seq: _reason(note[0]) for (of, seq), note in done.notes.items() if of == kind}
    noted = sorted(reasons)
    for one in stretches:
        first = one.first
        for seq in noted[bisect_left(noted, one.first) : bisect_right(noted, one.last)]:
            if seq > first and reasons.get(seq - 1) != reasons[seq]:
                yield SeqRange(first, seq - 1)
                first = seq
            if seq < one.last and seq + 1 not in reasons:
                yield SeqRange(first, seq)
                first = seq + 1
        yield SeqRange(first, one.last)


def _reason(judgement: Judgement) -> str:
    return "hash" if judgement.got.startswith("hash ") else judgement.got


def _not_in_copy(done: Comparison, one: SeqRange, placed: bool) -> CopyFinding:
    path, line = _place(done.index, one.first, placed)
    end = " (the end of the log)" if one.last == done.index.head else ""
    return CopyFinding(
        kind="not_in_copy",
        seq=one.first,
        last_seq=one.last,
        path=path,
        line=line,
        expected=f"a copy of seq {one}",
        got=f"none{end}",
        doubtful=bool(done.diverged or done.leftover.seqs),
    )


def _lost(done: Comparison, one: SeqRange, _placed: bool) -> CopyFinding:
    index = done.index
    beyond = one.first > index.head
    return CopyFinding(
        kind="truncated" if beyond else "gap",
        seq=one.first,
        last_seq=one.last,
        path=index.path,
        line=None,
        expected=f"seq {one}, which the copy has",
        got=f"the end of the log behind seq {index.head}" if beyond else "no entry there",
    )


def _diverged(done: Comparison, one: SeqRange, placed: bool) -> CopyFinding:
    path, line = _place(done.index, one.first, placed)
    judgement, _, _ = done.notes.get(("diverged", one.first), (None, "", 0))
    within = (each for each in done.changed.ranges() if each.last >= one.first and each.first <= one.last)
    changed = tuple(SeqRange(max(each.first, one.first), min(each.last, one.last)) for each in within)
    return CopyFinding(
        kind="diverged",
        seq=one.first,
        last_seq=one.last,
        path=path,
        line=line,
        expected=judgement.expected if judgement else "the entry that the copy has",
        got=judgement.got if judgement else "another",
        changed=changed[:MAX_CHANGED],
    )


def _altered(done: Comparison, one: SeqRange, _placed: bool) -> CopyFinding:
    judgement, path, line = done.notes.get(("altered", one.first), (None, "", 0))
    return CopyFinding(
        kind="altered",
        seq=one.first,
        last_seq=one.last,
        path=path or done.index.path,
        line=line or None,
        expected=judgement.expected if judgement else "the record as it was sent",
        got=judgement.got if judgement else "another",
    )


def _unplaced(done: Comparison, one: SeqRange, _placed: bool) -> CopyFinding:
    head = done.index.head
    near = done.leftover.behind
    if near is not None and near.first <= one.last and one.first <= near.last:
        where = "from the same file or process"
    else:
        where = "and which can be this log's"
    got = f"the end of the log behind seq {head}, and" if one.first > head else "other entries there, and"
    return CopyFinding(
        kind="unplaced",
        seq=one.first,
        last_seq=one.last,
        path=done.index.path,
        line=None,
        expected=f"a log that leads to seq {one}, which the copy has {where}",
        got=f"{got} no entry in a copy that leads there",
    )


def _place(index: LogIndex, seq: int, placed: bool) -> tuple[str, int | None]:
    return (index.place(seq) if placed else None) or (index.path, None)


def _head(index: LogIndex) -> Head | None:
    if not index.head:
        return None
    seal = split_seal(index.lines(index.head)[0])
    return Head(index.head, "" if seal is None else seal.hash)
