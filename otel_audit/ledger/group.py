"""Group commit: all who wait share one write and one sync.

The first caller leads: it takes the whole queue as its batch, commits it, hands the lead to the
first who came meanwhile, and wakes its followers in a chain, each the next (all at once they
would fight for the interpreter's lock). A single caller leads itself: no hand-over, no thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from otel_audit.errors import AuditWriteError

from .ticket import Ticket

_thread = threading.local()


class Group:
    """The queue of one ledger.

    Args:
        commit: Makes a batch durable, or sets each ticket's ``error``; raises only what
            interrupts the thread itself.
    """

    def __init__(self, commit: Callable[[Sequence[Ticket]], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        """Guards the queue, the leader, and each ticket's ``gone`` and ``woken``."""
        self._queue: list[Ticket] = []
        self._leader: Ticket | None = None

    def run(self, ticket: Ticket) -> None:
        """Return once the ticket is durable, or has an error."""
        try:
            with self._lock:
                self._queue.append(ticket)
                if self._leader is None:
                    self._leader = ticket
                else:
                    ticket.wake = _own_lock()
            if ticket.wake is not None:
                ticket.wake.acquire()
            if self._leader is ticket:
                self._lead(ticket)
            else:
                self._pass_on(ticket)
        except BaseException:  # interrupted (a signal handler raised): nobody may wait for this thread
            self._leave(ticket)
            raise

    def _lead(self, leader: Ticket) -> None:
        with self._lock:
            batch, self._queue = self._queue, []
        try:
            self._commit(batch)
        except BaseException:
            for ticket in batch:
                if ticket.error is None:
                    ticket.error = AuditWriteError("the append was interrupted; whether it was written is unknown")
            raise
        finally:
            self._hand_over(leader, batch)

    def _hand_over(self, leader: Ticket, batch: list[Ticket]) -> None:
        """Give the lead to the first who waits now, and wake the batch's first follower."""
        first: Ticket | None = None
        for ticket in reversed(batch):
            if ticket.wake is not None and ticket is not leader:
                ticket.next, first = first, ticket
        with self._lock:
            if self._leader is leader:
                self._leader = next((ticket for ticket in self._queue if not ticket.gone), None)
                successor = self._leader
            else:
                successor = None
        if successor is not None:
            self._wake(successor)
        if first is not None:
            self._wake(first)

    def _wake(self, ticket: Ticket | None) -> None:
        """Wake a waiting thread; where it is gone, the one that it would have woken."""
        while ticket is not None:
            with self._lock:
                ticket.woken = True
                gone = ticket.gone
            if not gone:
                if ticket.wake is not None:
                    ticket.wake.release()
                return
            if self._leader is ticket:
                self._hand_over(ticket, [])
            following, ticket.next = ticket.next, None
            ticket = following

    def _pass_on(self, ticket: Ticket) -> None:
        following, ticket.next = ticket.next, None
        self._wake(following)

    def _leave(self, ticket: Ticket) -> None:
        """Clean up behind a thread that was interrupted while it waited or led."""
        with self._lock:
            ticket.gone = True
            woken = ticket.woken
        if ticket.wake is not None:
            _thread.lock = None  # whether it is held is unknown now
        if self._leader is ticket:
            self._hand_over(ticket, [])
        elif woken:
            self._pass_on(ticket)


def _own_lock() -> threading.Lock:
    """Return this thread's own lock, held: a waiter that costs less than a `Condition`."""
    lock: threading.Lock | None = getattr(_thread, "lock", None)
    if lock is None:
        lock = _thread.lock = threading.Lock()
        lock.acquire()
    return lock
