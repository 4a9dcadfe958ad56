"""Records that were lost while failures were open, until the log itself can say so."""

from __future__ import annotations

import threading
from typing import NamedTuple


class DropSummary(NamedTuple):
    """What ``audit.log.dropped`` declares; times in nanoseconds since 1970."""

    records: int
    first_time_ns: int
    last_time_ns: int
    error_type: str


class Drops:
    """Counts lost records. Thread-safe.

    Attributes:
        total: Since this writer opened the log.
        pending: Not yet declared in the log, None where all are.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.total = 0
        self.pending: DropSummary | None = None

    def add(self, time_ns: int, error: BaseException) -> None:
        """Count one record that was lost with this error."""
        with self._lock:
            self.total += 1
            last = self.pending
            name = type(error).__name__
            if last is None:
                self.pending = DropSummary(1, time_ns, time_ns, name)
            else:
                self.pending = DropSummary(last.records + 1, last.first_time_ns, time_ns, name)

    def declared(self, summary: DropSummary) -> None:
        """Take off what now stands in the log; what was added meanwhile stays."""
        with self._lock:
            last = self.pending
            if last is None or last.records <= summary.records:
                self.pending = None
            else:
                self.pending = last._replace(records=last.records - summary.records, first_time_ns=summary.last_time_ns)
