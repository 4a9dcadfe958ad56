"""Losses that outlive their process: a small file beside the log, which every writer looks at.

A process that loses records while failures are open may never write again: its disk is full
until it ends. What it lost stands in ``NAME.dropped`` until some process declares it in the log
(docs/reliability.md). The file has its room from the beginning, and is written in place: that
works on a disk that is full.
"""

from __future__ import annotations

import contextlib
import json
import logging
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
from .drops import DropSummary, more

_SIZE_BYTES: Final = 1024
_MAX_COUNT: Final = (1 << 53) - 1
_MAX_NAME_CHARACTERS: Final = 40
"""Of an error's type: twelve bytes each in JSON at worst, and all stays within the file's room."""
_LOCK_TIMEOUT_MILLIS: Final = 1000
"""Held for the time of one sync at most, but for a process that is stopped in the middle of it."""

_logger = logging.getLogger(__name__)


class SharedDrops:
    """The losses that stand beside a log, of all its processes together.

    Every call opens the file anew and locks it, so it is safe from any thread, from a signal
    handler and after a fork. Nothing here is synced: it survives the process, not the machine.
    A crash between a declaration and the end of its claim declares twice.

    Args:
        path: Of the file, which need not exist.
        file_mode: Permissions of a new one.
    """

    def __init__(self, path: str, file_mode: int) -> None:
        self.path = path
        self._file_mode = file_mode
        self._inside: set[int] = set()
        self._busy = False
        """The lock could not be had within the time: from now on nobody here waits for it, until it is free."""

    def reserve(self) -> bool:
        """Make the file with its room, where it is absent; return whether it is there."""
        return self._put(None)

    def add(self, losses: DropSummary) -> bool:
        """Count losses in; False if they could not be written, and somebody else must remember them."""
        return self._put(losses)

    def claim(self) -> Claim | None:
        """Take over what is to be declared; None where that is nothing, or another process is at it.

        Only who can take the losses off may declare them: the file is open for writing, and locked.
        """
        try:
            fd = files.open_beside(self.path, create_mode=None)
        except OSError:
            return None
        try:
            if files.try_lock(fd):
                summary = _parse(files.read(fd, 0, _SIZE_BYTES))
                if summary is not None:
                    claim = Claim(fd, summary, self._inside)
                    fd = -1
                    return claim
        except OSError:
            return None
        finally:
            if fd >= 0:
                files.close(fd)
        return None

    def _put(self, losses: DropSummary | None) -> bool:
        me = get_ident()
        if me in self._inside:  # a signal handler: the lock is held below it on the stack
            return False
        self._inside.add(me)
        try:
            fd = files.open_beside(self.path, create_mode=self._file_mode)
            try:
                files.lock(fd, self.path, 0 if self._busy else _LOCK_TIMEOUT_MILLIS)
                self._busy = False
                text = files.read(fd, 0, _SIZE_BYTES)
                if losses is not None:
                    files.overwrite(fd, _text(more(_parse(text), losses)))
                elif len(text) < _SIZE_BYTES:
                    files.overwrite(fd, _text(None))
            finally:
                files.close(fd)
        except AuditError:
            self._busy = True
            return False
        except OSError:
            return False
        finally:
            self._inside.discard(me)
        return True


class Claim:
    """Losses that one writer declares now; the file is locked until `done` or `give_back`.

    Attributes:
        summary: What is to be declared.
    """

    __slots__ = ("_fd", "_inside", "_thread", "summary")

    def __init__(self, fd: int, summary: DropSummary, inside: set[int]) -> None:
        self._fd = fd
        self._inside = inside
        self._thread = get_ident()
        self.summary = summary
        inside.add(self._thread)

    def done(self) -> None:
        """Take the losses off: their declaration is on the device."""
        try:
            files.overwrite(self._fd, _text(None))
        except OSError as error:
            _logger.error("losses were declared but could not be taken off, and may be declared again: %s", error)
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Leave the losses to whoever looks next."""
        fd, self._fd = self._fd, -1
        self._inside.discard(self._thread)
        if fd >= 0:
            files.close(fd)

    def abandon(self) -> None:
        """Let go of the parent's file, in a forked child."""
        with contextlib.suppress(OSError):
            files.abandon(self._fd)


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
    name = error_type if error_type.isidentifier() else "_OTHER"  # what OpenTelemetry calls an unknown error
    return DropSummary(count, min(times), max(times), name[:_MAX_NAME_CHARACTERS])


def shared_drops_path(path: str) -> str:
    """Return where the losses of a log stand, from the path of its first segment."""
    return f"{path.removesuffix('.jsonl')}.dropped"
