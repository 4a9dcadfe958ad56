"""Records that were lost while failures were open, until the log itself can say so."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple


class DropSummary(NamedTuple):
    """What ``audit.log.dropped`` declares; times in nanoseconds since 1970."""

    records: int
    first_time_ns: int
    last_time_ns: int
    error_type: str


class Drops:
    """Counts lost records. Safe from any thread, and from a signal handler in the middle of it.

    Attributes:
        total: Since this writer opened the log.
        pending: Not yet declared in the log, None where all are.
    """

    def __init__(self) -> None:
        self.total = 0
        self.pending: DropSummary | None = None
        self._lock = threading.Lock()
        self._changes: deque[tuple[DropSummary, int]] = deque()
        """What is still to be counted in, and its sign: whoever has the lock does it."""

    def add(self, time_ns: int, error: BaseException) -> None:
        """Count one record that was lost with this error."""
        self._change(DropSummary(1, time_ns, time_ns, type(error).__name__), 1)

    def declared(self, summary: DropSummary) -> None:
        """Take off what now stands in the log; what was added meanwhile stays."""
        self._change(summary, -1)

    def restore(self, summary: DropSummary) -> None:
        """Put back what was declared, as its declaration was lost."""
        self._change(summary, 0)

    def _change(self, summary: DropSummary, sign: int) -> None:
        self._changes.append((summary, sign))
        # never waits for the lock: this thread itself may hold it, below on the stack
        while self._changes and not self._lock.locked():
            with self._lock:
                while self._changes:
                    change, sign = self._changes[0]
                    pending = _less(self.pending, change) if sign < 0 else _more(self.pending, change)
                    self.pending, self.total = pending, self.total + (change.records if sign > 0 else 0)
                    self._changes.popleft()


def _more(pending: DropSummary | None, change: DropSummary) -> DropSummary:
    if pending is None:
        return change
    return DropSummary(
        pending.records + change.records,
        min(pending.first_time_ns, change.first_time_ns),
        max(pending.last_time_ns, change.last_time_ns),
        change.error_type,
    )


def _less(pending: DropSummary | None, change: DropSummary) -> DropSummary | None:
    if pending is None or pending.records <= change.records:
        return None
    return pending._replace(records=pending.records - change.records, first_time_ns=change.last_time_ns)
