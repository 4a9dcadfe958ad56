"""The span bridge, with the real SDK and spans as instrumentations make them."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from otel_audit import AuditConfigError, AuditWriteError, acting_as, get_audit_logger, verify_log
from otel_audit.instrument import live_span, under_way
from otel_audit.instrument.genai_spans import GenAISpanProcessor
from otel_audit.instrument.sampler import AlwaysRecordSampler, audit_sampler
from otel_audit.reader import read_log
from otel_audit.testing import CapturedAudit, capture_audit

FULL = OSError(errno.ENOSPC, "no space left on device")
CANARY = "canary-93c0"
TOOL: dict[str, Any] = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "refund",
    "gen_ai.tool.call.id": "call_1",
}
AGENT: dict[str, Any] = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "desk"}
CHAT: dict[str, Any] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}

Tracing = Callable[..., trace.Tracer]


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log that is intact when the test is over."""
    with capture_audit() as log:
        yield log
        assert verify_log(log.path).intact


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    """Make tracers whose spans are recorded; nothing is kept of them after the test."""
    processors: list[GenAISpanProcessor] = []

    def tracer(sampler: Sampler = ALWAYS_ON, *others: Any, **settings: Any) -> trace.Tracer:
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        processors.append(GenAISpanProcessor(**settings))
        for processor in (processors[-1], *others):
            provider.add_span_processor(processor)
        return provider.get_tracer("shop.agents")

    yield tracer
    for processor in processors:
        processor.shutdown()
    live_span._live.clear()
    assert not under_way.is_listened_to()


def told(log: CapturedAudit) -> list[tuple[object, ...]]:
    """Event, target, phase and outcome of each entry."""
    return [
        (
            entry.event_name.removeprefix("gen_ai."),
            entry.attributes.get("audit.target.id"),
            entry.attributes.get("audit.phase"),
            entry.attributes["audit.outcome"],
        )
        for entry in log.entries
    ]


def dropped(log: CapturedAudit) -> list[object]:
    """How many entries are declared lost, once the log can be written again."""
    get_audit_logger("test").emit("after")
    declared = [entry for entry in read_log(log.path) if entry.event_name == "audit.log.dropped"]
    return [entry.attributes["audit.dropped.count"] for entry in declared]


PAIR = [("tool.execute", "refund", "intent", "unknown"), ("tool.execute", "refund", "outcome", "success")]


class TestSpan:
    def test_intent_and_outcome(self, log: CapturedAudit, tracing: Tracing) -> None:
        """The intent is in the log while the span runs; both entries carry its ids, and the outcome its duration."""
        with tracing().start_as_current_span("refund", attributes=TOOL) as span:
            assert told(log) == PAIR[:1]
        assert told(log) == PAIR
        intent, outcome = log.entries
        ids = span.get_span_context()
        for entry in log.entries:
            assert (entry.trace_id, entry.span_id) == (f"{ids.trace_id:032x}", f"{ids.span_id:016x}")
            assert entry.attributes["gen_ai.tool.call.id"] == "call_1"
        assert outcome.attributes["audit.intent.id"] == intent.attributes["audit.record.id"]
        seconds = (span.end_time - span.start_time) / 1e9  # type: ignore[attr-defined]
        assert outcome.attributes["audit.duration"] == pytest.approx(seconds)

    def test_what_is_told_at_the_end_only(self, log: CapturedAudit, tracing: Tracing) -> None:
        """A span that tells nothing at its start has an outcome alone, with its own ids and duration."""
        span = tracing().start_span("step", start_time=1_000_000_000)
        assert told(log) == []
        span.set_attributes({"openinference.span.kind": "TOOL", "tool.name": "refund"})
        span.end(end_time=3_500_000_000)
        assert told(log) == PAIR[1:]
        [outcome] = log.entries
        assert "audit.intent.id" not in outcome.attributes
        assert outcome.attributes["audit.duration"] == 2.5
        assert outcome.span_id == f"{span.get_span_context().span_id:016x}"

    def test_what_the_end_adds(self, log: CapturedAudit, tracing: Tracing) -> None:
        """The outcome has the model, the provider and the tokens that nobody knew at the start."""
        with tracing().start_as_current_span("generation", attributes={"openinference.span.kind": "LLM"}) as span:
            span.set_attributes({"llm.model_name": "gpt-4o", "llm.provider": "openai", "llm.token_count.prompt": 5})
        assert told(log) == [
            ("model.call", None, "intent", "unknown"),
            ("model.call", "gpt-4o", "outcome", "success"),
        ]
        assert log.entries[1].attributes["gen_ai.usage.input_tokens"] == 5
        assert log.entries[1].attributes["gen_ai.provider.name"] == "openai"

    def test_other_spans(self, log: CapturedAudit, tracing: Tracing) -> None:
        """A span that is no act leaves no entry, and nothing in memory."""
        with tracing().start_as_current_span("GET /", attributes={"http.request.method": "GET"}):
            pass
        assert told(log) == []
        assert not live_span._live

    def test_guardrail(self, log: CapturedAudit, tracing: Tracing) -> None:
        """A guardrail has one entry, when it is over."""
        with tracing().start_as_current_span("pii", attributes={"openinference.span.kind": "GUARDRAIL"}):
            assert told(log) == []
        assert told(log) == [("guardrail.check", "pii", "outcome", "success")]

    @pytest.mark.parametrize("name", [None, 7, ""])
    def test_hostile_span(self, log: CapturedAudit, tracing: Tracing, name: Any) -> None:
        """A span with a broken name and absurd attributes is recorded, and the program goes on."""
        with tracing().start_as_current_span(name, attributes={**TOOL, "x": "y" * 1_000_000, "gen_ai.agent.name": 7}):
            pass
        assert told(log) == PAIR
        assert os.path.getsize(log.path) < 10_000


