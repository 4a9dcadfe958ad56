"""The lines that a page carries of a log that is longer than a page."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from otel_audit.errors import AuditVerifyError
from otel_audit.verify.segment import Segment, read_blocks

MAX_CARRIED_BYTES: Final = 256 << 20
"""Of lines, before they are compressed: what a browser holds with ease."""

_SEQ: Final = re.compile(rb'\{"seq":([0-9]{1,16}),')


_BATCH: Final = 1000

Found = tuple[int, int, bytes]
"""The ``seq`` of a line that is wanted, how many lines stand before it in its block, and its bytes."""


class Carried(NamedTuple):
    """A line that the page carries, and where it stands: segment from 0, line from 1."""

    segment: int
    line_number: int
    line: bytes


def carried(segments: Sequence[Segment], seqs: Collection[int], *, proven: bool) -> Iterator[list[Carried]]:
    """Yield the lines with these ``seq``, in their order, as many as fit.

    Reads all segments. Of a proven log, lines come as they are found; of any other, memory grows with them.

    Args:
        segments: The log, open.
        seqs: Of the lines that are wanted.
        proven: The verifier found each line to follow the one before.

    Raises:
        AuditVerifyError: A proven line is no longer there.
    """
    found: dict[int, Carried] = {}
    ordered, wanted = sorted(seqs), frozenset(seqs)
    room, latest, given = MAX_CARRIED_BYTES, 0, 0
    for index, segment in enumerate(segments):
        number = 1
        for block in read_blocks(segment):
            if block.kind != "lines":
                number += block.kind in ("end", "tail")
                continue
            count, lines = _following(block.data, ordered) if proven else _any(block.data, wanted)
            for seq, place, line in lines:
                if seq in found or (proven and seq <= latest):
                    continue
                room -= len(line)
                if room > 0:
                    found[seq] = Carried(index, number + place, line)
            number += count
            if proven and len(found) >= _BATCH:
                yield list(found.values())
                latest, given = max(found), given + len(found)
                found.clear()
    count = len(found) + given
    yield [found[seq] for seq in ordered if seq in found]
    if proven and room > 0 and count < len(wanted):
        raise AuditVerifyError(f"{segments[0].path}: it was changed while the report was made")


def _following(data: bytes, ordered: Sequence[int]) -> tuple[int, list[Found]]:
    """Return what `_any` does of lines of which each follows the one before, sooner.

    Args:
        data: The lines, the last LF left off.
        ordered: What is wanted, ascending.
    """
    first, last = _SEQ.match(data), _SEQ.match(data, data.rfind(b"\n") + 1)
    if first is None or last is None:  # it was changed since it was verified
        return _any(data, frozenset(ordered))
    low, high = int(first[1]), int(last[1])
    lines, end = [], 0
    for seq in ordered[bisect_left(ordered, low) : bisect_right(ordered, high)]:
        # No line holds an LF, so that this is where one begins.
        start = 0 if seq == low else data.find(b'\n{"seq":%d,' % seq, end) + 1
        if not start and seq != low:  # likewise
            return _any(data, frozenset(ordered))
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        lines.append((seq, seq - low, data[start:end]))
    return high - low + 1, lines


def _any(data: bytes, wanted: Collection[int]) -> tuple[int, list[Found]]:
    """Return how many lines there are, and those that are wanted."""
    lines = data.split(b"\n")
    found = []
    for place, line in enumerate(lines):
        match = _SEQ.match(line)
        if match is not None and int(match[1]) in wanted:
            found.append((int(match[1]), place, line))
    return len(lines), found
