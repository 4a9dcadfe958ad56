"""The ledger: one linear chain from many threads, processes and forked children.

docs/format.md, "Writers and readers". An append writes under two locks, this process's own and
the file's; it is acknowledged once it is as durable as the setting promises.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from os import SEEK_END, lseek
from threading import get_ident
from time import time_ns
from typing import Final

from otel_audit.environment import FileSettings
from otel_audit.errors import AuditError, AuditLogPoisonedError, AuditWriteError
from otel_audit.line import MAX_SEQ, Draft, format_time, seal

from . import files
from .active import WITNESS_BYTES, ActiveFile, TailIsTornError, Witness, Written, open_active, stands
from .asynchronous import AsyncAppender
from .drops import Drops
from .group import Group
from .lifecycle import Lifecycle
from .syncer import IntervalSyncer
from .tail import Tail
from .ticket import Ticket

_LOCK: Final = LOCK_EX | LOCK_NB
_CHECK_PATH_NS: Final = 100_000_000
_SHORT_WAIT_SECONDS: Final = 0.002
"""How long an event loop may wait for another thread's write, which takes microseconds."""

Describe = Callable[[], tuple[str, Mapping[str, object], Mapping[str, object]]]
"""Returns the name of the service, the whole resource, and the part of it that each line carries."""


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
        self._mode = settings.integrity
        self._describe = describe
        self._version = version
        self._key = None if settings.hmac_key_file is None else files.read_key(settings.hmac_key_file)
        self._poisoned: AuditLogPoisonedError | None = None
        self._closed = False
        self._witness: Witness | None = None
        self._begin()
        _ledgers.add(self)

    def _begin(self) -> None:
        """Take the state of a process that has not opened the log yet."""
        self.drops = Drops()
        self._file: ActiveFile | None = None
        self._lifecycle: Lifecycle | None = None
        self._entries = 0
        self._doubtful: list[Written] = []
        self._doubt: BaseException | None = None
        self._inside: set[int] = set()
        self._write_lock = threading.Lock()
        """Guards the file's tail and everything written."""
        self._sync_lock = threading.Lock()
        """Held during each sync, and to close a descriptor: a sync never meets a closed one."""
        self._group = Group(self._commit)
        self._syncer = IntervalSyncer(self._sync_written, self.settings.sync_interval_millis)
        self._appender = AsyncAppender(self._write_now, self._write_waiting, self._sync_tickets)

    def open(self) -> None:
        """Open the log and write ``audit.log.opened``, unless it is open already.

        Raises:
            AuditConfigError: The log that exists does not fit the settings, or is none.
            AuditWriteError: It cannot be opened, locked, written or synced.
        """
        with self._once_per_thread(), self._write_lock:
            if self._file is None:
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
        self._inside.add(me)
        try:
            if self._always:
                self._group.run(ticket)
            else:
                with self._write_lock:
                    if not self._write_quickly(ticket):
                        self._write((ticket,))
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
        with self._once_per_thread(), self._write_lock:
            self._write(tickets)
        if self._always and tickets:
            self._sync_tickets(tickets)
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

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sync everything that was written. Return whether it is on the device now.

        Args:
            timeout_millis: How long to wait for a sync that is under way; the system's own call
                cannot be interrupted.
        """
        if self._file is None:
            return self._doubt is None
        if not self._sync_lock.acquire(timeout=max(0, timeout_millis) / 1000):
            return False
        self._sync_lock.release()
        try:
            self._sync_written()
        except AuditWriteError:
            return False
        return True

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
                if self._poisoned is None and self._file is None and (self._doubtful or self.drops.pending):
                    self._write((), counted=False)
                if self._file is not None and self._lifecycle is not None and self._poisoned is None:
                    closed = self._lifecycle.closed(_new_id(), time_ns(), self._entries, self.drops.total)
                    self._write((Ticket(closed),), counted=False)
                    self._sync(self._file)
            finally:
                self._syncer.stop()
                self._appender.close()
                if self._file is not None:
                    self._retire(self._file, AuditWriteError(f"{self.settings.path}: the log was closed"))
                    self._file = None

    def after_fork(self) -> None:
        """Make a forked child's ledger its own: it opens the log anew at its first append."""
        file = self._file
        if file is not None:
            file.retired = AuditWriteError(f"{self.settings.path}: the process was forked in the middle of an append")
            with contextlib.suppress(OSError):
                files.abandon(file.fd)
            # what the parent wrote stands for the child too: a log cut meanwhile is not carried on
            self._witness = file.remember(file.synced)
        self._begin()

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

    def _commit(self, tickets: Sequence[Ticket]) -> None:
        """Write and sync one group's batch, or set the error of each ticket."""
        try:
            with self._write_lock:
                if len(tickets) > 1 or not self._write_quickly(tickets[0]):
                    self._write(tickets)
        except AuditError as error:
            for ticket in tickets:
                ticket.error = error
            return
        self._sync_tickets(tickets)

    def _write_now(self, ticket: Ticket) -> bool:
        if self._file is None or not self._write_lock.acquire(timeout=_SHORT_WAIT_SECONDS):
            return False
        try:
            with self._once_per_thread():
                return self._write((ticket,), wait=False)
        finally:
            self._write_lock.release()

    def _write_waiting(self, ticket: Ticket) -> None:
        with self._once_per_thread(), self._write_lock:
            self._write((ticket,))

    def _sync_tickets(self, tickets: Sequence[Ticket]) -> None:
        """Sync the files that the tickets were written to, or set their errors."""
        for file in {ticket.file for ticket in tickets}:
            try:
                self._sync(file, max(ticket.end for ticket in tickets if ticket.file is file))
            except AuditWriteError as error:
                for ticket in tickets:
                    if ticket.file is file:
                        ticket.error = error

    def _sync_written(self) -> None:
        self._sync(self._file)

    def _sync(self, file: ActiveFile | None, end: int | None = None) -> None:
        """Return once the file's bytes up to ``end`` (None: all) are on the device.

        Raises:
            AuditWriteError: They may not be; the file is retired.
        """
        if file is None:
            return
        with self._sync_lock:
            if end is not None and file.synced[0] >= end:
                return
            if file.retired is not None:
                raise _write_error(self.settings.path, "synced", file.retired)
            mark = file.mark
            try:
                files.sync(file.fd)
            except OSError as error:
                # never just retried: the kernel reports the loss once, and then says all is well
                file.retired = error
                raise _write_error(self.settings.path, "synced", error) from error
            file.synced = mark
            unsynced = file.unsynced
            while unsynced and unsynced[0].end <= mark[0]:
                unsynced.popleft()

    def _write(self, tickets: Sequence[Ticket], *, wait: bool = True, counted: bool = True) -> bool:
        """Write all tickets in one write. Under the write lock; False if it would have to wait.

        Raises:
            AuditError: Nothing of it is acknowledged.
        """
        if self._poisoned is not None:
            raise AuditLogPoisonedError(*self._poisoned.args)
        if self._closed and counted:
            raise AuditWriteError(f"{self.settings.path}: the log is closed")
        file = self._file
        if file is not None and file.retired is not None:
            self._discard(file)
            file = None
        if file is not None:
            # a lock that another process holds too long is no failure of this file
            if files.try_lock(file.fd):
                pass
            elif wait:
                files.lock(file.fd, self.settings.path, self.settings.lock_timeout_millis)
            else:
                return False
        begun: list[Written] = []
        try:
            if file is None:
                file = self._open()
            size = files.size(file.fd)
            if size != file.tail.end:
                try:
                    file.catch_up(size, self.settings)
                except TailIsTornError:
                    file = self._open_again(file)
            now_ns = time_ns()
            if self._always or not 0 <= now_ns - file.checked_ns < _CHECK_PATH_NS:
                file.check_path()
                file.checked_ns = now_ns
            self._append_to(file, tickets, now_ns, begun)
            files.unlock(file.fd)
        except BaseException as error:
            self._fail(file, begun, error)
            if isinstance(error, OSError):
                raise _write_error(self.settings.path, "written", error) from error
            raise
        if counted:
            self._entries += len(tickets)
        if self._interval:
            self._syncer.wrote()
        return True

    def _write_quickly(self, ticket: Ticket) -> bool:
        """Write one ticket where nothing has happened since the last one, as `_write` would.

        Half of what an emit costs lies here. False: nothing was done; `_write` has to look closer.
        """
        file = self._file
        if file is None or file.retired is not None or self.drops.pending is not None:
            return False
        fd = file.fd
        try:
            flock(fd, _LOCK)
        except OSError:
            return False
        seq, prev_hash, end = file.tail
        begun = False
        try:
            now_ns = time_ns()
            if lseek(fd, 0, SEEK_END) != end or seq >= MAX_SEQ:
                flock(fd, LOCK_UN)
                return False
            if self._always or not 0 <= now_ns - file.checked_ns < _CHECK_PATH_NS:
                file.check_path()
                file.checked_ns = now_ns
            seq += 1
            line, digest = seal(ticket.draft, seq, format_time(now_ns), prev_hash, self._mode, self._key)
            begun = True
            end += len(line)
            files.write(fd, line)
            if file.retired is not None:  # the process was forked in the middle of this
                raise _write_error(file.path, "written", file.retired)
            file.tail = Tail(seq, digest, end)
            file.mark = (end, line[-WITNESS_BYTES:])
            if self._always:
                file.unsynced.append(Written(seq, *file.mark))
            flock(fd, LOCK_UN)
        except BaseException as error:
            if not begun and isinstance(error, OSError):
                return False
            self._fail(file, [Written(seq, end, line[-WITNESS_BYTES:])] if begun else [], error)
            if isinstance(error, OSError):
                raise _write_error(self.settings.path, "written", error) from error
            raise
        ticket.seq, ticket.hash, ticket.end, ticket.file = seq, digest, end, file
        ticket.stream_id, ticket.observed_ns = file.stream_id, now_ns
        if self._mode == "chain":
            ticket.prev_hash = prev_hash
        self._entries += 1
        if self._interval:
            self._syncer.wrote()
        return True

    def _append_to(self, file: ActiveFile, tickets: Sequence[Ticket], now_ns: int, begun: list[Written]) -> None:
        """Seal and write what is due and the tickets. Under both locks."""
        mode, key = self._mode, self._key
        observed = format_time(now_ns)
        seq, prev_hash, end = file.tail
        line = b""
        lines = []
        due = file.due
        drops = self.drops.pending
        if drops is not None and self._lifecycle is not None:
            due = [*due, self._lifecycle.dropped(_new_id(), now_ns, *drops)]
        if due:
            lines.append(file.prefix)
            end += len(file.prefix)
            for draft in due:
                seq += 1
                line, prev_hash = seal(draft, seq, observed, prev_hash, mode, key)
                lines.append(line)
                end += len(line)
        if seq + len(tickets) > MAX_SEQ:
            raise AuditWriteError(f"{file.path}: expected a seq of at most {MAX_SEQ}, got {seq + len(tickets)}")
        for ticket in tickets:
            seq += 1
            line, digest = seal(ticket.draft, seq, observed, prev_hash, mode, key)
            lines.append(line)
            end += len(line)
            ticket.seq, ticket.end, ticket.hash = seq, end, digest
            ticket.prev_hash = prev_hash if mode == "chain" else ""
            ticket.file, ticket.stream_id, ticket.observed_ns = file, file.stream_id, now_ns
            prev_hash = digest
            if self._always:
                begun.append(Written(seq, end, line[-WITNESS_BYTES:]))
        if not lines:
            return
        files.write(file.fd, lines[0] if len(lines) == 1 else b"".join(lines))
        if file.retired is not None:  # the process was forked, or a sync failed, in the middle of this
            raise _write_error(file.path, "written", file.retired)
        file.tail = Tail(seq, prev_hash, end)
        file.mark = (end, line[-WITNESS_BYTES:])
        if self._always:
            file.unsynced.extend(begun)
        if due:
            file.due, file.prefix = [], b""
            self._doubtful, self._doubt = [], None
            if drops is not None:
                self.drops.declared(drops)

    def _open(self) -> ActiveFile:
        """Open the log, locked; what a failure left in doubt and now stands there is due."""
        service, resource, line_resource = self._describe()
        if self._lifecycle is None:
            self._lifecycle = Lifecycle(_new_id(), service, resource, line_resource, self._version)
        file = self._file = open_active(self.settings, self._key, self._lifecycle, self._witness, time_ns, _new_id)
        standing = [entry for entry in self._doubtful if stands(file.fd, entry.end, entry.last_bytes)]
        name = type(self._doubt).__name__
        for first, last in _runs(entry.seq for entry in standing):
            file.due.append(self._lifecycle.voided(_new_id(), time_ns(), first, last, name))
        return file

    def _open_again(self, file: ActiveFile) -> ActiveFile:
        """Open a file anew that another writer left with a torn tail; nobody here loses by it."""
        self._sync(file)
        self._retire(file, AuditWriteError(f"{file.path}: opened anew"))
        self._witness = file.remember(file.synced)
        return self._open()

    def _discard(self, file: ActiveFile) -> None:
        """Close a file whose sync failed. Its unsynced entries are in doubt now."""
        error = file.retired
        self._retire(file, error)
        self._file = None
        self._witness = file.remember(file.synced)
        self._doubtful.extend(file.unsynced)
        self._doubt = error
        if not self._always and error is not None:
            # nobody was told yet: the entries that were not synced had been acknowledged as such
            raise _write_error(self.settings.path, "synced", error)

    def _fail(self, file: ActiveFile | None, begun: list[Written], error: BaseException) -> None:
        """Forget everything about the file after a failure: the next append opens it anew."""
        if isinstance(error, AuditLogPoisonedError):
            self._poisoned = error
        file, self._file = file or self._file, None
        if file is None:
            return
        sound = file.retired is None
        self._retire(file, error)
        self._witness = file.remember(file.mark if sound else file.synced)
        self._doubtful.extend(file.unsynced)
        self._doubtful.extend(begun)
        self._doubt = error

    def _retire(self, file: ActiveFile, error: BaseException | None) -> None:
        with self._sync_lock:
            if file.retired is None:
                file.retired = error
            fd, file.fd = file.fd, -1
            if fd >= 0:
                files.close(fd)


def _write_error(path: str, done: str, error: BaseException) -> AuditWriteError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return AuditWriteError(f"{path}: the entry could not be {done}: {reason}")


def _runs(numbers: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of consecutive numbers."""
    first = last = None
    for number in sorted(set(numbers)):
        if first is None or last is None:
            first = last = number
        elif number == last + 1:
            last = number
        else:
            yield first, last
            first = last = number
    if first is not None and last is not None:
        yield first, last


def _new_id() -> str:
    return str(uuid.uuid4())


_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.after_fork()


os.register_at_fork(after_in_child=_after_fork)
