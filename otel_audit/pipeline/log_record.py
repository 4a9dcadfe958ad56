"""The OpenTelemetry log record of an audit entry."""

from __future__ import annotations

from typing import Final, cast

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordLimits, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import get_current_span
from opentelemetry.util.types import AnyValue

from otel_audit.ledger import Ticket
from otel_audit.line import Draft
from otel_audit.semconv import AUDIT_RECORD_ID

_UNREACHABLE: Final = 2**31 - 1
NO_LIMITS: Final = LogRecordLimits(
    max_attributes=_UNREACHABLE,
    max_attribute_length=_UNREACHABLE,
    max_log_record_attributes=_UNREACHABLE,
    max_log_record_attribute_length=_UNREACHABLE,
)
"""Nothing of an audit record is cut, whatever ``OTEL_*_LIMIT`` says for other records.

Numbers, because SDK 1.44 has no word for "none".
"""


class EventLogRecord(LogRecord):
    """The API's log record, whose own ``__init__`` looks its context up again and again."""

    def __init__(
        self,
        time_ns: int,
        context: Context,
        event_name: str,
        attributes: dict[str, object],
        body: object,
        severity_text: str | None,
        severity_number: SeverityNumber | None,
    ) -> None:
        span_context = get_current_span(context).get_span_context()
        self.timestamp = time_ns
        self.observed_timestamp = time_ns
        self.context = context
        self.trace_id = span_context.trace_id
        self.span_id = span_context.span_id
        self.trace_flags = span_context.trace_flags
        self.severity_text = severity_text
        self.severity_number = severity_number
        self.body = cast("AnyValue", body)
        self.attributes = cast("dict[str, AnyValue]", attributes)
        self.event_name = event_name
        self.exception = None


class AuditLogRecord(ReadWriteLogRecord):
    """A log record whose attributes are a plain dict, cleaned already.

    The SDK's own would copy them into a map that drops and cuts what its limits forbid, and
    costs more than the write to the file.

    Attributes:
        after: The encoded resource and scope.
        deferred: True: the processor only encodes; who emitted it appends and completes it.
        draft: The encoded entry, once the processor has seen it.
        ticket: Its place in the log, once it is there.
    """

    def __init__(
        self, log_record: LogRecord, resource: Resource, scope: InstrumentationScope, after: bytes, deferred: bool
    ) -> None:
        # not the dataclass's __init__: its __post_init__ is what this class does without
        self.log_record = log_record
        self.resource = resource
        self.instrumentation_scope = scope
        self.limits = NO_LIMITS
        self.after = after
        self.deferred = deferred
        self.draft: Draft | None = None
        self.ticket: Ticket | None = None

    @property
    def record_id(self) -> str:
        """``audit.record.id``."""
        return self.log_record.attributes[AUDIT_RECORD_ID]  # type: ignore[index, return-value]
