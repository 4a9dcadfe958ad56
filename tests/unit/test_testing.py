"""`capture_audit`: what users test their own audited code with."""

from __future__ import annotations

import asyncio
import os

import pytest
from opentelemetry.sdk.resources import Resource

import otel_audit
from otel_audit import AuditConfigError, AuditWriteError, get_audit_logger, get_audit_provider, verify_log
from otel_audit.pipeline.configuration import set_audit_provider
from otel_audit.testing import capture_audit

audit = get_audit_logger(__name__)


def test_entries() -> None:
    """Entries are read from a real log, in its order, without the log's own."""
    with capture_audit() as log:
        audit.emit("first")
        audit.emit("second", attributes={"x": b"1"})
        assert [entry.event_name for entry in log.entries] == ["first", "second"]
        assert log.entries[1].value("x") == b"1"
        assert verify_log(log.path).intact


def test_restores() -> None:
    """Behind the block the provider before is the global one again, also after an error."""
    with capture_audit() as outer:
        with pytest.raises(KeyError), capture_audit() as inner:
            audit.emit("inner")
            raise KeyError
        audit.emit("outer")
        assert [entry.event_name for entry in outer.entries] == ["outer"]
        assert inner.provider.is_shut_down
        assert get_audit_provider() is outer.provider
    with pytest.raises(AuditConfigError):
        get_audit_provider()


def test_nothing_left() -> None:
    """The temporary folder is gone behind the block, and no variable was set."""
    before = dict(os.environ)
    with capture_audit() as log:
        assert os.path.exists(log.path)
    assert not os.path.exists(os.path.dirname(log.path))
    assert dict(os.environ) == before


def test_clear() -> None:
    """What was recorded so far is forgotten; the log itself keeps it."""
    with capture_audit() as log:
        audit.emit("first")
        log.clear()
        assert not [*log.entries]
        audit.emit("second")
        assert [entry.event_name for entry in log.entries] == ["second"]
        assert verify_log(log.path).entries >= 3


class TestFail:
    def test_closed(self) -> None:
        """As many appends fail as asked; then the log goes on."""
        with capture_audit() as log:
            cause = OSError(28, "No space left on device")
            log.fail(cause, times=2)
            for _ in range(2):
                with pytest.raises(AuditWriteError, match="No space left on device") as caught:
                    audit.emit("lost")
                assert caught.value.__cause__ is cause
            assert audit.emit("kept").recorded
            assert [entry.event_name for entry in log.entries] == ["kept"]

    def test_own_error(self) -> None:
        """An `AuditWriteError` is raised as it is."""
        error = AuditWriteError("mine")
        with capture_audit() as log:
            log.fail(error)
            with pytest.raises(AuditWriteError) as caught:
                audit.emit("lost")
            assert caught.value is error

    def test_open(self) -> None:
        """With failures open the receipt says that nothing was recorded, and the log counts it."""
        with capture_audit(on_failure="open") as log:
            log.fail(OSError("full"))
            receipt = audit.emit("lost")
            assert (receipt.recorded, receipt.seq, receipt.hash) == (False, 0, "")
            assert audit.emit("kept").recorded
            dropped = [entry for entry in otel_audit.read_log(log.path) if entry.event_name == "audit.log.dropped"]
            assert [entry.attributes["audit.dropped.count"] for entry in dropped] == [1]

    def test_async(self) -> None:
        """Appends of coroutines fail alike."""

        async def lose() -> None:
            with pytest.raises(AuditWriteError):
                await audit.aemit("lost")
            assert (await audit.aemit("kept")).recorded

        with capture_audit() as log:
            log.fail(OSError("full"))
            asyncio.run(lose())
            assert [entry.event_name for entry in log.entries] == ["kept"]


def test_settings() -> None:
    """Settings of file and provider are taken as `configure` takes them."""
    with capture_audit(integrity="none", resource=Resource({"service.name": "shop"}), require_actor=True) as log:
        with pytest.raises(otel_audit.AuditRecordError):
            audit.emit("nobody")
        audit.emit("somebody", actor="me")
        (entry,) = log.entries
        assert entry.hash is None
        assert entry.resource["service.name"] == "shop"


def test_wrong_setting() -> None:
    """A wrong setting is refused, and the provider before stays."""
    with capture_audit() as log:
        with pytest.raises(AuditConfigError), capture_audit(on_failure="nonsense"):
            pytest.fail("never entered")
        assert set_audit_provider(log.provider) is log.provider
