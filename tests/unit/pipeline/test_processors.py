"""The processors that ``OTEL_AUDIT_PROCESSORS`` names."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor

from otel_audit import AuditConfigError, configure, get_audit_logger
from otel_audit.pipeline.processors import make_processors


def test_console(capfd: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``console`` prints each record to stderr, stamped, and nothing to stdout."""
    monkeypatch.setenv("OTEL_AUDIT_PROCESSORS", "console")
    with configure(tmp_path / "audit.jsonl"):
        receipt = get_audit_logger("a").emit("printed")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "printed" in captured.err
    assert receipt.hash in captured.err


@pytest.mark.parametrize(("protocol", "kind"), [("", "grpc"), ("grpc", "grpc"), ("http/protobuf", "http")])
def test_otlp(monkeypatch: pytest.MonkeyPatch, protocol: str, kind: str) -> None:
    """``otlp`` is a batch processor with the exporter that OpenTelemetry's own variable names."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    (processor,) = make_processors(["otlp"])
    assert isinstance(processor, BatchLogRecordProcessor)
    assert _is_of(processor, kind)
    processor.shutdown()


def test_logs_protocol_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable for logs goes before the general one."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf")
    (processor,) = make_processors(["otlp"])
    assert isinstance(processor, BatchLogRecordProcessor)
    assert _is_of(processor, "http")
    processor.shutdown()


def _is_of(processor: BatchLogRecordProcessor, kind: str) -> bool:
    exporter: Any = processor._batch_processor._exporter
    return any(f".proto.{kind}." in of.__module__ for of in type(exporter.exporter._exporter).__mro__)


def test_otlp_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc._log_exporter", None)
    with pytest.raises(AuditConfigError, match=r"pip install 'otel-audit\[otlp\]'"):
        make_processors(["otlp"])


def test_order() -> None:
    """They stand in the order of their names."""
    first, second = make_processors(["console", "otlp"])
    assert isinstance(first, SimpleLogRecordProcessor)
    assert isinstance(second, BatchLogRecordProcessor)
    second.shutdown()
