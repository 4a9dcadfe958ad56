"""OpenTelemetry's OTLP exporters, and what their endpoint answers.

The exporters look at the status alone. An endpoint can take a request and refuse records of it
(``partial_success`` of the OTLP specification), and something that is no OTLP endpoint at all can
answer 200: both count as not taken here.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from typing import Any, Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from otel_audit.errors import AuditConfigError

_log = logging.getLogger(__name__)

_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def make_exporter(asked_by: str, *, timeout_seconds: float | None = None) -> LogRecordExporter:
    """Return the exporter that the protocol variables name: gRPC, or HTTP with protobuf.

    Args:
        asked_by: The setting or command that needs it, for the error.
        timeout_seconds: Of one export, with all attempts; None leaves it to its variables.

    Raises:
        AuditConfigError: The extra ``otlp`` is not installed, or there is no such protocol.
    """
    variable = next((name for name in _PROTOCOLS if os.environ.get(name)), _PROTOCOLS[-1])
    protocol = os.environ.get(variable) or "grpc"
    if protocol not in ("grpc", "http/protobuf"):
        raise AuditConfigError(f"{variable}: expected grpc or http/protobuf, got {protocol!r}")
    answers = _Answers()
    try:
        exporter = _http(answers, timeout_seconds) if protocol != "grpc" else _grpc(answers, timeout_seconds)
    except ImportError as error:
        raise AuditConfigError(f"{asked_by} needs the OTLP exporter: pip install 'otel-audit[otlp]'") from error
    return _HeedingExporter(exporter, answers)


class _Answers:
    """What the endpoint said of the latest batch, where it did not take all of it."""

    def __init__(self) -> None:
        self.refusal: str | None = None

    def heed(self, answer: Any) -> None:
        """Take an ``ExportLogsServiceResponse``."""
        partial = answer.partial_success
        if partial.rejected_log_records > 0:
            self.refusal = f"{partial.rejected_log_records} records rejected: {partial.error_message[:500]!r}"

    def heed_http(self, response: Any, *_args: Any, **_kwargs: Any) -> None:
        """Take an HTTP response; a hook of `requests.Session`."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if 300 <= response.status_code < 400:
            self.refusal = f"a redirection ({response.status_code})"
        elif response.status_code >= 300 or not response.content:
            return
        elif kind == "application/x-protobuf":
            self._heed_protobuf(response.content)
        elif kind == "application/json":
            self._heed_json(response.content)
        else:
            self.refusal = f"an answer of type {kind!r}, which is no OTLP"

    def _heed_protobuf(self, content: bytes) -> None:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

        try:
            self.heed(ExportLogsServiceResponse.FromString(content))
        except DecodeError:
            self.refusal = "an answer that is no OTLP"

    def _heed_json(self, content: bytes) -> None:
        try:
            partial = json.loads(content).get("partialSuccess") or {}
            rejected = int(partial.get("rejectedLogRecords") or 0)
        except (ValueError, TypeError, AttributeError, RecursionError):
            self.refusal = "an answer that is no OTLP"
        else:
            if rejected > 0:
                self.refusal = f"{rejected} records rejected: {str(partial.get('errorMessage'))[:500]!r}"


class _HeedingExporter(LogRecordExporter):
    """Fails where the endpoint refused a part of a batch. For one thread at a time, as the SDK uses it."""

    def __init__(self, exporter: LogRecordExporter, answers: _Answers) -> None:
        self._exporter = exporter
        self._answers = answers

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self._answers.refusal = None
        result = self._exporter.export(batch)
        if result is LogRecordExportResult.SUCCESS and self._answers.refusal is not None:
            _log.error("the OTLP endpoint did not take a batch: %s", self._answers.refusal)
            return LogRecordExportResult.FAILURE
        return result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _http(answers: _Answers, timeout_seconds: float | None) -> LogRecordExporter:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    if any("HTTP" in name and name.endswith("CREDENTIAL_PROVIDER") for name in os.environ):
        return OTLPLogExporter(timeout=timeout_seconds)  # it makes the session itself
    import requests

    session = requests.Session()
    session.hooks["response"].append(answers.heed_http)
    return OTLPLogExporter(timeout=timeout_seconds, session=session)


def _grpc(answers: _Answers, timeout_seconds: float | None) -> LogRecordExporter:
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    class Heeding(OTLPLogExporter):
        """Its stub is made anew when a connection breaks."""

        def _initialize_channel_and_stub(self) -> None:
            super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]
            if self._client is not None:
                self._client = _Stub(self._client, answers)

    return Heeding(timeout=timeout_seconds)


class _Stub:
    """A stub whose answers are heeded; its method has the name that gRPC gives it."""

    def __init__(self, stub: Any, answers: _Answers) -> None:
        self._stub = stub
        self._answers = answers

    def Export(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
        answer = self._stub.Export(*args, **kwargs)
        self._answers.heed(answer)
        return answer
