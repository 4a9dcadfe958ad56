"""Records that were lost while failures were open, until the log itself can say so."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .shared_drops import SharedDrops


class DropSummary(NamedTuple):
    """What ``audit.log.dropped`` declares; times in nanoseconds since 1970."""

    records: int
    first_time_ns: int
    last_time_ns: int
    error_type: str


class Drops:
    """Counts lost records. Safe from any thread, and from a signal handler in the middle of it.

    Args:
        shared: Where losses outlive this process; None: they are remembered here alone.

    Attributes:
        total: Lost by this process since it opened the log.
        pending: Neither declared in the log nor standing in ``shared``, None where all are.
        waiting: Something of this process is still to be declared, wherever it stands.
    """

    def __init__(self, shared: SharedDrops | None = None) -> None:
        self.shared = shared
        self.total = 0
        self.pending: DropSummary | None = None
        self.waiting = False
        self._lock = threading.Lock()
        self._changes: deque[tuple[DropSummary, int, int]] = deque()
        """What is still to be counted in: the change, its sign in ``pending``, and what it adds to ``total``."""

    def reserve(self) -> None:
        """Make room for what may be lost, while there is room."""
        if self.shared is not None:
            self.shared.reserve()

    def add(self, time_ns: int, error: BaseException) -> None:
        """Count one record that was lost with this error."""
        loss = DropSummary(1, time_ns, time_ns, type(error).__name__)
        kept = self.shared is not None and self.shared.add(loss)
        self._change(loss, 0 if kept else 1, 1)
        self.waiting = True

    def declared(self, summary: DropSummary) -> None:
        """Take off what now stands in the log; what was added meanwhile stays."""
        self._change(summary, -1, 0)

    def restore(self, summary: DropSummary) -> None:
        """Put back what was declared, as its declaration was lost."""
        self._change(summary, 1, 0)
        self.waiting = True

    def _change(self, summary: DropSummary, sign: int, lost: int) -> None:
        self._changes.append((summary, sign, lost))
        # never waits for the lock: this thread itself may hold it, below on the stack
        while self._changes and not self._lock.locked():
            with self._lock:
                while self._changes:
                    change, sign, lost = self._changes[0]
                    if sign:
                        self.pending = less(self.pending, change) if sign < 0 else more(self.pending, change)
                    self.total += lost
                    self._changes.popleft()


def more(pending: DropSummary | None, change: DropSummary) -> DropSummary:
    """Return both together; the error is that of the change."""
    if pending is None:
        return change
    return DropSummary(
        pending.records + change.records,
        min(pending.first_time_ns, change.first_time_ns),
        max(pending.last_time_ns, change.last_time_ns),
        change.error_type,
    )


def less(pending: DropSummary | None, change: DropSummary) -> DropSummary | None:
    """Return what is left of it without the change, None where that is nothing."""
    if pending is None or pending.records <= change.records:
        return None
    return pending._replace(records=pending.records - change.records, first_time_ns=change.last_time_ns)
