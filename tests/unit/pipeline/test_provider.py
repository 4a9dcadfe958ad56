"""`AuditProvider`: the pipeline over one exporter."""

from __future__ import annotations

import logging
import os
import pathlib
from typing import Any

import pytest
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.resources import Resource

from otel_audit import (
    AuditConfigError,
    AuditFileLogExporter,
    AuditProvider,
    AuditRecordError,
    AuditWriteError,
    acting_as,
    read_log,
    verify_log,
)


class Recording(LogRecordProcessor):
    """Notes what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_emit(self, log_record: Any) -> None:
        self.calls.append("on_emit")

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self.calls.append("force_flush")
        return True

    def shutdown(self) -> None:
        self.calls.append("shutdown")


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """Where the log is."""
    return str(tmp_path / "audit.jsonl")


def names(path: str) -> list[str]:
    """The event names of a log."""
    return [entry.event_name for entry in read_log(path)]


class TestLife:
    def test_opens_and_closes(self, path: str) -> None:
        """The log is opened with the provider and closed with its shutdown, once."""
        with AuditProvider(AuditFileLogExporter(path)) as provider:
            assert names(path) == ["audit.log.opened"]
            provider.get_audit_logger("a").emit("e")
        provider.shutdown()
        assert names(path) == ["audit.log.opened", "e", "audit.log.closed"]
        assert provider.is_shut_down
        assert verify_log(path).intact

    def test_processors(self, path: str) -> None:
        """The processors behind see records, flushes and the shutdown, once."""
        behind = Recording()
        with AuditProvider(AuditFileLogExporter(path), processors=[behind]) as provider:
            provider.get_audit_logger("a").emit("e")
            assert provider.force_flush()
        provider.shutdown()
        assert behind.calls == ["on_emit", "force_flush", "shutdown"]

    def test_emit_after_shutdown(self, path: str) -> None:
        """An emit after the shutdown fails."""
        provider = AuditProvider(AuditFileLogExporter(path))
        provider.shutdown()
        with pytest.raises(AuditWriteError, match="closed"):
            provider.get_audit_logger("a").emit("late")

    def test_loggers_share_a_channel(self, path: str) -> None:
        """Loggers of one scope have one way into the provider, others another."""
        with AuditProvider(AuditFileLogExporter(path)) as provider:
            assert provider.channel("a", None) is provider.channel("a", None)
            assert provider.channel("a", "1") is not provider.channel("a", None)


class TestFailure:
    @pytest.mark.parametrize("word", ["", "no", None])
    def test_unknown_word(self, path: str, word: Any) -> None:
        """A word for failures that is neither is refused before the log is opened."""
        with pytest.raises(AuditConfigError, match="on_failure: expected one of closed, open"):
            AuditProvider(AuditFileLogExporter(path), on_failure=word)
        assert not os.path.exists(path)

    def test_log_that_does_not_fit(self, path: str) -> None:
        """A log with other settings is refused, open or closed."""
        AuditProvider(AuditFileLogExporter(path)).shutdown()
        size = os.path.getsize(path)
        for word in ("closed", "open"):
            with pytest.raises(AuditConfigError):
                AuditProvider(AuditFileLogExporter(path, integrity="hash"), on_failure=word)
        assert os.path.getsize(path) == size

    def test_log_that_cannot_be_opened(self, path: str, caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
        """Closed, a provider without its log does not come to be; open, it counts what is lost, and says so."""
        real = os.open

        def refuse(name: Any, *args: Any, **kwargs: Any) -> int:
            if name == path:
                raise PermissionError(13, "Permission denied", path)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(AuditWriteError, match="Permission denied"):
            AuditProvider(AuditFileLogExporter(path))
        with caplog.at_level(logging.ERROR):
            provider = AuditProvider(AuditFileLogExporter(path), on_failure="open")
        assert "goes on without its log" in caplog.text
        audit = provider.get_audit_logger("a")
        assert not audit.emit("lost").recorded
        monkeypatch.undo()
        assert audit.emit("kept").recorded
        provider.shutdown()
        assert names(path) == ["audit.log.opened", "audit.log.dropped", "kept", "audit.log.closed"]


class TestActor:
    def test_required(self, path: str) -> None:
        """Where an actor is required, a record for which nobody said who acts is refused."""
        with AuditProvider(AuditFileLogExporter(path), require_actor=True) as provider:
            audit = provider.get_audit_logger("a")
            with pytest.raises(AuditRecordError, match="an actor is required"):
                audit.emit("e")
            with pytest.raises(AuditRecordError, match="an actor is required"):
                audit.start_action("e")
            with acting_as("alice"):
                audit.emit("one")
            audit.emit("two", actor="bob")
        assert names(path)[1:-1] == ["one", "two"]

    def test_unknown_service(self, path: str, caplog: pytest.LogCaptureFixture) -> None:
        """That the service that acts has no name is said once, not with each record."""
        with AuditProvider(AuditFileLogExporter(path), resource=Resource({})) as provider:
            audit = provider.get_audit_logger("a")
            audit.emit("e", actor="somebody")
            assert "unknown_service" not in caplog.text
            audit.emit("e")
            audit.emit("e")
        assert caplog.text.count("set OTEL_SERVICE_NAME") == 1
        assert list(read_log(path))[2].attributes["audit.actor.id"] == "unknown_service"


class TestFork:
    def test_child(self, path: str) -> None:
        """A forked child's lines tell its own process id, in the same chain."""
        with AuditProvider(AuditFileLogExporter(path)) as provider:
            audit = provider.get_audit_logger("a")
            audit.emit("parent")
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    audit.emit("child")
                    provider.shutdown()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0
            audit.emit("parent")
        entries = {entry.seq: entry for entry in read_log(path)}
        pids = {entry.event_name: entry.resource["process.pid"] for entry in entries.values()}
        assert (pids["parent"], pids["child"]) == (os.getpid(), child)
        assert [entry.event_name for entry in entries.values() if entry.resource["process.pid"] == child] == [
            "audit.log.opened",
            "child",
            "audit.log.closed",
        ]
        assert verify_log(path).intact
