"""Where entries are kept, and how they are asked for."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from .entry import AuditEntry
from .policy import Severity, Trail, Verdict


@dataclass(frozen=True, slots=True)
class QueryFilter:
    """Which entries are asked for; None asks for all.

    Attributes:
        min_severity: This one, and graver ones.
        after_ts: ``ts`` of the earliest; ``before_ts``: of the latest.
        offset: How many of the first are left out.
        limit: How many at most.

    Raises:
        ValueError: ``offset`` or ``limit`` is negative.
    """

    trail: Trail | None = None
    verdict: Verdict | None = None
    min_severity: Severity | None = None
    after_ts: float | None = None
    before_ts: float | None = None
    gate_type: str | None = None
    offset: int = 0
    limit: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("offset", self.offset), ("limit", self.limit)):
            if value is not None and value < 0:
                raise ValueError(f"{name}: expected 0 or more, got {value}")

    def page(self, entries: Iterator[AuditEntry]) -> list[AuditEntry]:
        """Return the part of the entries that ``offset`` and ``limit`` ask for."""
        return list(islice(entries, self.offset, None if self.limit is None else self.offset + self.limit))


class Store(Protocol):
    """Keeps entries in the order in which they are appended. Thread-safe."""

    def append(self, entry: AuditEntry) -> None:
        """Keep an entry; raise where it is not kept."""
        ...

    def query(self, filter: QueryFilter) -> Sequence[AuditEntry]:  # noqa: A002 - AuditGate's name
        """Return the entries that fit, in the order in which they were appended."""
        ...

    def count(self, trail: Trail) -> int:
        """Return how many entries of a trail a query finds."""
        ...

    def last_entry(self, trail: Trail) -> AuditEntry | None:
        """Return a trail's newest entry, None where there is none."""
        ...

    def prune(self, trail: Trail, before_ts: float) -> int:
        """Take the entries of a trail from before a time out of queries; return how many."""
        ...

    def clear(self, trail: Trail) -> None:
        """Take a trail out of queries."""
        ...

    def clear_all(self) -> None:
        """Take everything out of queries."""
        ...


class AsyncStore(Protocol):
    """A `Store` for coroutines of one event loop."""

    async def append(self, entry: AuditEntry) -> None:
        """See `Store.append`."""
        ...

    async def query(self, filter: QueryFilter) -> Sequence[AuditEntry]:  # noqa: A002
        """See `Store.query`."""
        ...

    async def count(self, trail: Trail) -> int:
        """See `Store.count`."""
        ...

    async def last_entry(self, trail: Trail) -> AuditEntry | None:
        """See `Store.last_entry`."""
        ...

    async def prune(self, trail: Trail, before_ts: float) -> int:
        """See `Store.prune`."""
        ...

    async def clear(self, trail: Trail) -> None:
        """See `Store.clear`."""
        ...

    async def clear_all(self) -> None:
        """See `Store.clear_all`."""
        ...


class MemoryStore:
    """Keeps entries in memory, and forgets those that are cleared or pruned. Thread-safe.

    Attributes:
        lock: Held by an engine while it links an entry to the trail's last and appends it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._trails: dict[Trail, deque[tuple[int, AuditEntry]]] = {}
        self._last: dict[Trail, AuditEntry] = {}
        self._appended = 0
        self._unordered: set[Trail] = set()
        """Trails with an entry that is older than one before it."""

    def append(self, entry: AuditEntry) -> None:
        """Keep an entry as it is."""
        with self.lock:
            self._appended += 1
            kept = self._trails.setdefault(entry.trail, deque())
            if kept and entry.ts < kept[-1][1].ts:
                self._unordered.add(entry.trail)
            kept.append((self._appended, entry))
            self._last[entry.trail] = entry

    def query(self, filter: QueryFilter) -> list[AuditEntry]:  # noqa: A002
        """Return the entries that fit, in the order in which they were appended."""
        with self.lock:
            if filter.trail is None:
                numbered = list(heapq.merge(*self._trails.values(), key=lambda item: item[0]))
            else:
                numbered = list(self._trails.get(filter.trail, ()))
        return filter.page(entry for _, entry in numbered if _fits(entry, filter))

    def count(self, trail: Trail) -> int:
        """Return how many entries of a trail are kept."""
        with self.lock:
            return len(self._trails.get(trail, ()))

    def last_entry(self, trail: Trail) -> AuditEntry | None:
        """Return a trail's newest entry, None where there is none."""
        with self.lock:
            kept = self._trails.get(trail)
            return kept[-1][1] if kept else None

    def newest(self, trail: Trail) -> AuditEntry | None:
        """Return a trail's newest entry, pruned or not: its chain goes on behind it."""
        return self._last.get(trail)

    def prune(self, trail: Trail, before_ts: float) -> int:
        """Forget the entries of a trail from before a time; return how many."""
        with self.lock:
            kept = self._trails.get(trail, deque())
            whole = len(kept)
            while kept and kept[0][1].ts < before_ts:  # an engine asks at each record
                kept.popleft()
            if trail in self._unordered:
                kept = self._trails[trail] = deque(item for item in kept if item[1].ts >= before_ts)
            return whole - len(kept)

    def clear(self, trail: Trail) -> None:
        """Forget a trail; its next entry is its first."""
        with self.lock:
            self._trails.pop(trail, None)
            self._last.pop(trail, None)

    def clear_all(self) -> None:
        """Forget everything."""
        with self.lock:
            self._trails.clear()
            self._last.clear()


class AsyncMemoryStore:
    """A `MemoryStore` for coroutines: nothing in it waits, so it serves any number of event loops.

    Attributes:
        memory: The store.
    """

    def __init__(self) -> None:
        self.memory = MemoryStore()

    async def append(self, entry: AuditEntry) -> None:
        """Keep an entry as it is."""
        self.memory.append(entry)

    async def query(self, filter: QueryFilter) -> list[AuditEntry]:  # noqa: A002
        """Return the entries that fit, in the order in which they were appended."""
        return self.memory.query(filter)

    async def count(self, trail: Trail) -> int:
        """Return how many entries of a trail are kept."""
        return self.memory.count(trail)

    async def last_entry(self, trail: Trail) -> AuditEntry | None:
        """Return a trail's newest entry, None where there is none."""
        return self.memory.last_entry(trail)

    async def prune(self, trail: Trail, before_ts: float) -> int:
        """Forget the entries of a trail from before a time; return how many."""
        return self.memory.prune(trail, before_ts)

    async def clear(self, trail: Trail) -> None:
        """Forget a trail; its next entry is its first."""
        self.memory.clear(trail)

    async def clear_all(self) -> None:
        """Forget everything."""
        self.memory.clear_all()


def _fits(entry: AuditEntry, wanted: QueryFilter) -> bool:
    return (
        (wanted.verdict is None or entry.verdict is wanted.verdict)
        and (wanted.min_severity is None or entry.severity.value >= wanted.min_severity.value)
        and (wanted.gate_type is None or entry.gate_type == wanted.gate_type)
        and (wanted.after_ts is None or entry.ts >= wanted.after_ts)
        and (wanted.before_ts is None or entry.ts <= wanted.before_ts)
    )
