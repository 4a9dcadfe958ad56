"""What of the active file is on the device, and who may be told so."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from time import perf_counter

from otel_audit.environment import FileSettings
from otel_audit.errors import AuditLogPoisonedError, AuditWriteError

from . import files
from .active import ActiveFile, LeftBehindError, Written
from .ticket import Ticket
from .timing import Stopwatch


class Durability:
    """Syncs files, and closes them: a sync never meets a closed descriptor. Thread-safe.

    Args:
        settings: Of the log.

    Attributes:
        syncs: How many, how long.
    """

    def __init__(self, settings: FileSettings) -> None:
        self.syncs = Stopwatch()
        self._path = settings.path
        self._always = settings.durability == "always"
        self._lock = threading.Lock()

    def sync(self, file: ActiveFile | None, end: int | None = None) -> None:
        """Return once the file's bytes up to ``end`` (None: all) are on the device.

        Raises:
            AuditWriteError: They may not be; the file is retired.
        """
        if file is None:
            return
        with self._lock:
            mark = file.mark
            if (end is not None and file.synced[0] >= end) or isinstance(file.retired, LeftBehindError):
                return
            if file.retired is not None:
                raise sync_error(self._path, file.retired)
            began = perf_counter()
            try:
                files.sync(file.fd)
            except OSError as error:
                # never just retried: the kernel reports the loss once, and then says all is well
                file.retired = error
                raise sync_error(self._path, error) from error
            self.syncs.add(perf_counter() - began)
            if not self._always:  # appends look at the path only now and then
                try:
                    file.check_path()
                except AuditLogPoisonedError as error:
                    file.retired = error
                    raise
            file.synced = mark
            waiting = file.unsynced
            while waiting and waiting[0].end <= mark[0]:
                waiting.popleft()

    def synced(self, file: ActiveFile, timeout_millis: int) -> bool:
        """Sync a file, and wait at most so long for a sync under way; return whether all of it is on the device."""
        taken: list[bool] = []
        try:
            # in one step: an interrupt cannot come between the lock and the note that it is held
            taken.extend(map(self._lock.acquire, (True,), (max(0, timeout_millis) / 1000,)))
            if not taken[0]:
                return False
        finally:
            if taken and taken[0]:
                self._lock.release()
        try:
            self.sync(file)
        except AuditWriteError:
            return False
        return True

    def settle(self, tickets: Sequence[Ticket], error: BaseException) -> None:
        """Settle tickets whose append a signal handler broke off: they are durable, or in doubt."""
        with self._lock:
            for ticket in tickets:
                file = ticket.file
                if file is not None and ticket.end <= file.synced[0]:
                    ticket.durable = True
                elif file is not None and file.retired is None:
                    # opened anew, so that what stands is declared void: its callers are told of a failure
                    file.retired = error

    def retire(self, file: ActiveFile, error: BaseException | None) -> None:
        """Close a file; whoever waits for a sync of it is told why."""
        if file.fd >= 0:
            with contextlib.suppress(OSError):
                files.unlock(file.fd)  # at once: a sync under way can take long
        with self._lock:
            if file.retired is None:
                file.retired = error
            file.close()

    def acknowledged(self, file: ActiveFile) -> tuple[int, bytes]:
        """Return the mark up to which callers may have been told of success."""
        return file.mark if file.retired is None and not self._always else file.synced

    def forked(self) -> None:
        """In a forked child: a thread that the fork did not copy may hold the lock."""
        self._lock = threading.Lock()


def unsynced(file: ActiveFile) -> Iterable[Written]:
    """Return the entries that are in doubt once a file is given up: no sync covered them."""
    synced = file.synced[0]
    return (entry for entry in file.unsynced if entry.end > synced)


def write_error(path: str, error: BaseException) -> AuditWriteError:
    """Return what an append raises whose bytes could not be written."""
    return AuditWriteError(f"{path}: the entry could not be written: {_reason(error)}")


def sync_error(path: str, error: BaseException) -> AuditWriteError:
    """Return what an append raises whose bytes stand, but may not be on the device."""
    return AuditWriteError(f"{path}: the entry could not be synced: {_reason(error)}")


def _reason(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
