"""smolagents: what is recorded of runs, tools, generated code, models and checks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from smolagents import PythonInterpreterTool, Tool, ToolCallingAgent, tool

from otel_audit import AuditInstrumentor, acting_as, read_log
from otel_audit.pipeline.context import current_actors
from otel_audit.testing import CapturedAudit
from tests.frameworks.recorded import delegation, lines, of
from tests.frameworks.smolagents_parts import (
    CANARY,
    ScriptedModel,
    StreamingModel,
    answer,
    call_of,
    calling,
    code,
    coding,
    instrumented,
)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The one.
        b: The other.
    """
    return a + b


@tool
def fail(text: str) -> str:
    """Fail.

    Args:
        text: What the error says.
    """
    raise KeyError(text)


@tool
def now() -> str:
    """Say when."""
    return "now"


class Now(Tool):  # type: ignore[misc]  # not installed where the types are checked
    """A tool of a class of its own."""

    name = "now"
    description = "Say when."
    inputs: ClassVar[dict[str, Any]] = {}
    output_type = "string"

    def forward(self) -> str:
        return "now"


TOOL_CALLING = [
    "agent intent clerk",
    "model intent scripted-1",
    "model success scripted-1",
    "tool intent add",
    "tool success add",
    "model intent scripted-1",
    "model success scripted-1",
    "tool intent final_answer",
    "tool success final_answer",
    "agent success clerk",
]
CODE = [
    "agent intent clerk",
    "model intent scripted-1",
    "model success scripted-1",
    "tool intent python_interpreter",
    "tool intent add",
    "tool success add",
    "tool intent final_answer",
    "tool success final_answer",
    "tool success python_interpreter",
    "agent success clerk",
]


@pytest.fixture(autouse=True)
def auditing() -> Iterator[None]:
    """Audit smolagents in every test here."""
    with instrumented():
        yield


class TestOrder:
    def test_tool_calls(self, log: CapturedAudit) -> None:
        """A run that calls a tool gives its lines in the order of what happens."""
        assert calling("clerk", [call_of("add", a=1, b=2), answer()], [add]).run("add") == "done"
        assert lines(log) == TOOL_CALLING

    @pytest.mark.parametrize("stream_outputs", [False, True])
    def test_stream(self, log: CapturedAudit, stream_outputs: bool) -> None:
        """A run whose steps are streamed gives the same lines, also where the model's answers are streamed too."""
        script = [call_of("add", a=1, b=2), answer()]
        agent = calling("clerk", script, [add], model=StreamingModel, stream_outputs=stream_outputs)
        assert list(agent.run("add", stream=True))[-1].output == "done"
        assert lines(log) == TOOL_CALLING

    @pytest.mark.parametrize("stream_outputs", [False, True])
    def test_code(self, log: CapturedAudit, stream_outputs: bool) -> None:
        """Executing generated code is an act, and so is each call of a tool inside of it."""
        script = [code("final_answer(add(1, b=2))")]
        agent = coding("clerk", script, [add], model=StreamingModel, stream_outputs=stream_outputs)
        assert agent.run("add") == 3
        assert lines(log) == CODE

    def test_planning(self, log: CapturedAudit) -> None:
        """What a model is asked to plan is a model call of the agent's."""
        calling("clerk", ["1. Answer.", answer()], planning_interval=5).run("go")
        assert lines(log, "model") == ["model intent scripted-1", "model success scripted-1"] * 2
        assert {tuple(delegation(entry)) for entry in log.entries if "model" in entry.event_name} == {("clerk",)}

    def test_interpreter_tool(self, log: CapturedAudit) -> None:
        """A tool that executes code is one act, the tool's."""
        calling("clerk", [call_of("python_interpreter", code="1 + 1"), answer()], [PythonInterpreterTool()]).run("go")
        assert lines(log, "tool")[:2] == ["tool intent python_interpreter", "tool success python_interpreter"]
        assert len(lines(log, "tool")) == 4


class TestUnusual:
    def test_method_put_on_class(self, log: CapturedAudit) -> None:
        """What is put on a tool's class after it was made is audited from the next run of an agent on, and put back."""

        class Put(Now):
            pass

        def call(self: Any, *args: Any, **kwargs: Any) -> str:
            return "put"

        Put.__call__ = call
        calling("clerk", [call_of("now"), answer()], [Put()]).run("go")
        assert lines(log, "tool")[:2] == ["tool intent now", "tool success now"]
        AuditInstrumentor().uninstrument()
        assert Put.__call__ is call

    def test_unreadable_name(self, log: CapturedAudit) -> None:
        """A tool whose name cannot be read runs as without auditing."""

        class Unreadable(Now):
            def __getattribute__(self, name: str) -> Any:
                if name == "name":
                    raise RuntimeError(name)
                return super().__getattribute__(name)

        made = Now()
        made.__class__ = Unreadable
        assert made() == "now"
        assert [entry.attributes.get("audit.outcome") for entry in log.entries] == ["unknown", "success"]


