"""The two entries around an act, whatever becomes of the act and of the entries."""

from __future__ import annotations

import asyncio
import contextvars
import errno
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import AuditWriteError, acting_as, get_audit_logger
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import agent_run, guardrail, model_call, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.reader import read_log
from otel_audit.testing import CapturedAudit, capture_audit

FULL = OSError(errno.ENOSPC, "no space left on device")
ACT = tool_call("refund", call_id="call_1", arguments={"order": 7, "token": "s3cr3t"})
CANARY = "canary-51ab"


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """The log of one test."""
    with capture_audit() as log:
        yield log


def auditor(**settings: Any) -> Auditor:
    return Auditor(get_audit_logger("test"), FrameworkSettings(**settings))


def phases(log: CapturedAudit) -> list[tuple[object, object, object]]:
    """Phase, outcome and type of error of each entry."""
    return [
        (e.attributes.get("audit.phase"), e.attributes["audit.outcome"], e.attributes.get("error.type"))
        for e in log.entries
    ]


def through(form: str, call: Callable[[], Any], one: Auditor, **how: Any) -> Any:
    """Run a call by `run` or by `arun`."""
    if form == "run":
        return one.run(ACT, call, **how)

    async def later() -> Any:
        return call()

    return asyncio.run(one.arun(ACT, later, **how))


