"""`AuditLogRecordProcessor`: in this package's provider, and in a team's own."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import (
    AuditFileLogExporter,
    AuditLogRecordProcessor,
    AuditRecordError,
    AuditWriteError,
    get_audit_logger,
    read_log,
    verify_log,
)
from otel_audit.testing import capture_audit

STAMPS = {"audit.sequence.number", "audit.sequence.prev_hash", "audit.stream.id", "audit.integrity.hash"}


class Raising(LogRecordProcessor):
    """A processor in which everything fails."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        raise RuntimeError("on_emit failed")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        raise RuntimeError("force_flush failed")

    def shutdown(self) -> None:
        raise RuntimeError("shutdown failed")


class Vandal(LogRecordProcessor):
    """A processor that changes what it is given."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        log_record.log_record.attributes.clear()  # type: ignore[union-attr]
        log_record.log_record.event_name = "other"

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return False

    def shutdown(self) -> None:
        pass


class TestBehind:
    def test_one_that_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        """A processor that raises reaches neither the caller nor the others; it is logged and counted."""
        memory = InMemoryLogRecordExporter()
        with capture_audit(processors=[Raising(), SimpleLogRecordProcessor(memory)]) as log:
            assert get_audit_logger("a").emit("e").recorded
            assert len(log.entries) == 1
            assert log.provider.processor.failures == 1
            assert not log.provider.force_flush()
        assert len(memory.get_finished_logs()) == 1
        assert "the audit entry is in the log" in caplog.text
        assert "could not be shut down" in caplog.text

    def test_one_that_changes_the_record(self) -> None:
        """What a processor does to the record changes neither file nor receipt."""
        with capture_audit(processors=[Vandal()]) as log:
            receipt = get_audit_logger("a").emit("e", attributes={"x": 1})
            (entry,) = log.entries
            assert (entry.event_name, entry.attributes["x"]) == ("e", 1)
            assert receipt.record_id == entry.attributes["audit.record.id"]
            assert verify_log(log.path).intact
            assert not log.provider.force_flush()

    def test_only_what_is_recorded(self) -> None:
        """A record that is not in the log goes no further."""
        memory = InMemoryLogRecordExporter()
        with capture_audit(processors=[SimpleLogRecordProcessor(memory)], on_failure="open") as log:
            log.fail(OSError("full"))
            get_audit_logger("a").emit("lost")
        assert memory.get_finished_logs() == ()


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """Where the log is."""
    return str(tmp_path / "audit.jsonl")


@pytest.fixture
def team(path: str) -> Iterator[tuple[Any, InMemoryLogRecordExporter]]:
    """A team's own provider, with the audit processor first, and what comes out behind it."""
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(Resource({"service.name": "team"}), shutdown_on_exit=False)
    provider.add_log_record_processor(AuditLogRecordProcessor(AuditFileLogExporter(path)))
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    yield provider, memory
    provider.shutdown()


def entries(path: str) -> list[Any]:
    """The entries that are not the log's own."""
    return [entry for entry in read_log(path) if not entry.event_name.startswith("audit.log.")]


class TestTeam:
    def test_written_and_stamped(self, team: Any, path: str) -> None:
        """An audit record of a team's logger is in the file, and stamped for the processors behind."""
        provider, memory = team
        with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
            provider.get_logger("theirs", "2").emit(
                event_name="order.refund",
                body={"a": [1]},
                severity_text="INFO",
                attributes={"audit.action": "WRITE", "audit.actor.id": "alice", "audit.actor.type": "user", "n": 5},
            )
        (entry,) = entries(path)
        (copy,) = memory.get_finished_logs()
        assert entry.event_name == "order.refund"
        assert (entry.body, entry.severity_text) == ({"a": [1]}, "INFO")
        assert entry.span_id == f"{span.get_span_context().span_id:016x}"
        assert entry.scope == {"name": "theirs", "version": "2"}
        assert entry.resource["service.name"] == "team"
        assert entry.attributes["audit.actor.id"] == "alice"
        assert entry.attributes["n"] == 5
        assert {name: copy.log_record.attributes[name] for name in STAMPS} == {
            "audit.sequence.number": entry.seq,
            "audit.sequence.prev_hash": entry.prev_hash,
            "audit.stream.id": next(iter(read_log(path))).attributes["audit.stream.id"],
            "audit.integrity.hash": entry.hash,
        }

    def test_others_pass(self, team: Any, path: str) -> None:
        """Records without ``audit.action`` are left out of the log, counted, and passed on unstamped."""
        provider, memory = team
        provider.get_logger("theirs").emit(body="hello", attributes={"x": 1})
        (copy,) = memory.get_finished_logs()
        assert not STAMPS & set(copy.log_record.attributes)
        assert not pathlib.Path(path).exists() or entries(path) == []

    def test_closed(self, team: Any, path: str, tmp_path: pathlib.Path) -> None:
        """What cannot be written raises out of the team's ``Logger.emit``, and goes no further."""
        provider, memory = team
        provider.get_logger("theirs").emit(event_name="first", attributes={"audit.action": "READ"})
        pathlib.Path(path).write_text("")
        with pytest.raises(AuditWriteError):
            provider.get_logger("theirs").emit(event_name="second", attributes={"audit.action": "READ"})
        assert [copy.log_record.event_name for copy in memory.get_finished_logs()] == ["first"]

    def test_forged(self, team: Any, path: str) -> None:
        """A team's logger cannot write the log's own entries either."""
        provider, memory = team
        with pytest.raises(AuditRecordError, match="the log's own"):
            provider.get_logger("theirs").emit(event_name="audit.log.closed", attributes={"audit.action": "EXECUTE"})
        assert memory.get_finished_logs() == ()

    def test_both_providers_on_one_log(self, team: Any, path: str) -> None:
        """A team's provider and this package's own can write one log: one chain."""
        provider, _ = team
        from otel_audit import configure

        with configure(path) as own:
            for _ in range(3):
                provider.get_logger("theirs").emit(event_name="theirs", attributes={"audit.action": "READ"})
                own.get_audit_logger("ours").emit("ours")
        assert [entry.event_name for entry in entries(path)] == ["theirs", "ours"] * 3
        assert verify_log(path).intact


class TestShutdown:
    def test_error_is_logged(self, path: str, caplog: pytest.LogCaptureFixture) -> None:
        """An error on closing the log is logged, so that the processors behind are shut down too."""
        memory = InMemoryLogRecordExporter()
        exporter = AuditFileLogExporter(path)
        exporter.open()
        processor = AuditLogRecordProcessor(exporter, [SimpleLogRecordProcessor(memory)])
        pathlib.Path(path).unlink()
        with caplog.at_level(logging.ERROR):
            processor.shutdown()
        assert "the audit log could not be closed" in caplog.text
        assert memory._stopped
