"""A log from stdin, for what has to read it more than once."""

from __future__ import annotations

from pathlib import Path

from otel_audit.log_files import open_stdin
from otel_audit.verify.segment import read_blocks


def copied_stdin(folder: Path) -> Path:
    """Copy what comes on stdin, up to its end, and return the path of the copy.

    Its lines only: what is longer than a line can be, and a last line without its end, are left out.

    Args:
        folder: Where to; that of one run, which its caller takes away.

    Raises:
        AuditVerifyError: There is no stdin, or it cannot be read.
        OSError: The copy cannot be written.
    """
    copy = folder / "stdin"
    with copy.open("wb") as file:
        for block in read_blocks(open_stdin()):
            if block.kind == "lines":
                file.write(block.data + b"\n")
    return copy