class TestAttributes:
    def test_call_ids(self, log: CapturedAudit) -> None:
        """Each of several calls in one answer has its own id, also of one tool without arguments."""
        script = [[("now", "id-1", {}), ("add", "id-2", {"a": 1, "b": 2}), ("now", "id-3", {})], answer()]
        calling("clerk", script, [add, now]).run("go")
        told = [
            (entry.attributes["gen_ai.tool.name"], entry.attributes["gen_ai.tool.call.id"])
            for entry in log.entries
            if entry.event_name == "gen_ai.tool.execute" and entry.attributes["audit.phase"] == "intent"
        ]
        assert sorted(told[:3]) == [("add", "id-2"), ("now", "id-1"), ("now", "id-3")]
        assert told[3] == ("final_answer", "call-9")

    def test_code_id(self, log: CapturedAudit) -> None:
        """Code has the id that the framework gives it; the tools that it calls have none of the model's."""
        coding("clerk", [code("add(1, 2)"), code("final_answer(1)")], [add]).run("go")
        ids = [e.attributes["gen_ai.tool.call.id"] for e in log.entries if "gen_ai.tool.call.id" in e.attributes]
        assert ids == ["call_1", "call_1", "call_2", "call_2"]

    def test_inner_tool(self, log: CapturedAudit) -> None:
        """A tool that another tool calls is an act of its own, without the id of what the model asked for."""

        @tool
        def twice(a: int) -> int:
            """Double.

            Args:
                a: What.
            """
            return add(a, a)  # type: ignore[no-any-return]

        calling("clerk", [call_of("twice", a=2), answer()], [twice]).run("go")
        assert of(log, "tool intent twice").attributes["gen_ai.tool.call.id"] == "call-1"
        assert "gen_ai.tool.call.id" not in of(log, "tool intent add").attributes

    @pytest.mark.parametrize("model", [ScriptedModel, StreamingModel])
    def test_model(self, log: CapturedAudit, model: type) -> None:
        """A model call tells the model and its tokens, streamed or not."""
        calling("clerk", [answer()], model=model, stream_outputs=model is StreamingModel).run("go")
        said = of(log, "model success scripted-1").attributes
        assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (7, 3)
        assert said["gen_ai.request.model"] == "scripted-1"
        assert said["gen_ai.agent.name"] == "clerk"
        if model is ScriptedModel:
            assert said["gen_ai.response.finish_reasons"] == ["tool_calls"]
            assert (said["gen_ai.response.model"], said["gen_ai.response.id"]) == ("scripted-1-2026", "answer-1")

    def test_no_name(self, log: CapturedAudit) -> None:
        """An agent without a name goes by its class."""
        calling(None, [answer()]).run("go")
        assert lines(log, "agent") == ["agent intent ToolCallingAgent", "agent success ToolCallingAgent"]

    def test_no_content(self, log: CapturedAudit) -> None:
        """Nothing of prompts, arguments, code, results and errors is in the log."""
        script = [call_of("fail", text=CANARY), call_of("add", a=1, b=2), answer(CANARY)]
        calling("clerk", script, [add, fail]).run(CANARY)
        coding("clerk", [code(f"fail('{CANARY}')"), code(f"final_answer('{CANARY}')")], [fail]).run(CANARY)
        with open(log.path, encoding="utf-8") as file:
            assert CANARY not in file.read()


class TestCaptured:
    @pytest.fixture
    def auditing(self) -> Iterator[None]:
        """Audit nothing yet."""
        return iter(())

    def test_arguments(self, log: CapturedAudit) -> None:
        """Of arguments those are recorded that are named, whichever way they are given; code as ``code``."""
        with instrumented(capture=["b", "code"], capture_result=True):
            coding("clerk", [code("add(1, 2)\nadd(1, b=3)\nadd({'a': 1, 'b': 4})\nfinal_answer(1)")], [add]).run("go")
        told = [entry.attributes.get("audit.arguments") for entry in log.entries if "tool" in entry.event_name]
        assert [said for said in told if isinstance(said, dict) and "b" in said] == [{"b": 2}, {"b": 3}, {"b": 4}]
        assert told[0] == {"code": "add(1, 2)\nadd(1, b=3)\nadd({'a': 1, 'b': 4})\nfinal_answer(1)"}
        results = [e.attributes["audit.result"] for e in log.entries if "audit.result" in e.attributes]
        assert results[:4] == [3, 4, 5, 1]


