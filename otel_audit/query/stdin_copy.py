"""A log from stdin, for what has to read it more than once."""

from __future__ import annotations

from pathlib import Path

from otel_audit.log_files import open_stdin
from otel_audit.verify.segment import BLOCK_BYTES


def copied_stdin(folder: Path) -> Path:
    """Copy what comes on stdin, up to its end, and return the path of the copy.

    Args:
        folder: Where to; that of one run, which its caller takes away.

    Raises:
        AuditVerifyError: There is no stdin, or it cannot be read.
        OSError: The copy cannot be written.
    """
    stdin = open_stdin()
    copy = folder / "stdin"
    with copy.open("wb") as file:
        while data := stdin.read(file.tell(), BLOCK_BYTES):
            file.write(data)
    return copy
