"""A log read for its report: in stretches of bytes, each by a process of its own where that pays."""

from __future__ import annotations

import contextlib
import gc
import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import orjson

from otel_audit.entry import MalformedLineError, parse_entry, parse_line
from otel_audit.errors import AuditVerifyError
from otel_audit.log_files import find_log
from otel_audit.parts import Frame, Part, begun
from otel_audit.report.tally import Tally
from otel_audit.report.timeline import Timeline
from otel_audit.report.totals import Totals
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify import VerifyReport
from otel_audit.verify.segment import Segment, line_start, read_blocks
from otel_audit.worker_limits import MAX_WORKERS, MIN_BYTES, processors

_STRETCHES: Final = 4  # of each process

Range = tuple[int, int, int]
"""Of a segment (from 0): the first byte, and the one behind the last; both at the start of a line."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read, and how.

    Attributes:
        selection: What is wanted.
        proven: The verifier found every line to be one of the format: any parser reads the same in it.
        most: How many ``seq`` of the latest entries are wanted.
    """

    report: VerifyReport
    timeline: Timeline
    selection: Selection
    proven: bool
    most: int


def open_again(report: VerifyReport, stack: contextlib.ExitStack) -> list[Segment]:
    """Return the segments that were verified, as long as they were then.

    Raises:
        AuditVerifyError: The log can no longer be read, or has become shorter.
    """
    sizes = {summary.path: summary.size_bytes for summary in report.segments}
    segments = []
    for segment in find_log(report.path).open(stack, patient=False):
        size = sizes.get(segment.path)
        if size is None:
            continue  # begun since
        if segment.size_bytes < size:
            raise AuditVerifyError(f"{segment.path}: it became shorter while the report was made")
        segments.append(replace(segment, size_bytes=size))
    return segments


def count_log(
    reading: Reading, segments: Sequence[Segment], told: Callable[[int], None] | None
) -> tuple[Totals, list[int]]:
    """Return what a log adds up to, and the ``seq`` of the latest entries that are wanted.

    Args:
        reading: What is wanted.
        segments: The log, open.
        told: Is told of bytes read.

    Raises:
        AuditVerifyError: The log cannot be read, or a process that counted was killed.
    """
    totals, latest = Totals(reading.timeline.bins), deque[int](maxlen=reading.most)
    ranges, counted = _counted(reading, segments)
    for (_, start, stop), (more, seqs) in zip(ranges, counted, strict=True):
        totals.add(more)
        latest.extend(seqs)
        if told is not None:
            told(stop - start)
    return totals, list(latest)


Counted = tuple[Totals, list[int]]


def _counted(reading: Reading, segments: Sequence[Segment]) -> tuple[Sequence[Range], Iterator[Counted]]:
    """Return the stretches of a log, and what each comes to."""
    size = sum(segment.size_bytes for segment in segments)
    workers = min(processors(), MAX_WORKERS) if sys.platform == "linux" and size >= MIN_BYTES else 1
    if workers < 2:
        ranges = [(index, 0, segment.size_bytes) for index, segment in enumerate(segments)]
        return ranges, (_count(reading, segments, stretch) for stretch in ranges)
    ranges = _ranges(segments, size // (workers * _STRETCHES))
    return ranges, _apart(reading, segments, ranges, workers)


def _apart(reading: Reading, segments: Sequence[Segment], ranges: Sequence[Range], workers: int) -> Iterator[Counted]:
    def work(number: int, part: Part) -> Iterator[Frame]:
        gc.disable()  # what is made here has no cycles, and is gone over again and again otherwise
        own = [segment for segment, _ in part]
        for stretch in ranges[number::workers]:
            yield number, pickle.dumps(_count(reading, own, stretch))

    whole: Part = [(segment, 0) for segment in segments]
    with contextlib.ExitStack() as stack:
        sent = [stack.enter_context(begun(whole, partial(work, number))) for number in range(workers)]
        for place in range(len(ranges)):
            _, data = next(sent[place % workers])
            yield pickle.loads(data)  # noqa: S301  # of a process that was forked here


def _count(reading: Reading, segments: Sequence[Segment], stretch: Range) -> Counted:
    index, start, stop = stretch
    tally, latest = Tally(reading.timeline), deque[int](maxlen=reading.most)
    for entries in _entries(reading, replace(segments[index], size_bytes=stop), start):
        tally.add(entries)
        latest.extend([members["seq"] for members in entries])
    return tally.totals(), list(latest)


def _entries(reading: Reading, segment: Segment, start: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the members of the lines that are wanted, some at a time."""
    scanner, selection = Scanner(reading.selection), reading.selection
    for block in read_blocks(segment, start):
        if block.kind != "lines":
            continue
        if reading.proven and not selection:
            yield orjson.loads(b"[%b]" % block.data.replace(b"\n", b","))
        else:
            lines = (line for _, line in scanner.lines(block.data))
            yield list(_members(reading, lines))


def _members(reading: Reading, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            if reading.selection and not reading.selection.matches(parse_entry(line)):
                continue
            yield orjson.loads(line) if reading.proven else parse_line(line)
        except (MalformedLineError, orjson.JSONDecodeError):
            continue  # a finding says so


def _ranges(segments: Sequence[Segment], size: int) -> list[Range]:
    """Cut the segments into stretches of about so many bytes, each at the start of a line."""
    ranges = []
    for index, segment in enumerate(segments):
        start = 0
        while start < segment.size_bytes:
            stop = min(start + size, segment.size_bytes)
            if segment.size_bytes - stop < size // 2:
                stop = segment.size_bytes
            if stop < segment.size_bytes:
                stop = line_start(segment, stop) or segment.size_bytes
            ranges.append((index, start, stop))
            start = stop
    return ranges
