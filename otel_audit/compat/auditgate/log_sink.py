"""Decisions into the audit log, through its pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from otel_audit.pipeline.configuration import get_audit_logger, get_audit_provider
from otel_audit.pipeline.log_record import AuditLogRecord
from otel_audit.pipeline.logger import in_event_loop
from otel_audit.pipeline.provider import Channel
from otel_audit.semconv import (
    AUDIT_REASON,
    AUDIT_TARGET_ID,
    AUDIT_TARGET_TYPE,
    GATE_CLOCK_TIME,
    GATE_MONOTONIC_TIME,
    GATE_REASON,
)
from otel_audit.value import clean_text

from .call import Decided, GuardedCall
from .entry import AuditEntry, entry_of, time_ns_of, wall_text
from .frozen import freeze
from .log_record import clear_record, decision_record
from .policy import IntegrityMode, Trail


class LogSink:
    """Appends decisions to the audit log that is configured when they are made. Thread-safe.

    Args:
        clock: The program's own monotonic clock; None for the machine's.
        wall_clock: The program's own wall clock; None for the machine's.
        recorded_by: Who records.
    """

    def __init__(
        self, clock: Callable[[], float] | None, wall_clock: Callable[[], str] | None, recorded_by: str
    ) -> None:
        self.logger = get_audit_logger("otel_audit")
        self.now = clock or time.monotonic
        self.own_clock = clock is not None
        self._ts_name = GATE_CLOCK_TIME if self.own_clock else GATE_MONOTONIC_TIME
        self._wall_clock = wall_clock
        self._recorded_by = clean_text(recorded_by, "", [])

    def append(self, decided: Decided, integrity: IntegrityMode, call: GuardedCall | None = None) -> AuditEntry:
        """Append one decision; return its entry once it is as durable as the log's setting promises.

        Raises:
            AuditError: It is not in the log, breaks its schema, or no log is configured.
        """
        channel, record, members = self._draft(decided, integrity, call, False)
        self.logger.send(channel, record, "closed")
        return _entry(members, record, integrity)

    async def aappend(self, decided: Decided, integrity: IntegrityMode, call: GuardedCall | None = None) -> AuditEntry:
        """As `append`, without holding the event loop while the disk works."""
        channel, record, members = self._draft(decided, integrity, call, in_event_loop())
        await self.logger.asend(channel, record, "closed")
        return _entry(members, record, integrity)

    def take_over(self, entry: AuditEntry) -> None:
        """Append an entry that was made elsewhere, at its own time.

        Raises:
            AuditError: It is not in the log.
        """
        channel = self._channel()
        integrity = IntegrityMode.CHAIN if entry.prev_hash else IntegrityMode.HASH
        altered: list[str] = []
        _, stored = freeze(entry.detail, altered)
        decided: Decided = (
            entry.trail,
            entry.verdict,
            entry.severity,
            entry.gate_type,
            entry.gate_identity,
            entry.reason,
            None,
        )
        times = (self._ts_name, entry.ts, entry.wall_ts, time_ns_of(entry.wall_ts))
        record = decision_record(channel, decided, stored, altered, integrity, None, times, entry.recorded_by, False)
        self.logger.send(channel, record, "closed")

    def append_clear(self, trail: Trail | None, before_ts: float | None = None, entries: int | None = None) -> None:
        """Append the entry that hides others from queries.

        Args:
            trail: Whose; None for all.
            before_ts: Those from before; None for all.
            entries: How many they are, where that is known.

        Raises:
            AuditError: It is not in the log.
        """
        record = clear_record(self._channel(), trail, self._ts_name, self.now(), before_ts, entries)
        self.logger.send(self._channel(), record, "closed")

    def prune(self, trail: Trail, seconds: float) -> None:
        """Do nothing: a log keeps every line, and queries leave out what is too old."""

    async def aprune(self, trail: Trail, seconds: float) -> None:
        """As `prune`."""

    def lost(self, error: Exception) -> None:
        """Count a record that is not in the log, though the action may go on; the log declares it."""
        get_audit_provider().exporter.ledger.drops.add(time.time_ns(), error)

    def _draft(
        self, decided: Decided, integrity: IntegrityMode, call: GuardedCall | None, deferred: bool
    ) -> tuple[Channel, AuditLogRecord, dict[str, Any]]:
        """Return the way into the pipeline, the log record, and the members of the entry."""
        channel = self._channel()
        time_ns = time.time_ns()
        ts = self.now()
        altered: list[str] = []
        frozen, stored = freeze(decided[6], altered)
        own_wall_ts = None if self._wall_clock is None else clean_text(self._wall_clock(), "", [])
        times = (self._ts_name, ts, own_wall_ts, time_ns)
        record = decision_record(channel, decided, stored, altered, integrity, call, times, self._recorded_by, deferred)
        if call is not None and call.phase == "intent":
            call.intent_id = record.record_id  # before it is written: a cancelled wait may leave it in the log
        attributes: Any = record.log_record.attributes
        members = {
            "trail": decided[0],
            "ts": ts,
            "wall_ts": own_wall_ts or wall_text(time_ns),
            "verdict": decided[1],
            "severity": decided[2],
            "gate_type": attributes[AUDIT_TARGET_TYPE],  # as the line has them
            "gate_identity": attributes[AUDIT_TARGET_ID],
            "recorded_by": self._recorded_by,
            "reason": attributes.get(GATE_REASON) or attributes.get(AUDIT_REASON),
            "detail": frozen,
            "entry_hash": None,
            "prev_hash": None,
            "sequence": 0,
            "log_path": channel.provider.exporter.settings.path,
        }
        return channel, record, members

    def _channel(self) -> Channel:
        channel = self.logger.channel()
        assert channel is not None  # the logger is a required one
        return channel


def _entry(members: dict[str, Any], record: AuditLogRecord, integrity: IntegrityMode) -> AuditEntry:
    ticket = record.ticket
    assert ticket is not None
    members["sequence"] = ticket.seq
    if integrity is not IntegrityMode.NONE:
        members["entry_hash"] = ticket.hash or None  # empty where the log's own mode has none
        if integrity is IntegrityMode.CHAIN:
            members["prev_hash"] = ticket.prev_hash or None
    return entry_of(members)
