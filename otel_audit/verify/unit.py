"""A part of a log, read by itself, and all that the whole needs to know of it.

A unit is a stretch of one segment; its lines are those that begin in it. Only a part in which
nothing is out of the ordinary is worth anything: one run of linked, sound lines. Of any other
nothing is said, and the whole log is then read in one piece, which alone tells exactly what is
wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from otel_audit.verify.declared import Declared
from otel_audit.verify.judge import Judge
from otel_audit.verify.notes import Ended, Lifecycle, Note, Notes
from otel_audit.verify.onlooker import Onlooker
from otel_audit.verify.run import Place
from otel_audit.verify.scan import Scan, Way
from otel_audit.verify.segment import BLOCK_BYTES, Segment, line_start, read_blocks
from otel_audit.verify.start import Start

UNIT_BYTES: Final = 4 << 20
"""Long enough that what a unit costs by itself is little, short enough that no worker waits long for the last."""

_MAX_NOTES: Final = 10_000  # a log with more is no usual one, and notes are carried from process to process


@dataclass(frozen=True, slots=True)
class Terms:
    """What the lines of a log are held against: the same for all its units.

    Attributes:
        key: The HMAC key, where it is the log's.
        anchors: ``seq`` of each, ascending.
    """

    declared: Declared
    key: bytes | None = field(repr=False)
    anchors: Sequence[int]
    chain_only: bool
    now: str | None


class Unit(NamedTuple):
    """A stretch of a segment: the lines that begin from ``start`` on and before ``stop``."""

    segment: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Part:
    """What a unit is. Places are as if it were a segment by itself: segment 0, lines from 1.

    Attributes:
        lines: None of the others means anything where this is 0.
        offset: Of the first line, in its segment.
        seq: Of the first line.
        prev: What it names as its predecessor; None in the modes without.
        ends: What a successor of the last line may name.
        first_observed: ``observed_time`` of the first line.
        observed: Of the last.
        anchored: As in `otel_audit.verify.scan.Scan`.
        intents: Those without outcome, as in `otel_audit.verify.notes.Notes`.
        outcomes: Likewise.
        ended: What became of the others, and the log's own entries.
        seen: What an onlooker says of the unit.
    """

    lines: int
    offset: int = 0
    seq: int = 0
    prev: str | None = None
    ends: tuple[str, ...] = ()
    first_observed: str = ""
    observed: str = ""
    anchored: Mapping[tuple[int, str], Sequence[Place]] = field(default_factory=dict)
    found: Sequence[Note] = ()
    lifecycle: Sequence[Lifecycle] = ()
    intents: Mapping[str, tuple[int, int, int, int]] = field(default_factory=dict)
    outcomes: frozenset[str] = frozenset()
    ended: Ended = field(default_factory=Ended)
    unknown_lifecycle: int = 0
    open_intents: int = 0
    seen: object = None


def units(segments: Sequence[Segment], start: Start, size: int = UNIT_BYTES) -> Iterator[Unit]:
    """Yield the units of a log from a place on, in order; segments without a byte have none."""
    for number in range(start.segment, len(segments)):
        end = segments[number].size_bytes
        for at in range(start.offset if number == start.segment else 0, end, size):
            yield Unit(number, at, min(at + size, end))


class Reader:
    """Reads units of one log, one after the other; what it learns of lines it keeps."""

    def __init__(self, terms: Terms, onlooker: Onlooker | None = None) -> None:
        """Begin.

        Args:
            terms: What the lines are held against.
            onlooker: Told of all entries, if contents are looked at.
        """
        self.terms = terms
        self._onlooker = onlooker
        self._way: Way | None = None

    def read(self, segment: Segment, unit: Unit) -> Part | None:
        """Return what a unit is; None: something in it is out of the ordinary.

        Args:
            segment: The segment that it is a stretch of.
            unit: Begins and ends at any byte.
        """
        begin, end = line_start(segment, unit.start), line_start(segment, unit.stop)
        if begin is None or end is None:
            return None
        if begin >= end:
            return Part(0)
        terms = self.terms
        ended = Ended()
        notes = Notes(terms.now, part=ended)
        piece = replace(segment, size_bytes=end)
        judge = Judge(_as_seen_from(unit.segment, terms.declared), terms.key)
        scan = Scan((piece,), judge, notes, terms.anchors, terms.chain_only, onlooker=self._onlooker)
        way = self._way = self._way or scan.way()
        way.contents.notes = notes
        scan.begin()
        at = 1
        for block in read_blocks(piece, begin, BLOCK_BYTES):
            at = scan.block(block, 0, at, way)
            if not scan.is_one_run or len(notes.found) > _MAX_NOTES:
                return None
        part = _part(scan, begin, ended)
        return part if self._onlooker is None else replace(part, seen=self._onlooker.part())


def _as_seen_from(segment: int, declared: Declared) -> Declared:
    """Return the declaration with its place as it is where a segment counts as segment 0."""
    if declared.place is None:
        return declared
    own, offset = declared.place
    return replace(declared, place=(own - segment, offset))


def _part(scan: Scan, begin: int, ended: Ended) -> Part:
    [run] = scan.runs
    notes = scan.notes
    return Part(
        lines=run.count,
        offset=begin,
        seq=run.seq,
        prev=run.prev,
        ends=run.ends,
        first_observed=scan.first_observed,
        observed=scan.observed,
        anchored=scan.anchored,
        found=notes.found,
        lifecycle=notes.lifecycle,
        intents=notes.intents,
        outcomes=frozenset(notes.outcomes),
        ended=ended,
        unknown_lifecycle=notes.unknown_lifecycle,
        open_intents=notes.open_intents,
    )
