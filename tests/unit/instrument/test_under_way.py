"""An act that a framework's module and a span both see is recorded once, and never not at all."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import get_current
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import AuditWriteError, carry, get_audit_logger, verify_log
from otel_audit.instrument import live_span, under_way
from otel_audit.instrument.act_under_way import act_in
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import Act, agent_run, guardrail, model_call, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.genai_spans import GenAISpanProcessor
from otel_audit.testing import CapturedAudit, capture_audit

FULL = OSError(errno.ENOSPC, "no space left on device")
REFUND = tool_call("refund", call_id="call_1", arguments={"order": 7})
TOOL: dict[str, Any] = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"}
OPENINFERENCE: dict[str, Any] = {"openinference.span.kind": "TOOL", "tool.name": "refund"}
EARLY = pytest.mark.parametrize("early", [True, False], ids=["told at the start", "told at the end"])


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log that is intact when the test is over."""
    with capture_audit() as log:
        yield log
        assert verify_log(log.path).intact


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    """The tracer provider of the test, whose spans are recorded; nothing of them is left behind."""
    provider = TracerProvider(shutdown_on_exit=False)
    processor = GenAISpanProcessor()
    provider.add_span_processor(processor)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield provider
    processor.shutdown()
    assert not live_span._live
    assert not under_way.is_listened_to()


@pytest.fixture
def tracer(provider: TracerProvider) -> trace.Tracer:
    """The tracer of another instrumentation."""
    return provider.get_tracer("shop.agents")


def auditor(**settings: Any) -> Auditor:
    return Auditor(get_audit_logger("test"), FrameworkSettings(**settings))


def opened(tracer: trace.Tracer, early: bool = True, **attributes: Any) -> None:
    """Open and end the span of a tool, which says so at its start or at its end."""
    with tracer.start_as_current_span("step", attributes={**TOOL, **attributes} if early else None) as span:
        span.set_attributes({**TOOL, **attributes})


def phases(log: CapturedAudit) -> list[object]:
    """Phase of each entry."""
    return [entry.attributes.get("audit.phase") for entry in log.entries]


ONCE = ["intent", "outcome"]
TWICE = ["intent", "intent", "outcome", "outcome"]


