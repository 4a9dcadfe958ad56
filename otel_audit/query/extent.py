"""How many entries there are, and from when to when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from otel_audit.entry import Entry
from otel_audit.line_form import parse_time


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

    def add(self, entries: Sequence[Entry]) -> None:
        """Take in some entries."""
        if not entries:
            return
        # Of one form, so they sort as text.
        times = [entry.time for entry in entries]
        seqs = [entry.seq for entry in entries]
        self.merge(Extent("", 0, len(entries), 0, min(times), max(times), min(seqs), max(seqs)))

    def merge(self, other: Extent) -> None:
        """Take in those of a segment, or of a piece of one."""
        self.size_bytes += other.size_bytes
        self.entries += other.entries
        self.unreadable_lines += other.unreadable_lines
        if other.entries:
            self.first_time = min(filter(None, (self.first_time, other.first_time)))
            self.last_time = max(self.last_time, other.last_time)
            self.first_seq = min(filter(None, (self.first_seq, other.first_seq)))
            self.last_seq = max(self.last_seq, other.last_seq)
