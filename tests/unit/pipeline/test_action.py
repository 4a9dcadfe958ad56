"""`AuditAction`: intent before, outcome after, once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_audit import AuditConfigError, AuditRecordError, AuditWriteError, acting_as, get_audit_logger, read_log
from otel_audit.entry import Entry
from otel_audit.ledger import files
from otel_audit.pipeline.action import error_type_of
from otel_audit.record import Target
from otel_audit.testing import CapturedAudit, capture_audit
from tests.hostile import FailingMapping

audit = get_audit_logger("shop")
FULL = OSError(28, "No space left on device")


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log of its own for each test."""
    with capture_audit() as captured:
        yield captured


def told(entry: Entry) -> tuple[Any, Any, Any]:
    """Return phase, outcome and type of error."""
    attributes = entry.attributes
    return attributes.get("audit.phase"), attributes["audit.outcome"], attributes.get("error.type")


INTENT = ("intent", "unknown", None)
SUCCESS = ("outcome", "success", None)


class OwnError(Exception):
    """An exception of a module."""


class TestPhases:
    def test_both(self, log: CapturedAudit) -> None:
        """The intent is in the log before the body runs, the outcome names it and how long it took."""
        with audit.start_action("e", target=Target("t", "tool"), attributes={"x": 1}) as action:
            (intent,) = log.entries
        _, outcome = log.entries
        assert [told(intent), told(outcome)] == [INTENT, SUCCESS]
        assert action.intent is not None
        assert action.intent.hash == intent.hash
        assert outcome.attributes["audit.intent.id"] == intent.attributes["audit.record.id"]
        assert outcome.attributes["audit.record.id"] != intent.attributes["audit.record.id"]
        assert isinstance(outcome.attributes["audit.duration"], float)
        assert "audit.duration" not in intent.attributes
        for entry in (intent, outcome):
            assert (entry.attributes["audit.target.id"], entry.attributes["x"]) == ("t", 1)

    def test_outcome_only(self, log: CapturedAudit) -> None:
        """One entry, without an intent, with the arguments."""
        action = audit.start_action("e", phases="outcome", arguments={"a": 1})
        assert (action.intent, log.entries) == (None, ())
        receipt = action.end()
        (entry,) = log.entries
        assert told(entry) == SUCCESS
        assert entry.hash == receipt.hash
        assert entry.attributes["audit.arguments"] == {"a": 1}
        assert "audit.intent.id" not in entry.attributes

    def test_intent_only(self, log: CapturedAudit) -> None:
        """One entry; ending the action writes nothing and returns its receipt."""
        action = audit.start_action("e", phases="intent", arguments={"a": 1})
        assert action.end() == action.intent
        (entry,) = log.entries
        assert told(entry) == INTENT
        assert entry.attributes["audit.arguments"] == {"a": 1}

    def test_arguments_once(self, log: CapturedAudit) -> None:
        """Arguments stand in the intent, the result in the outcome, neither twice."""
        with audit.start_action("e", arguments={"a": 1}) as action:
            action.set_result([2])
        intent, outcome = log.entries
        assert (intent.attributes["audit.arguments"], outcome.attributes["audit.result"]) == ({"a": 1}, [2])
        assert "audit.arguments" not in outcome.attributes
        assert "audit.result" not in intent.attributes

    @pytest.mark.parametrize("phases", ["", "all", None])
    def test_unknown(self, log: CapturedAudit, phases: Any) -> None:
        """An unknown word for the phases is refused before anything is written."""
        with pytest.raises(AuditConfigError, match="phases: expected one of both, intent, outcome, got"):
            audit.start_action("e", phases=phases)
        assert log.entries == ()

    def test_refused(self, log: CapturedAudit) -> None:
        """An intent that breaks the schema is refused: the action does not begin."""
        with pytest.raises(AuditRecordError):
            audit.start_action("audit.log.opened")
        assert log.entries == ()


