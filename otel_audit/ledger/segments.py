"""The files of a log: which are there, the next one, and their checksums.

docs/format.md, "Segments". No file that exists is changed, but ``NAME.sha256``, which only grows.
"""

from __future__ import annotations

import hashlib
import os

from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.segment_name import checksum_name, segment_name, segment_number

from . import files

_BLOCK_BYTES = 1024 * 1024
_CHECKSUM_TAIL_BYTES = 64 * 1024


def segment_path(log_path: str, number: int) -> str:
    """Return the path of a segment of the log whose first segment is ``log_path``."""
    folder, name = os.path.split(log_path)
    return os.path.join(folder, segment_name(name, number))


def last_number(log_path: str) -> int:
    """Return the number of the last segment that there is; 1 where the log is new.

    Raises:
        AuditConfigError: The first segment is gone, though something else of the log is there.
    """
    folder, name = os.path.split(log_path)
    there = files.names(folder)
    numbers = [number for other in there if (number := segment_number(name, other)) is not None]
    last = max(numbers, default=1)
    if 1 not in numbers and (numbers or checksum_name(name) in there):
        beside = segment_name(name, last) if numbers else checksum_name(name)
        raise AuditConfigError(
            f"{log_path}: the log's first segment is gone, but {beside} is there; nothing was written"
        )
    return last


def create(log_path: str, number: int, mode: int) -> str:
    """Make the next segment, empty, and its name durable; return its base name.

    Raises:
        AuditWriteError: There is such a file already, and it is not empty.
    """
    path = segment_path(log_path, number)
    fd = files.open_append(path, mode)
    try:
        if files.size(fd):
            raise AuditWriteError(f"{path}: expected no such file or an empty one; the log cannot go on there")
        files.sync_folder(path)
    finally:
        files.close(fd)
    return os.path.basename(path)


def sha256(fd: int, size: int) -> str:
    """Return the digest of a segment's bytes."""
    digest = hashlib.sha256()
    for start in range(0, size, _BLOCK_BYTES):
        digest.update(files.read(fd, start, min(start + _BLOCK_BYTES, size)))
    return digest.hexdigest()


def add_checksum(log_path: str, number: int, digest: str, mode: int) -> None:
    """Say in ``NAME.sha256`` what a closed segment's digest is, once. Under that segment's lock."""
    folder, name = os.path.split(log_path)
    path = os.path.join(folder, checksum_name(name))
    line = f"{digest}  {segment_name(name, number)}\n".encode()
    fd = files.open_append(path, mode, follow=False)
    try:
        size = files.size(fd)
        # a line that stands there already was added when this segment was closed: it is among the last ones
        *lines, torn = files.read(fd, max(0, size - _CHECKSUM_TAIL_BYTES), size).split(b"\n")
        if line[:-1] not in lines:
            # a line that a crash cut short is most likely this one: `sha256sum -c` knows no fragments
            files.write(fd, line[len(torn) :] if line.startswith(torn) else b"\n" + line)
        files.sync(fd)
        if not size:
            files.sync_folder(path)
    finally:
        files.close(fd)