@pytest.mark.parametrize("form", ["run", "arun"])
class TestRun:
    def test_order(self, log: CapturedAudit, form: str) -> None:
        """The intent stands in the log when the act runs; the outcome names it."""
        seen = through(form, lambda: [entry.attributes["audit.phase"] for entry in log.entries], auditor())
        assert seen == ["intent"]
        intent, outcome = log.entries
        assert outcome.attributes["audit.intent.id"] == intent.attributes["audit.record.id"]
        assert "audit.arguments" not in intent.attributes

    def test_failure(self, log: CapturedAudit, form: str) -> None:
        """The act's own exception comes through, the same object; its message is not recorded."""
        error = KeyError(CANARY)

        def fail() -> None:
            raise error

        with pytest.raises(KeyError) as caught:
            through(form, fail, auditor())
        assert caught.value is error
        assert phases(log) == [("intent", "unknown", None), ("outcome", "failure", "KeyError")]
        assert all(CANARY.encode() not in entry.raw for entry in log.entries)

    def test_no_intent(self, log: CapturedAudit, form: str) -> None:
        """An act whose intent cannot be written does not run; with failures open it does."""
        ran: list[int] = []
        log.fail(FULL)
        with pytest.raises(AuditWriteError):
            through(form, lambda: ran.append(1), auditor())
        assert ran == []
        log.fail(FULL, times=2)
        through(form, lambda: ran.append(1), auditor(on_failure="open"))
        assert ran == [1]
        assert log.entries == ()

    def test_no_outcome(self, log: CapturedAudit, form: str) -> None:
        """Where only the outcome cannot be written, the result comes through, and the loss is declared."""

        def work() -> int:
            log.fail(FULL)
            return 7

        assert through(form, work, auditor()) == 7
        assert [entry.attributes["audit.phase"] for entry in log.entries] == ["intent"]
        get_audit_logger("test").emit("test.next")
        [dropped] = [entry for entry in read_log(log.path) if entry.event_name == "audit.log.dropped"]
        assert dropped.attributes["audit.dropped.count"] == 1

    def test_judge(self, log: CapturedAudit, form: str) -> None:
        """What a result tells stands in the outcome; a judge that fails changes neither result nor outcome."""
        assert through(form, lambda: 7, auditor(), judge=lambda action, result: action.set_attribute("n", result)) == 7
        assert log.entries[-1].attributes["n"] == 7

        def broken(_action: object, _result: object) -> None:
            raise ValueError(CANARY)

        assert through(form, lambda: 8, auditor(), judge=broken) == 8
        assert log.entries[-1].attributes["audit.outcome"] == "success"

    def test_excuse(self, log: CapturedAudit, form: str) -> None:
        """What raised tells how the act ended; one that cannot tell changes neither the exception nor the outcome."""
        error = KeyError(CANARY)

        def fail() -> None:
            raise error

        def broken(_action: object, raised: object) -> None:
            assert raised is error
            raise ValueError(CANARY)

        for excuse in (lambda action, _raised: action.set_outcome("unknown", reason="waits"), broken):
            with pytest.raises(KeyError) as caught:
                through(form, fail, auditor(), excuse=excuse)
            assert caught.value is error
        assert phases(log)[1::2] == [("outcome", "unknown", None), ("outcome", "failure", "KeyError")]

    def test_capture(self, log: CapturedAudit, form: str) -> None:
        """Arguments are recorded as far as they are named, the result where it is asked for."""
        through(form, lambda: {"ok": True}, auditor(capture=("order",), capture_result=True))
        intent, outcome = log.entries
        assert intent.attributes["audit.arguments"] == {"order": 7}
        assert outcome.attributes["audit.result"] == {"ok": True}

    def test_who_acts(self, log: CapturedAudit, form: str) -> None:
        """An agent's run is by who runs it, and what happens inside is by the agent; no agent acts for itself."""
        logger = get_audit_logger("test")

        def inside() -> None:
            logger.emit("inside")
            with auditor().acting("desk"):
                logger.emit("again")

        with acting_as("maya", type="user"):
            through(form, inside, auditor(), agent="desk")
        by = [(e.event_name, e.attributes["audit.actor.id"], e.attributes.get("audit.delegation")) for e in log.entries]
        assert by == [
            ("gen_ai.tool.execute", "maya", None),
            ("inside", "desk", ["maya", "desk"]),
            ("again", "desk", ["maya", "desk"]),
            ("gen_ai.tool.execute", "maya", None),
        ]

    def test_trace(self, log: CapturedAudit, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no span is, one is opened, which names the intent; one that is there is kept as it is."""
        provider = TracerProvider()
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        marks: list[Any] = []

        def work() -> None:
            get_audit_logger("test").emit("inside")
            auditor().run(model_call("gpt"), int)
            marks.append(dict(trace.get_current_span().attributes))  # type: ignore[attr-defined]

        through(form, work, auditor())
        assert len({(entry.trace_id, entry.span_id) for entry in log.entries}) == 1
        assert log.entries[0].trace_id is not None
        assert marks == [{"audit.record.id": log.entries[0].attributes["audit.record.id"]}]
        log.clear()
        with provider.get_tracer("app").start_as_current_span("mine") as span:
            through(form, int, auditor())
            assert not span.attributes  # type: ignore[attr-defined]
        assert {entry.span_id for entry in log.entries} == {f"{span.get_span_context().span_id:016x}"}


class TestStream:
    def test_whole(self, log: CapturedAudit) -> None:
        """A stream that is read to its end is a success, its intent before the first item."""

        def source() -> Iterator[int]:
            yield len(log.entries)
            yield 7

        assert list(auditor().stream(ACT, source)) == [1, 7]
        assert phases(log) == [("intent", "unknown", None), ("outcome", "success", None)]

    def test_judge(self, log: CapturedAudit) -> None:
        """What the last item tells stands in the outcome, also of a stream that is closed early."""
        for most in (2, 1):
            stream = auditor().stream(ACT, lambda: iter([7, 8]), lambda action, last: action.set_attribute("n", last))
            assert [next(stream) for _ in range(most)] == [7, 8][:most]
            assert list(stream) == [] if most == 2 else stream.close() is None  # type: ignore[func-returns-value]
        assert [entry.attributes["n"] for entry in log.entries[1::2]] == [8, 7]
        assert [outcome for _, outcome, _ in phases(log)[1::2]] == ["success", "unknown"]

    @pytest.mark.parametrize("plain", [False, True])
    def test_closed_early(self, log: CapturedAudit, plain: bool) -> None:
        """A stream that is closed early closes what it reads from, and its outcome is unknown."""
        closed: list[int] = []

        def source() -> Iterator[int]:
            try:
                yield 1
                yield 2
            finally:
                closed.append(1)

        class Plain:
            def __iter__(self) -> Iterator[int]:
                return self

            def __next__(self) -> int:
                return 1

            def close(self) -> None:
                closed.append(1)

        stream = auditor().stream(ACT, Plain if plain else source)
        assert next(stream) == 1
        stream.close()
        assert phases(log) == [("intent", "unknown", None), ("outcome", "unknown", None)]
        assert closed == [1]

    def test_thrown_into(self, log: CapturedAudit) -> None:
        """What is thrown into a stream, or sent, gets to what it reads from, which can answer."""

        def source() -> Generator[object, str, None]:
            try:
                yield (yield 1)
            except KeyError as error:
                yield error
            raise IndexError

        stream = auditor().stream(ACT, source)
        assert next(stream) == 1
        assert stream.send("given") == "given"
        thrown = KeyError(CANARY)
        assert stream.throw(thrown) is thrown
        with pytest.raises(IndexError):
            next(stream)
        assert phases(log)[-1] == ("outcome", "failure", "IndexError")

    def test_failure(self, log: CapturedAudit) -> None:
        """An exception out of a stream comes through."""

        def source() -> Iterator[int]:
            yield 1
            raise KeyError(CANARY)

        with pytest.raises(KeyError):
            list(auditor().stream(ACT, source))
        assert phases(log)[-1] == ("outcome", "failure", "KeyError")

    def test_no_intent(self, log: CapturedAudit) -> None:
        """A stream whose intent cannot be written gives nothing, and what it reads from is not asked."""
        asked: list[int] = []

        def source() -> Iterator[int]:
            asked.append(1)
            yield 1

        log.fail(FULL)
        with pytest.raises(AuditWriteError):
            list(auditor().stream(ACT, source))
        assert asked == []


async def test_cancelled(log: CapturedAudit) -> None:
    """A cancelled act ends as a failure that says so, and the cancellation goes on."""
    began = asyncio.Event()

    async def work() -> None:
        began.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(auditor().arun(agent_run("desk"), work))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert phases(log)[-1] == ("outcome", "failure", "asyncio.exceptions.CancelledError")


async def test_closed_elsewhere(log: CapturedAudit, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """A coroutine that is closed in another context than it ran in leaves nothing behind there, and no complaint."""
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    async def work() -> None:
        await asyncio.sleep(60)

    coroutine = auditor().arun(agent_run("desk"), work, agent="desk")
    context = contextvars.copy_context()
    while not log.entries:
        future = context.run(coroutine.send, None)
        if not log.entries:
            await asyncio.wrap_future(future) if future is not None else await asyncio.sleep(0)
    before = get_current()
    coroutine.close()
    assert get_current() is before
    assert caplog.records == []
    assert phases(log)[-1] == ("outcome", "failure", "GeneratorExit")


class Evil(type):
    """Classes whose names cannot be asked for."""

    @property
    def __module__(cls) -> str:  # type: ignore[override]
        raise RuntimeError(CANARY)


def test_an_exception_of_an_odd_class(log: CapturedAudit) -> None:
    """The exception comes through, and is named, though its class lets nobody ask for its module."""

    class Odd(Exception, metaclass=Evil):
        pass

    def fail() -> None:
        raise Odd

    with pytest.raises(Odd):
        auditor().run(ACT, fail)
    assert phases(log)[-1][1] == "failure"
    assert str(phases(log)[-1][2]).endswith("Odd")


def test_a_name_that_cannot_be_cut(log: CapturedAudit) -> None:
    """A name of a str's subclass is recorded without asking it anything."""

    class Name(str):
        __slots__ = ()

        def __getitem__(self, _index: Any) -> str:
            raise RuntimeError(CANARY)

        def __bool__(self) -> bool:
            raise RuntimeError(CANARY)

    assert auditor().run(tool_call(Name("refund")), lambda: 7, agent=Name("desk")) == 7
    assert log.entries[0].attributes["audit.target.id"] == "refund"


@pytest.mark.parametrize("decision", ["allow", "block"])
def test_decisions(log: CapturedAudit, decision: Any) -> None:
    """A guardrail's decision is one entry; where it cannot be written, that is an error, unless failures are open."""
    auditor().decide(guardrail("no-refunds"), decision, reason="policy")
    [entry] = log.entries
    assert (entry.event_name, entry.attributes["audit.decision"]) == ("gen_ai.guardrail.check", decision)
    log.fail(FULL)
    with pytest.raises(AuditWriteError):
        auditor().decide(guardrail("no-refunds"), decision)
    log.fail(FULL)
    assert not auditor(on_failure="open").decide(guardrail("no-refunds"), decision).recorded