class TestEnd:
    def test_once(self, log: CapturedAudit) -> None:
        """Ending twice writes one outcome; both return its receipt."""
        with audit.start_action("e") as action:
            receipt = action.end()
            assert action.end() is receipt
        assert len(log.entries) == 2

    async def test_once_in_a_coroutine(self, log: CapturedAudit) -> None:
        """The same holds for both ways to end."""
        async with await audit.astart_action("e") as action:
            receipt = await action.aend()
            assert await action.aend() is receipt
            assert action.end() is receipt
        assert [told(entry) for entry in log.entries] == [INTENT, SUCCESS]

    def test_attributes(self, log: CapturedAudit) -> None:
        """Attributes set under way stand in the outcome only, and the caller's map is left alone."""
        given = {"x": 1}
        with audit.start_action("e", attributes=given) as action:
            action.set_attribute("y", 2)
            action.set_attribute("audit.outcome", "forged")
        intent, outcome = log.entries
        assert given == {"x": 1}
        assert "y" not in intent.attributes
        assert (outcome.attributes["x"], outcome.attributes["y"]) == (1, 2)
        assert (outcome.attributes["given.audit.outcome"], outcome.attributes["audit.outcome"]) == ("forged", "success")

    @pytest.mark.parametrize("given", [[1, 2], 5, FailingMapping({"a": 1})])
    def test_attributes_that_are_none(self, log: CapturedAudit, given: Any) -> None:
        """Attributes that are no mapping are kept as their text, in both entries, also when more are set."""
        with audit.start_action("e", attributes=given) as action:
            action.set_attribute("y", 2)
        for entry in log.entries:
            assert entry.attributes["given.attributes"] == repr(given)
            assert entry.attributes["audit.altered"] == ["/attributes/given.attributes"]
        assert log.entries[1].attributes["y"] == 2

    def test_set_outcome(self, log: CapturedAudit) -> None:
        """An outcome that was set stands, with its reason and type of error."""
        with audit.start_action("e") as action:
            action.set_outcome("failure", error_type="timeout", reason="too slow")
        outcome = log.entries[1]
        assert told(outcome) == ("outcome", "failure", "timeout")
        assert outcome.attributes["audit.reason"] == "too slow"

    @pytest.mark.parametrize(
        "said",
        [
            {"outcome": "maybe"},
            {"outcome": "failure", "reason": "x" * 8193},
            {"outcome": "failure", "error_type": "x" * 8193},
        ],
    )
    def test_set_outcome_refused(self, log: CapturedAudit, said: dict[str, Any]) -> None:
        """What the schema refuses is refused where it is said, and the action still has its outcome."""
        with audit.start_action("e") as action, pytest.raises(AuditRecordError):
            action.set_outcome(**said)
        assert [told(entry) for entry in log.entries] == [INTENT, SUCCESS]

    def test_altered(self, log: CapturedAudit) -> None:
        """Parts that the caller could not obtain are listed in both entries."""
        audit.start_action("e", altered=["/attributes/audit.target.id"]).end()
        for entry in log.entries:
            assert entry.attributes["audit.altered"] == ["/attributes/audit.target.id"]


