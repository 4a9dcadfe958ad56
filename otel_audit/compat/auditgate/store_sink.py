"""Decisions into a store of the program's own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from .call import Decided, GuardedCall
from .chain import link
from .entry import AuditEntry, entry_of, wall_clock
from .frozen import FrozenDict, freeze
from .policy import IntegrityMode, Trail
from .store import AsyncStore, MemoryStore, Store


class Clocks:
    """Makes entries: two clocks, and who records.

    Args:
        clock: Seconds; None for the machine's monotonic clock.
        wall_clock_fn: ISO 8601; None for the machine's wall clock.
    """

    def __init__(
        self, clock: Callable[[], float] | None, wall_clock_fn: Callable[[], str] | None, recorded_by: str
    ) -> None:
        self.now = clock or time.monotonic
        self.wall_now = wall_clock_fn or wall_clock
        self.recorded_by = recorded_by

    def entry(self, decided: Decided, detail: FrozenDict) -> AuditEntry:
        """Return the entry of a decision that is made now; it has no place in a trail yet."""
        trail, verdict, severity, gate_type, gate_identity, reason, _ = decided
        return entry_of(
            {
                "trail": trail,
                "ts": self.now(),
                "wall_ts": self.wall_now(),
                "verdict": verdict,
                "severity": severity,
                "gate_type": gate_type,
                "gate_identity": gate_identity,
                "recorded_by": self.recorded_by,
                "reason": reason,
                "detail": detail,
                "entry_hash": None,
                "prev_hash": None,
                "sequence": 0,
                "log_path": None,
            }
        )


class StoreSink:
    """Links decisions to their trail's last entry and appends them to a store. Thread-safe.

    A `MemoryStore` may be shared by engines. Another store must be one engine's alone: what
    somebody else appends between the look at the last entry and the append makes a fork.
    """

    def __init__(self, store: Store, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks
        self._in_memory = isinstance(store, MemoryStore)
        self._lock = store.lock if isinstance(store, MemoryStore) else threading.RLock()
        self._last = store.newest if isinstance(store, MemoryStore) else store.last_entry

    def append(self, decided: Decided, integrity: IntegrityMode, call: GuardedCall | None = None) -> AuditEntry:
        """Append one decision; return its entry. Raises whatever the store raises.

        What is to be known of the call stands in the detail.
        """
        frozen, _ = freeze(decided[6], [])
        with self._lock:
            entry = self._clocks.entry(decided, frozen)
            entry = link(entry, integrity, self._last(decided[0]))
            self._store.append(entry)
        return entry

    def prune(self, trail: Trail, seconds: float) -> None:
        """Take out of a trail what is older."""
        self._store.prune(trail, self._clocks.now() - seconds)

    async def aappend(self, decided: Decided, integrity: IntegrityMode, call: GuardedCall | None = None) -> AuditEntry:
        """As `append`; what may have to wait does so in a thread."""
        if self._in_memory:
            return self.append(decided, integrity, call)
        return await asyncio.to_thread(self.append, decided, integrity, call)

    async def aprune(self, trail: Trail, seconds: float) -> None:
        """As `prune`; what may have to wait does so in a thread."""
        if self._in_memory:
            self.prune(trail, seconds)
        else:
            await asyncio.to_thread(self.prune, trail, seconds)

    def lost(self, error: Exception) -> None:
        """Do nothing: a store has nowhere to count what it lost."""


class AsyncStoreSink:
    """As `StoreSink`, for an `AsyncStore`. Serves one event loop."""

    def __init__(self, store: AsyncStore, clocks: Clocks) -> None:
        self._store = store
        self._clocks = clocks
        self._lock = asyncio.Lock()

    async def aappend(self, decided: Decided, integrity: IntegrityMode, call: GuardedCall | None = None) -> AuditEntry:
        """Append one decision; return its entry. Raises whatever the store raises."""
        frozen, _ = freeze(decided[6], [])
        async with self._lock:
            entry = self._clocks.entry(decided, frozen)
            entry = link(entry, integrity, await self._store.last_entry(decided[0]))
            await self._store.append(entry)
        return entry

    def append(self, decided: Decided, integrity: IntegrityMode, call: GuardedCall | None = None) -> AuditEntry:
        """Refuse: how an async generator ended is told where nothing can be awaited.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError("expected a place where an AsyncStore can be awaited, got the end of an async generator")

    def prune(self, trail: Trail, seconds: float) -> None:
        """Do nothing: that can wait for the next record."""

    async def aprune(self, trail: Trail, seconds: float) -> None:
        """Take out of a trail what is older."""
        await self._store.prune(trail, self._clocks.now() - seconds)

    def lost(self, error: Exception) -> None:
        """Do nothing: a store has nowhere to count what it lost."""
