"""Who wants to hear of decisions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Emitter:
    """Tells listeners of decisions; engines may share one. Thread-safe.

    A listener's exception reaches nobody; it is counted. `KeyboardInterrupt` and `SystemExit` go on.

    Attributes:
        listeners: In the order in which they were added.
    """

    def __init__(self) -> None:
        self.listeners: tuple[Callable[[Any], None], ...] = ()
        self._errors = 0
        self._lock = threading.Lock()

    def add(self, listener: Callable[[Any], None]) -> None:
        """Have a listener called with each event from now on."""
        with self._lock:
            self.listeners = (*self.listeners, listener)

    def emit(self, event: Any) -> None:
        """Call every listener, in this thread."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                with self._lock:
                    self._errors += 1

    @property
    def error_count(self) -> int:
        """How many times a listener raised."""
        return self._errors
