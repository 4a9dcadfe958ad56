"""The active file of a log, open for appending: who may write to it, and from where.

docs/format.md, "Append only, truly" and "Writers and readers". Every method is called under
the ledger's thread lock; those that say so, under the lock of the file too.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import Final, NamedTuple

from otel_audit.chain import GENESIS
from otel_audit.environment import FileSettings
from otel_audit.errors import AuditLogPoisonedError, AuditWriteError
from otel_audit.line import Draft

from . import files
from .tail import (
    Tail,
    follow,
    follow_linked,
)

_FOLLOW_BYTES: Final = 8 * 1024 * 1024
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


class LeftBehindError(AuditWriteError):
    """A file that was synced whole, and closed: the log was rotated, or opened anew."""


class OpenAnewError(Exception):
    """Another writer left a fragment, or rotated the log: opening anew finishes what it began."""


def stands(file: ActiveFile, path: str, end: int, last_bytes: bytes) -> bool:
    """Whether the log holds these bytes up to that offset of that segment, or will with its next write."""
    if path == file.path:
        there = files.read(file.fd, end - len(last_bytes), end)
        return last_bytes in {there, there + file.prefix}
    identity = files.path_identity(path)
    return identity is not None and files.stands_at(path, identity, end, last_bytes)
