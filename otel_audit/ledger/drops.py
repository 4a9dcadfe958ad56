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
        pending: Remembered here alone, as they could not be put into ``shared``; None: nothing.
        waiting: Something of this process is still to be declared, wherever it stands.
    """

    def __init__(self, shared: SharedDrops | None = None) -> None:
        self.shared = shared
        self.total = 0
        self.pending: DropSummary | None = None
        self.waiting = False
        self._lock = threading.Lock()
        self._changes: deque[tuple[DropSummary, int]] = deque()
        """What is still to be counted in: losses to remember, and how much of them is new."""

    def reserve(self) -> None:
        """Make room for what may be lost, while there is room."""
        if self.shared is not None:
            self.shared.reserve()

    def add(self, time_ns: int, error: BaseException) -> None:
        """Count one record that was lost with this error."""
        self._keep(DropSummary(1, time_ns, time_ns, type(error).__name__), 1)

    def restore(self, losses: DropSummary) -> None:
        """Take back losses that nobody declared; they are counted already."""
        self._keep(losses, 0)

    def take_pending(self) -> DropSummary | None:
        """Hand over what is remembered here alone: from now on, whoever asked answers for it."""
        taken: list[DropSummary | None] = []
        self._count(taken)
        return taken[0] if taken else None

    def _keep(self, losses: DropSummary, new: int) -> None:
        if self.shared is not None:
            remembered = self.take_pending()
            if self.shared.add(losses if remembered is None else more(remembered, losses)):
                losses, remembered = losses._replace(records=0), None
            if remembered is not None:
                self._changes.append((remembered, 0))
        self._changes.append((losses, new))
        self._count()
        self.waiting = True

    def _count(self, taken: list[DropSummary | None] | None = None) -> None:
        # never waits for the lock: this thread itself may hold it, below on the stack
        while (self._changes or taken == []) and not self._lock.locked():
            with self._lock:
                while self._changes:
                    losses, new = self._changes[0]
                    if losses.records:
                        self.pending = more(self.pending, losses)
                    self.total += new
                    self._changes.popleft()
                if taken == []:
                    taken.append(self.pending)
                    self.pending = None


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
