"""The ledger: one linear chain from many threads, tasks, processes and forked children.

docs/format.md, "Writers and readers". An append is acknowledged once it is as durable as the
setting promises.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from threading import get_ident
from time import perf_counter
from typing import Final

from otel_audit.environment import FileSettings
from otel_audit.errors import AuditConfigError, AuditError, AuditWriteError
from otel_audit.key_file import read_key
from otel_audit.line import Draft

from .active import abandon_inherited
from .asynchronous import AsyncAppender
from .drops import Drops
from .group import Group
from .syncer import IntervalSyncer
from .ticket import Ticket
from .timing import LedgerStats, Stopwatch
from .writer import Describe, Writer

_UNTIMED: Final = 63
"""Without a sync, a look at the clock would be felt: one append of 64 is timed."""
_SHORT_WAIT_SECONDS: Final = 0.002
"""How long an event loop may wait for another thread's write, which takes microseconds."""


class Ledger:
    """Appends to one log. Safe to use from any thread, and after a fork.

    Args:
        settings: Path and promises.
        describe: Asked at each opening: a forked child has another pid.
        version: Of this package, for ``audit.log.opened``.
    """

    def __init__(self, settings: FileSettings, describe: Describe, version: str) -> None:
        self.settings = settings
        self._always = settings.durability == "always"
        self._interval = settings.durability == "interval"
        self._closed = False
        key = None if settings.hmac_key_file is None else read_key(settings.hmac_key_file, AuditConfigError)
        self._begin(Writer(settings, key, describe, version))
        _ledgers.add(self)

    def _begin(self, writer: Writer) -> None:
        """Take the state of a process that has not opened the log yet."""
        self._writer = writer
        self._write_lock = threading.Lock()
        """Guards the writer, but for its syncs."""
        self._appends = Stopwatch()
        self._inside: set[int] = set()
        self._group = Group(self._commit)
        self._syncer = IntervalSyncer(self._sync_written, self.settings.sync_interval_millis)
        self._appender = AsyncAppender(self._write_now, self._write_waiting, self._sync_waiting)

    def stats(self) -> LedgerStats:
        """Return what this process wrote, and how long that took."""
        writer = self._writer
        size_bytes = 0 if writer.file is None else writer.file.tail.end
        appends, syncs = self._appends, writer.durability.syncs
        return LedgerStats(
            writer.entries, writer.drops.total, appends.count, appends.seconds, syncs.count, syncs.seconds, size_bytes
        )

    @property
    def drops(self) -> Drops:
        """Records that were lost while failures were open; the next append declares them."""
        return self._writer.drops

    def open(self) -> None:
        """Open the log and write ``audit.log.opened``, unless it is open already.

        Raises:
            AuditConfigError: The log that exists does not fit the settings, or is none.
            AuditWriteError: It cannot be opened, locked, written or synced.
        """
        with self._once_per_thread(), self._write_lock:
            if self._writer.file is None:
                self._write(())
        if self._always:
            self._sync_written()

    def append(self, draft: Draft) -> Ticket:
        """Append one entry; return once it is as durable as the setting promises.

        Raises:
            AuditWriteError: It is not. An entry that a failed sync may have left in the log is
                declared there (``audit.log.voided``) by the next append.
            AuditConfigError: The log does not fit the settings; nothing was written.
        """
        ticket = Ticket(draft)
        me = get_ident()
        if me in self._inside:
            raise self._reentered()
        try:
            self._inside.add(me)
            if self._always:
                began = perf_counter()
                self._group.run(ticket)
                self._appends.add(perf_counter() - began)
            elif self._writer.entries & _UNTIMED:
                with self._write_lock:
                    self._write_one(ticket)
            else:
                began = perf_counter()
                with self._write_lock:
                    self._write_one(ticket)
                self._appends.add(perf_counter() - began)
        finally:
            self._inside.discard(me)
        if ticket.error is not None:
            ticket.raise_error()
        return ticket

    def append_all(self, drafts: Sequence[Draft]) -> list[Ticket]:
        """Append entries in their order, with one write and one sync.

        Raises:
            AuditWriteError, AuditConfigError: As `append`; none of them is acknowledged.
        """
        tickets = [Ticket(draft) for draft in drafts]
        with self._once_per_thread():
            try:
                with self._write_lock:
                    self._write(tickets)
                if self._always and tickets:
                    self._sync_tickets(tickets)
            except Exception:
                raise
            except BaseException as error:
                self._writer.durability.settle(tickets, error)
                raise
        if tickets:
            tickets[-1].raise_error()
        return tickets

    async def aappend(self, draft: Draft) -> Ticket:
        """Append one entry without blocking the event loop on the disk or on another process.

        The entry is written in the calling task, so ``seq`` follows the order of the calls;
        one sync is shared by all who wait.

        Raises:
            AuditWriteError, AuditConfigError: As `append`.
        """
        ticket = Ticket(draft)
        await self._appender.append(ticket, durable=self._always)
        return ticket

    def rotate(self) -> None:
        """Begin the next segment.

        Raises:
            AuditWriteError, AuditConfigError: As `append`.
        """
        with self._once_per_thread(), self._write_lock:
            if self._closed:
                raise AuditWriteError(f"{self.settings.path}: the log is closed")
            self._writer.write((), rotate=True)
            self._writer.durability.sync(self._writer.file)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sync everything that was written. Return whether it is on the device now.

        Args:
            timeout_millis: How long to wait for a sync that is under way; the system's own call
                cannot be interrupted.
        """
        try:
            with self._once_per_thread():
                return self._writer.flushed(timeout_millis)
        except AuditWriteError:
            return False

    def close(self) -> None:
        """Write ``audit.log.closed``, sync, and close. Nothing is appended afterwards.

        Raises:
            AuditWriteError: The last entries could not be written or synced.
        """
        with self._once_per_thread(), self._write_lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._writer.close()
            finally:
                self._syncer.stop()
                self._appender.close()

    def after_fork(self) -> None:
        """Make a forked child's ledger its own: it opens the log anew at its first append."""
        self._group.after_fork()
        self._begin(self._writer.forked())

    @contextlib.contextmanager
    def _once_per_thread(self) -> Iterator[None]:
        """Refuse an append from inside an append: from a signal handler, a finalizer, a payload."""
        me = get_ident()
        if me in self._inside:
            raise self._reentered()
        self._inside.add(me)
        try:
            yield
        finally:
            self._inside.discard(me)

    def _reentered(self) -> AuditWriteError:
        return AuditWriteError(f"{self.settings.path}: an append was begun in the middle of another by the same thread")

    def _write(self, tickets: Sequence[Ticket], *, wait: bool = True) -> bool:
        if self._closed:
            raise AuditWriteError(f"{self.settings.path}: the log is closed")
        written = self._writer.write(tickets, wait=wait)
        if self._interval:
            self._syncer.wrote()
        return written

    def _write_one(self, ticket: Ticket) -> None:
        if not self._writer.write_quickly(ticket):
            self._write((ticket,))
        elif self._interval:
            self._syncer.wrote()

    def _commit(self, tickets: Sequence[Ticket]) -> None:
        """Write and sync one group's batch, or set the error of each ticket."""
        try:
            with self._write_lock:
                if len(tickets) == 1:
                    self._write_one(tickets[0])
                else:
                    self._write(tickets)
            last = tickets[-1]
            self._writer.durability.sync(last.file, last.end)  # one write, one file: what covers the last covers all
            for ticket in tickets:
                ticket.durable = True
        except AuditError as error:
            for ticket in tickets:
                ticket.error = error
        except BaseException as error:
            self._writer.durability.settle(tickets, error)
            raise

    def _write_now(self, ticket: Ticket) -> bool:
        file = self._writer.file
        if file is None or file.retired is not None:  # to open it takes long
            return False
        taken: list[bool] = []
        with self._once_per_thread():
            try:
                # in one step: an interrupt cannot come between the lock and the note that it is held
                taken.extend(map(self._write_lock.acquire, (True,), (_SHORT_WAIT_SECONDS,)))
                return taken[0] and self._write((ticket,), wait=False)
            finally:
                if taken and taken[0]:
                    self._write_lock.release()

    def _write_waiting(self, ticket: Ticket) -> None:
        with self._once_per_thread(), self._write_lock:
            self._write((ticket,))

    def _sync_tickets(self, tickets: Sequence[Ticket]) -> None:
        """Sync the files that the tickets were written to, or set their errors."""
        for file in {ticket.file for ticket in tickets}:
            mine = [ticket for ticket in tickets if ticket.file is file]
            try:
                self._writer.durability.sync(file, max(ticket.end for ticket in mine))
            except AuditWriteError as error:
                for ticket in mine:
                    # another sync may have covered the first of them before this one failed
                    if file is None or ticket.end > file.synced[0]:
                        ticket.error = error
            for ticket in mine:
                ticket.durable = ticket.error is None

    def _sync_waiting(self, tickets: Sequence[Ticket]) -> None:
        with self._once_per_thread():
            self._sync_tickets(tickets)

    def _sync_written(self) -> None:
        with self._once_per_thread():
            self._writer.durability.sync(self._writer.file)


_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.after_fork()
    abandon_inherited()


os.register_at_fork(after_in_child=_after_fork)
