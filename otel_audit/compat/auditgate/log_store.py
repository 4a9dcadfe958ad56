"""The audit log, asked as a store is asked. It is read anew each time, and nothing in it is erased."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple

from otel_audit import semconv
from otel_audit.entry import Entry
from otel_audit.pipeline.configuration import get_audit_provider
from otel_audit.reader import read_log

from .entry import AuditEntry
from .log_entry import audit_entry, clock_of, trail_of, ts_of, zero_ns
from .log_sink import LogSink
from .policy import AuditPolicy, Trail
from .store import QueryFilter

_ONE_CLOCK_NS = 60_000_000_000
"""Clocks that stood at zero so close together are one: a boot takes longer."""


class _Found(NamedTuple):
    """An entry that fits, and the wall time of its ``ts`` (`clock_of`)."""

    entry: AuditEntry
    wall_time: str | None


class LogStore:
    """The `Store` of an engine that has no other: the audit log.

    Each question reads the log from its beginning, as it stands then, whoever wrote it; it does
    not verify it (`verify_chain` and ``otel-audit verify`` do). Nothing is erased: `clear` and
    `prune` append an entry (``gate.clear``) that hides what came before it from `query`, `count`
    and `last_entry`. Every line stays in the file, and ``otel-audit show`` shows it. Thread-safe.

    A ``ts`` from before this machine's last boot, or of another machine, is told from its wall
    time, so that "the last hour" means the last hour.

    Args:
        sink: Appends.
        policies: The trails' policies: entries older than ``retention_seconds`` are left out.
    """

    def __init__(self, sink: LogSink, policies: dict[Trail, AuditPolicy]) -> None:
        self._sink = sink
        self._policies = policies

    @property
    def path(self) -> str:
        """The log that is configured.

        Raises:
            AuditConfigError: None is.
        """
        return get_audit_provider().exporter.settings.path

    def append(self, entry: AuditEntry) -> None:
        """Append an entry that was made elsewhere, as durable on return as the log's setting promises.

        It gets a place and hashes of the log's; those that it had elsewhere are not kept.

        Raises:
            AuditError: It is not in the log.
        """
        self._sink.take_over(entry)

    def query(self, filter: QueryFilter) -> list[AuditEntry]:  # noqa: A002 - AuditGate's name
        """Return the entries that fit, in the log's order.

        Raises:
            AuditError: No log is configured, or it cannot be read.
        """
        return filter.page(iter(self._find(filter)))

    def count(self, trail: Trail) -> int:
        """Return how many entries of a trail are not hidden."""
        return len(self._find(QueryFilter(trail=trail)))

    def last_entry(self, trail: Trail) -> AuditEntry | None:
        """Return a trail's newest entry that is not hidden, None where there is none."""
        found = self._find(QueryFilter(trail=trail))
        return found[-1] if found else None

    def prune(self, trail: Trail, before_ts: float) -> int:
        """Hide the entries of a trail from before a time; return how many.

        Raises:
            AuditError: The entry that hides them is not in the log.
        """
        zero = self._zero()
        older = sum(_ts(found, zero) < before_ts for found in self._read(QueryFilter(trail=trail)))
        if older:
            self._sink.append_clear(trail, before_ts, older)
        return older

    def clear(self, trail: Trail) -> None:
        """Hide the entries that a trail has so far.

        Raises:
            AuditError: The entry that hides them is not in the log.
        """
        self._sink.append_clear(trail)

    def clear_all(self) -> None:
        """Hide the entries that all trails have so far.

        Raises:
            AuditError: The entry that hides them is not in the log.
        """
        self._sink.append_clear(None)

    def _find(self, wanted: QueryFilter) -> list[AuditEntry]:
        zero, now = self._zero(), self._sink.now()
        oldest = {
            trail: now - policy.retention_seconds
            for trail, policy in list(self._policies.items())
            if policy.retention_seconds is not None
        }
        if not oldest and wanted.after_ts is None and wanted.before_ts is None:
            return [found.entry for found in self._read(wanted)]
        entries = []
        for found in self._read(wanted):
            ts = _ts(found, zero)
            if (
                (wanted.after_ts is None or ts >= wanted.after_ts)
                and (wanted.before_ts is None or ts <= wanted.before_ts)
                and ts >= oldest.get(found.entry.trail, ts)
            ):
                entries.append(found.entry)
        return entries

    def _read(self, wanted: QueryFilter) -> list[_Found]:
        """Return the entries that fit but for their time, without those that are hidden."""
        path = self.path
        kept: list[_Found] = []
        for entry in read_log(path):
            if entry.event_name == semconv.EVENT_GATE_DECISION:
                if _may_fit(entry, wanted):
                    found = _Found(audit_entry(entry, path), clock_of(entry))
                    if _fits(found.entry, wanted):
                        kept.append(found)
            elif entry.event_name == semconv.EVENT_GATE_CLEAR:
                kept = list(_left_by(entry, kept))
            elif entry.event_name == semconv.LOG_VOIDED:
                first, last = (entry.attributes.get(n) for n in (semconv.AUDIT_VOIDED_FIRST, semconv.AUDIT_VOIDED_LAST))
                if isinstance(first, int) and isinstance(last, int):
                    kept = [found for found in kept if not first <= found.entry.sequence <= last]
        return kept

    def _zero(self) -> int | None:
        """Return when the engine's clock stood at zero; None for one of the program's own."""
        return None if self._sink.own_clock else time.time_ns() - int(self._sink.now() * 1e9)


