"""The procedure of docs/format.md, "What verification tells apart", from segments to a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from otel_audit import semconv
from otel_audit.chain import GENESIS, Head
from otel_audit.verify.anchors import Anchor, check_anchors
from otel_audit.verify.ascending import out_of_order
from otel_audit.verify.declared import STRENGTH, find_declaration
from otel_audit.verify.drafts import Drafts, Stretches
from otel_audit.verify.expected import check_declaration, usable_key
from otel_audit.verify.fragments import add_regions, match_regions
from otel_audit.verify.judge import Judge
from otel_audit.verify.links import Break, Chain, assemble
from otel_audit.verify.notes import Notes
from otel_audit.verify.region import Region
from otel_audit.verify.report import Integrity, SegmentSummary, VerifyReport
from otel_audit.verify.run import Place, Run
from otel_audit.verify.scan import Scan
from otel_audit.verify.segment import Checksums, Segment, lines_from, read_blocks
from otel_audit.verify.segments import check_segments, missing_numbers
from otel_audit.verify.start import Since, Start
from otel_audit.verify.stitch import read_units
from otel_audit.verify.unfinished import unfinished_actions
from otel_audit.verify.unit import Terms


def verify(
    segments: Sequence[Segment],
    *,
    path: str,
    first_name: str,
    key: bytes | None = None,
    anchors: Sequence[Anchor] = (),
    own_anchors: Sequence[Anchor] = (),
    expected_integrity: Integrity = "chain",
    chain_only: bool = False,
    now: str | None = None,
    checksums: Checksums | None = None,
    read_apart: Callable[[Terms, Start], Scan | None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Return what is to be said of a whole log.

    Args:
        segments: Those that there are, ascending; at least one.
        path: The log, for the report.
        first_name: Base name of the first segment, even where that is missing.
        key: The HMAC key.
        anchors: What the log is held against.
        own_anchors: It is held against these, too, but they come from here, and prove nothing from outside.
        expected_integrity: A log that declares a weaker mode is ``downgraded``.
        chain_only: Look at ``seq``, hashes and links alone, until one is wrong.
        now: When the log's length was taken, in the format's form: intents younger are open.
        checksums: What ``NAME.sha256`` says.
        read_apart: Reads the log in parts that are put together (`otel_audit.verify.stitch`), or returns
            None where it is one that must be read in one piece; that is then done here.
        progress: Told of the bytes that are read here, as they are.
    """
    log = Log(tuple(segments), path, first_name, checksums or Checksums("", {}))
    files = log.segments
    drafts = Drafts(files)
    stated, declared = find_declaration(files)
    if stated is not None and stated.version not in (None, semconv.FORMAT_VERSION):
        expected, got = f"format version {semconv.FORMAT_VERSION}", f"version {stated.version}"
        place = Place(stated.segment, _line_at(files[stated.segment], stated.offset))
        drafts.add("unsupported", place, stated.offset, None, expected, got)
        return VerifyReport(path=path, entries=0, head=None, findings=drafts.finish(), integrity=None)
    if not any(segment.size_bytes for segment in files):
        drafts.add("empty", Place(0, 0), None, None, "at least one entry", "an empty file")
        return VerifyReport(path=path, entries=0, head=None, findings=drafts.finish(), integrity=None)
    usable = usable_key(key, declared, files)
    seqs = sorted({anchor.seq for anchor in (*anchors, *own_anchors)})
    scan = read_apart(Terms(declared, usable, seqs, chain_only, now), Start()) if read_apart is not None else None
    if scan is None:
        sums = log.checksums.digests
        scan = Scan(files, Judge(declared, usable), Notes(now), seqs, chain_only, sums, progress=progress)
        scan.read()
    chain = _judge_lines(scan, drafts)
    check_declaration(declared, expected_integrity, key, usable, scan, drafts)
    return _report(log, scan, chain, anchors, drafts, own_anchors)


