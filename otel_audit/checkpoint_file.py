"""The file that a checkpoint is kept in (`otel_audit.verify.checkpoint`)."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from otel_audit.errors import AuditVerifyError
from otel_audit.verify.checkpoint import Checkpoint, parse_checkpoint

_MAX_BYTES: Final = 1 << 16
_SUFFIXES_OF_LOGS: Final = (".jsonl", ".sha256")


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint | None:
    """Return the checkpoint in a file; None where there is no such file yet.

    Raises:
        AuditVerifyError: It cannot be read, or is none.
    """
    file = Path(path)
    if file.suffix in _SUFFIXES_OF_LOGS:
        raise AuditVerifyError(
            f"{file}: expected a name that no file of a log has for a checkpoint, got one ending in {file.suffix}"
        )
    try:
        # a FIFO would block the opening itself
        with open(os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise AuditVerifyError(f"{file}: expected a file for the checkpoint, got something else")
            data = stream.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuditVerifyError(f"{file}: the checkpoint cannot be read: {error.strerror}") from error
    try:
        return parse_checkpoint(data)
    except AuditVerifyError as error:
        raise AuditVerifyError(f"{file}: {error}; remove it to begin anew") from None


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Put a checkpoint in place of the one before: at any moment the file holds one of them, whole.

    Mode 0600. Returns after fsync of the file; after a power cut the one before may be back.

    Raises:
        AuditVerifyError: It cannot be written; the one before is still there.
    """
    file = Path(path)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(checkpoint.to_bytes())
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        raise AuditVerifyError(f"{file}: the checkpoint cannot be written: {error.strerror}") from error
