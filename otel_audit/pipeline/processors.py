"""The processors that ``OTEL_AUDIT_PROCESSORS`` names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter, SimpleLogRecordProcessor

from otel_audit.environment import OTEL_AUDIT_PROCESSORS, ProcessorName
from otel_audit.errors import AuditConfigError


def make_processors(names: Iterable[ProcessorName]) -> list[LogRecordProcessor]:
    """Return the processors of these names.

    ``otlp`` sends by OTLP, configured by OpenTelemetry's own ``OTEL_EXPORTER_OTLP_*`` variables;
    ``console`` prints to stderr.

    Raises:
        AuditConfigError: The extra ``otlp`` is not installed.
    """
    return [_otlp() if name == "otlp" else _console() for name in names]


def _console() -> LogRecordProcessor:
    return SimpleLogRecordProcessor(ConsoleLogRecordExporter(out=sys.stderr))


def _otlp() -> LogRecordProcessor:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    try:
        if protocol == "http/protobuf":
            from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter

            return BatchLogRecordProcessor(HttpLogExporter())
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter

        return BatchLogRecordProcessor(GrpcLogExporter())
    except ImportError as error:
        raise AuditConfigError(
            f"{OTEL_AUDIT_PROCESSORS}=otlp needs the OTLP exporter: pip install 'otel-audit[otlp]'"
        ) from error
