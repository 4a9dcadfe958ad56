"""What a command writes must take the place neither of a log's file nor of what the command reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from otel_audit.cli.text import path_text
from otel_audit.errors import AuditError
from otel_audit.log_files import STDIN, find_log
from otel_audit.segment_name import checksum_name, segment_number

STDOUT: Final = "-"
"""In place of a path that is to be written."""

_SUFFIXES: Final = (".jsonl", ".sha256")


def check_output(output: str, logs: Iterable[str], others: Iterable[str | None] = ()) -> None:
    """Refuse to write where a log has, or may have, a file, or where something is that is read.

    Args:
        output: The path that is to be written; of ``-``, stdout, there is nothing to check.
        logs: What is read as a log; ``-`` is stdin.
        others: Whatever else is read: keys, anchors; None is none.

    Raises:
        AuditError: The name is one of a log's files, or the file is one of those read, by whatever name or link.
    """
    if output == STDOUT:
        return
    said = path_text(output)
    inputs = [path for path in others if path is not None]
    for path in logs:
        if path == STDIN:
            continue
        if _is_own(path, output):
            raise AuditError(f"{said}: expected a new file, got the name of a file of the log itself")
        inputs.append(path)
    for suffix in _SUFFIXES:
        if output.lower().endswith(suffix):
            raise AuditError(
                f"{said}: expected a name that no log's file has, got one in {suffix} (an extract: NAME.extract)"
            )
    if any(_is_same(output, path) for path in inputs):
        raise AuditError(f"{said}: expected a new file, got one that is read")


def _is_own(path: str, output: str) -> bool:
    log = find_log(path)
    name = os.path.basename(output)
    return os.path.realpath(os.path.dirname(output) or os.curdir) == os.path.realpath(log.folder) and (
        segment_number(log.first_name, name) is not None or name == checksum_name(log.first_name)
    )


def _is_same(output: str, path: str) -> bool:
    try:
        return os.path.samefile(output, path)
    except OSError:  # one of them is not there
        return os.path.realpath(output) == os.path.realpath(path)
