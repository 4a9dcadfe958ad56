"""Losses that outlive their process: a small file beside the log, which every writer looks at.

A process that loses records while failures are open may never write again: its disk is full
until it ends. What it lost stands in ``NAME.dropped`` until some process declares it in the log
(docs/reliability.md). The file has its room from the beginning, and is written in place: that
works on a disk that is full.
"""

from __future__ import annotations

import json
from threading import get_ident
from typing import Final

from otel_audit.errors import AuditError
from otel_audit.line import format_time, parse_time
from otel_audit.semconv import (
    AUDIT_DROPPED_COUNT,
    AUDIT_DROPPED_FIRST_TIME,
    AUDIT_DROPPED_LAST_TIME,
    ERROR_TYPE,
)

from . import files
from .drops import DropSummary, less, more

_SIZE_BYTES: Final = 1024
_MAX_COUNT: Final = (1 << 53) - 1
_MAX_NAME_CHARACTERS: Final = 40
"""Of an error's type: twelve bytes each in JSON at worst, and all stays within the file's room."""
_LOCK_TIMEOUT_MILLIS: Final = 50
"""Held for microseconds, but for a process that is stopped in the middle of it."""


class SharedDrops:
    """The losses that stand beside a log, of all its processes together.

    Every call opens the file anew and takes its lock for as long as the call, so it is safe from
    any thread, from a signal handler and after a fork. Nothing here is synced: it survives the
    process, not the machine. A crash between the declaration and `take` declares twice.

    Args:
        path: Of the file, which need not exist.
        file_mode: Permissions of a new one.
    """

    def __init__(self, path: str, file_mode: int) -> None:
        self.path = path
        self._file_mode = file_mode
        self._inside: set[int] = set()

    def reserve(self) -> bool:
        """Make the file with its room, where it is absent; return whether it is there."""
        return self._change(None, 1)

    def add(self, losses: DropSummary) -> bool:
        """Count losses in; False if they could not be written, and somebody else must remember them."""
        return self._change(losses, 1)

    def take(self, declared: DropSummary) -> bool:
        """Take off what now stands in the log. Under the lock of the log, so that nobody declares it twice."""
        return self._change(declared, -1)

    def read(self) -> DropSummary | None:
        """Return what is to be declared; None where there is nothing, or no such file."""
        try:
            fd = files.open_beside(self.path)
        except OSError:
            return None
        try:
            return _parse(files.read(fd, 0, _SIZE_BYTES))
        except OSError:
            return None
        finally:
            files.close(fd)

    def _change(self, change: DropSummary | None, sign: int) -> bool:
        me = get_ident()
        if me in self._inside:  # a signal handler: the lock is held below it on the stack
            return False
        self._inside.add(me)
        try:
            fd = files.open_beside(self.path, self._file_mode)
            try:
                files.lock(fd, self.path, _LOCK_TIMEOUT_MILLIS)
                text = files.read(fd, 0, _SIZE_BYTES)
                if change is None and len(text) == _SIZE_BYTES:
                    return True
                summary = _parse(text)
                if change is not None:
                    summary = more(summary, change) if sign > 0 else less(summary, change)
                files.overwrite(fd, _text(summary))
            finally:
                files.close(fd)
        except (OSError, AuditError):
            return False
        finally:
            self._inside.discard(me)
        return True


def _text(summary: DropSummary | None) -> bytes:
    members: dict[str, object] = {}
    if summary is not None:
        members = {
            AUDIT_DROPPED_COUNT: min(summary.records, _MAX_COUNT),
            AUDIT_DROPPED_FIRST_TIME: format_time(summary.first_time_ns).decode(),
            AUDIT_DROPPED_LAST_TIME: format_time(summary.last_time_ns).decode(),
            ERROR_TYPE: summary.error_type[:_MAX_NAME_CHARACTERS],
        }
    return json.dumps(members).encode().ljust(_SIZE_BYTES - 1) + b"\n"


def _parse(text: bytes) -> DropSummary | None:
    """Return what the file says; whoever can write to it can write anything, and the log must go on."""
    try:
        members = json.loads(text)
        count, error_type = members[AUDIT_DROPPED_COUNT], members[ERROR_TYPE]
        times = [parse_time(members[name]) for name in (AUDIT_DROPPED_FIRST_TIME, AUDIT_DROPPED_LAST_TIME)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if type(count) is not int or not 0 < count <= _MAX_COUNT or not isinstance(error_type, str):
        return None
    return DropSummary(count, min(times), max(times), error_type[:_MAX_NAME_CHARACTERS])


def shared_drops_path(path: str) -> str:
    """Return where the losses of a log stand, from the path of its first segment."""
    return f"{path.removesuffix('.jsonl')}.dropped"
