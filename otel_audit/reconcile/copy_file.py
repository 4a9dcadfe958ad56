"""A collector's copy, opened and cut into lines."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from otel_audit.errors import AuditVerifyError
from otel_audit.log_files import STDIN

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""A request with more is passed over: nothing that is held may grow without end."""
_READ_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class CopyFile:
    """A copy.

    Attributes:
        path: As people know it.
        size_bytes: How many of its bytes are read; None where only its end will tell.
        read: ``read(length)`` returns the next bytes, none at the end.
    """

    path: str
    size_bytes: int | None
    read: Callable[[int], bytes]


class CopyLine(NamedTuple):
    """One line of a copy.

    Attributes:
        number: From 1.
        data: Its bytes without LF; None: longer than 64 MiB, and passed over.
        whole: It ended in LF.
        end: How many bytes of the copy have been read.
    """

    number: int
    data: bytes | None
    whole: bool
    end: int


def open_copies(paths: Iterable[str | os.PathLike[str]], stack: contextlib.ExitStack) -> list[CopyFile]:
    """Open copies, and fix how much of each is read: what is appended later is left out.

    Args:
        paths: Files, pipes, and ``-`` for stdin.
        stack: Closes them.

    Raises:
        AuditVerifyError: One cannot be opened, is a folder, or is compressed; or stdin is given twice.
    """
    given = [os.fspath(path) for path in paths]
    if given.count(STDIN) > 1:
        raise AuditVerifyError("stdin can be read once: expected one -, got several")
    return [_open(path, stack) for path in given]


def read_lines(copy: CopyFile) -> Iterator[CopyLine]:
    """Yield the lines of a copy in order; holds one of them at a time.

    Raises:
        AuditVerifyError: It cannot be read.
    """
    number, end, held = 1, 0, 0
    parts: list[bytes] = []
    left = copy.size_bytes
    while left is None or left > 0:
        data = copy.read(_READ_BYTES if left is None else min(_READ_BYTES, left))
        if not data:
            break
        if end == 0 and data.startswith(_GZIP):
            raise AuditVerifyError(f"{copy.path}: expected text, got gzip: unpack it into `otel-audit reconcile LOG -`")
        if left is not None:
            left -= len(data)
        *whole, rest = data.split(b"\n")
        at = end
        end += len(data)
        for piece in whole:
            held += len(piece)
            at += len(piece) + 1
            parts.append(piece)
            yield CopyLine(number, None if held > MAX_LINE_BYTES else b"".join(parts), True, at)
            number, held = number + 1, 0
            parts = []
        held += len(rest)
        if held > MAX_LINE_BYTES:
            parts = []
        elif rest:
            parts.append(rest)
    if held:
        yield CopyLine(number, None if held > MAX_LINE_BYTES else b"".join(parts), False, end)


def _open(path: str, stack: contextlib.ExitStack) -> CopyFile:
    try:
        if path == STDIN:
            if sys.stdin is None:
                raise AuditVerifyError("stdin: expected a copy, got no stdin")
            stdin = stack.enter_context(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))  # noqa: SIM115
            return CopyFile("stdin", None, _reader("stdin", stdin.read))
        file = stack.enter_context(open(path, "rb", buffering=0))  # noqa: SIM115  # the stack closes it
        status = os.fstat(file.fileno())
    except (OSError, ValueError) as error:
        raise AuditVerifyError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISREG(status.st_mode):
        return CopyFile(path, status.st_size, _reader(path, file.read))
    return CopyFile(path, None, _reader(path, file.read))


def _reader(path: str, read: Callable[[int], bytes | None]) -> Callable[[int], bytes]:
    def checked(length: int) -> bytes:
        try:
            return read(length) or b""
        except OSError as error:
            raise AuditVerifyError(f"{path}: cannot be read: {error.strerror or error}") from None

    return checked
