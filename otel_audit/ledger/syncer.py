"""Durability ``interval``: a thread that syncs what is older than so many milliseconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

_logger = logging.getLogger(__name__)


class IntervalSyncer:
    """Syncs once per interval while there is something to sync; asleep otherwise.

    Args:
        sync: Makes everything written so far durable; raises where it cannot.
    """

    def __init__(self, sync: Callable[[], object], interval_millis: int) -> None:
        self._sync = sync
        self._interval_seconds = interval_millis / 1000
        self._written = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def wrote(self) -> None:
        """Say that there is something to sync. Called under the ledger's write lock."""
        if not self._written.is_set():
            self._written.set()
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="otel-audit-sync", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is shutting down: no thread can be had
                    self._written.clear()
                    self._sync()
                else:
                    self._thread = thread

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._written.set()

    def _run(self) -> None:
        while True:
            self._written.wait()
            if self._stopped.wait(self._interval_seconds):
                return
            self._written.clear()
            try:
                self._sync()
            except Exception:
                # the next append of this process raises it where a caller can see it
                _logger.exception("the audit log could not be synced")