class TestSpanInside:
    """A module's act, and in it the span that another instrumentation opens for it."""

    @EARLY
    def test_run(self, log: CapturedAudit, tracer: trace.Tracer, early: bool) -> None:
        """The span is not recorded."""
        auditor().run(REFUND, lambda: opened(tracer, early))
        assert phases(log) == ONCE

    @EARLY
    async def test_arun(self, log: CapturedAudit, tracer: trace.Tracer, early: bool) -> None:
        """The span is not recorded, in a coroutine either."""

        async def call() -> None:
            await asyncio.sleep(0)
            opened(tracer, early)

        await asyncio.gather(*(auditor().arun(REFUND, call) for _ in range(5)))
        assert sorted(map(str, phases(log))) == sorted(ONCE * 5)

    @EARLY
    def test_started(self, log: CapturedAudit, tracer: trace.Tracer, early: bool) -> None:
        """The span of an act that a module begins without a block is not recorded."""
        one = auditor()
        with one.span(REFUND):
            action = one.start(REFUND)
            opened(tracer, early)
            action.end_quietly()
        assert phases(log) == ONCE

    def test_after_it(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """The span of the next call of the same name, which the module did not see, is recorded."""
        one = auditor()
        with one.span(REFUND):
            one.start(REFUND).end_quietly()
            opened(tracer)
        assert phases(log) == ONCE * 2

    def test_stream(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """A span that is open from the first step to the last is not recorded, and the consumer is not inside."""

        def items() -> Iterator[int]:
            span = tracer.start_span("step", attributes=TOOL)
            yield 1
            yield 2
            span.end()

        for _ in auditor().stream(REFUND, items):
            assert act_in(get_current()) is None
        assert phases(log) == ONCE

    def test_stream_closed(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """A stream that its consumer closes runs its own end, once."""
        closed = []

        def items() -> Iterator[int]:
            try:
                yield 1
            finally:
                closed.append(True)

        stream = auditor().stream(REFUND, items)
        next(stream)
        stream.close()
        assert closed == [True]
        assert log.entries[-1].attributes["audit.outcome"] == "unknown"

    def test_two_instrumentations(self, log: CapturedAudit, provider: TracerProvider) -> None:
        """Each of two other instrumentations may have its span of the act."""
        outer, inner = (provider.get_tracer(name) for name in ("one", "other"))

        def call() -> None:
            with outer.start_as_current_span("step", attributes=TOOL):
                opened(inner)

        auditor().run(REFUND, call)
        assert phases(log) == ONCE

    @EARLY
    def test_call_inside_of_the_call(self, log: CapturedAudit, tracer: trace.Tracer, early: bool) -> None:
        """A call of the same name inside, which the module does not see, has entries of its own."""

        def call() -> None:
            with tracer.start_as_current_span("step", attributes=TOOL if early else None) as span:
                span.set_attributes(TOOL)
                opened(tracer, early)

        auditor().run(REFUND, call)
        assert len(log.entries) == (4 if early else 3)

    @pytest.mark.parametrize(
        ("act", "attributes"),
        [
            (tool_call("pay"), TOOL),
            (REFUND, {**TOOL, "gen_ai.tool.call.id": "call_2"}),
            (agent_run("refund"), TOOL),
        ],
    )
    def test_another_act(self, log: CapturedAudit, tracer: trace.Tracer, act: Act, attributes: dict[str, Any]) -> None:
        """Another name, another call id and another kind of act are another act."""
        auditor().run(act, lambda: opened(tracer, **attributes))
        assert phases(log) == ["intent", *ONCE, "outcome"]

    @pytest.mark.parametrize(
        ("mine", "its", "entries"),
        [
            ("gpt-4o", "gpt-4o", 2),
            ("gpt-4o", "gpt-4o-2024-08-06", 2),
            ("gpt-4o", None, 2),
            (None, "gpt-4o", 2),
            ("gpt-4o", "unknown", 2),
            ("gpt-4o", "gpt-4o-mini", 4),
            ("gpt-4o", "o3", 4),
        ],
    )
    def test_models(
        self, log: CapturedAudit, tracer: trace.Tracer, mine: str | None, its: str | None, entries: int
    ) -> None:
        """A model's name may be missing, or carry the date of its release."""
        attributes = {"gen_ai.operation.name": "chat"} | ({} if its is None else {"gen_ai.request.model": its})
        auditor().run(model_call(mine), lambda: tracer.start_span("chat", attributes=attributes).end())
        assert len(log.entries) == entries


class TestSpanOutside:
    """The span that another instrumentation opens for an act, and in it the module's act."""

    @EARLY
    def test_run(self, log: CapturedAudit, tracer: trace.Tracer, early: bool) -> None:
        """There is one intent and one outcome, in which what the module knows stands."""
        with tracer.start_as_current_span("step", attributes=TOOL if early else None) as span:
            auditor(capture=("order",), capture_result=True).run(REFUND, lambda: "done")
            span.set_attributes(TOOL)
        assert phases(log) == ONCE
        intent, outcome = (entry.attributes for entry in log.entries)
        assert outcome["audit.intent.id"] == intent["audit.record.id"]
        assert outcome["gen_ai.tool.call.id"] == "call_1"
        assert outcome["audit.result"] == "done"
        assert (outcome if early else intent)["audit.arguments"] == {"order": 7}
        assert {entry.span_id for entry in log.entries} == {f"{span.get_span_context().span_id:016x}"}

    async def test_arun(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """A coroutine that fails has its failure in the one outcome."""

        async def call() -> None:
            raise ValueError("no order")

        with pytest.raises(ValueError, match="no order"), tracer.start_as_current_span("step", attributes=TOOL):
            await auditor().arun(REFUND, call)
        assert phases(log) == ONCE
        assert log.entries[1].attributes["error.type"] == "ValueError"

    def test_spans_between(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """Spans that are no acts may stand between."""
        with tracer.start_as_current_span("step", attributes=TOOL), tracer.start_as_current_span("chain"):
            auditor().run(REFUND, lambda: None)
        assert phases(log) == ONCE

    def test_first_act_only(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """The second call of that name within the span is an act of its own."""
        with tracer.start_as_current_span("step", attributes=TOOL):
            auditor().run(REFUND, lambda: None)
            auditor().run(REFUND, lambda: None)
        assert phases(log) == [*ONCE, *ONCE]

    def test_call_inside_of_the_call(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """A call of the same name and id inside of the call is an act of its own."""
        with tracer.start_as_current_span("step", attributes=TOOL):
            auditor().run(REFUND, lambda: auditor().run(REFUND, lambda: None))
        assert phases(log) == TWICE

    def test_not_after_another_tool(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """Behind a call of another tool, a call is not what the span around both stands for."""
        with tracer.start_as_current_span("step", attributes=TOOL):
            auditor().run(tool_call("pay"), lambda: None)
            auditor().run(REFUND, lambda: None)
        assert phases(log) == ["intent", *ONCE, *ONCE, "outcome"]

    def test_intent_lost(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """Where the span's intent is not in the log, the module writes one, and the only outcome."""
        log.provider.on_failure = "open"
        log.fail(FULL)
        with tracer.start_as_current_span("step", attributes=TOOL):
            auditor().run(REFUND, lambda: None)
        assert phases(log) == ONCE

    def test_intent_refused(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """A span that says at its end what it was does not hide that the module's act did not run."""
        with tracer.start_as_current_span("step") as span:
            log.fail(FULL)
            with pytest.raises(AuditWriteError):
                auditor().run(REFUND, pytest.fail)
            span.set_attributes(TOOL)
        assert phases(log) == []

    def test_guardrail(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """What a guardrail decided is told by the module's entry alone."""
        with tracer.start_as_current_span("pii", attributes={"openinference.span.kind": "GUARDRAIL"}):
            auditor().decide(guardrail("pii"), "block")
        assert [entry.attributes.get("audit.decision") for entry in log.entries] == ["block"]


class TestAtOnce:
    """Calls with one and the same id at the same time are acts of their own."""

    @pytest.mark.parametrize("outside", [True, False])
    def test_threads(self, log: CapturedAudit, tracer: trace.Tracer, outside: bool) -> None:
        """Twenty calls in threads are twenty acts, whoever comes first."""
        attributes = {**TOOL, "gen_ai.tool.call.id": "call_1"}

        def call() -> None:
            if outside:
                with tracer.start_as_current_span("step", attributes=attributes):
                    auditor().run(REFUND, lambda: None)
            else:
                auditor().run(REFUND, lambda: opened(tracer, **attributes))

        with tracer.start_as_current_span("chain"), ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(carry(call)) for _ in range(20)]:
                done.result()
        assert sorted(map(str, phases(log))) == sorted(ONCE * 20)
        assert len({entry.attributes.get("audit.intent.id") for entry in log.entries}) == 21

    def test_begun_without_a_block(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """Two such calls of a module and their two spans are two acts; a third span is a third."""
        one = auditor()
        with tracer.start_as_current_span("chain"):
            actions = [one.start(REFUND) for _ in range(2)]
            spans = [tracer.start_span("step", attributes=TOOL) for _ in range(3)]
            for span in spans:
                span.end()
            for action in actions:
                action.end_quietly()
        assert sorted(map(str, phases(log))) == sorted(ONCE * 3)

    def test_many_begun(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """Of the acts in one long span only those under way are kept in mind."""
        one = auditor()
        with tracer.start_as_current_span("chain") as span:
            for _ in range(500):
                one.start(REFUND).end_quietly()
            context = span.get_span_context()
            assert len(live_span._live[context.trace_id, context.span_id].begun) <= 64
            assert len(under_way._of_action) <= 65


class TestSpansAlone:
    def test_two_instrumentations(self, log: CapturedAudit, provider: TracerProvider) -> None:
        """Of two instrumentations that open a span for one act, the outer is recorded."""
        with provider.get_tracer("one").start_as_current_span("step", attributes=TOOL):
            opened(provider.get_tracer("other"))
        assert phases(log) == ONCE

    def test_outer_told_at_the_end(self, log: CapturedAudit, provider: TracerProvider) -> None:
        """Where the outer one says only at its end what it was, the inner is recorded."""
        with provider.get_tracer("one").start_as_current_span("step") as span:
            opened(provider.get_tracer("other"))
            span.set_attributes(OPENINFERENCE)
        assert phases(log) == ONCE

    def test_one_instrumentation(self, log: CapturedAudit, tracer: trace.Tracer) -> None:
        """One instrumentation's two spans are two acts."""
        with tracer.start_as_current_span("step", attributes=TOOL):
            opened(tracer)
        assert phases(log) == ["intent", *ONCE, "outcome"]


def test_nobody_listens(log: CapturedAudit) -> None:
    """Without a span processor of ours, nothing of an act is kept or put in the context."""
    seen = []
    before = get_current()
    auditor().run(REFUND, lambda: seen.append(get_current()))
    assert seen == [before]
    assert not under_way._of_action
    assert phases(log) == ONCE
