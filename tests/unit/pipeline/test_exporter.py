"""`AuditFileLogExporter`: behind any OpenTelemetry pipeline."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_audit import AuditConfigError, AuditFileLogExporter, AuditWriteError, read_log, verify_log
from otel_audit.pipeline.exporter import encoded_event_name
from tests.hostile import payloads

SCOPE = InstrumentationScope("theirs", "1")


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """Where the log is."""
    return str(tmp_path / "audit.jsonl")


def readable(event_name: str | None = "e", scope: Any = SCOPE, **members: Any) -> ReadableLogRecord:
    """Return a record as a processor hands it over."""
    attributes = {"audit.action": "READ", **members.pop("attributes", {})}
    return ReadableLogRecord(
        LogRecord(event_name=event_name, attributes=attributes, **members),
        resource=Resource({"service.name": "theirs"}),
        instrumentation_scope=scope,
    )


def entries(path: str) -> list[Any]:
    """The entries that are not the log's own."""
    return [entry for entry in read_log(path) if not entry.event_name.startswith("audit.log.")]


class TestExport:
    def test_batch(self, path: str) -> None:
        """A batch is written in its order; records that are no audit records are left out and counted."""
        exporter = AuditFileLogExporter(path)
        other = ReadableLogRecord(LogRecord(body="hello"), Resource({}), instrumentation_scope=SCOPE)
        batch = [readable("a"), other, readable("b"), other, readable("c")]
        assert exporter.export(batch) is LogRecordExportResult.SUCCESS
        assert exporter.skipped == 2
        exporter.shutdown()
        assert [entry.event_name for entry in entries(path)] == ["a", "b", "c"]
        assert verify_log(path).intact

    def test_empty(self, path: str) -> None:
        """A batch without audit records is no failure."""
        exporter = AuditFileLogExporter(path)
        assert exporter.export([]) is LogRecordExportResult.SUCCESS
        exporter.shutdown()

    def test_forged(self, path: str, caplog: pytest.LogCaptureFixture) -> None:
        """A record that would forge the log's own is refused and logged; those beside it are written."""
        exporter = AuditFileLogExporter(path)
        with caplog.at_level(logging.ERROR):
            result = exporter.export([readable("a"), readable("audit.log.closed"), readable("b")])
        assert result is LogRecordExportResult.FAILURE
        assert "breaks the schema" in caplog.text
        exporter.shutdown()
        assert [entry.event_name for entry in entries(path)] == ["a", "b"]

    def test_cannot_write(self, path: str, caplog: pytest.LogCaptureFixture) -> None:
        """A batch that cannot be written is a failure, never an exception; it is logged and counted."""
        exporter = AuditFileLogExporter(path)
        exporter.export([readable("a")])
        pathlib.Path(path).write_bytes(b"")
        with caplog.at_level(logging.ERROR):
            assert exporter.export([readable("b"), readable("c")]) is LogRecordExportResult.FAILURE
        assert "2 audit records were not written" in caplog.text
        assert exporter.ledger.drops.total == 2

    @pytest.mark.parametrize(
        "members",
        [
            {"timestamp": 10**40},
            {"timestamp": "now"},
            {"severity_text": "\ud800" * 100_000},
            {"severity_text": 5},
            {"severity_number": 99},
            {"severity_number": "high"},
            {"event_name": None},
            {"event_name": "\x01" * 5000},
            {"body": object()},
            {"scope": None},
            {"scope": InstrumentationScope("\ud800" * 2_000_000, "v" * 2_000_000)},
            {"scope": InstrumentationScope("", "")},
            {"attributes": {"audit.action": object()}},
            {"attributes": {"audit.actor.id": ["x"], "audit.record.id": ""}},
            {"attributes": {f"{n:0250}": "v" * 250 for n in range(5000)}},
            {"attributes": {"$bytes": float("nan"), "audit.altered": 1}},
        ],
        ids=lambda members: repr(members)[:40],
    )
    def test_nonsense(self, path: str, members: dict[str, Any]) -> None:
        """Whatever stands in a record that another logger made, its line is well formed."""
        exporter = AuditFileLogExporter(path)
        assert exporter.export([readable(**members)]) is LogRecordExportResult.SUCCESS
        exporter.shutdown()
        assert len(entries(path)) == 1
        assert verify_log(path).findings == ()

    def test_ids(self, path: str) -> None:
        """Ids that no span has are left out."""
        exporter = AuditFileLogExporter(path)
        for trace_id, span_id in ((2**200, 1), (1, 2**100), (0, 0), (None, None), (5, 6)):
            record = readable()
            record.log_record.trace_id, record.log_record.span_id = trace_id, span_id  # type: ignore[assignment]
            exporter.export([record])
        exporter.shutdown()
        assert [entry.span_id for entry in entries(path)] == [None, None, None, None, "6".rjust(16, "0")]

    def test_hostile_bodies(self, path: str) -> None:
        """Each hostile payload is stored as from this package's own logger."""
        exporter = AuditFileLogExporter(path)
        every = [payload for payload in payloads() if payload.stored is not None]
        assert exporter.export([readable(body=payload.given) for payload in every]) is LogRecordExportResult.SUCCESS
        exporter.shutdown()
        assert [entry.body for entry in entries(path)] == [payload.stored for payload in every]

    def test_severity(self, path: str) -> None:
        """A severity goes through as its number."""
        exporter = AuditFileLogExporter(path)
        exporter.export([readable(severity_number=SeverityNumber.WARN, severity_text="WARN")])
        exporter.shutdown()
        (entry,) = entries(path)
        assert (entry.severity_number, entry.severity_text) == (13, "WARN")

    def test_many_scopes_and_resources(self, path: str) -> None:
        """Each line has the resource and the scope of its own record, however many there are."""
        exporter = AuditFileLogExporter(path, durability="os")
        for number in range(600):
            record = ReadableLogRecord(
                LogRecord(event_name="e", attributes={"audit.action": "READ"}),
                resource=Resource({"service.name": f"s{number}"}),
                instrumentation_scope=InstrumentationScope(f"n{number}"),
            )
            exporter.export([record])
        exporter.shutdown()
        for number, entry in enumerate(entries(path)):
            assert (entry.resource["service.name"], entry.scope) == (f"s{number}", {"name": f"n{number}"})
            assert entry.attributes["audit.actor.id"] == f"s{number}"


