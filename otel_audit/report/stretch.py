"""A log read for its report: in stretches of bytes, each by a process of its own where that pays."""

from __future__ import annotations

import contextlib
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import orjson

from otel_audit.entry import MalformedLineError, parse_entry, parse_line
from otel_audit.errors import AuditVerifyError
from otel_audit.line_form import format_time
from otel_audit.log_files import find_log
from otel_audit.parts import Frame, Part, begun, parts_of
from otel_audit.report.tally import Tally
from otel_audit.report.timeline import Timeline, timeline
from otel_audit.report.totals import Totals
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify import VerifyReport
from otel_audit.verify.onlooker import Seen
from otel_audit.verify.segment import Segment, read_blocks
from otel_audit.worker_limits import MIN_BYTES

_WINDOW_BYTES: Final = 2 << 20  # holds a whole line, however long


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
    segments: list[Segment] = []
    for segment in find_log(report.path).open(stack, patient=False):
        size = sizes.get(segment.path)
        if size is None:
            continue  # begun since
        if segment.size_bytes < size:
            raise AuditVerifyError(f"{segment.path}: it became shorter while the report was made")
        segments.append(replace(segment, size_bytes=size))
    if len(segments) < len(sizes):
        gone = sizes.keys() - {segment.path for segment in segments}
        raise AuditVerifyError(f"{min(gone)}: it was removed while the report was made")
    return segments


def timeline_of(segments: Sequence[Segment]) -> Timeline:
    """Return the steps from the first entry of a log to its last."""
    first = next((time for segment in segments for time in _times(segment.read(0, _WINDOW_BYTES))), None)
    last = None
    for segment in reversed(segments):
        start = max(0, segment.size_bytes - _WINDOW_BYTES)
        for found in _times(segment.read(start, segment.size_bytes - start)):
            last = found
        if last is not None:
            break
    epoch = format_time(0).decode()
    return timeline(first or epoch, last or first or epoch)


def _times(data: bytes) -> Iterator[str]:
    for line in data.split(b"\n"):
        try:
            yield parse_entry(line).time
        except MalformedLineError:
            continue


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
    first, *others = parts_of(reading.report.path, list(segments), MIN_BYTES)
    with contextlib.ExitStack() as stack:
        sent = [stack.enter_context(begun(part, partial(_packed, reading))) for part in others]
        totals, latest = _count(reading, first, None if told is None else _progress(segments, first, told))
        for frames in sent:
            _, data = next(frames)
            more, seqs = pickle.loads(data)  # noqa: S301  # of a process that was forked here
            totals.add(more)
            latest.extend(seqs)
    return totals, list(latest)


def _packed(reading: Reading, part: Part) -> Iterator[Frame]:
    yield 0, pickle.dumps(_count(reading, part, None))


def _progress(segments: Sequence[Segment], first: Part, told: Callable[[int], None]) -> Callable[[int], None]:
    """Return what is told of the bytes that are read here, and tells of the others, too, which are about as far."""
    total, own = sum(segment.size_bytes for segment in segments), sum(segment.size_bytes - at for segment, at in first)
    read = said = 0

    def tell(size: int) -> None:
        nonlocal read, said
        read += size
        told(read * total // own - said)
        said = read * total // own

    return tell


def _count(reading: Reading, part: Part, told: Callable[[int], None] | None) -> tuple[Totals, deque[int]]:
    tally, latest = Tally(reading.timeline), deque[int](maxlen=reading.most)
    for segment, start in part:
        for size, entries in _entries(reading, segment, start):
            tally.add(Seen.of(entries))
            latest.extend([members["seq"] for members in entries])
            if told is not None:
                told(size)
    return tally.totals(), latest


def _entries(reading: Reading, segment: Segment, start: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield how many bytes were read, and the members of the lines in them that are wanted."""
    scanner, selection = Scanner(reading.selection), reading.selection
    for block in read_blocks(segment, start):
        size = len(block.data) + (block.kind in ("lines", "end"))
        if block.kind != "lines":
            yield size, []
        elif reading.proven and not selection:
            yield size, orjson.loads(b"[%b]" % block.data.replace(b"\n", b","))
        else:
            yield size, list(_members(reading, (line for _, line in scanner.lines(block.data))))


def _members(reading: Reading, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            if reading.selection and not reading.selection.matches(parse_entry(line)):
                continue
            yield orjson.loads(line) if reading.proven else parse_line(line)
        except (MalformedLineError, orjson.JSONDecodeError):
            continue  # a finding says so