class TestWhoActs:
    def test_inside(self, log: CapturedAudit) -> None:
        """The run is by the caller; what happens inside, also in code, is by the agent on the caller's behalf."""
        with acting_as("maya", type="user"):
            coding("clerk", [code("final_answer(add(1, 2))")], [add]).run("go")
            assert [actor.id for actor in current_actors()] == ["maya"]
        assert delegation(of(log, "agent intent clerk")) == ["maya"]
        assert delegation(of(log, "agent success clerk")) == ["maya"]
        inside = {tuple(delegation(e)) for e in log.entries if e.event_name != "gen_ai.agent.invoke"}
        assert inside == {("maya", "clerk")}

    def test_managed(self, log: CapturedAudit) -> None:
        """A managed agent acts on its manager's behalf; its run has the id by which the manager asked for it."""
        helper = calling("helper", [call_of("add", "call-5", a=1, b=2), answer()], [add])
        boss = calling("boss", [call_of("helper", "call-4", task="add"), answer()], managed_agents=[helper])
        with acting_as("maya", type="user"):
            boss.run("go")
        run = of(log, "agent intent helper")
        assert delegation(run) == ["maya", "boss"]
        assert run.attributes["gen_ai.tool.call.id"] == "call-4"
        assert delegation(of(log, "tool intent add")) == ["maya", "boss", "helper"]
        assert of(log, "tool intent add").attributes["gen_ai.tool.call.id"] == "call-5"
        assert delegation(of(log, "agent success boss")) == ["maya"]

    def test_managed_by_code(self, log: CapturedAudit) -> None:
        """Code that asks a managed agent is part of the chain as its author is."""
        helper = coding("helper", [code("final_answer(add(1, 2))")], [add])
        boss = coding("boss", [code("final_answer(helper('add'))")], managed_agents=[helper])
        boss.run("go")
        assert delegation(of(log, "agent intent helper")) == ["boss"]
        assert delegation(of(log, "tool intent add")) == ["boss", "helper"]

    def test_side_by_side(self, log: CapturedAudit) -> None:
        """Runs in threads at the same time keep their agents apart."""
        both = threading.Barrier(2)

        def run(name: str) -> None:
            def wait() -> Any:
                both.wait(9)
                return call_of("add", name, a=1, b=2)

            with acting_as(f"user of {name}"):
                calling(name, [wait, answer()], [add]).run("go")

        threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for entry in log.entries:
            if entry.attributes.get("gen_ai.tool.name") == "add":
                name = entry.attributes["gen_ai.tool.call.id"]
                assert delegation(entry) == [f"user of {name}", name]

    def test_stream_reader(self, log: CapturedAudit) -> None:
        """A stream's run is by whoever asked for it; who reads it does not become the agent."""
        agent = calling("clerk", [call_of("add", a=1, b=2), answer()], [add])
        with acting_as("maya", type="user"):
            steps = agent.run("go", stream=True)
        for _step in steps:
            assert current_actors() == ()
        assert delegation(of(log, "agent intent clerk")) == ["maya"]
        assert delegation(of(log, "tool intent add")) == ["maya", "clerk"]


