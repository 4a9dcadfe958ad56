"""Where the last entries of a log begin and end, found from its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from otel_audit.chain import Head
from otel_audit.entry import MalformedLineError, parse_entry
from otel_audit.line_form import MAX_LINE_BYTES
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.segment import Segment

_FIRST_BYTES: Final = 1 << 16
_CHUNK_BYTES: Final = 2 * MAX_LINE_BYTES  # a whole line is in it, wherever it begins


class Place(NamedTuple):
    """The beginning of a line: the segment's number, and the offset in it."""

    number: int
    offset: int


class Seam(NamedTuple):
    """Up to where a log is judged, and what is held against what comes behind.

    Attributes:
        place: Where the next line begins.
        before: What it has to follow; None: that is not known.
        identity: Device and inode of the segment; None: it was not opened yet.
    """

    place: Place
    before: Head | None = None
    identity: tuple[int, int] | None = None


def place_of_latest(segments: Sequence[Segment], selection: Selection, count: int) -> Place | None:
    """Return where the first of the last so many entries begins that are wanted.

    Where there are fewer, the first of those; None where there are none. Reads backwards, no
    further than it must; memory: 2 MiB.

    Args:
        segments: Of a log, in order; one or more.
        selection: Which entries are counted.
        count: How many.
    """
    found = _latest(segments, selection, count)
    return None if found is None else found[0]


def end_of_latest(segments: Sequence[Segment]) -> tuple[Place, bytes]:
    """Return where the last entry ends, and its line without LF; without an entry the beginning, and no bytes.

    Args:
        segments: Of a log, in order; one or more.
    """
    found = _latest(segments, Selection(), 1)
    if found is None:
        return Place(segments[0].number, 0), b""
    place, line = found
    return Place(place.number, place.offset + len(line) + 1), line


def _latest(segments: Sequence[Segment], selection: Selection, count: int) -> tuple[Place, bytes] | None:
    if count == 0:
        return None
    scanner = Scanner(selection)
    found: tuple[Place, bytes] | None = None
    for segment in reversed(segments):
        end = segment.size_bytes
        size = _FIRST_BYTES
        while end > 0:
            start = max(0, end - size)
            data = segment.read(start, end - start)
            first = 0 if start == 0 else data.find(b"\n") + 1
            last = data.rfind(b"\n")
            if last < 0 or (start > 0 and first == len(data)):
                # no line ends in it, or one longer than it can be
                end = start if size == _CHUNK_BYTES or start == 0 else end
                size = _CHUNK_BYTES
                continue
            wanted = [] if last < first else _wanted(data[first:last], scanner, selection)
            for at in reversed(wanted):
                line = data[first + at : data.index(b"\n", first + at)]
                found = Place(segment.number, start + first + at), line
                count -= 1
                if count == 0:
                    return found
            end = start + first
            size = _CHUNK_BYTES
    return found


def _wanted(data: bytes, scanner: Scanner, selection: Selection) -> list[int]:
    found = []
    for at, line in scanner.lines(data):
        try:
            if selection.matches(parse_entry(line)):
                found.append(at)
        except MalformedLineError:
            continue
    return found