class TestFailure:
    def end(self, tracer: trace.Tracer, status: Status | None, error: Exception | None, **attributes: Any) -> None:
        """Start and end a span that an error befell."""
        with tracer.start_as_current_span("refund", attributes=TOOL) as span:
            if error is not None:
                span.record_exception(error)
            if status is not None:
                span.set_status(status)
            span.set_attributes(attributes)

    @pytest.mark.parametrize(
        ("status", "error", "attributes", "expected"),
        [
            (StatusCode.ERROR, None, {"error.type": "Timeout"}, "Timeout"),
            (StatusCode.ERROR, ValueError(CANARY), {}, "ValueError"),
            (StatusCode.ERROR, ValueError(CANARY), {"error.type": "tool_error"}, "tool_error"),
            (StatusCode.ERROR, None, {"error.type": f"{CANARY} is no order"}, "_OTHER"),
            (StatusCode.ERROR, None, {}, "_OTHER"),
            (None, ValueError(CANARY), {}, "ValueError"),
            (StatusCode.OK, ValueError(CANARY), {}, None),
            (StatusCode.OK, None, {}, None),
        ],
    )
    def test_error_type(
        self,
        log: CapturedAudit,
        tracing: Tracing,
        status: StatusCode | None,
        error: Exception | None,
        attributes: dict[str, str],
        expected: str | None,
    ) -> None:
        """An error status, or an exception that no status excuses, is a failure by its type; no text of it is kept."""
        description = CANARY if status is StatusCode.ERROR else None
        self.end(tracing(), None if status is None else Status(status, description), error, **attributes)
        outcome = log.entries[1].attributes
        assert outcome["audit.outcome"] == ("success" if expected is None else "failure")
        assert outcome.get("error.type") == expected
        with open(log.path, encoding="utf-8") as file:
            assert CANARY not in file.read()

    def test_raised_through_the_span(self, log: CapturedAudit, tracing: Tracing) -> None:
        """An exception that leaves the span's block is its failure, and goes on."""
        with pytest.raises(KeyError), tracing().start_as_current_span("refund", attributes=TOOL):
            raise KeyError(CANARY)
        assert log.entries[1].attributes["error.type"] == "KeyError"

    def test_no_content(self, log: CapturedAudit, tracing: Tracing) -> None:
        """Messages, arguments, results and events of a span stay out of the log."""
        content = {
            "input.value": CANARY,
            "output.value": CANARY,
            "gen_ai.input.messages": CANARY,
            "gen_ai.tool.call.arguments": CANARY,
            "gen_ai.tool.call.result": CANARY,
            "llm.input_messages.0.message.content": CANARY,
            "traceloop.entity.input": CANARY,
        }
        for kind in (TOOL, AGENT, CHAT, {"openinference.span.kind": "LLM"}, {"traceloop.span.kind": "tool"}):
            with tracing().start_as_current_span("x", attributes={**content, **kind}) as span:
                span.add_event("gen_ai.user.message", {"content": CANARY})
                span.set_attributes(content)
                span.record_exception(ValueError(CANARY))
        assert len(log.entries) == 10
        with open(log.path, encoding="utf-8") as file:
            assert CANARY not in file.read()


