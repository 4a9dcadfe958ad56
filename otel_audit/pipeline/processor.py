"""The processor: a record is in the log before anybody behind it sees it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from otel_audit import semconv
from otel_audit.errors import AuditError
from otel_audit.ledger import Ticket

from .exporter import AuditFileLogExporter
from .log_record import AuditLogRecord
from .shallow import make_shallow, may_be_deep

_logger = logging.getLogger(__name__)


class AuditLogRecordProcessor(LogRecordProcessor):
    """Has each audit record written, stamps its place in the chain on it, and passes it on.

    In a team's own `LoggerProvider` it must come first: an error raised from `on_emit` reaches
    the caller of ``Logger.emit``, and keeps the record from the processors behind. Records
    without ``audit.action`` are left out of the log.

    Args:
        exporter: Of the log.
        processors: Ordinary processors that see each audit record once it is as durable as the
            setting promises; an exception in one is logged, counted, and reaches nobody.
    """

    def __init__(self, exporter: AuditFileLogExporter, processors: Sequence[LogRecordProcessor] = ()) -> None:
        self._exporter = exporter
        self._processors = tuple(processors)
        self.passes_on = bool(self._processors)
        """Whether anybody sees a record behind this."""
        self.failures = 0
        """Exceptions that processors behind this one raised."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Return once the record's entry is as durable as the setting promises.

        Raises:
            AuditWriteError: It is not; the record goes no further.
            AuditRecordError: The record breaks the schema.
        """
        draft = self._exporter.draft(log_record)
        if draft is None:
            return
        if isinstance(log_record, AuditLogRecord) and log_record.deferred:
            log_record.draft = draft
            return
        self.complete(log_record, self._exporter.append(draft))

    def complete(self, log_record: ReadWriteLogRecord, ticket: Ticket) -> None:
        """Stamp a record that is in the log, and pass it on."""
        log = log_record.log_record
        attributes = log.attributes
        log.observed_timestamp = ticket.observed_ns
        attributes[semconv.AUDIT_SEQUENCE_NUMBER] = ticket.seq  # type: ignore[index]
        attributes[semconv.AUDIT_STREAM_ID] = ticket.stream_id  # type: ignore[index]
        if ticket.hash:
            attributes[semconv.AUDIT_INTEGRITY_HASH] = ticket.hash  # type: ignore[index]
            if ticket.prev_hash:
                attributes[semconv.AUDIT_SEQUENCE_PREV_HASH] = ticket.prev_hash  # type: ignore[index]
        if isinstance(log_record, AuditLogRecord):
            log_record.ticket = ticket
        if self._processors and isinstance(log_record, AuditLogRecord) and may_be_deep(ticket.draft):
            make_shallow(log)
        for processor in self._processors:
            try:
                processor.on_emit(log_record)
            except Exception:
                self.failures += 1
                _logger.exception("a log record processor failed; the audit entry is in the log")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sync the log, then flush the processors behind; return whether all of them did."""
        flushed = self._exporter.force_flush(timeout_millis)
        for processor in self._processors:
            try:
                flushed = processor.force_flush(timeout_millis) is not False and flushed
            except Exception:
                flushed = False
                _logger.exception("a log record processor could not be flushed")
        return flushed

    def shutdown(self) -> None:
        """Close the log, then shut down the processors behind.

        An error is logged, not raised: it would keep other processors from shutting down.
        """
        try:
            self._exporter.shutdown()
        except AuditError as error:
            _logger.error("the audit log could not be closed: %s", error)
        for processor in self._processors:
            try:
                processor.shutdown()
            except Exception:
                _logger.exception("a log record processor could not be shut down")
