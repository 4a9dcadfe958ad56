"""What a log amounts to: how many entries of what, from when to when, in how many bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.line_form import parse_time
from otel_audit.query.fields import field
from otel_audit.query.groups import Group, Groups
from otel_audit.reader import open_segments
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.segment import read_blocks

COUNTED: Final = ("event_name", "actor", "action", "outcome", "decision")
"""Fields (`otel_audit.query.fields`) whose values are counted."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one field.

    Attributes:
        distinct: How many there are; at least so many where ``others`` is not 0.
        most: The most frequent, with their counts.
        others: Entries whose values came when there were too many to count apart.
    """

    distinct: int
    most: tuple[Group, ...]
    others: int


@dataclass(slots=True)
class Extent:
    """Entries, and from when to when they are, by ``time``.

    Attributes:
        path: The segment, or the log.
        size_bytes: All its bytes; of stdin, those of the lines.
        entries: Those that were wanted.
        unreadable_lines: Lines that are none; where a selection is given, some are not seen.
        first_time: The earliest, in the form of the line; empty where there is no entry.
        last_time: The latest.
        first_seq: The lowest; 0 where there is no entry.
        last_seq: The highest.
    """

    path: str
    size_bytes: int = 0
    entries: int = 0
    unreadable_lines: int = 0
    first_time: str = ""
    last_time: str = ""
    first_seq: int = 0
    last_seq: int = 0

    @property
    def seconds(self) -> float:
        """From the first time to the last."""
        return max(0, parse_time(self.last_time) - parse_time(self.first_time)) / 1e9 if self.entries else 0.0

    @property
    def entries_per_second(self) -> float | None:
        """None where there is no time between the first and the last."""
        return self.entries / self.seconds if self.seconds else None

    def add(self, entry: Entry) -> None:
        """Take in one entry."""
        self.entries += 1
        # Of one form, so they sort as text.
        if not self.first_time or entry.time < self.first_time:
            self.first_time = entry.time
        self.last_time = max(self.last_time, entry.time)
        if not self.first_seq or entry.seq < self.first_seq:
            self.first_seq = entry.seq
        self.last_seq = max(self.last_seq, entry.seq)

    def merge(self, other: Extent) -> None:
        """Take in those of a segment."""
        self.size_bytes += other.size_bytes
        self.entries += other.entries
        self.unreadable_lines += other.unreadable_lines
        if other.entries:
            self.first_time = min(filter(None, (self.first_time, other.first_time)))
            self.last_time = max(self.last_time, other.last_time)
            self.first_seq = min(filter(None, (self.first_seq, other.first_seq)))
            self.last_seq = max(self.last_seq, other.last_seq)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a log amounts to.

    Attributes:
        whole: All of it.
        segments: Each file.
        values: Those of each field of `COUNTED`.
    """

    whole: Extent
    segments: tuple[Extent, ...]
    values: dict[str, Values]


def measure(
    path: str | os.PathLike[str],
    selection: Selection,
    *,
    most: int,
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Read a log once, in bounded memory.

    Args:
        path: As of `otel_audit.reader.read_log`.
        selection: Which entries are counted.
        most: How many values of each field are kept.
        progress: Told how many bytes were read, and of how many.

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """
    counted = {name: Groups([field(name)]) for name in COUNTED}
    scanner = Scanner(selection)
    extents = []
    with contextlib.ExitStack() as stack:
        segments = open_segments(path, stack)
        total = sum(segment.size_bytes for segment in segments)
        done = 0
        for segment in segments:
            extent = Extent(segment.path)
            for block in read_blocks(segment):
                extent.size_bytes = block.offset + len(block.data) + (block.kind in ("lines", "end"))
                if block.kind == "lines":
                    _count(block.data, scanner, selection, extent, counted)
                elif block.kind == "end":
                    extent.unreadable_lines += 1
                if progress is not None:
                    progress(done + extent.size_bytes, total)
            done += extent.size_bytes
            extents.append(extent)
    whole = Extent(os.fsdecode(path) if len(segments) != 1 else segments[0].path)
    for extent in extents:
        whole.merge(extent)
    return Statistics(whole, tuple(extents), {name: _values(groups, most) for name, groups in counted.items()})


def _count(data: bytes, scanner: Scanner, selection: Selection, extent: Extent, counted: dict[str, Groups]) -> None:
    for _, line in scanner.lines(data):
        try:
            entry = parse_entry(line)
        except MalformedLineError:
            extent.unreadable_lines += 1
            continue
        if selection.matches(entry):
            extent.add(entry)
            for groups in counted.values():
                groups.add(entry)


def _values(groups: Groups, most: int) -> Values:
    ranked = [group for group in groups.ranked() if group[0] != [None]]
    return Values(len(ranked), tuple(ranked[:most]), groups.others)