class TestActors:
    def test_chain(self, log: CapturedAudit, tracing: Tracing) -> None:
        """What happens inside an agent's span is by the agent, for whoever runs it; the run itself is by them."""
        tracer = tracing()
        with (
            acting_as("ada", type="user"),
            tracer.start_as_current_span("a", attributes=AGENT),
            tracer.start_as_current_span("chain"),
            acting_as("plan"),
        ):
            tracer.start_span("t", attributes=TOOL).end()
        chains = [
            (entry.attributes["audit.actor.id"], entry.attributes.get("audit.delegation")) for entry in log.entries
        ]
        assert chains == [
            ("ada", None),
            ("plan", ["ada", "desk", "plan"]),
            ("plan", ["ada", "desk", "plan"]),
            ("ada", None),
        ]

    def test_agent_that_acts_already(self, log: CapturedAudit, tracing: Tracing) -> None:
        """An agent whom the program named itself is not named twice."""
        tracer = tracing()
        with tracer.start_as_current_span("a", attributes=AGENT), acting_as("desk"):
            tracer.start_span("t", attributes=TOOL).end()
        assert log.entries[1].attributes["audit.actor.id"] == "desk"
        assert "audit.delegation" not in log.entries[1].attributes

    def test_after_the_agent(self, log: CapturedAudit, tracing: Tracing) -> None:
        """What comes after an agent's span, or in another trace, is not by the agent."""
        tracer = tracing()
        with tracer.start_as_current_span("a", attributes=AGENT):
            tracer.start_span("t", context=trace.set_span_in_context(trace.INVALID_SPAN), attributes=TOOL).end()
        tracer.start_span("t", attributes=TOOL).end()
        actors = {entry.attributes["audit.actor.id"] for entry in log.entries}
        assert actors == {"test"}


