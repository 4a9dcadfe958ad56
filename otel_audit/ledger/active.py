"""The active file of a log, open for appending: who may write to it, and from where.

docs/format.md, "Append only, truly" and "Writers and readers". Every method is called under
the ledger's thread lock; those that say so, under the lock of the file too.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from otel_audit.chain import GENESIS, key_id
from otel_audit.environment import FileSettings
from otel_audit.errors import AuditConfigError, AuditLogPoisonedError, AuditWriteError
from otel_audit.line import MAX_LINE_BYTES, Draft, parse_time

from . import files, segments
from .lifecycle import Closed, Lifecycle
from .tail import (
    Fragment,
    Identity,
    Tail,
    check_version,
    follow,
    follow_linked,
    identity_of,
    last_line_start,
    measure_fragment,
    next_entry,
    read_identity,
    read_tail,
)

_FOLLOW_BYTES: Final = 8 * 1024 * 1024
_OPEN_ATTEMPTS: Final = 100
WITNESS_BYTES: Final = 160


class Witness(NamedTuple):
    """What a writer remembers of the log it wrote: bytes that must still stand there."""

    path: str
    identity: tuple[int, int]
    stream_id: str
    end: int
    last_bytes: bytes


class Written(NamedTuple):
    """An entry of this process that no sync has covered yet."""

    seq: int
    end: int
    last_bytes: bytes
    path: str = ""


class ActiveFile:
    """One open file: descriptor, identity, and the end and head that this writer last saw.

    Attributes:
        due: Drafts to be written before the next entry, in the same write.
        prefix: The LF that the file's last bytes lack; comes before all else.
        mark: The end and the last bytes before it, in one tuple: read without the write lock.
        synced: The mark that is known to be on the device.
        unsynced: What was written since: per entry ``(seq, end, last bytes)``.
        retired: Why this file must be closed and opened anew before the next write.
        number: Of the segment. ``first_seq`` and ``began_ns`` are of its first entry.
        before: The segment before, whose lock is held until the first entry of this one stands.
    """

    __slots__ = (
        "before",
        "began_ns",
        "checked_ns",
        "due",
        "fd",
        "first_seq",
        "identity",
        "mark",
        "number",
        "path",
        "prefix",
        "retired",
        "stream_id",
        "synced",
        "tail",
        "unsynced",
    )

    def __init__(self, fd: int, path: str, number: int = 1) -> None:
        self.fd = fd
        self.path = path
        self.number = number
        self.first_seq = 0
        self.began_ns = 0
        self.before: ActiveFile | None = None
        self.identity = files.identity(fd)
        self.stream_id = ""
        self.tail = Tail(0, GENESIS, 0)
        self.due: list[Draft] = []
        self.prefix = b""
        self.mark = self.synced = (0, b"")
        self.unsynced: deque[Written] = deque()
        self.checked_ns = 0
        self.retired: BaseException | None = None
        _open_files.add(self)

    def check_path(self) -> None:
        """Check that the path still names this file.

        Raises:
            AuditLogPoisonedError: It names nothing, or another file.
        """
        identity = files.path_identity(self.path)
        if identity != self.identity:
            became = "is gone" if identity is None else "was replaced"
            raise AuditLogPoisonedError(
                f"{self.path}: the log {became} while this process had it open; nothing was written. "
                "find out who did it; a new process begins a new log"
            )

    def catch_up(self, size: int, settings: FileSettings) -> None:
        """Follow what others appended since this writer's last entry. Under the file's lock.

        Raises:
            AuditLogPoisonedError: The file is shorter, or what it holds does not follow on.
            OpenAnewError: Bytes that are no entry stand at the end, or the log was rotated.
        """
        if size < self.tail.end:
            raise AuditLogPoisonedError(
                f"{self.path}: expected at least {self.tail.end} bytes, got {size}: the log was cut while this process "
                "had it open; nothing was written. keep the file as evidence; a new process goes on after verification"
            )
        end, last_bytes = self.mark
        if files.read(self.fd, end - len(last_bytes), end) != last_bytes:
            raise AuditLogPoisonedError(
                f"{self.path}: the bytes before byte {end} are not those that this process saw there; "
                "nothing was written. keep the file as evidence"
            )
        if settings.integrity == "chain" and size - self.tail.end <= _FOLLOW_BYTES:
            data = files.read(self.fd, self.tail.end, size)
            linked = follow_linked(data, self.tail, keyed=settings.hmac_key_file is not None)
            if linked is not None:
                self.tail = linked
                self.mark = (size, data[-WITNESS_BYTES:])
                if linked.rotated:
                    raise OpenAnewError
                return
        self.tail = follow(self.fd, self.path, self.tail, size, settings.integrity)
        if self.tail.end != size:
            raise OpenAnewError
        self.mark = (size, files.read(self.fd, max(0, size - WITNESS_BYTES), size))
        if self.tail.rotated:
            raise OpenAnewError

    def remember(self, mark: tuple[int, bytes]) -> Witness | None:
        """Return what must still stand in the file when it is opened again; None: nothing yet."""
        # no entry stands yet: the stream id is one that this writer would have given
        stream_id = self.stream_id if self.tail.seq else ""
        return Witness(self.path, self.identity, stream_id, *mark) if mark[0] else None

    def close(self) -> None:
        """Release the lock and close the descriptor, once."""
        fd, self.fd = self.fd, -1
        _open_files.discard(self)
        if fd >= 0:
            files.close(fd)
        self.release_before()

    def release_before(self) -> None:
        """Let the segment before go: the first entry of this one stands."""
        before, self.before = self.before, None
        if before is not None:
            before.close()

    def abandon(self) -> None:
        """Let go of the parent's file, in a forked child."""
        self.retired = AuditWriteError(f"{self.path}: the process was forked in the middle of an append")
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                files.abandon(self.fd)