class TestSettings:
    def test_no_path(self) -> None:
        """Without a path anywhere it does not come to be."""
        with pytest.raises(AuditConfigError, match="OTEL_AUDIT_FILE"):
            AuditFileLogExporter()

    def test_nothing_is_opened(self, path: str) -> None:
        """Nothing is opened before the first record."""
        exporter = AuditFileLogExporter(path)
        assert not os.path.exists(path)
        assert exporter.force_flush()
        exporter.shutdown()
        assert not os.path.exists(path)

    def test_after_shutdown(self, path: str) -> None:
        """After the shutdown nothing is written any more."""
        exporter = AuditFileLogExporter(path)
        exporter.export([readable("a")])
        exporter.shutdown()
        assert exporter.export([readable("b")]) is LogRecordExportResult.FAILURE
        with pytest.raises(AuditWriteError, match="closed"):
            exporter.open()

    def test_entry_point(self) -> None:
        """The exporter is found by the name ``audit_file``."""
        (point,) = importlib.metadata.entry_points(group="opentelemetry_logs_exporter", name="audit_file")
        assert point.load() is AuditFileLogExporter


@pytest.mark.parametrize("kind", [SimpleLogRecordProcessor, BatchLogRecordProcessor])
def test_behind_the_sdks_processors(path: str, kind: Any) -> None:
    """Behind the processors of the SDK it writes what they hand on."""
    provider = LoggerProvider(Resource({"service.name": "theirs"}), shutdown_on_exit=False)
    provider.add_log_record_processor(kind(AuditFileLogExporter(path)))
    for number in range(20):
        provider.get_logger("l").emit(event_name=f"e{number}", attributes={"audit.action": "READ"})
    provider.shutdown()
    assert [entry.event_name for entry in entries(path)] == [f"e{number}" for number in range(20)]
    assert verify_log(path).intact


def test_zero_code(path: str, tmp_path: pathlib.Path) -> None:
    """``opentelemetry-instrument`` with ``OTEL_LOGS_EXPORTER=audit_file`` writes a program's audit records."""
    program = tmp_path / "app.py"
    program.write_text(
        "from opentelemetry._logs import get_logger\n"
        "get_logger('app').emit(event_name='order.refund', body='b', attributes={'audit.action': 'WRITE', 'n': 1})\n"
        "get_logger('app').emit(body='no audit record')\n"
    )
    command = os.path.join(os.path.dirname(sys.executable), "opentelemetry-instrument")
    environment = {
        "PATH": os.environ["PATH"],
        "OTEL_LOGS_EXPORTER": "audit_file",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "zero",
        "OTEL_AUDIT_FILE": path,
    }
    done = subprocess.run(
        [command, sys.executable, str(program)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    entries = list(read_log(path))
    # one writer is the exporter, the other audits frameworks and functions (`zero_code`)
    own = [entry for entry in entries if entry.event_name.startswith("audit.log.")]
    assert sorted(entry.event_name for entry in own) == ["audit.log.closed"] * 2 + ["audit.log.opened"] * 2
    [entry] = [entry for entry in entries if entry not in own]
    assert (entry.event_name, entry.body, entry.attributes["n"]) == ("order.refund", "b", 1)
    assert entry.attributes["audit.actor.id"] == "zero"
    assert verify_log(path).intact


def test_event_names_are_encoded_right_however_many() -> None:
    """The cache of encoded names never gives one name for another."""
    names = [f'e"{number}' for number in range(3000)]
    assert [encoded_event_name(name) for name in (*names, *names)] == [
        f'"e\\"{number}"'.encode() for number in range(3000)
    ] * 2