class TestTraces:
    def test_one_trace(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """A run without a span has one of its own, and all entries of it are of that trace, in threads too."""
        script = [[("now", "id-1", {}), ("now", "id-2", {})], answer()]
        calling("clerk", script, [now]).run("go")
        (span,) = spans.get_finished_spans()
        assert span.name == "gen_ai.agent.invoke clerk"
        assert {entry.trace_id for entry in log.entries} == {format(span.context.trace_id, "032x")}
        assert len(log.entries) == 12

    def test_own_span(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """Inside of a span of the program's, the entries are of that span, and none is added."""
        tracer = trace.get_tracer_provider().get_tracer("program")
        with tracer.start_as_current_span("work") as span:
            coding("clerk", [code("final_answer(add(1, 2))")], [add]).run("go")
        assert {entry.span_id for entry in log.entries} == {format(span.get_span_context().span_id, "016x")}
        assert len(spans.get_finished_spans()) == 1

    def test_streamed(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """A streamed run has a span of its own that ends with it, and is not its reader's."""
        for _step in calling("clerk", [answer()]).run("go", stream=True):
            assert not trace.get_current_span().get_span_context().is_valid
        (span,) = spans.get_finished_spans()
        assert {entry.trace_id for entry in log.entries} == {format(span.context.trace_id, "032x")}


class TestBefore:
    @pytest.mark.parametrize("make", [calling, coding])
    def test_intent_is_there(self, log: CapturedAudit, make: Any) -> None:
        """A tool that reads the log finds its own intent there, and no outcome."""
        found: list[str] = []

        @tool
        def look() -> str:
            """Look into the log."""
            found.extend(str(entry.attributes.get("audit.phase")) for entry in read_log(log.path) if of_look(entry))
            return "seen"

        def of_look(entry: Any) -> bool:
            return bool(entry.attributes.get("audit.target.id") == "look")

        asked = code("final_answer(look())") if make is coding else call_of("look")
        make("clerk", [asked, answer()], [look]).run("go")
        assert found == ["intent"]


class TestFailures:
    def test_tool(self, log: CapturedAudit) -> None:
        """A tool that raises is a failure with its own error's type, though the run goes on."""
        assert calling("clerk", [call_of("fail", text=CANARY), answer()], [fail]).run("go") == "done"
        assert of(log, "tool failure fail").attributes["error.type"] == "KeyError"
        assert lines(log)[-1] == "agent success clerk"

    def test_in_code(self, log: CapturedAudit) -> None:
        """A tool that raises in generated code fails, and so does the code, unless it catches the error."""
        caught = code("try:\n    fail('x')\nexcept Exception:\n    pass\nfinal_answer(1)")
        coding("clerk", [code("fail('x')"), caught], [fail]).run("go")
        ends = [text for text in lines(log, "tool") if "intent" not in text]
        assert ends == [
            "tool failure fail",
            "tool failure python_interpreter",
            "tool failure fail",
            "tool success final_answer",
            "tool success python_interpreter",
        ]

    def test_model(self, log: CapturedAudit) -> None:
        """A model that raises is a failure, and so is the run, which raises as without auditing."""
        with pytest.raises(Exception, match="overloaded"):
            calling("clerk", [TimeoutError("overloaded")]).run("go")
        assert of(log, "model failure scripted-1").attributes["error.type"] == "TimeoutError"
        assert of(log, "agent failure clerk").attributes["error.type"] == "smolagents.utils.AgentGenerationError"

    def test_max_steps(self, log: CapturedAudit) -> None:
        """A run that is out of steps is a failure, though it has an answer."""
        calling("clerk", [call_of("now"), "an answer"], [now], max_steps=1).run("go")
        assert of(log, "agent failure clerk").attributes["error.type"] == "smolagents.utils.AgentMaxStepsError"

    def test_interrupted(self, log: CapturedAudit) -> None:
        """A Ctrl-C in a tool ends the run, and both are recorded."""

        @tool
        def stop() -> str:
            """Stop."""
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            calling("clerk", [call_of("stop")], [stop]).run("go")
        assert lines(log)[3:] == ["tool intent stop", "tool failure stop", "agent failure clerk"]


class TestClosedEarly:
    def test_between_steps(self, log: CapturedAudit) -> None:
        """A stream that is closed before its end is unknown, once the framework lets go of it."""
        steps = calling("clerk", [call_of("now"), answer()], [now]).run("go", stream=True)
        next(steps)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):  # the framework's own: it has one more step
            steps.close()
        steps.close()
        entry = of(log, "agent unknown clerk")
        assert entry.attributes["audit.reason"] == "closed by its consumer before it ended"
        assert delegation(entry) == delegation(of(log, "agent intent clerk"))

    def test_not_begun(self, log: CapturedAudit) -> None:
        """A stream that nobody reads is no run."""
        calling("clerk", [answer()]).run("go", stream=True).close()
        assert lines(log) == []

    def test_model_stream(self, log: CapturedAudit) -> None:
        """A model's stream that is closed is unknown, with the tokens that it told until then."""
        parts: Any = StreamingModel(["text"]).generate_stream([])
        next(parts)
        parts.close()
        said = of(log, "model unknown scripted-1").attributes
        assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (7, 0)


class TestChecks:
    def test_decisions(self, log: CapturedAudit) -> None:
        """Each check of a final answer decides, before the answer is given or refused."""
        seen: list[Any] = []

        def is_long(final_answer: Any, memory: Any, agent: Any) -> bool:
            seen.append(agent)
            return len(final_answer) > 3

        def is_text(final_answer: Any, memory: Any, agent: Any) -> bool:
            return isinstance(final_answer, str)

        agent = calling("clerk", [answer("no"), answer("a long one")], final_answer_checks=[is_text, is_long])
        assert agent.run("go") == "a long one"
        assert lines(log, "guardrail") == [
            "guardrail allow is_text",
            "guardrail block is_long",
            "guardrail allow is_text",
            "guardrail allow is_long",
        ]
        assert seen == [agent, agent]
        assert agent.final_answer_checks == [is_text, is_long]
        entry = next(entry for entry in log.entries if entry.event_name == "gen_ai.guardrail.check")
        assert delegation(entry) == ["clerk"]

    def test_raises(self, log: CapturedAudit) -> None:
        """A check that raises blocks."""

        def broken(final_answer: Any, memory: Any, agent: Any) -> bool:
            raise ValueError(CANARY)

        calling("clerk", [answer(), "given up"], final_answer_checks=[broken], max_steps=1).run("go")
        assert lines(log, "guardrail") == ["guardrail block broken"]


class TestClasses:
    def test_own_call(self, log: CapturedAudit) -> None:
        """A tool whose class has a call of its own is audited once, and another object that it calls as well."""

        class Loud(Tool):  # type: ignore[misc]
            name = "loud"
            description = "Say."
            inputs: ClassVar = {"text": {"type": "string", "description": "What."}}
            output_type = "string"

            def forward(self, text: str) -> str:
                return text.upper()

            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return super().__call__(*args, **kwargs)

        assert Loud()("x") == "X"
        assert lines(log) == ["tool intent loud", "tool success loud"]

    def test_own_stream(self, log: CapturedAudit) -> None:
        """A class that makes a run's stream by itself has a run with its intent at the first step."""

        class Own(ToolCallingAgent):  # type: ignore[misc]
            def run(self, task: str, stream: bool = False, **kwargs: Any) -> Any:
                yield from ("one", "two")

        steps = calling("clerk", [], kind=Own).run("go", stream=True)
        assert lines(log) == []
        assert next(steps) == "one"
        assert lines(log) == ["agent intent clerk"]
        assert list(steps) == ["two"]
        assert lines(log) == ["agent intent clerk", "agent success clerk"]

    @pytest.mark.parametrize("when", ["asked", "read", "both"])
    def test_stream_of_the_parent(self, log: CapturedAudit, when: str) -> None:
        """A class whose stream passes its parent's on has one run, whenever it asks for it."""

        class Passes(ToolCallingAgent):  # type: ignore[misc]
            def run(self, task: str, stream: bool = False, **kwargs: Any) -> Any:
                if when == "read":
                    return self.steps(None, task)
                steps = super().run(task, stream=True, **kwargs)
                return steps if when == "asked" else self.steps(steps, task)

            def steps(self, steps: Any, task: str) -> Any:
                yield from steps or super().run(task, stream=True)

        assert list(calling("clerk", [answer()], kind=Passes).run("go", stream=True))
        assert lines(log, "agent") == ["agent intent clerk", "agent success clerk"]
        assert lines(log)[0] == "agent intent clerk"

    def test_steps_that_are_no_generator(self, log: CapturedAudit) -> None:
        """A class whose steps are a mere iterator is run as without us."""

        class Plain(ToolCallingAgent):  # type: ignore[misc]
            def _step_stream(self, memory_step: Any) -> Any:
                return iter(list(super()._step_stream(memory_step)))

        assert calling("clerk", [answer()], kind=Plain).run("go") == "done"
        assert lines(log, "agent") == ["agent intent clerk", "agent success clerk"]

    def test_model_of_a_model(self, log: CapturedAudit) -> None:
        """A model that has its parent class ask is one call, also where it answers a stream by it."""

        class Child(StreamingModel):
            def generate(self, messages: Any, **kwargs: Any) -> Any:
                return super().generate(messages, **kwargs)

            def generate_stream(self, messages: Any, **kwargs: Any) -> Iterator[Any]:
                yield from super().generate_stream(messages, **kwargs)

        Child(["a"]).generate([])
        assert len(list(Child(["a"]).generate_stream([]))) == 2
        assert lines(log) == ["model intent scripted-1", "model success scripted-1"] * 2

    def test_serialized(self, log: CapturedAudit) -> None:
        """An agent's and a tool's own description is what it is without auditing."""
        agent = coding("clerk", [], [add])
        with_auditing = (agent.to_dict()["tools"], add.to_dict())
        assert "return a + b" in with_auditing[1]["code"]
        assert "otel_audit" not in str(with_auditing)
