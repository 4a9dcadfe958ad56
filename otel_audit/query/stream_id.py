"""Which stream a log is of, as it says itself."""

from __future__ import annotations

import contextlib
import os

from otel_audit.log_files import STDIN
from otel_audit.reader import open_segments
from otel_audit.verify.declared import find_declaration


def stream_id_of(log: str | os.PathLike[str]) -> str | None:
    """Return the ``audit.stream.id`` of a log; None where it has none, and of stdin, which is read once.

    Args:
        log: As of `otel_audit.reader.read_log`.

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """
    if log == STDIN:
        return None
    with contextlib.ExitStack() as stack:
        return find_declaration(open_segments(log, stack))[1].stream_id
