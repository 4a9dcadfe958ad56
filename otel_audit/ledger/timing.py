"""How much was written, and how long it took: what the metrics observe."""

from __future__ import annotations

from typing import NamedTuple


class LedgerStats(NamedTuple):
    """Counts of one process since it opened the log; forked children begin at zero.

    Attributes:
        records: Written by this process.
        dropped: Lost while failures were open.
        appends: That were timed, and ``append_seconds`` in all; every one with durability
            ``always``, one of 64 otherwise.
        syncs: And ``sync_seconds`` in all.
        size_bytes: Of the active segment as this process last saw it.
    """

    records: int
    dropped: int
    appends: int
    append_seconds: float
    syncs: int
    sync_seconds: float
    size_bytes: int


class Stopwatch:
    """Adds up durations. A reader may see a duration without its count: a metric, no proof."""

    __slots__ = ("count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Add one duration."""
        self.count += 1
        self.seconds += seconds
