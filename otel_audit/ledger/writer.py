"""The writer: seals entries and writes them to the active file, whatever happens.

docs/format.md, "Writers and readers" and "Append only, truly". After any failure it forgets the
file and opens it anew: nothing is patched by hand, nothing in the file is changed.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from os import SEEK_END, lseek
from time import time_ns
from typing import Final

from otel_audit.environment import FileSettings
from otel_audit.errors import AuditLogPoisonedError, AuditWriteError
from otel_audit.line import MAX_SEQ, format_time, seal

from . import files
from .active import WITNESS_BYTES, ActiveFile, TailIsTornError, Witness, Written, open_active, stands
from .drops import Drops
from .lifecycle import Lifecycle
from .tail import Tail
from .ticket import Ticket

_LOCK: Final = LOCK_EX | LOCK_NB
_CHECK_PATH_NS: Final = 100_000_000

Describe = Callable[[], tuple[str, Mapping[str, object], Mapping[str, object]]]
"""Returns the name of the service, the whole resource, and the part of it that each line carries."""


class Writer:
    """Writes to one log. `write` and `write_quickly` are called under the ledger's write lock.

    Args:
        key: The HMAC key.
        describe: Asked at each opening: a forked child has another pid.
        version: Of this package, for ``audit.log.opened``.
        witness: What must stand in the log when it is opened; None where nothing is known.

    Attributes:
        file: The active file; None until the first write, and after a failure.
        poisoned: Why nothing will ever be written again.
        drops: Records that were lost, to be declared with the next write.
    """

    def __init__(
        self,
        settings: FileSettings,
        key: bytes | None,
        describe: Describe,
        version: str,
        witness: Witness | None = None,
        poisoned: AuditLogPoisonedError | None = None,
    ) -> None:
        self.file: ActiveFile | None = None
        self.drops = Drops()
        self.poisoned = poisoned
        self.witness = witness
        self._settings = settings
        self._always = settings.durability == "always"
        self._mode = settings.integrity
        self._key = key
        self._describe = describe
        self._version = version
        self._lifecycle: Lifecycle | None = None
        self._entries = 0
        self._doubtful: list[Written] = []
        """Entries whose callers were told of a failure, and which may stand in the log."""
        self._doubt: BaseException | None = None
        self._sync_lock = threading.Lock()
        """Held during each sync, and to close a descriptor: a sync never meets a closed one."""

    def write(self, tickets: Sequence[Ticket], *, wait: bool = True) -> bool:
        """Write all tickets in one write. Under the write lock; False if it would have to wait.

        Raises:
            AuditError: Nothing of it is acknowledged.
        """
        if self.poisoned is not None:
            raise AuditLogPoisonedError(*self.poisoned.args)
        file = self.file
        if file is not None and file.retired is not None:
            self._discard(file)
            file = None
        if file is not None:
            # a lock that another process holds too long is no failure of this file
            if files.try_lock(file.fd):
                pass
            elif wait:
                files.lock(file.fd, self._settings.path, self._settings.lock_timeout_millis)
            else:
                return False
        begun: list[Written] = []
        try:
            if file is None:
                file = self._open()
            size = files.size(file.fd)
            if size != file.tail.end:
                try:
                    file.catch_up(size, self._settings)
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
                raise _write_error(self._settings.path, "written", error) from error
            raise
        self._entries += len(tickets)
        return True

    def write_quickly(self, ticket: Ticket) -> bool:
        """Write one ticket where nothing has happened since the last one, as `write` would.

        Half of what an emit costs lies here. False: nothing was done; `write` has to look closer.
        """
        file = self.file
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
                raise _write_error(self._settings.path, "written", error) from error
            raise
        ticket.seq, ticket.hash, ticket.end, ticket.file = seq, digest, end, file
        ticket.stream_id, ticket.observed_ns = file.stream_id, now_ns
        if self._mode == "chain":
            ticket.prev_hash = prev_hash
        self._entries += 1
        return True

    def sync(self, file: ActiveFile | None, end: int | None = None) -> None:
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
                raise _write_error(self._settings.path, "synced", file.retired)
            mark = file.mark
            try:
                files.sync(file.fd)
            except OSError as error:
                # never just retried: the kernel reports the loss once, and then says all is well
                file.retired = error
                raise _write_error(self._settings.path, "synced", error) from error
            file.synced = mark
            unsynced = file.unsynced
            while unsynced and unsynced[0].end <= mark[0]:
                unsynced.popleft()

    def close(self) -> None:
        """Write ``audit.log.closed``, sync and close. Under the write lock.

        Raises:
            AuditWriteError: The last entries could not be written or synced.
        """
        try:
            if self.poisoned is None and self.file is None and (self._doubtful or self.drops.pending):
                self.write(())
            if self.poisoned is None and self.file is not None and self._lifecycle is not None:
                closed = self._lifecycle.closed(_new_id(), time_ns(), self._entries, self.drops.total)
                self.write((Ticket(closed),))
                self.sync(self.file)
        finally:
            if self.file is not None:
                self._retire(self.file, AuditWriteError(f"{self._settings.path}: the log is closed"))
                self.file = None

    def flushed(self, timeout_millis: int) -> bool:
        """Sync everything that was written; return whether it is on the device now."""
        if self.file is None:
            return self._doubt is None
        if not self._sync_lock.acquire(timeout=max(0, timeout_millis) / 1000):
            return False
        self._sync_lock.release()
        try:
            self.sync(self.file)
        except AuditWriteError:
            return False
        return True

    def forked(self) -> Writer:
        """Return the writer of a forked child, and let go of the parent's file there.

        A frame of the parent that the fork copied finds the file retired, and its descriptor
        pointing at nothing. What the parent wrote must stand in the log for the child, too.
        """
        file, witness = self.file, self.witness
        if file is not None:
            file.retired = AuditWriteError(f"{file.path}: the process was forked in the middle of an append")
            with contextlib.suppress(OSError):
                files.abandon(file.fd)
            witness = file.remember(file.synced)
        return Writer(self._settings, self._key, self._describe, self._version, witness, self.poisoned)

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
        file = self.file = open_active(self._settings, self._key, self._lifecycle, self.witness, time_ns, _new_id)
        standing = [entry for entry in self._doubtful if stands(file.fd, entry.end, entry.last_bytes)]
        name = type(self._doubt).__name__
        for first, last in _runs(entry.seq for entry in standing):
            file.due.append(self._lifecycle.voided(_new_id(), time_ns(), first, last, name))
        return file

    def _open_again(self, file: ActiveFile) -> ActiveFile:
        """Open a file anew that another writer left with a torn tail; nobody here loses by it."""
        self.sync(file)
        self._retire(file, AuditWriteError(f"{file.path}: opened anew"))
        self.witness = file.remember(file.synced)
        return self._open()

    def _discard(self, file: ActiveFile) -> None:
        """Close a file whose sync failed. Its unsynced entries are in doubt now."""
        error = file.retired
        self._retire(file, error)
        self.file = None
        self.witness = file.remember(file.synced)
        self._doubtful.extend(file.unsynced)
        self._doubt = error
        if not self._always and error is not None:
            # nobody was told yet: the entries that were not synced had been acknowledged as such
            raise _write_error(self._settings.path, "synced", error)

    def _fail(self, file: ActiveFile | None, begun: list[Written], error: BaseException) -> None:
        """Forget everything about the file after a failure: the next append opens it anew."""
        if isinstance(error, AuditLogPoisonedError):
            self.poisoned = error
        file, self.file = file or self.file, None
        if file is None:
            return
        sound = file.retired is None
        self._retire(file, error)
        # beyond the last sync nothing was acknowledged with durability always
        self.witness = file.remember(file.mark if sound and not self._always else file.synced)
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