class TestException:
    @pytest.mark.parametrize(
        ("error", "name"),
        [
            (ValueError("secret"), "ValueError"),
            (OwnError(), f"{__name__}.OwnError"),
            (KeyboardInterrupt(), "KeyboardInterrupt"),
            (SystemExit(1), "SystemExit"),
            (GeneratorExit(), "GeneratorExit"),
            (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        ],
    )
    def test_failure(self, log: CapturedAudit, error: BaseException, name: str) -> None:
        """What the body raises goes on unchanged, and the outcome is a failure of that type, without its message."""
        with pytest.raises(type(error)) as caught, audit.start_action("e"):
            raise error
        assert caught.value is error
        assert error.__context__ is None
        assert [told(entry) for entry in log.entries] == [INTENT, ("outcome", "failure", name)]
        assert b"secret" not in log.entries[1].raw

    async def test_failure_in_a_coroutine(self, log: CapturedAudit) -> None:
        """The same in a coroutine."""
        error = OwnError()
        with pytest.raises(OwnError) as caught:
            async with await audit.astart_action("e"):
                raise error
        assert caught.value is error
        assert told(log.entries[1]) == ("outcome", "failure", f"{__name__}.OwnError")

    def test_outcome_was_set(self, log: CapturedAudit) -> None:
        """An outcome that was set before the body raised stands."""
        with contextlib.suppress(ValueError), audit.start_action("e") as action:
            action.set_outcome("unknown")
            raise ValueError
        assert told(log.entries[1]) == ("outcome", "unknown", None)

    def test_endless_name(self, log: CapturedAudit) -> None:
        """An exception whose class has an endless name has an outcome all the same."""
        kind = type("E" * 100_000, (Exception,), {})
        with pytest.raises(kind), audit.start_action("e"):
            raise kind
        assert told(log.entries[1])[1] == "failure"

    def test_error_type(self) -> None:
        """The type of an error is its class with its module; built in ones have none."""
        assert error_type_of(KeyError()) == "KeyError"
        assert error_type_of(OwnError()) == f"{__name__}.OwnError"


class TestFailure:
    def test_closed(self, log: CapturedAudit) -> None:
        """Where the intent cannot be written the action does not run."""
        log.fail(FULL)
        with pytest.raises(AuditWriteError, match="No space left"), audit.start_action("e"):
            pytest.fail("the action ran")
        assert log.entries == ()

    async def test_closed_in_a_coroutine(self, log: CapturedAudit) -> None:
        """Nor does it in a coroutine."""
        log.fail(FULL)
        with pytest.raises(AuditWriteError, match="No space left"):
            async with await audit.astart_action("e"):
                pytest.fail("the action ran")

    def test_open_action(self, log: CapturedAudit) -> None:
        """An action that is open runs without its entries, which are counted."""
        log.fail(FULL, times=2)
        with audit.start_action("e", on_failure="open") as action:
            assert action.intent is not None
            assert not action.intent.recorded
        audit.emit("after")
        dropped = [entry for entry in read_log(log.path) if entry.event_name == "audit.log.dropped"]
        assert [entry.attributes["audit.dropped.count"] for entry in dropped] == [2]

    def test_closed_action_of_an_open_provider(self) -> None:
        """An action may ask for more than its provider."""
        with capture_audit(on_failure="open") as log:
            log.fail(FULL)
            with pytest.raises(AuditWriteError):
                audit.start_action("e", on_failure="closed")

    @pytest.mark.parametrize("word", ["", "Closed", "opne", 1])
    def test_unknown_word(self, log: CapturedAudit, word: Any) -> None:
        """A word that is neither is refused: a slip of the pen never means open."""
        with pytest.raises(AuditConfigError, match="on_failure: expected one of closed, open"):
            audit.start_action("e", on_failure=word)

    def test_outcome_lost(self, log: CapturedAudit) -> None:
        """Where the outcome of an action that ran cannot be written, its end raises, and it has ended."""
        action = audit.start_action("e")
        log.fail(FULL)
        with pytest.raises(AuditWriteError):
            action.end()
        assert not action.end().recorded
        assert [told(entry) for entry in log.entries] == [INTENT]

    def test_outcome_lost_behind_an_exception(self, log: CapturedAudit, caplog: pytest.LogCaptureFixture) -> None:
        """The body's own exception goes on; that its outcome is lost is logged and counted."""
        with pytest.raises(OwnError), caplog.at_level(logging.ERROR), audit.start_action("e"):
            log.fail(FULL)
            raise OwnError
        assert "the outcome of e is not in the audit log" in caplog.text
        audit.emit("after")
        dropped = [entry for entry in read_log(log.path) if entry.event_name == "audit.log.dropped"]
        assert [entry.attributes["audit.dropped.count"] for entry in dropped] == [1]


class TestContext:
    def test_both_entries(self, log: CapturedAudit) -> None:
        """Actor and span of both entries are those of the beginning, or of the context given."""
        with acting_as("alice", type="user"):
            action = audit.start_action("e")
        with acting_as("bob"):
            action.end()
        span = NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1)))
        audit.start_action("e", context=set_span_in_context(span, Context())).end()
        assert [entry.attributes["audit.actor.id"] for entry in log.entries] == ["alice", "alice", "test", "test"]
        assert [entry.span_id for entry in log.entries[2:]] == ["2".rjust(16, "0")] * 2

    def test_not_configured(self) -> None:
        """Of a library's logger without a provider the action does nothing, and needs no file."""
        action = get_audit_logger("library", required=False).start_action("e")
        with action:
            action.set_attribute("x", 1)
        assert (action.intent, action.end().recorded) == (None, False)

    async def test_not_configured_in_a_coroutine(self) -> None:
        """The same in a coroutine, also when the body raises."""
        with pytest.raises(OwnError):
            async with await get_audit_logger("library", required=False).astart_action("e") as action:
                raise OwnError
        assert not (await action.aend()).recorded


class TestCancel:
    async def test_while_the_intent_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Cancelled while the intent waits for the disk: the action does not run, and its outcome is unknown."""
        with capture_audit(durability="always") as log:
            await audit.aemit("warm")
            log.clear()
            waiting, go = threading.Event(), threading.Event()

            def slow(fd: int, real: Any = files.sync) -> None:
                waiting.set()
                assert go.wait(10)
                real(fd)

            ran = False

            async def act() -> None:
                nonlocal ran
                async with await audit.astart_action("e"):
                    ran = True

            monkeypatch.setattr(files, "sync", slow)
            task = asyncio.create_task(act())
            while not waiting.is_set():  # noqa: ASYNC110 - the event is a thread's
                await asyncio.sleep(0.001)
            task.cancel()
            threading.Timer(0.05, go.set).start()
            with pytest.raises(asyncio.CancelledError):
                await task
            monkeypatch.undo()
            assert not ran
            intent, outcome = log.entries
            assert [told(intent), told(outcome)] == [INTENT, ("outcome", "unknown", None)]
            assert outcome.attributes["audit.intent.id"] == intent.attributes["audit.record.id"]
            assert outcome.attributes["audit.reason"] == "cancelled before it began"

    async def test_while_the_body_runs(self, log: CapturedAudit) -> None:
        """Cancelled in its body the action has failed, and the cancellation goes on."""
        entered = asyncio.Event()

        async def act() -> None:
            async with await audit.astart_action("e"):
                entered.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(act())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told(log.entries[1]) == ("outcome", "failure", "asyncio.exceptions.CancelledError")

    def test_without_a_loop(self, log: CapturedAudit) -> None:
        """Driven by hand, without an asyncio loop, the entries are written all the same."""

        async def act() -> None:
            async with await audit.astart_action("e"):
                pass

        with pytest.raises(StopIteration):
            act().send(None)
        assert [told(entry) for entry in log.entries] == [INTENT, SUCCESS]