class AsyncLogStore:
    """A `LogStore` for coroutines: each question is answered in a thread."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    async def append(self, entry: AuditEntry) -> None:
        """See `LogStore.append`."""
        await asyncio.to_thread(self._store.append, entry)

    async def query(self, filter: QueryFilter) -> list[AuditEntry]:  # noqa: A002
        """See `LogStore.query`."""
        return await asyncio.to_thread(self._store.query, filter)

    async def count(self, trail: Trail) -> int:
        """See `LogStore.count`."""
        return await asyncio.to_thread(self._store.count, trail)

    async def last_entry(self, trail: Trail) -> AuditEntry | None:
        """See `LogStore.last_entry`."""
        return await asyncio.to_thread(self._store.last_entry, trail)

    async def prune(self, trail: Trail, before_ts: float) -> int:
        """See `LogStore.prune`."""
        return await asyncio.to_thread(self._store.prune, trail, before_ts)

    async def clear(self, trail: Trail) -> None:
        """See `LogStore.clear`."""
        await asyncio.to_thread(self._store.clear, trail)

    async def clear_all(self) -> None:
        """See `LogStore.clear_all`."""
        await asyncio.to_thread(self._store.clear_all)


def _may_fit(entry: Entry, wanted: QueryFilter) -> bool:
    """Look at what is cheap to look at: a log holds more than one asks for."""
    attributes = entry.attributes
    return (wanted.trail is None or attributes.get(semconv.AUDIT_TRAIL) == str(wanted.trail)) and (
        wanted.verdict is None or attributes.get(semconv.AUDIT_DECISION) == wanted.verdict.word
    )


def _fits(entry: AuditEntry, wanted: QueryFilter) -> bool:
    return (
        (wanted.trail is None or entry.trail == wanted.trail)
        and (wanted.min_severity is None or entry.severity.value >= wanted.min_severity.value)
        and (wanted.gate_type is None or entry.gate_type == wanted.gate_type)
    )


def _left_by(clear: Entry, kept: list[_Found]) -> Iterator[_Found]:
    """Yield what an entry that hides others leaves in sight."""
    trail = trail_of(clear.attributes) if semconv.AUDIT_TRAIL in clear.attributes else None
    before = clear.attributes.get(semconv.GATE_CLEAR_BEFORE)
    zero = zero_ns(ts_of(clear), clock_of(clear))
    for found in kept:
        if (trail is not None and found.entry.trail != trail) or (
            isinstance(before, int | float) and _ts(found, zero) >= before
        ):
            yield found


def _ts(found: _Found, zero: int | None) -> float:
    """Return an entry's ``ts`` as another clock would have read, which stood at zero at ``zero`` ns since 1970."""
    ts = found.entry.ts
    its_zero = None if zero is None else zero_ns(ts, found.wall_time)
    if zero is None or its_zero is None or abs(its_zero - zero) < _ONE_CLOCK_NS:
        return ts
    return ts + (its_zero - zero) / 1e9
