"""What a command writes must not take the name of a file of the log that it reads."""

from __future__ import annotations

import os

from otel_audit.cli.text import path_text
from otel_audit.errors import AuditError
from otel_audit.log_files import STDIN, find_log
from otel_audit.segment_name import checksum_name, segment_number


def refuse_own_files(path: str, output: str) -> None:
    """Refuse to write where the log has, or may have, a file of its own."""
    if STDIN in (path, output):
        return
    log = find_log(path)
    name = os.path.basename(output)
    if os.path.realpath(os.path.dirname(output) or os.curdir) == os.path.realpath(log.folder) and (
        segment_number(log.first_name, name) is not None or name == checksum_name(log.first_name)
    ):
        raise AuditError(f"{path_text(output)}: expected a new file, got the name of a file of the log itself")
