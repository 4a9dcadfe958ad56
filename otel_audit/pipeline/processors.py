"""The processors that ``OTEL_AUDIT_PROCESSORS`` names."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, SimpleLogRecordProcessor

from otel_audit.environment import OTEL_AUDIT_PROCESSORS, ProcessorName

from .otlp import OtlpLogRecordProcessor
from .otlp_exporter import make_exporter


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
    return OtlpLogRecordProcessor(make_exporter(f"{OTEL_AUDIT_PROCESSORS}=otlp"))
