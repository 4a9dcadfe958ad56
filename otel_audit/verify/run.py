"""Lines that hang together: the verifier's index.

A run is a stretch of adjoining lines of one segment in which each follows from the one before.
A sound log of one segment is one run, whatever its length, and a log with one fault is three
or so: memory grows with the number of breaks, not of lines. At worst (every line broken) a run
and its finding cost about 1 KiB a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from otel_audit.verify.finding import Kind
from otel_audit.verify.seal import split_seal
from otel_audit.verify.segment import BLOCK_BYTES, Segment, lines_from


class Place(NamedTuple):
    """Where a line stands: segment (from 0), line in it (from 1)."""

    segment: int
    line: int


@dataclass(slots=True, eq=False)
class Run:
    """A stretch of adjoining, linked lines of one kind.

    Attributes:
        offset: Of its first line.
        count: Lines in it; their ``seq`` are consecutive.
        seq: Of its first line.
        prev: What its first line names as its predecessor; None in the modes without.
        ends: What a successor of its last line may name.
        kind: None: sound lines. Edited and downgraded lines are runs of one.
    """

    segment: int
    line: int
    offset: int
    count: int
    seq: int
    prev: str | None
    ends: tuple[str, ...]
    kind: Kind | None = None
    expected: str = ""
    got: str = ""
    copies: list[Run] = field(default_factory=list)
    length: int = 0  # entries on the best path that begins here
    breaks: int = 0  # on that path
    following: Run | None = None  # linked to its end
    onward: Run | None = None  # where none is: what the path goes on with
    used: bool = False
    unjudged: bool = False

    @property
    def last_seq(self) -> int:
        """``seq`` of its last line."""
        return self.seq + self.count - 1

    @property
    def first(self) -> Place:
        """Where it begins."""
        return Place(self.segment, self.line)

    @property
    def last(self) -> Place:
        """Where its last line stands."""
        return Place(self.segment, self.line + self.count - 1)

    def cut(self, lines: int, offset: int, end: str | None) -> Run:
        """Shorten this run to so many lines and return the rest.

        Args:
            lines: How many stay.
            offset: Of the first line that goes.
            end: ``hash`` of the last line that stays; None in mode ``none``.
        """
        rest = Run(
            segment=self.segment,
            line=self.line + lines,
            offset=offset,
            count=self.count - lines,
            seq=self.seq + lines,
            prev=end if self.prev is not None else None,
            ends=self.ends,
            kind=self.kind,
            expected=self.expected,
            got=self.got,
        )
        self.count = lines
        self.ends = () if end is None else (end,)
        return rest


def run_lines(run: Run, segments: tuple[Segment, ...], count: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield offset and bytes of each line of a run, or of its first ones, read again from its segment."""
    count = run.count if count is None else min(count, run.count)
    size = min(BLOCK_BYTES, count << 12)  # single lines by the thousand: not a whole block for each
    for (offset, line), _ in zip(lines_from(segments[run.segment], run.offset, size), range(count), strict=False):
        yield offset, line


def line_hash(line: bytes) -> str | None:
    """Return the digits in a line's seal, or None."""
    seal = split_seal(line)
    return seal.hash if seal else None
