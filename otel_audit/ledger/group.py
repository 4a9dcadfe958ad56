"""Group commit: all who wait share one write and one sync.

The first caller leads: it takes the whole queue as its batch, commits it, hands the lead to the
first who came meanwhile, and wakes its followers in a chain, each the next (all at once they
would fight for the interpreter's lock). A single caller leads itself: no hand-over, no thread.

A signal handler may raise at any point of this, in the leader and in followers, and again while
they clean up. So each step can be done twice, and nobody relies on being woken for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from otel_audit.errors import AuditWriteError

from .ticket import Ticket

_PATIENCE_SECONDS: Final = 0.2
"""How long a follower waits before it looks whether its wake-up was lost."""


class Group:
    """The queue of one ledger.

    Args:
        commit: Makes a batch durable and says so in each ticket (``durable``), or sets its
            ``error``; raises only what interrupts the thread itself.
    """

    def __init__(self, commit: Callable[[Sequence[Ticket]], None]) -> None:
        self._commit = commit
        self._lock = threading.Lock()
        """Guards the queue and the leader."""
        self._queue: list[Ticket] = []
        self._leader: Ticket | None = None

    def run(self, ticket: Ticket) -> None:
        """Return once the ticket is durable, or has an error."""
        wake = None
        try:
            with self._lock:
                self._queue.append(ticket)
                if self._leader is None:
                    self._leader = ticket
                else:
                    ticket.wake = wake = threading.Lock()
                    wake.acquire()
            if wake is not None:
                while not wake.acquire(timeout=_PATIENCE_SECONDS):
                    if self._goes_on(ticket):
                        break
            if self._leader is ticket:
                self._lead(ticket)
            else:
                self._wake(ticket.next)
        except BaseException:  # a signal handler raised: nobody may wait for this thread
            ticket.gone = True  # others see this, whatever becomes of the rest
            try:
                self._leave(ticket)
            except BaseException:
                self._leave(ticket)
                raise
            raise
        if not ticket.durable and ticket.error is None:
            ticket.error = _interrupted()

    def after_fork(self) -> None:
        """In a forked child: release what the parent's frames there wait for. They all fail."""
        self._lock = threading.Lock()
        leader, queue = self._leader, self._queue
        self._leader, self._queue = None, []
        for ticket in (*queue, *(() if leader is None else leader.batch)):
            ticket.error = _interrupted()

    def _lead(self, leader: Ticket) -> None:
        try:
            with self._lock:
                leader.batch, self._queue = self._queue, []
            if leader.batch:
                self._commit(leader.batch)
        finally:
            self._hand_over(leader)
        leader.batch = ()

    def _hand_over(self, leader: Ticket) -> None:
        """Finish the batch, give the lead to the first who waits now, wake the first follower."""
        first: Ticket | None = None
        _settle(leader.batch)
        for ticket in reversed(leader.batch):
            if ticket.wake is not None and ticket is not leader:
                ticket.next, first = first, ticket
        successor: Ticket | None = None
        with self._lock:
            if self._leader is leader:
                self._leader = successor = next((ticket for ticket in self._queue if not ticket.gone), None)
        self._wake(successor)
        self._wake(first)

    def _wake(self, ticket: Ticket | None) -> None:
        """Wake a waiting thread; where it is gone, the one that it would have woken. Can be repeated.

        Needs no lock: who leaves says so first, and wakes its next then.
        """
        while ticket is not None:
            if ticket.wake is not None:
                try:  # noqa: SIM105 - a context manager would cost more than the release
                    ticket.wake.release()
                except RuntimeError:  # it was woken before
                    pass
            if not ticket.gone:
                return
            if self._leader is ticket:
                self._hand_over(ticket)
            ticket = ticket.next

    def _goes_on(self, ticket: Ticket) -> bool:
        """Whether a waiting thread need not be woken: its batch is done, or nobody leads."""
        with self._lock:
            leader = self._leader
            if leader is None or leader.gone:
                _settle(() if leader is None else leader.batch)
                if ticket in self._queue:
                    self._leader = ticket
                else:
                    _settle((ticket,))
            return ticket.durable or ticket.error is not None or self._leader is ticket

    def _leave(self, ticket: Ticket) -> None:
        """Clean up behind a thread that was interrupted while it waited or led. Can be repeated."""
        if ticket.batch or self._leader is ticket:
            self._hand_over(ticket)
        self._wake(ticket.next)
        ticket.batch = ()


def _settle(batch: Sequence[Ticket]) -> None:
    """Finish tickets whose commit has ended: who is not durable has failed. Can be repeated."""
    for ticket in batch:
        if not ticket.durable and ticket.error is None:
            ticket.error = _interrupted()


def _interrupted() -> AuditWriteError:
    return AuditWriteError("the append was interrupted; whether the entry was written is unknown")
