"""`write_report`: from a verified log to its page."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Final

from otel_audit import __version__
from otel_audit.line_form import format_time
from otel_audit.log_files import find_log
from otel_audit.report.carried import MAX_CARRIED_BYTES, carried
from otel_audit.report.choice import choose
from otel_audit.report.counted import Counted
from otel_audit.report.page import pack, packing, write_page
from otel_audit.report.stretch import Reading, count_log, open_again, timeline_of
from otel_audit.report.summary import summarize
from otel_audit.report.timeline import Timeline
from otel_audit.report.totals import Totals
from otel_audit.selection import Selection
from otel_audit.verify import VerifyReport
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.finding import REMEDIES
from otel_audit.verify.segment import Segment

DEFAULT_MAX_ENTRIES: Final = 20_000


def write_report(
    file: IO[bytes],
    report: VerifyReport,
    verification: Mapping[str, Any],
    *,
    title: str,
    anchors: Sequence[Anchor] = (),
    selection: Selection | None = None,
    selection_text: str = "",
    max_entries: int = DEFAULT_MAX_ENTRIES,
    trace_url: str | None = None,
    counted: Counted | None = None,
    told: Callable[[int], None] | None = None,
) -> int:
    """Write the page of a log, and return how many entries it tells of.

    Reads the log again, up to the lengths that were verified; memory grows with the entries that
    the page carries, and with the number of different names.

    Args:
        file: To write to.
        report: Of the whole log.
        verification: The same as one element of ``logs`` in docs/verify.schema.json.
        title: Of the page.
        anchors: What the log was held against.
        selection: The entries to tell of; None: all. Integrity is always that of the whole log.
        selection_text: The same for people.
        max_entries: How many entries the page carries at most.
        trace_url: Where a trace is shown: an address with ``{trace_id}``.
        counted: What the log adds up to, where that is known already.
        told: Is told of bytes read, where they have to be counted.

    Raises:
        AuditVerifyError: The log can no longer be read, or has become shorter.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_uncollected())
        segments = open_again(report, stack)
        wanted = selection or Selection()
        proven = not any(one.severity == "error" or one.kind == "recovered" for one in report.findings)
        totals, latest, steps = _counted(report, segments, wanted, proven, max_entries, counted, told)
        # Over the borders of stretches an intent that stands twice can seem open; the verifier knows better,
        # but where it names none that began while it read.
        is_told = bool(wanted) or (proven and not report.open_intents)
        totals.finish(_unfinished(report) if is_told else None)
        whole = not wanted and totals.entries <= max_entries and _bytes(segments) <= MAX_CARRIED_BYTES
        packed: Iterable[bytes]
        embedded: dict[str, Any] = {"whole": whole, "entries": totals.entries, "of": report.entries}
        if whole:
            checksums = find_log(report.path).checksums()
            embedded["first_name"] = find_log(report.path).first_name
            embedded["segments"] = [
                {"name": segment.name, "number": segment.number, "size": segment.size_bytes} for segment in segments
            ]
            embedded["checksums"] = {"path": os.path.basename(checksums.path), "digests": checksums.digests}
            packed = pack(_all_bytes(segments))
        else:
            found = {finding.seq for finding in report.findings if finding.seq is not None}
            known = set(latest) if wanted else found
            seqs = choose(itertools.chain(totals.seqs, found & known), latest, max_entries, neighbours=not wanted)
            places: list[list[int]] = []
            with packing() as (put, future):
                for lines in carried(segments, seqs, proven=proven):
                    places += [[line.segment, line.line_number] for line in lines]
                    put(b"".join(line.line + b"\n" for line in lines))
            packed = future.result()
            embedded["entries"] = len(places)
            embedded["lines"] = places
            embedded["open"] = sorted(seqs.intersection(totals.open_seqs))
        summary = {
            "title": title,
            "made": format_time(time.time_ns()).decode(),
            "version": __version__,
            "selection": selection_text,
            "trace_url": trace_url,
            "anchors": [{"seq": anchor.seq, "hash": anchor.hash} for anchor in anchors],
            "remedies": REMEDIES,
            "embedded": embedded,
            **summarize(totals, steps, _told(verification, frozenset(totals.open_seqs) if wanted else None)),
        }
        write_page(file, title, summary, packed)
    return totals.entries


def _counted(
    report: VerifyReport,
    segments: Sequence[Segment],
    wanted: Selection,
    proven: bool,
    most: int,
    counted: Counted | None,
    told: Callable[[int], None] | None,
) -> tuple[Totals, Sequence[int], Timeline]:
    """Return what is wanted of a log, the ``seq`` of the latest of that, and the steps that it is told in."""
    if counted is not None and not wanted and report.head is not None:
        last = report.head.seq  # each entry follows the one before
        return counted.totals, range(max(last - report.entries, last - most) + 1, last + 1), counted.timeline
    steps = timeline_of(segments)
    return *count_log(Reading(report, steps, wanted, proven, most), segments, told), steps


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cycles meanwhile: what a log is read into has none, and is looked through again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _unfinished(report: VerifyReport) -> frozenset[int]:
    """Return the ``seq`` of the actions that began and never ended, in the whole log."""
    return frozenset(
        seq
        for finding in report.findings
        if finding.kind == "intent_without_outcome" and finding.seq is not None
        for seq in range(finding.seq, finding.seq + finding.count)
    )


def _told(verification: Mapping[str, Any], wanted: frozenset[int] | None) -> dict[str, Any]:
    """Return what the page tells of a verification: base names for paths, and only actions that are wanted.

    Where a log lay is nobody's business, nor is what a selection leaves out.

    Args:
        verification: Of the whole log.
        wanted: The ``seq`` of the unfinished actions to name; None: all.
    """

    def base(part: Mapping[str, Any]) -> dict[str, Any]:
        return {**part, "path": os.path.basename(part["path"])}

    return {
        **base(verification),
        "unfinished": [action for action in verification["unfinished"] if wanted is None or action["seq"] in wanted],
        "segments": [base(segment) for segment in verification["segments"]],
        "findings": [base(finding) for finding in verification["findings"]],
    }


def _bytes(segments: Sequence[Segment]) -> int:
    return sum(segment.size_bytes for segment in segments)


def _all_bytes(segments: Sequence[Segment]) -> Iterator[bytes]:
    for segment in segments:
        for offset in range(0, segment.size_bytes, 1 << 20):
            yield segment.read(offset, min(1 << 20, segment.size_bytes - offset))