_open_files: set[ActiveFile] = set()


def abandon_inherited() -> None:
    """In a forked child, let go of every file that the parent had open, or was about to open.

    What is left there of the parent's frames finds its file retired, and its descriptor pointing
    at nothing.
    """
    for file in list(_open_files):
        file.abandon()


class OpenAnewError(Exception):
    """Another writer left a fragment, or rotated the log: opening anew finishes what it began."""


def open_active(
    settings: FileSettings,
    key: bytes | None,
    lifecycle: Lifecycle,
    witness: Witness | None,
    now_ns: Callable[[], int],
    new_id: Callable[[], str],
) -> ActiveFile:
    """Open the log and return it locked, with what is due before the next entry.

    Raises:
        AuditConfigError: The log that exists does not fit the settings, or is none.
        AuditLogPoisonedError: It does not hold what this writer wrote before (``witness``).
        AuditWriteError: Another process holds the lock.
        OSError: The system refuses.
    """
    for _ in range(_OPEN_ATTEMPTS):
        _check_witness(witness)
        number = segments.last_number(settings.path)
        file = _open_locked(settings, number)
        if file is None:
            continue
        try:
            if number > 1 and read_tail(file.fd, 0, files.size(file.fd)) is None:
                file.close()  # locks are taken in ascending order
                file = _open_begun(settings, number)
                if file is None:
                    continue
            _examine(file, settings, key, lifecycle, witness, now_ns, new_id)
            if not file.tail.rotated:
                return file
            if segments.last_number(settings.path) == file.number:
                raise AuditConfigError(
                    f"{file.path}: its last entry says that the log was rotated, but the next segment is gone; "
                    "nothing was written. run `otel-audit verify`"
                )
        except BaseException:
            if file is not None:
                file.close()
            raise
        file.close()
    raise AuditWriteError(f"{settings.path}: replaced or rotated again and again while it was opened")


def _open_locked(settings: FileSettings, number: int) -> ActiveFile | None:
    """Open one segment and lock it; None if the path named another file once it was locked."""
    process = os.getpid()
    path = segments.segment_path(settings.path, number)
    file = ActiveFile(files.open_append(path, settings.file_mode), path, number)
    try:
        if os.getpid() != process:
            raise AuditWriteError(f"{path}: the process was forked while it opened the log")
        files.lock(file.fd, path, settings.lock_timeout_millis)
        if files.path_identity(path) == file.identity:
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _open_begun(settings: FileSettings, number: int) -> ActiveFile | None:
    """Open a last segment that has no whole entry yet: the one before says whose turn it is.

    Returns:
        The segment before, where the log was not rotated yet; else the last one, with the segment
        before in ``before``, still locked. None: something changed meanwhile.
    """
    path = segments.segment_path(settings.path, number - 1)
    if files.path_identity(path) is None:
        raise AuditConfigError(
            f"{path}: the segment is gone, and the one behind it has no entry yet; nothing was written. "
            "run `otel-audit verify`"
        )
    before = _open_locked(settings, number - 1)
    if before is None:
        return None
    try:
        tail = read_tail(before.fd, 0, files.size(before.fd))
        if tail is None or not tail.rotated or tail.end != files.size(before.fd):
            return before
        before.tail = tail
        file = _open_locked(settings, number)
    except BaseException:
        before.close()
        raise
    if file is None:
        before.close()
    else:
        file.before = before
    return file


def _check_witness(witness: Witness | None) -> None:
    """Check that what this process wrote last still stands, in whichever segment."""
    if witness is not None and not files.stands_at(witness.path, witness.identity, witness.end, witness.last_bytes):
        raise _not_ours(witness.path, witness)