class TestEnds:
    def test_never(self, log: CapturedAudit, tracing: Tracing) -> None:
        """A span that is never ended leaves its intent."""
        tracing().start_span("t", attributes=TOOL)
        assert told(log) == PAIR[:1]

    def test_in_another_thread(self, log: CapturedAudit, tracing: Tracing) -> None:
        """A span that another thread ends has its outcome, by the actor of its start."""
        with acting_as("desk"):
            span = tracing().start_span("t", attributes=TOOL)
        thread = threading.Thread(target=span.end)
        thread.start()
        thread.join()
        assert told(log) == PAIR
        assert log.entries[1].attributes["audit.actor.id"] == "desk"

    def test_twice(self, log: CapturedAudit, tracing: Tracing) -> None:
        """A span that is ended twice has one outcome."""
        span = tracing().start_span("t", attributes=TOOL)
        span.end()
        span.end()
        assert told(log) == PAIR

    def test_out_of_order(self, log: CapturedAudit, tracing: Tracing) -> None:
        """Of two spans that end in the order of their start each has its own outcome."""
        tracer = tracing()
        first, second = (tracer.start_span("t", attributes=TOOL) for _ in range(2))
        first.end()
        second.end()
        ids = [entry.attributes.get("audit.intent.id", entry.attributes["audit.record.id"]) for entry in log.entries]
        assert ids == [ids[0], ids[1], ids[0], ids[1]]
        assert ids[0] != ids[1]

    def test_many_under_way(self, log: CapturedAudit, tracing: Tracing) -> None:
        """Each of many spans under way in many threads has its two entries, and nothing is kept of them."""
        tracer = tracing()

        def work() -> None:
            spans = [tracer.start_span("t", attributes=TOOL) for _ in range(50)]
            for span in spans:
                span.end()

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (
            sorted(str(entry.attributes["audit.phase"]) for entry in log.entries)
            == ["intent"] * 400 + ["outcome"] * 400
        )
        assert len({entry.attributes.get("audit.intent.id") for entry in log.entries}) == 401
        assert not live_span._live

    def test_forgotten(self, log: CapturedAudit, tracing: Tracing, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of spans that are never ended only so many are kept; the end of one that is forgotten is recorded."""
        monkeypatch.setattr(live_span, "MAX_LIVE", 10)
        tracer = tracing()
        spans = [tracer.start_span("t", attributes=TOOL) for _ in range(50)]
        assert len(live_span._live) == 10
        spans[0].end()
        spans[-1].end()
        forgotten, kept = log.entries[-2:]
        assert told(log)[-2:] == PAIR[1:] * 2
        assert "audit.intent.id" not in forgotten.attributes
        assert "audit.intent.id" in kept.attributes

    def test_begun_before_the_processor(self, log: CapturedAudit) -> None:
        """A span that was under way when the processor came has its outcome."""
        provider = TracerProvider(shutdown_on_exit=False)
        span = provider.get_tracer("x").start_span("t", attributes=TOOL)
        processor = GenAISpanProcessor()
        provider.add_span_processor(processor)
        span.end()
        processor.shutdown()
        assert told(log) == PAIR[1:]

    def test_shut_down(self, log: CapturedAudit) -> None:
        """After `shutdown` what has begun is ended, and nothing new is begun."""
        provider = TracerProvider(shutdown_on_exit=False)
        processor = GenAISpanProcessor()
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("x")
        span = tracer.start_span("t", attributes=TOOL)
        unseen = tracer.start_span("chain")
        processor.shutdown()
        span.end()
        late = tracer.start_span("t", attributes=TOOL)
        late.end()
        unseen.end()
        assert told(log) == PAIR
        assert processor.force_flush()


class TestTwoProcessors:
    @pytest.mark.parametrize("attributes", [TOOL, {}], ids=["told at the start", "told at the end"])
    def test_in_one_provider(self, log: CapturedAudit, tracing: Tracing, attributes: dict[str, Any]) -> None:
        """A span that two processors see is recorded once."""
        second = GenAISpanProcessor()
        with tracing(ALWAYS_ON, second).start_as_current_span("t", attributes=attributes) as span:
            span.set_attributes(TOOL)
        second.shutdown()
        assert told(log) == (PAIR if attributes else PAIR[1:])

    @pytest.mark.parametrize("attributes", [TOOL, {}], ids=["told at the start", "told at the end"])
    def test_one_after_the_other(self, log: CapturedAudit, tracing: Tracing, attributes: dict[str, Any]) -> None:
        """A processor that was shut down does not touch the spans of the next; its own it ends."""
        provider = TracerProvider(shutdown_on_exit=False)
        first, second = GenAISpanProcessor(), GenAISpanProcessor()
        tracer = provider.get_tracer("x")
        provider.add_span_processor(first)
        old = tracer.start_span("old", attributes=TOOL)
        first.shutdown()
        provider.add_span_processor(second)
        with tracer.start_as_current_span("new", attributes=attributes) as span:
            span.set_attributes(TOOL)
        old.end()
        second.shutdown()
        assert told(log) == [PAIR[0], *(PAIR if attributes else PAIR[1:]), PAIR[1]]


class TestWriteFails:
    def test_start_closed(self, log: CapturedAudit, tracing: Tracing) -> None:
        """The error comes out of the start of the span: the block is not run, and the loss is declared."""
        tracer = tracing()
        log.fail(FULL)
        ran = False
        with pytest.raises(AuditWriteError, match="no space left"), tracer.start_as_current_span("t", attributes=TOOL):
            ran = True
        assert not ran
        assert not live_span._live
        assert dropped(log) == [1]

    def test_start_open(self, log: CapturedAudit, tracing: Tracing) -> None:
        """With `open` the block runs, its outcome is written, and the loss is declared."""
        tracer = tracing(on_failure="open")
        log.fail(FULL)
        with tracer.start_as_current_span("t", attributes=TOOL):
            pass
        assert told(log) == PAIR[1:]
        assert dropped(log) == [1]

    @pytest.mark.parametrize("on_failure", ["closed", "open"])
    @pytest.mark.parametrize("attributes", [TOOL, {}], ids=["told at the start", "told at the end"])
    def test_end(self, log: CapturedAudit, tracing: Tracing, on_failure: str, attributes: dict[str, Any]) -> None:
        """An outcome that cannot be written never reaches the program; the loss is declared."""
        with tracing(on_failure=on_failure).start_as_current_span("t", attributes=attributes) as span:
            span.set_attributes(TOOL)
            log.fail(FULL)
        assert told(log) == (PAIR[:1] if attributes else [])
        assert dropped(log) == [1]

    def test_nobody_configured_auditing(self, tracing: Tracing) -> None:
        """Where auditing is not configured, a span that is an act is refused, and others are not."""
        tracer = tracing()
        with pytest.raises(AuditConfigError, match="OTEL_AUDIT_FILE"):
            tracer.start_span("t", attributes=TOOL)
        tracer.start_span("GET /").end()


def test_fork(log: CapturedAudit, tracing: Tracing) -> None:
    """A child that is forked within a span records spans of its own, by the agent that it runs in."""
    tracer = tracing()
    with tracer.start_as_current_span("a", attributes=AGENT):
        pid = os.fork()
        if pid == 0:
            try:
                with tracer.start_as_current_span("t", attributes=TOOL):
                    pass
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    assert told(log) == [
        ("agent.invoke", "desk", "intent", "unknown"),
        *PAIR,
        ("agent.invoke", "desk", "outcome", "success"),
    ]
    assert [entry.attributes["audit.actor.id"] for entry in log.entries] == ["test", "desk", "desk", "test"]
    assert [entry.resource["process.pid"] for entry in log.entries] == [os.getpid(), pid, pid, os.getpid()]


class TestSampler:
    @pytest.mark.parametrize("root", [ALWAYS_OFF, ParentBased(ALWAYS_OFF), audit_sampler("traceidratio=0")])
    def test_nothing_sampled(self, log: CapturedAudit, tracing: Tracing, root: Sampler) -> None:
        """At 0 % all acts are recorded, children too, with what they began with, and no span is exported."""
        exporter = InMemorySpanExporter()
        sampler = root if isinstance(root, AlwaysRecordSampler) else AlwaysRecordSampler(root)
        tracer = tracing(sampler, SimpleSpanProcessor(exporter))
        with tracer.start_as_current_span("a", attributes=AGENT) as span:
            assert not span.get_span_context().trace_flags.sampled
            with tracer.start_as_current_span("t", attributes=TOOL):
                pass
        assert len(log.entries) == 4
        assert exporter.get_finished_spans() == ()

    def test_unsampled_caller(self, log: CapturedAudit, tracing: Tracing) -> None:
        """A caller elsewhere that sampled its trace away does not decide what is audited here."""
        caller = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))
        context = set_span_in_context(NonRecordingSpan(caller))
        tracing(audit_sampler()).start_span("t", context=context, attributes=TOOL).end()
        assert told(log) == PAIR

    def test_all_sampled(self, log: CapturedAudit, tracing: Tracing) -> None:
        """What the root samples is exported as ever."""
        exporter = InMemorySpanExporter()
        tracing(audit_sampler("always_on"), SimpleSpanProcessor(exporter)).start_span("t", attributes=TOOL).end()
        assert [span.name for span in exporter.get_finished_spans()] == ["t"]

    def test_without_it(self, log: CapturedAudit, tracing: Tracing) -> None:
        """A span that the sampler drops is not seen: the reason why there is this sampler."""
        tracing(ALWAYS_OFF).start_span("t", attributes=TOOL).end()
        assert told(log) == []

    @pytest.mark.parametrize(
        ("argument", "description"),
        [
            (None, "AlwaysOnSampler"),
            ("", "AlwaysOnSampler"),
            ("always_off", "AlwaysRecordSampler{AlwaysOffSampler}"),
            ("traceidratio=0.25", "AlwaysRecordSampler{TraceIdRatioBased{0.25}}"),
            (" ParentBased_TraceIdRatio = 0.1 ", "AlwaysRecordSampler{ParentBased{root:TraceIdRatioBased{0.1}"),
        ],
    )
    def test_argument(self, argument: str | None, description: str) -> None:
        """The argument names the sampler that decides what is exported; without one it is the SDK's default."""
        assert description in audit_sampler(argument).get_description()

    @pytest.mark.parametrize("argument", ["0.1", "sometimes", "audit", "traceidratio", "traceidratio=most"])
    def test_refuses(self, argument: str) -> None:
        """A sampler that does not exist, or refuses its argument, is an error that shows what is expected."""
        with pytest.raises(AuditConfigError, match=r"traceidratio=0\.1"):
            audit_sampler(argument)