def verify_since(
    segments: Sequence[Segment],
    start: Start,
    since: Since,
    *,
    path: str,
    first_name: str,
    key: bytes | None = None,
    anchors: Sequence[Anchor] = (),
    expected_integrity: Integrity = "chain",
    chain_only: bool = False,
    now: str | None = None,
    checksums: Checksums | None = None,
    read_apart: Callable[[Terms, Start], Scan | None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport | None:
    """Return what is to be said of a log from a place on, as `verify` does.

    None: of this part it cannot be said by itself. Something in it is out of the ordinary, or the
    log's declaration is: only `verify` tells what.

    Args:
        start: The place.
        since: What the report is to say of it.
        anchors: None of an entry before the place.
    """
    log = Log(tuple(segments), path, first_name, checksums or Checksums("", {}))
    stated, declared = find_declaration(log.segments)
    if stated is None or stated.version != semconv.FORMAT_VERSION or declared.stated is None:
        return None
    usable = usable_key(key, declared, log.segments)
    if (key is not None) != (usable is not None) or STRENGTH[declared.mode] < STRENGTH[expected_integrity]:
        return None
    terms = Terms(declared, usable, sorted({anchor.seq for anchor in anchors}), chain_only, now)
    if read_apart is not None:
        scan = read_apart(terms, start)
    else:
        scan = read_units(log.segments, terms, start, log.checksums.digests, progress)
    if scan is None:
        return None
    scan.notes.writers.whole = False
    drafts = Drafts(log.segments)
    chain = _judge_lines(scan, drafts, start)
    before = Head(start.seq - 1, start.ends[0] if start.ends else "")
    if not chain.runs and any(anchor.seq > before.seq for anchor in anchors):
        return None
    report = _report(log, scan, chain, anchors, drafts)
    if report.errors:
        return None
    end = report.end or (start if declared.mode == "chain" and not chain.runs else None)
    return replace(report, head=report.head or before, since=since, end=end)


@dataclass(frozen=True, slots=True)
class Log:
    """The files that are verified, and what they are called."""

    segments: tuple[Segment, ...]
    path: str
    first_name: str
    checksums: Checksums


def _report(
    log: Log,
    scan: Scan,
    chain: Chain,
    anchors: Sequence[Anchor],
    drafts: Drafts,
    own_anchors: Sequence[Anchor] = (),
) -> VerifyReport:
    """Do steps 5 and 6, and say all."""
    head = _head(chain)
    declared, notes = scan.judge.declared, scan.notes
    check_segments(scan, chain, log.first_name, log.checksums, drafts)
    matched: frozenset[Anchor] = frozenset()
    if declared.mode != "none":
        held = (*anchors, *own_anchors)
        matched = check_anchors(held, scan.anchored, chain.runs, head, _faults_behind(chain, scan), drafts)
    intents = _add_intents(scan, chain, drafts)
    last = chain.runs[-1].last if chain.runs else None
    observed = "" if scan.chain_only else scan.observed  # of how many lines that is known is chance
    end = None
    if last is not None and head is not None and declared.mode == "chain" and not drafts.errors():
        end = Start(
            last.segment,
            log.segments[last.segment].size_bytes,
            last.line + 1,
            head.seq + 1,
            (head.hash,),
            observed,
        )
    return VerifyReport(
        path=log.path,
        entries=sum(scan.entries),
        head=head,
        findings=drafts.finish(),
        integrity=declared.stated,
        stream_id=declared.stream_id,
        key_id=declared.key_id,
        segments=tuple(
            SegmentSummary(segment.path, segment.size_bytes, entries)
            for segment, entries in zip(log.segments, scan.entries, strict=True)
        ),
        anchors_matched=len(matched.intersection(anchors)),
        macs_checked=None if declared.key_id is None else scan.judge.key is not None,
        unknown_lifecycle_events=notes.unknown_lifecycle,
        open_intents=notes.open_intents,
        chain_only=scan.chain_only,
        unfinished=unfinished_actions(intents, log.segments, notes.writers),
        end=end,
    )


def _judge_lines(scan: Scan, drafts: Drafts, start: Start | None = None) -> Chain:
    """Do steps 1 to 4; return the chain.

    Args:
        start: Where it begins, if not at genesis: then its runs are known to follow one another.
    """
    edited = frozenset(run.first for run in scan.runs if run.kind == "edited")
    faults: dict[int, Place] = {}
    chained = scan.judge.declared.mode == "chain"
    # Twice where there are regions: which of them are faults depends on where the chain breaks,
    # and a region that only moved (because lines above it are gone) is none.
    # Before the chain is put together, which cuts runs.
    faulty = [run for run in scan.runs if run.kind is not None]
    for run in faulty:
        assert run.kind is not None
        faults.setdefault(run.segment, run.first)
        drafts.add_run(run.kind, run, run.expected, run.got)
    judged_alone = Stretches(faulty)
    match_regions(scan.declarations, scan.notes.lifecycle, scan.firsts, edited, faults, scan.segments)
    if start is None:
        chain = assemble(scan.runs, _faulty_regions(scan.regions), scan.segments, chain=chained)
    else:
        chain = Chain(runs=scan.runs)
    chain.disordered = out_of_order(chain.runs)
    for place in (
        *(b.after.first for b in chain.breaks),
        *(run.first for group in chain.others for run in group),
        *(run.first for run in (*chain.forked, *chain.copies, *chain.disordered)),
        *_faulty_regions(scan.regions),
    ):
        faults[place.segment] = min(place, faults.get(place.segment, place))
    match_regions(scan.declarations, scan.notes.lifecycle, scan.firsts, edited, faults, scan.segments)
    for copy in chain.copies:
        drafts.add_run("duplicate", copy, "each line once", "the bytes of an earlier line")
    for run in chain.forked:
        got = f"another successor of the entry {run.prev or run.seq - 1}"
        drafts.add("forked", run.first, run.offset, run.seq, "one successor", got)
    for group in chain.others:
        _add_inserted(group, drafts)
    missing = missing_numbers(scan)
    for broken in chain.breaks:
        _add_break(broken, missing, scan, drafts)
    for run in chain.disordered:
        if run.kind is None:
            expected = f"seq {run.seq} behind seq {run.seq - 1}"
            drafts.add_run("reordered", run, expected, "the entry in another place")
    # A line that has a kind, or is not judged, has no note: one fault, one finding.
    unjudged = Stretches([*chain.unjudged, *chain.copies])
    lifecycle = [
        entry for entry in scan.notes.lifecycle if entry.place not in unjudged and entry.place not in judged_alone
    ]
    add_regions(scan.regions, scan.declarations, lifecycle, drafts)
    for note in scan.notes.found:
        if note.place not in unjudged and note.place not in judged_alone:
            kind, place, offset, seq, expected, got = note
            drafts.add(kind, place, offset, seq, expected, got)
    return chain


def _faulty_regions(regions: Sequence[Region]) -> list[Place]:
    return [r.first for r in regions if not r.declared and not r.explained]


def _add_inserted(group: Sequence[Run], drafts: Drafts) -> None:
    for _, runs in groupby(sorted(group, key=lambda run: run.first), key=lambda run: run.segment):
        first, *more = runs
        count = first.count + sum(run.count for run in more)
        expected = "an entry that the chain leads to"
        got = f"seq {first.seq} after {first.prev}" if first.prev else f"seq {first.seq}"
        drafts.add("inserted", first.first, first.offset, first.seq, expected, got, count=count)


def _add_break(broken: Break, missing: Sequence[range], scan: Scan, drafts: Drafts) -> None:
    before, after, explained = broken
    if explained:
        return
    seq = before.last_seq if before else 0
    if after.seq > seq + 1:
        number = scan.segments[after.segment].number
        from_number = scan.segments[before.segment].number if before else 0
        if any(from_number < lost.start < number for lost in missing):
            return
        expected, got = f"seq {seq + 1}", f"seq {after.seq}"
        count = after.seq - seq - 1
        drafts.add("gap", after.first, after.offset, seq + 1, expected, got, count=count)
    elif before is None:
        expected, got = f"prev_hash {GENESIS}", f"prev_hash {after.prev}"
        drafts.add("edited", after.first, after.offset, after.seq, expected, got)
    else:
        # Its successor seals another hash: the entry was altered and sealed again.
        offset = _offset_of_last(before, scan)
        got = f"hash {before.ends[0] if before.ends else None}"
        expected = f"hash {after.prev}, which its successor names"
        drafts.add("edited", before.last, offset, seq, expected, got)


def _line_at(segment: Segment, offset: int) -> int:
    return 1 + sum(
        block.data[: offset - block.offset].count(b"\n") + (block.offset + len(block.data) < offset)
        for block in read_blocks(segment)
        if block.offset < offset and block.kind in ("lines", "end")
    )


def _offset_of_last(run: Run, scan: Scan) -> int:
    for number, (offset, _) in enumerate(lines_from(scan.segments[run.segment], run.offset), 1):
        if number == run.count:
            return offset
    return run.offset


def _head(chain: Chain) -> Head | None:
    if not chain.runs:
        return None
    last = chain.runs[-1]
    return Head(last.last_seq, last.ends[0] if last.ends else "")


def _faults_behind(chain: Chain, scan: Scan) -> int:
    """Return how many unreadable or faulty lines stand behind the last entry of the chain."""
    end = max((run.last for run in chain.runs), default=Place(0, 0))
    regions = sum(r.count for r in scan.regions if r.first > end and not r.declared)
    return regions + sum(r.count for r in scan.runs if r.first > end and r.kind is not None)


def _add_intents(scan: Scan, chain: Chain, drafts: Drafts) -> list[tuple[int, int]]:
    """Add the intents that have no outcome, unless a fault behind them may have swallowed it.

    Returns:
        Segment and offset of each.
    """
    last_fault = max((draft.place for draft in drafts.errors()), default=Place(-1, 0))
    unjudged = Stretches([*chain.unjudged, *chain.copies])
    added = []
    for note in scan.notes.unfinished():
        if note.place > last_fault and note.place not in unjudged:
            kind, place, offset, seq, expected, got = note
            drafts.add(kind, place, offset, seq, expected, got)
            added.append((place.segment, offset))
    return added