def _examine(
    file: ActiveFile,
    settings: FileSettings,
    key: bytes | None,
    lifecycle: Lifecycle,
    witness: Witness | None,
    now_ns: Callable[[], int],
    new_id: Callable[[], str],
) -> None:
    """Find the head, and what has to be written before anything else. Under the file's lock."""
    fd, path, before = file.fd, file.path, file.before
    files.sync(fd)  # an error that nobody has seen yet is seen here
    files.evict(fd)
    files.sync_folder(path)
    size = files.size(fd)
    public_key_id = None if key is None else key_id(key)
    _check_witness(witness)  # once more: now under the lock, and as the device holds it
    identity = read_identity(fd, path, size, file.number)
    previous: Closed | None = None
    if identity is not None:
        file.first_seq, file.began_ns = identity.seq, parse_time(identity.observed_time)
    elif before is not None:
        identity, previous = _finish_rotation(before, settings)
        file.tail = Tail(before.tail.seq, before.tail.hash, 0)
    if witness is not None and witness.stream_id and (identity is None or identity.stream_id != witness.stream_id):
        raise _not_ours(path, witness)
    tail = (None if identity is None or previous is not None else read_tail(fd, 0, size)) or file.tail
    fragment = None
    if tail.end < size:
        # what stands behind a fragment's last LF can be the declaration of it, but for its own LF
        start = last_line_start(fd, tail.end, size)
        rest = files.read(fd, start, size) if size - start < MAX_LINE_BYTES else b""
        candidate = None if identity is not None else identity_of(rest)
        if candidate is not None:
            check_version(path, candidate)
            _check_identity(path, candidate, settings, public_key_id)
        whole = next_entry(rest, tail, settings.integrity, key)
        if whole is None:
            fragment = measure_fragment(fd, tail.end, size)
        else:
            tail = whole
            identity = identity or candidate
            previous = None
        if files.read(fd, size - 1, size) != b"\n":
            file.prefix = b"\n"
    if settings.integrity == "chain" and tail.seq and not tail.hash:
        raise AuditConfigError(
            f"{path}: expected a hash in the last entry, seq {tail.seq}, got none: nothing can be chained to it; "
            "nothing was written. run `otel-audit verify`"
        )
    file.tail = tail._replace(end=size)
    if identity is not None:
        _check_identity(path, identity, settings, public_key_id)
    if tail.rotated:
        _finish_segment(file, fragment)
        return
    if identity is None and file.number > 1:
        raise AuditConfigError(
            f"{path}: neither this segment nor the one before has a readable entry; nothing was written. "
            "run `otel-audit verify`"
        )
    file.stream_id = new_id() if identity is None else identity.stream_id
    file.mark = (size, files.read(fd, max(0, size - WITNESS_BYTES), size))
    now = now_ns()
    begins = tail.end == 0
    if begins:
        file.first_seq, file.began_ns = tail.seq + 1, now
    if fragment is not None and not begins:
        file.due.append(lifecycle.recovered(new_id(), now, fragment))
        fragment = None
    file.due.append(
        lifecycle.opened(
            new_id(),
            now,
            stream_id=file.stream_id,
            integrity=settings.integrity,
            key_id=public_key_id,
            segment_number=file.number,
            previous=previous,
            fragment=fragment,
        )
    )
    file.checked_ns = now
    file.synced = file.mark


def _finish_segment(file: ActiveFile, fragment: Fragment | None) -> None:
    """Write the LF that the last entry of a rotated segment may lack: nothing else follows it there."""
    if fragment is not None:
        raise AuditConfigError(
            f"{file.path}: {fragment.length} bytes stand behind the entry that says that the log was rotated; "
            "nothing was written. run `otel-audit verify`"
        )
    if file.prefix:
        files.write(file.fd, file.prefix)
        files.sync(file.fd)


def _finish_rotation(before: ActiveFile, settings: FileSettings) -> tuple[Identity | None, Closed]:
    """Do what is still missing of a rotation, up to the new segment's first entry.

    Returns:
        The log's identity, as the closed segment says it, and what the new one says of that.
    """
    size = files.size(before.fd)
    digest = segments.sha256(before.fd, size)
    segments.add_checksum(settings.path, before.number, digest, settings.file_mode)
    return read_identity(before.fd, before.path, size, before.number), Closed(
        os.path.basename(before.path), size, digest
    )


def _check_identity(path: str, identity: Identity, settings: FileSettings, public_key_id: str | None) -> None:
    if identity.integrity != settings.integrity:
        raise AuditConfigError(
            f"{path}: expected integrity {settings.integrity!r}, got a log of integrity {identity.integrity!r}; "
            "nothing was written"
        )
    if identity.key_id != public_key_id:
        raise AuditConfigError(
            f"{path}: expected a log with {_key_text(public_key_id)}, got one with {_key_text(identity.key_id)}; "
            "nothing was written"
        )


def _key_text(public_key_id: str | None) -> str:
    return "no HMAC key" if public_key_id is None else f"HMAC key {public_key_id}"


def _not_ours(path: str, witness: Witness) -> AuditLogPoisonedError:
    return AuditLogPoisonedError(
        f"{path}: the entry that this process wrote last, up to byte {witness.end}, is not there any more; "
        "nothing was written. keep the file as evidence"
    )


def stands(file: ActiveFile, path: str, end: int, last_bytes: bytes) -> bool:
    """Whether the log holds these bytes up to that offset of that segment, or will with its next write."""
    if path == file.path:
        there = files.read(file.fd, end - len(last_bytes), end)
        return last_bytes in {there, there + file.prefix}
    identity = files.path_identity(path)
    return identity is not None and files.stands_at(path, identity, end, last_bytes)
