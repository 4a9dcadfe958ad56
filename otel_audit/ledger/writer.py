"""The writer: seals entries and writes them to the active file, whatever happens.

docs/format.md, "Writers and readers" and "Append only, truly". After any failure it forgets the
file and opens it anew: nothing is patched by hand, nothing in the file is changed.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from os import SEEK_END, lseek
from time import time_ns
from typing import Final

from otel_audit.environment import FileSettings
from otel_audit.errors import AuditLogPoisonedError, AuditWriteError
from otel_audit.line import MAX_SEQ, SEALED_BYTES, Draft, format_time, seal

from . import files, segments
from .active import (
    WITNESS_BYTES,
    ActiveFile,
    LeftBehindError,
    OpenAnewError,
    Witness,
    Written,
)
from .drops import Drops
from .durability import Durability, sync_error, unsynced, write_error
from .lifecycle import Lifecycle
from .opening import open_active
from .shared_drops import SharedDrops, shared_drops_path
from .tail import Tail
from .ticket import Ticket
from .unsettled import Unsettled

_LOCK: Final = LOCK_EX | LOCK_NB
_LOOK_NS: Final = 100_000_000
"""How often a writer looks at the path, and at what others lost, where it need not look each time."""
_LAST_ENTRY_BYTES: Final = 4096
"""Room in each segment for `audit.log.rotated`."""

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
        entries: Written by this process.
        durability: Of what it wrote.
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
        self.drops = Drops(SharedDrops(shared_drops_path(settings.path), settings.file_mode))
        self.poisoned = poisoned
        self.witness = witness
        self._settings = settings
        self._always = settings.durability == "always"
        self._mode = settings.integrity
        self._key = key
        self._describe = describe
        self._version = version
        self._max_bytes = (settings.max_segment_bytes or sys.maxsize) - _LAST_ENTRY_BYTES
        self._max_age_ns = (settings.max_segment_age_seconds or sys.maxsize) * 1_000_000_000
        self._lifecycle: Lifecycle | None = None
        self.entries = 0
        self.durability = Durability(settings)
        self._unsettled = Unsettled(self.drops)
        self._looked_ns = 0
        self._left = False
        """This is a forked child, and the writer is its parent's."""

    def write(self, tickets: Sequence[Ticket], *, wait: bool = True, rotate: bool = False) -> bool:
        """Write all tickets in one write. Under the write lock; False if it would have to wait.

        Args:
            wait: For other processes, and for the opening of a file.
            rotate: Begin the next segment first.

        Raises:
            AuditError: Nothing of it is acknowledged.
        """
        if self.poisoned is not None:
            raise AuditLogPoisonedError(*self.poisoned.args)
        file = self.file
        if file is not None and file.retired is not None:
            self._discard(file)
            file = None
        begun: list[Written] = []
        locked = False
        try:
            if file is None:
                file = self._open()
            elif not files.try_lock(file.fd):
                if not wait:
                    return False
                files.lock(file.fd, self._settings.path, self._settings.lock_timeout_millis)
            locked = True
            size = files.size(file.fd)
            if size != file.tail.end:
                try:
                    file.catch_up(size, self._settings)
                except OpenAnewError:
                    if not wait:
                        files.unlock(file.fd)
                        return False
                    file = self._open_again(file)
            now_ns = time_ns()
            if self._always or not 0 <= now_ns - file.checked_ns < _LOOK_NS:
                file.check_path()
                file.checked_ns = now_ns
            # a segment that is just being begun, as another writer could not, is not closed without an entry
            asked = rotate and file.before is None
            while asked or self._is_full(file, tickets, now_ns):
                if not wait:
                    files.unlock(file.fd)
                    return False
                asked = False
                file = self._rotate(file, now_ns)
                now_ns = time_ns()  # others may have written to the next segment meanwhile, or filled it
            self._look(now_ns)
            if self._unsettled.claim is not None and not wait:
                self._unsettled.give_back()
                files.unlock(file.fd)
                return False
            self._append_to(file, tickets, now_ns, begun)
            file.release_before()
            self._end_claim(file)
            files.unlock(file.fd)
        except BaseException as error:
            if locked and file is not None and file.fd >= 0:
                try:  # noqa: SIM105 - from here itself: at the recursion limit nothing deeper can be called
                    flock(file.fd, LOCK_UN)
                except OSError:
                    pass
            # a lock that another process holds too long is no failure of this file
            if locked or file is None or not isinstance(error, AuditWriteError):
                self._fail(file, begun, error)
            if self._left and isinstance(error, Exception):
                raise _forked(self._settings.path) from error
            if isinstance(error, OSError):
                raise write_error(self._settings.path, error) from error
            raise
        self.entries += len(tickets)
        return True

    def write_quickly(self, ticket: Ticket) -> bool:
        """Write one ticket where nothing has happened since the last one, as `write` would.

        Half of what an emit costs lies here. False: nothing was done; `write` has to look closer.
        """
        file = self.file
        if file is None or file.retired is not None or self.drops.waiting:
            return False
        fd = file.fd
        try:
            flock(fd, _LOCK)
        except OSError:
            return False
        except BaseException as error:  # a signal handler raised: whether it is locked is unknown
            self._fail(file, [], error)
            raise
        seq, prev_hash, end, _ = file.tail
        begun = False
        try:
            now_ns = time_ns()
            if lseek(fd, 0, SEEK_END) != end or seq >= MAX_SEQ:
                flock(fd, LOCK_UN)
                return False
            if self._always or not 0 <= now_ns - file.checked_ns < _LOOK_NS:
                file.check_path()
                file.checked_ns = now_ns
            if not 0 <= now_ns - self._looked_ns < _LOOK_NS:
                flock(fd, LOCK_UN)
                return False
            seq += 1
            line, digest = seal(ticket.draft, seq, format_time(now_ns), prev_hash, self._mode, self._key)
            end += len(line)
            if end > self._max_bytes or now_ns - file.began_ns >= self._max_age_ns:
                flock(fd, LOCK_UN)
                return False
            begun = True
            files.write(fd, line)
            if file.retired is not None:  # the process was forked in the middle of this
                raise write_error(file.path, file.retired)
            file.tail = Tail(seq, digest, end)
            file.mark = (end, line[-WITNESS_BYTES:])
            if self._always:
                file.unsynced.append(Written(seq, end, file.mark[1], file.path))
            flock(fd, LOCK_UN)
        except BaseException as error:
            if not begun and isinstance(error, OSError):
                return False
            try:  # noqa: SIM105 - from here itself: at the recursion limit nothing deeper can be called
                flock(fd, LOCK_UN)
            except OSError:
                pass
            self._fail(file, [Written(seq, end, line[-WITNESS_BYTES:], file.path)] if begun else [], error)
            if self._left and isinstance(error, Exception):
                raise _forked(self._settings.path) from error
            if isinstance(error, OSError):
                raise write_error(self._settings.path, error) from error
            raise
        ticket.seq, ticket.hash, ticket.end, ticket.file = seq, digest, end, file
        ticket.stream_id, ticket.observed_ns = file.stream_id, now_ns
        if self._mode == "chain":
            ticket.prev_hash = prev_hash
        self.entries += 1
        return True

    def close(self) -> None:
        """Write ``audit.log.closed``, sync and close. Under the write lock.

        Raises:
            AuditWriteError: The last entries could not be written or synced.
        """
        try:
            if self.poisoned is None and self.file is None and self._unsettled.waits:
                self.write(())
            if self.poisoned is None and self.file is not None and self._lifecycle is not None:
                self.file.checked_ns = self._looked_ns = 0  # a log that is gone is noticed at the latest now
                closed = self._lifecycle.closed(_new_id(), time_ns(), self.entries, self.drops.total)
                self._max_age_ns = sys.maxsize  # no segment is begun for it alone, unless it makes this one too large
                if self.file.tail.end > self._max_bytes:
                    self._max_bytes = sys.maxsize
                self.write((Ticket(closed),))
                self.durability.sync(self.file)
        finally:
            if self.file is not None:
                self.durability.retire(self.file, AuditWriteError(f"{self._settings.path}: the log is closed"))
                self.file = None
            self._unsettled.close()

    def flushed(self, timeout_millis: int) -> bool:
        """Sync everything that was written; return whether it is on the device now."""
        if self.file is None:
            return self._unsettled.doubt is None
        return self.durability.synced(self.file, timeout_millis)

    def forked(self) -> Writer:
        """Return the writer of a forked child, and let go of the parent's file there.

        What the parent wrote must stand in the log for the child, too.
        """
        file, witness = self.file, self.witness
        if file is not None:
            witness = file.remember(self.durability.acknowledged(file)) or witness
        self._left = True
        self._unsettled.abandon()
        self.durability.forked()
        return Writer(self._settings, self._key, self._describe, self._version, witness, self.poisoned)

    def _append_to(
        self,
        file: ActiveFile,
        tickets: Sequence[Ticket],
        now_ns: int,
        begun: list[Written],
        last: Draft | None = None,
    ) -> None:
        """Seal and write what is due, the log's own last entry of a segment, and the tickets. Under both locks."""
        mode, key = self._mode, self._key
        observed = format_time(now_ns)
        seq, prev_hash, end, _ = file.tail
        line = b""
        lines = []
        due = file.due
        declaration = None
        drops = self._unsettled.losses()
        if drops is not None and self._lifecycle is not None:
            due = [*due, self._lifecycle.dropped(_new_id(), now_ns, *drops)]
        if last is not None:
            due = [*due, last]
        if due:
            lines.append(file.prefix)
            end += len(file.prefix)
            for draft in due:
                seq += 1
                line, prev_hash = seal(draft, seq, observed, prev_hash, mode, key)
                lines.append(line)
                end += len(line)
            declaration = self._unsettled.declare(file.path, end, line[-WITNESS_BYTES:])
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
            if self._always or self._unsettled.claim is not None:
                begun.append(Written(seq, end, line[-WITNESS_BYTES:], file.path))
        if not lines:
            return
        files.write(file.fd, lines[0] if len(lines) == 1 else b"".join(lines))
        if file.retired is not None:  # the process was forked, or a sync failed, in the middle of this
            raise write_error(file.path, file.retired)
        file.tail = Tail(seq, prev_hash, end)
        file.mark = (end, line[-WITNESS_BYTES:])
        if self._always:
            file.unsynced.extend(begun)
        if due:
            file.due, file.prefix = [], b""
            self._unsettled.doubt = None
            if declaration is not None:
                self._unsettled.take(declaration)
            self._unsettled.forget(file.synced[0] if self._always else end)

    def _open(self) -> ActiveFile:
        """Open the log, locked; what a failure left in doubt and now stands there is due."""
        service, resource, line_resource = self._describe()
        if self._lifecycle is None:
            self._lifecycle = Lifecycle(_new_id(), service, resource, line_resource, self._version)
        file = self.file = open_active(self._settings, self._key, self._lifecycle, self.witness, time_ns, _new_id)
        self._looked_ns = 0
        standing = self._unsettled.standing(file)
        name = type(self._unsettled.doubt).__name__
        for first, last in standing:
            file.due.append(self._lifecycle.voided(_new_id(), time_ns(), first, last, name))
        return file

    def _is_full(self, file: ActiveFile, tickets: Sequence[Ticket], now_ns: int) -> bool:
        """Whether the next segment must be begun before these tickets are written."""
        if file.tail.seq <= file.first_seq or not tickets:
            return False  # nothing but its first entry stands there
        drafts = (*file.due, *(ticket.draft for ticket in tickets))
        size = sum(len(draft.before) + len(draft.after) + SEALED_BYTES for draft in drafts)
        return file.tail.end + size > self._max_bytes or now_ns - file.began_ns >= self._max_age_ns

    def _rotate(self, file: ActiveFile, now_ns: int) -> ActiveFile:
        """Close a segment and open the next, as a process would that found it closed. Under both locks."""
        assert self._lifecycle is not None
        name = segments.create(self._settings.path, file.number + 1, self._settings.file_mode)
        self._look(now_ns)
        self._append_to(file, (), now_ns, [], self._lifecycle.rotated(_new_id(), now_ns, name))
        self._end_claim(file)
        return self._open_again(file)

    def _look(self, now_ns: int) -> None:
        """Take over what the next write declares; what others lost is looked for now and then. Under both locks."""
        if self.drops.waiting or not 0 <= now_ns - self._looked_ns < _LOOK_NS:
            self._looked_ns = now_ns
            self._unsettled.look()

    def _end_claim(self, file: ActiveFile) -> None:
        """Take the losses off that were just declared. Under both locks."""
        claim = self._unsettled.claim
        if claim is not None:
            self.durability.sync(file)  # a declaration that is not on the device can be lost
            self._unsettled.claim = None
            claim.done()

    def _open_again(self, file: ActiveFile) -> ActiveFile:
        """Open a file anew that another writer left torn or rotated; nobody here loses by it."""
        self.durability.sync(file)
        self.durability.retire(file, LeftBehindError(f"{file.path}: opened anew"))
        self.witness = file.remember(file.synced) or self.witness
        return self._open()

    def _discard(self, file: ActiveFile) -> None:
        """Close a file whose sync failed. Its unsynced entries are in doubt now."""
        error = file.retired
        self.durability.retire(file, error)
        self.file = None
        self.witness = file.remember(file.synced) or self.witness
        self._unsettled.doubtful.extend(unsynced(file))
        self._unsettled.doubt = error
        if not self._always and error is not None:
            # nobody was told yet: the entries that were not synced had been acknowledged as such
            raise sync_error(self._settings.path, error)

    def _fail(self, file: ActiveFile | None, begun: list[Written], error: BaseException) -> None:
        """Forget everything about the file after a failure: the next append opens it anew."""
        self._unsettled.give_back()
        if isinstance(error, AuditLogPoisonedError):
            self.poisoned = error
        current, self.file = self.file, None
        for broken in dict.fromkeys((file, current)):
            if broken is not None:
                acknowledged = self.durability.acknowledged(broken)
                self.durability.retire(broken, error)
                self.witness = broken.remember(acknowledged) or self.witness
                self._unsettled.doubtful.extend(unsynced(broken))
                self._unsettled.doubt = error
        self._unsettled.doubtful.extend(begun)


def _forked(path: str) -> AuditWriteError:
    return AuditWriteError(f"{path}: the process was forked in the middle of an append, which is the parent's")


def _new_id() -> str:
    return str(uuid.uuid4())
