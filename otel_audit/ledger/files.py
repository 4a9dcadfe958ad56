"""The system calls on the log's files: open, lock, look, write, sync.

Every call that creates, locks, writes or syncs a file of the log is made here. Errors of the
system come out as `OSError`; the callers turn them into this package's own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
import time
from typing import Final

from otel_audit.errors import AuditConfigError, AuditWriteError

_OPEN_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_SPINS: Final = 20
_FIRST_PAUSE_SECONDS: Final = 50e-6
_LONGEST_PAUSE_SECONDS: Final = 2e-3

# macOS: fsync leaves the data in the drive's cache, F_FULLFSYNC does not
_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)


def open_append(path: str, mode: int, *, follow: bool = True) -> int:
    """Open the log for reading and appending, make it where it is absent.

    Args:
        follow: Whether the path may be a symbolic link, or a file with another name, too.

    Raises:
        AuditConfigError: The path is no regular file (a folder, a FIFO, a device), or its folder
            does not exist: making it could put the log on the wrong disk.
        OSError: Anything else that the system refuses.
    """
    flags = _OPEN_FLAGS if follow else _OPEN_FLAGS | os.O_NOFOLLOW
    try:
        try:
            fd = os.open(path, flags)
        except FileNotFoundError:
            fd = os.open(path, flags | os.O_CREAT, mode)
    except (IsADirectoryError, NotADirectoryError) as error:
        raise AuditConfigError(f"{path}: expected a file, got a folder, or a folder in its path is a file") from error
    except FileNotFoundError as error:
        folder = os.path.dirname(path)
        raise AuditConfigError(f"{path}: the folder {folder} does not exist; make it first, mode 0700") from error
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise AuditConfigError(f"{path}: expected a regular file, got a socket or a device") from error
        raise
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise AuditConfigError(f"{path}: expected a regular file, got a FIFO, a device or the like")
    if not follow and status.st_nlink != 1:
        os.close(fd)
        raise AuditConfigError(f"{path}: expected a file of its own, got one that has another name, too")
    return fd


def lock(fd: int, path: str, timeout_millis: int) -> None:
    """Take the exclusive `flock`, waiting for other processes at most so long.

    Raises:
        AuditWriteError: Another process held it all the time; its pid is named where known.
    """
    for _ in range(_SPINS):
        if try_lock(fd):
            return
    deadline = time.monotonic() + timeout_millis / 1000
    pause = _FIRST_PAUSE_SECONDS
    while not try_lock(fd):
        if time.monotonic() >= deadline:
            holder = lock_holder(fd)
            by = "another process" if holder is None else f"process {holder}"
            raise AuditWriteError(f"{path}: locked by {by} for more than {timeout_millis} ms; nothing was written")
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def try_lock(fd: int) -> bool:
    """Take the exclusive `flock` if nobody holds it; return whether it was taken."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(fd: int) -> None:
    """Release the `flock`."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def lock_holder(fd: int) -> int | None:
    """Return the pid of the process that holds the lock, from ``/proc/locks``, where there is one."""
    status = os.fstat(fd)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii", errors="replace") as table:
        for row in table:
            cells = row.split()
            if len(cells) > 5 and cells[1] == "FLOCK" and cells[5] == place:
                return int(cells[4])
    return None


def size(fd: int) -> int:
    """Return the length of the file in bytes."""
    return os.lseek(fd, 0, os.SEEK_END)


def identity(fd: int) -> tuple[int, int]:
    """Return device and inode of the open file."""
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def path_identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of what the path names now, None where it names nothing."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def read(fd: int, start: int, end: int) -> bytes:
    """Return the bytes from ``start`` up to ``end``, fewer only where the file ends before."""
    pieces = []
    while start < end:
        piece = os.pread(fd, min(end - start, 8 * 1024 * 1024), start)
        if not piece:
            break
        pieces.append(piece)
        start += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def write(fd: int, data: bytes) -> None:
    """Append all of ``data``; a short write is continued, under the same lock.

    Raises:
        OSError: Not all could be written; what was written stands as a fragment.
    """
    written = os.write(fd, data)
    while written < len(data):
        more = os.write(fd, memoryview(data)[written:])
        if more == 0:
            raise OSError(errno.EIO, "write accepted no bytes")
        written += more


def open_beside(path: str, *, create_mode: int | None) -> int:
    """Open a file that stands beside the log, to be written in place; with a mode, make it where it is absent.

    Raises:
        OSError: The system refuses, or it is no regular file with this one name: writing in place
            to one that has another name, too, could change the log itself.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW
    fd = os.open(path, flags) if create_mode is None else os.open(path, flags | os.O_CREAT, create_mode)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(fd)
        raise OSError(errno.EINVAL, "expected a regular file with one name", path)
    return fd


def overwrite(fd: int, data: bytes) -> None:
    """Write from the beginning of a file, in place. Never the log.

    Raises:
        OSError: Not all could be written.
    """
    if os.pwrite(fd, data, 0) != len(data):
        raise OSError(errno.ENOSPC, "short write")


def sync(fd: int) -> None:
    """Return once the file's bytes, and the length to find them by, are on the device."""
    if _FULL_SYNC is not None:
        fcntl.fcntl(fd, _FULL_SYNC)
    elif sys.platform == "linux":
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def evict(fd: int) -> None:
    """Drop the file's cached pages: from now on reads show what the device holds."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def sync_folder(path: str) -> None:
    """Make the file's name durable: sync the folder it stands in."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def names(folder: str) -> list[str]:
    """Return the names in a folder; empty where there is no such folder."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def stands_at(path: str, identity: tuple[int, int], end: int, last_bytes: bytes) -> bool:
    """Whether the path names this very file, and it holds these bytes up to that offset."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        status = os.fstat(fd)
        return (status.st_dev, status.st_ino) == identity and read(fd, end - len(last_bytes), end) == last_bytes
    finally:
        close(fd)


def abandon(fd: int) -> None:
    """Point an inherited descriptor at nothing, in a forked child.

    A lock taken or released through it would be the parent's; a frame of the parent that the
    fork copied may still write to its number.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.dup2(null, fd, inheritable=False)
    finally:
        os.close(null)


def close(fd: int) -> None:
    """Release the lock and close the descriptor; an error changes nothing any more.

    Closing alone would leave the log locked by a child that was forked meanwhile: it holds the
    same open file.
    """
    with contextlib.suppress(OSError):
        unlock(fd)
    with contextlib.suppress(OSError):
        os.close(fd)
