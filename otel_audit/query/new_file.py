"""A file that is there when it is whole, and not before."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from otel_audit.errors import AuditError


@contextlib.contextmanager
def new_file(path: str, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Write a file under another name beside it, and give it its own when the body is through.

    Mode 0600, and synced before it has its name. Where the body raises, Ctrl-C and a full disk
    among it, nothing is left, and what had the name before is still there.

    Args:
        path: Where it shall be.
        replace: In place of a file that is there. Without it that is an error, also where the
            file came meanwhile.

    Raises:
        AuditError: There is a file, or something else, of this name; or no such folder.
        OSError: It cannot be written.
    """
    _check(path, replace)
    folder, name = os.path.split(path)
    folder = folder or os.curdir
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name[:80]}.", suffix=".part", dir=folder)
    except OSError as error:
        raise AuditError(f"{folder}: cannot write there: {error.strerror or error}") from None
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        if replace:
            os.replace(temporary, path)
        else:
            _name(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _check(path: str, replace: bool) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise AuditError(f"{path}: cannot be written: {error.strerror or error}") from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "something that is no file"
        raise AuditError(f"{path}: expected a new file, got {what}")
    if not replace:
        raise AuditError(f"{path}: expected a new file, got one that is there: --force writes in its place")


def _name(temporary: str, path: str) -> None:
    """Give a file its name, unless another has it by now."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise AuditError(f"{path}: expected a new file, got one that came meanwhile") from None
    except OSError:  # a file system without hard links
        _check(path, False)
        os.rename(temporary, path)
    else:
        os.unlink(temporary)


def _sync_folder(folder: str) -> None:
    with contextlib.suppress(OSError):  # not every file system can; the file itself is synced
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
