"""The exporter: OpenTelemetry log records into the log file."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from otel_audit import semconv
from otel_audit.environment import FileSettings, file_settings
from otel_audit.errors import AuditError, AuditRecordError
from otel_audit.ledger import Ledger, Ticket
from otel_audit.line import Draft, encode, encode_context
from otel_audit.value import clean_body

from .assemble import fit_severity_text
from .foreign import complete_attributes, complete_event_name, complete_time
from .log_record import AuditLogRecord
from .resource import LINE_RESOURCE_ATTRIBUTES, line_members, process_resource, resource_members, service_name

_logger = logging.getLogger(__name__)

_event_names: dict[str, bytes] = {}


class AuditFileLogExporter(LogRecordExporter):
    """Writes log records that carry ``audit.action`` to a hash-chained JSON Lines file.

    Behind this package's own provider each record is on disk before the action goes on. Behind
    a batch processor, as ``OTEL_LOGS_EXPORTER=audit_file`` puts it, that cannot be promised:
    the batch processor drops records when its queue is full, and loses what it holds when the
    process is killed (docs/opentelemetry.md).

    Thread-safe. Nothing is opened until `open` or the first record.

    Args:
        path: The log; else ``OTEL_AUDIT_FILE``. The other settings of the file likewise
            (docs/api.md, "Settings").
        resource_attributes: Names of the resource attributes that each line carries.

    Raises:
        AuditConfigError: A setting is wrong, or there is no path.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        integrity: str | None = None,
        durability: str | None = None,
        sync_interval_millis: int | None = None,
        hmac_key_file: str | os.PathLike[str] | None = None,
        max_segment_bytes: int | None = None,
        max_segment_age_seconds: int | None = None,
        lock_timeout_millis: int | None = None,
        file_mode: int | None = None,
        resource_attributes: Sequence[str] = LINE_RESOURCE_ATTRIBUTES,
    ) -> None:
        self.settings: Final[FileSettings] = file_settings(
            os.environ,
            path,
            integrity=integrity,
            durability=durability,
            sync_interval_millis=sync_interval_millis,
            hmac_key_file=hmac_key_file,
            max_segment_bytes=max_segment_bytes,
            max_segment_age_seconds=max_segment_age_seconds,
            lock_timeout_millis=lock_timeout_millis,
            file_mode=file_mode,
        )
        self._resource_attributes = tuple(resource_attributes)
        self._resource: Resource | None = None
        self._contexts: dict[tuple[int, str, str | None], tuple[Resource | None, bytes]] = {}
        self._reserved = False
        self.skipped = 0
        """Records without ``audit.action``, which were left out."""
        from otel_audit import __version__

        self.ledger = Ledger(self.settings, self._describe, __version__)

    def open(self, resource: Resource | None = None) -> None:
        """Open the log and write ``audit.log.opened``.

        Args:
            resource: Who writes; else that of the first record.

        Raises:
            AuditConfigError: The log that exists does not fit the settings, or is none.
            AuditWriteError: It cannot be opened, locked, written or synced.
        """
        if resource is not None:
            self._resource = resource
        self.ledger.open()

    def use_resource(self, resource: Resource) -> None:
        """Say who writes from now on: a forked child's resource has another pid."""
        self._resource = resource

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Append a batch; return once it is as durable as the setting promises.

        Never raises: FAILURE says that at least one record is not in the log, and the reason is
        logged.
        """
        if not self._reserved:  # failures are open here: a batch processor has no caller to tell
            self._reserved = True
            self.ledger.drops.reserve()
        drafts = []
        result = LogRecordExportResult.SUCCESS
        for record in batch:
            try:
                draft = self.draft(record)
            except AuditRecordError as error:
                _logger.error("an audit record breaks the schema and was not written: %s", error)
                result = LogRecordExportResult.FAILURE
                continue
            if draft is not None:
                drafts.append(draft)
        try:
            self.ledger.append_all(drafts)
        except AuditError as error:
            now_ns = time.time_ns()
            for _ in drafts:
                self.ledger.drops.add(now_ns, error)
            _logger.error("%d audit records were not written: %s", len(drafts), error)
            return LogRecordExportResult.FAILURE
        return result

    def append(self, draft: Draft) -> Ticket:
        """Append one entry; return once it is as durable as the setting promises.

        Raises:
            AuditWriteError: It is not.
        """
        return self.ledger.append(draft)

    async def aappend(self, draft: Draft) -> Ticket:
        """Append one entry without holding the event loop.

        Raises:
            AuditWriteError: It is not as durable as the setting promises.
        """
        return await self.ledger.aappend(draft)

    def draft(self, record: ReadWriteLogRecord | ReadableLogRecord) -> Draft | None:
        """Return the encoded entry of a log record, None where it is no audit record.

        Raises:
            AuditRecordError: The record breaks the schema.
        """
        log = record.log_record
        if isinstance(record, AuditLogRecord):
            return encode(
                encoded_event_name(log.event_name or ""),
                log.timestamp or 0,
                log.attributes,  # type: ignore[arg-type]
                record.after,
                log.trace_id or 0,
                log.span_id or 0,
                log.trace_flags or 0,
                log.body,
                log.severity_text,
                None if log.severity_number is None else log.severity_number.value,
            )
        if not log.attributes or semconv.AUDIT_ACTION not in log.attributes:
            self.skipped += 1
            return None
        return self._foreign(log, record)

    def encode_context(self, resource: Resource, name: str | None, version: str | None) -> bytes:
        """Return the encoded members ``resource`` and ``scope`` of a line."""
        members = line_members(resource_members(resource), self._resource_attributes)
        return encode_context(members, None if not name or name == "otel_audit" else (name, version))

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sync everything that was written; return whether it is on the device now."""
        return self.ledger.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Write ``audit.log.closed``, sync and close.

        Raises:
            AuditWriteError: The last entries could not be written or synced.
        """
        self.ledger.close()

    def _foreign(self, log: LogRecord, record: ReadWriteLogRecord | ReadableLogRecord) -> Draft:
        """Encode a record that another logger made: anything may stand in it, or be absent."""
        resource = record.resource
        if self._resource is None:
            self._resource = resource
        altered: list[str] = []
        body = clean_body(log.body, altered)
        severity_text = None if log.severity_text is None else fit_severity_text(log.severity_text, altered)
        attributes = complete_attributes(log, service_name(resource or Resource.get_empty()), altered)
        severity = log.severity_number
        number = getattr(severity, "value", severity)
        return encode(
            encoded_event_name(complete_event_name(log)),
            complete_time(log),
            attributes,
            self._context_of(record),
            severity_text=severity_text,
            severity_number=number if isinstance(number, int) and 1 <= number <= 24 else None,
            body=body,
            trace_id=log.trace_id or 0,
            span_id=log.span_id or 0,
            trace_flags=int(log.trace_flags or 0),
        )

    def _context_of(self, record: ReadWriteLogRecord | ReadableLogRecord) -> bytes:
        scope = record.instrumentation_scope
        name, version = (scope.name, scope.version) if scope is not None else ("", None)
        key = (id(record.resource), name, version)
        known = self._contexts.get(key)
        if known is None or known[0] is not record.resource:
            if len(self._contexts) > 256:
                self._contexts.clear()
            resource = process_resource(record.resource)
            known = self._contexts[key] = record.resource, self.encode_context(resource, name, version)
        return known[1]

    def _describe(self) -> tuple[str, Mapping[str, object], Mapping[str, object]]:
        self._contexts.clear()  # a forked child has another pid
        resource = process_resource(self._resource)
        members = resource_members(resource)
        return service_name(resource), members, line_members(members, self._resource_attributes)


def encoded_event_name(event_name: str) -> bytes:
    """Return the event name as JSON; programs use few, and often."""
    encoded = _event_names.get(event_name)
    if encoded is None:
        if len(_event_names) > 1024:
            _event_names.clear()
        encoded = _event_names[event_name] = orjson.dumps(event_name)
    return encoded
