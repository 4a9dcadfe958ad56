from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, tool
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.pregel import Pregel
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import ValidationError

from otel_audit import AuditInstrumentor, acting_as, read_log, verify_log
from otel_audit.errors import AuditConfigError
from otel_audit.testing import CapturedAudit, capture_audit
from tests.frameworks.langchain_support import (
    HELLO,
    WAYS,
    calls,
    chain,
    found_intent,
    instrumented,
    line,
    lines,
    model,
    of,
    run_in,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_langchain.py"

tracer = TracerProvider().get_tracer("tests")


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Audit LangChain, which this module has imported by name before."""
    with instrumented():
        yield


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def _pair(a: int, b: int) -> tuple[int, None]:
    return a + b, None


class Adder(BaseTool):  # type: ignore[misc]  # not installed where the types are checked
    name: str = "adder"
    description: str = "Add two numbers."

    def _run(self, a: int, b: int) -> int:
        return a + b


class Overriding(Adder):
    name: str = "overriding"

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return super().run(*args, **kwargs)


def two_steps(**members: Any) -> Any:
    return create_agent(model(calls(("add", {"a": 1, "b": 2})), "3", **members), [add], name="calculator")


TWO_STEPS = [
    ("agent.invoke", "calculator", "intent", "unknown"),
    ("model.call", "scripted-1", "intent", "unknown"),
    ("model.call", "scripted-1", "outcome", "success"),
    ("tool.execute", "add", "intent", "unknown"),
    ("tool.execute", "add", "outcome", "success"),
    ("model.call", "scripted-1", "intent", "unknown"),
    ("model.call", "scripted-1", "outcome", "success"),
    ("agent.invoke", "calculator", "outcome", "success"),
]


class TestRun:
    @pytest.mark.parametrize("way", WAYS)
    def test_leaves_its_lines_in_order(self, log: CapturedAudit, way: str) -> None:
        """Run, model, tool and model again: the same lines, however the agent is run."""
        run_in(way, two_steps())()
        assert lines(log) == TWO_STEPS

    def test_is_by_the_caller_and_what_is_inside_by_the_agent(self, log: CapturedAudit) -> None:
        """The caller runs the agent; the agent, for the caller, asks the model and runs the tool."""
        with acting_as("maya", type="user"):
            two_steps().invoke(HELLO)
        assert [chain(entry) for entry in log.entries] == [["maya"], *[["maya", "calculator"]] * 6, ["maya"]]

    def test_says_what_was_called(self, log: CapturedAudit) -> None:
        """A tool call has its name, its call id and its agent, a run its agent and its thread."""
        run_in("invoke", two_steps(), config={"configurable": {"thread_id": 7}})()
        call = of(log, "tool.execute")[1].attributes
        assert {key: value for key, value in call.items() if key.startswith("gen_ai.")} == {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "add",
            "gen_ai.tool.call.id": "call-1",
            "gen_ai.tool.type": "function",
            "gen_ai.agent.name": "calculator",
        }
        assert call["audit.target.type"] == "tool"
        run = of(log, "agent.invoke")[0].attributes
        assert {key: value for key, value in run.items() if key.startswith("gen_ai.")} == {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "calculator",
            "gen_ai.conversation.id": "7",
        }

    def test_leaves_the_actor_as_it_was(self, log: CapturedAudit) -> None:
        """Between two items of a stream, and after it, the consumer acts for itself."""
        seen = []
        for _ in two_steps().stream(HELLO):
            with capture_audit() as other:
                add.invoke({"a": 1, "b": 1})
                seen += [entry.attributes["audit.actor.id"] for entry in other.entries]
        assert set(seen) == {"test"}
        assert len(seen) == 6

    def test_closed_early_is_unknown(self, log: CapturedAudit) -> None:
        """A stream that is left after its first item is neither a success nor a failure."""
        stream = two_steps().stream(HELLO)
        next(stream)
        stream.close()
        assert lines(log) == [*TWO_STEPS[:3], ("agent.invoke", "calculator", "outcome", "unknown")]

    async def test_closed_early_is_unknown_in_coroutines(self, log: CapturedAudit) -> None:
        """So is one of a coroutine."""
        stream = two_steps().astream(HELLO)
        await anext(stream)
        await stream.aclose()
        assert lines(log) == [*TWO_STEPS[:3], ("agent.invoke", "calculator", "outcome", "unknown")]

    def test_that_nobody_iterates_is_none(self, log: CapturedAudit) -> None:
        """A stream that nobody asks for an item leaves no line."""
        two_steps().stream(HELLO)
        assert lines(log) == []

    async def test_is_cancelled(self, log: CapturedAudit) -> None:
        """Cancelled while a tool waits, tool and run have failed."""
        waiting, forever = asyncio.Event(), asyncio.Event()

        @tool
        async def wait() -> str:
            """Wait."""
            waiting.set()
            await forever.wait()
            return "never"

        agent = create_agent(model(calls(("wait", {}))), [wait], name="waiter")
        task = asyncio.ensure_future(agent.ainvoke(HELLO))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [line(entry) for entry in log.entries[-2:]] == [
            ("tool.execute", "wait", "outcome", "failure"),
            ("agent.invoke", "waiter", "outcome", "failure"),
        ]
        assert log.entries[-2].attributes["error.type"] == "asyncio.exceptions.CancelledError"

    def test_of_an_agent_that_is_a_tool_is_by_the_other(self, log: CapturedAudit) -> None:
        """An agent that a tool runs acts for the agent that called the tool."""
        inner = two_steps()

        @tool
        def ask_calculator(question: str) -> str:
            """Ask."""
            return str(inner.invoke(HELLO)["messages"][-1].content)

        outer = create_agent(
            model(calls(("ask_calculator", {"question": "1+2"})), "3"), [ask_calculator], name="secretary"
        )
        with acting_as("maya", type="user"):
            outer.invoke(HELLO)
        runs = [entry for entry in of(log, "agent.invoke") if entry.attributes["audit.target.id"] == "calculator"]
        assert [chain(entry) for entry in runs] == [["maya", "secretary"]] * 2
        call = of(log, "tool.execute")[1]
        assert line(call)[1] == "add"
        assert chain(call) == ["maya", "secretary", "calculator"]


class TestTrace:
    def test_is_one_of_its_own(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """Without a span of the program's, the run opens one, whose ids all lines have."""
        two_steps().invoke(HELLO)
        (span,) = spans.get_finished_spans()
        assert span.name == "gen_ai.agent.invoke calculator"
        assert {(entry.trace_id, entry.span_id) for entry in log.entries} == {
            (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")
        }

    async def test_is_one_of_its_own_in_coroutines(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """So it is where the agent is run by a coroutine, and each run has another."""
        await two_steps().ainvoke(HELLO)
        await two_steps().ainvoke(HELLO)
        first, second = spans.get_finished_spans()
        ids = [entry.trace_id for entry in log.entries]
        assert ids == [f"{first.context.trace_id:032x}"] * 8 + [f"{second.context.trace_id:032x}"] * 8

    def test_is_the_programs(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """In a span of the program's, all lines are of that one."""
        with tracer.start_as_current_span("program") as span:
            two_steps().invoke(HELLO)
        assert {entry.span_id for entry in log.entries} == {f"{span.get_span_context().span_id:016x}"}
        assert spans.get_finished_spans() == ()

    def test_of_a_tool_alone(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """A tool that is called outside every run has a span of its own, without the message of its error."""
        with pytest.raises(ValidationError):
            add.invoke({"a": "x"})
        (span,) = spans.get_finished_spans()
        assert {entry.trace_id for entry in log.entries} == {f"{span.context.trace_id:032x}"}
        assert not span.events

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
    def test_is_that_of_openinference(self, log: CapturedAudit, spans: InMemorySpanExporter, way: str) -> None:
        """The spans of OpenInference's instrumentation and all lines are of one trace."""
        from openinference.instrumentation.langchain import LangChainInstrumentor

        LangChainInstrumentor().instrument(tracer_provider=trace.get_tracer_provider())
        try:
            run_in(way, two_steps())()
        finally:
            LangChainInstrumentor().uninstrument()
        assert len(spans.get_finished_spans()) > 3
        assert {entry.trace_id for entry in log.entries} == {
            f"{span.context.trace_id:032x}" for span in spans.get_finished_spans()
        }

    @pytest.mark.parametrize("first", ["ours", "theirs"])
    def test_is_that_of_openllmetry(self, first: str) -> None:
        """The spans of OpenLLMetry's instrumentation and all lines are of one trace, whichever comes first."""
        # In a process of its own: it does not leave everything as it was.
        run_program(
            "from opentelemetry import trace\n"
            "from opentelemetry.instrumentation.langchain import LangchainInstrumentor\n"
            "from opentelemetry.sdk.trace import TracerProvider\n"
            "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
            "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
            "from otel_audit.testing import capture_audit\n"
            "from tests.frameworks.langchain_support import instrumented, run_in\n"
            "from tests.frameworks.test_langchain import two_steps\n"
            "provider, exporter = TracerProvider(), InMemorySpanExporter()\n"
            "provider.add_span_processor(SimpleSpanProcessor(exporter))\n"
            "trace.set_tracer_provider(provider)\n"
            f"if {first!r} == 'theirs': LangchainInstrumentor().instrument()\n"
            "with instrumented(), capture_audit() as log:\n"
            f"    if {first!r} == 'ours': LangchainInstrumentor().instrument()\n"
            "    for way in ('invoke', 'ainvoke', 'stream'):\n"
            "        log.clear()\n"
            "        exporter.clear()\n"
            "        run_in(way, two_steps())()\n"
            "        entries, spans = log.entries, exporter.get_finished_spans()\n"
            "        assert len(spans) > 3 and len(entries) == 8, (way, spans, entries)\n"
            "        ids = {f'{span.context.trace_id:032x}' for span in spans}\n"
            "        assert {entry.trace_id for entry in entries} == ids and len(ids) == 1, (way, ids)\n"
        )


class TestTool:
    @pytest.mark.parametrize("way", WAYS)
    def test_finds_its_intent(self, log: CapturedAudit, way: str) -> None:
        """The intent is in the log when the tool begins."""
        found = []

        @tool
        def look() -> str:
            """Look."""
            found.append(found_intent(log, "look"))
            return "seen"

        run_in(way, create_agent(model(calls(("look", {})), "done"), [look]))()
        assert found == [True]

    async def test_finds_its_intent_in_coroutines(self, log: CapturedAudit) -> None:
        """So it is when a coroutine is the tool."""
        found = []

        @tool
        async def look() -> str:
            """Look."""
            found.append(found_intent(log, "look"))
            return "seen"

        await create_agent(model(calls(("look", {})), "done"), [look]).ainvoke(HELLO)
        assert found == [True]

    @pytest.mark.parametrize("way", ["invoke", "ainvoke"])
    @pytest.mark.parametrize(
        "made",
        [
            add,
            Adder(),
            Overriding(),
            StructuredTool.from_function(lambda a, b: a + b, name="made", description="Add."),
            StructuredTool(
                name="from-schema",
                description="Add.",
                args_schema={"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
                func=lambda a, b: (a + b, None),
                coroutine=_pair,
                response_format="content_and_artifact",
            ),
        ],
        ids=lambda made: made.name,
    )
    def test_is_audited_however_it_is_made(self, log: CapturedAudit, made: BaseTool, way: str) -> None:
        """By decorator, by class, from a function, from a schema as MCP servers give it: one intent, one outcome."""
        agent = create_agent(model(calls((made.name, {"a": 1, "b": 2})), "3"), [made])
        answer = run_in(way, agent)()["messages"][-2]
        assert answer.content == "3"
        assert [line(entry)[1:] for entry in of(log, "tool.execute")] == [
            (made.name, "intent", "unknown"),
            (made.name, "outcome", "success"),
        ]

    def test_is_audited_outside_of_agents(self, log: CapturedAudit) -> None:
        """A tool that the program calls itself is audited as the program's act."""
        shout = Tool("shout", str.upper, "Shout.")
        assert add.invoke({"a": 1, "b": 2}) == 3
        assert shout.run("no") == "NO"
        assert [(line(entry)[1], entry.attributes["audit.actor.id"]) for entry in log.entries] == [
            ("add", "test"),
            ("add", "test"),
            ("shout", "test"),
            ("shout", "test"),
        ]

    def test_is_audited_in_a_tool_node(self, log: CapturedAudit) -> None:
        """So is one of a graph that is no agent's, in the graph's name."""
        from langgraph.graph import MessagesState, StateGraph

        graph = StateGraph(MessagesState)
        graph.add_node("tools", ToolNode([add]))
        graph.set_entry_point("tools")
        graph.compile(name="workflow").invoke({"messages": [calls(("add", {"a": 1, "b": 2}))]})
        assert lines(log) == [
            ("agent.invoke", "workflow", "intent", "unknown"),
            ("tool.execute", "add", "intent", "unknown"),
            ("tool.execute", "add", "outcome", "success"),
            ("agent.invoke", "workflow", "outcome", "success"),
        ]

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
    def test_fails(self, log: CapturedAudit, way: str) -> None:
        """The exception of a tool ends tool and run as failures by its type, and is the program's own."""
        error = LookupError("no")

        @tool
        def fail() -> str:
            """Fail."""
            raise error

        with pytest.raises(LookupError) as caught:
            run_in(way, create_agent(model(calls(("fail", {}))), [fail], name="unlucky"))()
        assert caught.value is error
        assert [line(entry) for entry in log.entries[-2:]] == [
            ("tool.execute", "fail", "outcome", "failure"),
            ("agent.invoke", "unlucky", "outcome", "failure"),
        ]
        assert [entry.attributes["error.type"] for entry in log.entries[-2:]] == ["LookupError"] * 2

    def test_that_handles_its_error_fails(self, log: CapturedAudit) -> None:
        """A tool that turns its error into a message has failed; the run goes on."""

        def refuse() -> str:
            """Refuse."""
            raise ToolException("no")

        refusing = StructuredTool.from_function(refuse, handle_tool_error=True)
        create_agent(model(calls(("refuse", {})), "well"), [refusing]).invoke(HELLO)
        assert line(of(log, "tool.execute")[1])[3] == "failure"
        assert of(log, "tool.execute")[1].attributes["error.type"] == "tool_error"
        assert line(log.entries[-1])[3] == "success"

    def test_runs_beside_others(self, log: CapturedAudit) -> None:
        """Tools that a model calls at once still run at once, each with its own outcome."""
        together = threading.Barrier(2, timeout=9)

        @tool
        def meet(name: str) -> str:
            """Meet."""
            together.wait()
            if name == "b":
                raise ToolException(name)
            return name

        meet.handle_tool_error = True
        create_agent(model(calls(("meet", {"name": "a"}), ("meet", {"name": "b"})), "met"), [meet]).invoke(HELLO)
        _each_with_its_own(log)

    async def test_runs_beside_others_in_coroutines(self, log: CapturedAudit) -> None:
        """So do those of coroutines."""
        together = asyncio.Barrier(2)

        @tool
        async def meet(name: str) -> str:
            """Meet."""
            async with asyncio.timeout(9):
                await together.wait()
            if name == "b":
                raise ToolException(name)
            return name

        meet.handle_tool_error = True
        agent = create_agent(model(calls(("meet", {"name": "a"}), ("meet", {"name": "b"})), "met"), [meet])
        await agent.ainvoke(HELLO)
        _each_with_its_own(log)

    def test_refuses_wrong_arguments_itself(self, log: CapturedAudit) -> None:
        """What is wrong with a call is told by LangChain, in its own words."""
        told = []
        for _ in range(2):
            with pytest.raises(TypeError) as missing:
                add.run()
            with pytest.raises(ValidationError) as wrong:
                add.invoke({"a": "x", "b": 2})
            told.append((str(missing.value), str(wrong.value)))
            AuditInstrumentor().uninstrument()
        assert told[0] == told[1]
        assert [line(entry)[2:] for entry in log.entries] == [("intent", "unknown"), ("outcome", "failure")] * 2


def run_program(program: str) -> str:
    """Run a program in a new interpreter; return what it prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def _each_with_its_own(log: CapturedAudit) -> None:
    intents = {
        entry.attributes["audit.record.id"]: entry.attributes["gen_ai.tool.call.id"]
        for entry in of(log, "tool.execute")
        if entry.attributes["audit.phase"] == "intent"
    }
    outcomes = {
        (
            intents[entry.attributes["audit.intent.id"]],
            entry.attributes["gen_ai.tool.call.id"],
            entry.attributes["audit.outcome"],
        )
        for entry in of(log, "tool.execute")
        if entry.attributes["audit.phase"] == "outcome"
    }
    assert outcomes == {("call-1", "call-1", "success"), ("call-2", "call-2", "failure")}


@pytest.fixture
def recaptured(audited: None) -> Any:
    """Return a function that audits with other settings."""

    def again(**settings: Any) -> None:
        AuditInstrumentor().uninstrument()
        AuditInstrumentor().instrument(frameworks=["langchain"], **settings)

    return again


class TestCapture:
    def test_is_off(self, log: CapturedAudit) -> None:
        """Nothing of arguments or results is recorded by itself."""
        two_steps().invoke(HELLO)
        assert not [entry for entry in log.entries if {"audit.arguments", "audit.result"} & entry.attributes.keys()]

    def test_records_what_is_named(self, log: CapturedAudit, recaptured: Any) -> None:
        """Arguments that are named are recorded in the intent, and the result where that is asked for."""
        recaptured(capture=["b"], capture_result=True)
        add.invoke({"a": 1, "b": 2})
        intent, outcome = log.entries
        assert intent.attributes["audit.arguments"] == {"b": 2}
        assert outcome.attributes["audit.result"] == 3
        assert "audit.arguments" not in outcome.attributes

    def test_leaves_the_frameworks_own_arguments_out(self, log: CapturedAudit, recaptured: Any) -> None:
        """The state that the framework injects holds all messages, and is no argument of the model's."""
        recaptured(capture="*")

        @tool
        def count(unit: str, password: str, state: Annotated[dict[str, Any], InjectedState]) -> str:
            """Count."""
            return f"{len(state['messages'])} {unit}"

        agent = create_agent(model(calls(("count", {"unit": "lines", "password": "x"})), "2"), [count])
        assert agent.invoke(HELLO)["messages"][-2].content == "2 lines"
        assert of(log, "tool.execute")[0].attributes["audit.arguments"] == {"unit": "lines"}

    def test_knows_the_argument_of_a_tool_that_takes_a_text(self, log: CapturedAudit, recaptured: Any) -> None:
        """A text that is given to a tool is recorded under the name that the tool has for it."""
        recaptured(capture="*")
        shout = Tool("shout", str.upper, "Shout.")
        shout.run("no")
        shout.run({"__arg1": "yes"})
        assert [entry.attributes["audit.arguments"] for entry in log.entries[::2]] == [
            {"tool_input": "no"},
            {"__arg1": "yes"},
        ]

    def test_is_seen_by_redact(self, recaptured: Any) -> None:
        """The provider's own `redact` has the last word."""
        recaptured(capture="*")
        with capture_audit(redact=lambda name, value: "hidden" if name == "a" else value) as log:
            add.invoke({"a": 1, "b": 2})
            assert log.entries[0].attributes["audit.arguments"] == {"a": "hidden", "b": 2}


class TestUninstrument:
    def test_puts_the_very_objects_back(self) -> None:
        """Instrumented, uninstrumented and instrumented again, each function is the one from before."""
        from langchain.agents.middleware import HumanInTheLoopMiddleware, human_in_the_loop
        from langchain_core.language_models import BaseLLM
        from langgraph.graph import StateGraph

        targets: list[tuple[Any, str]] = [
            *((BaseTool, name) for name in ("run", "arun")),
            *((BaseChatModel, name) for name in ("generate", "agenerate", "stream", "astream", "_iter_v2_events")),
            *((BaseLLM, name) for name in ("generate", "agenerate", "stream", "astream")),
            *((Pregel, name) for name in ("stream", "astream")),
            (ToolNode, "__init__"),
            (StateGraph, "add_node"),
            (HumanInTheLoopMiddleware, "after_model"),
            (human_in_the_loop, "interrupt"),
        ]

        def held() -> list[Any]:
            return [vars(owner)[name] for owner, name in targets]

        during = held()
        AuditInstrumentor().uninstrument()
        before = held()
        assert not [one for one, other in zip(before, during, strict=True) if one is other]
        AuditInstrumentor().instrument(frameworks=["langchain"])
        AuditInstrumentor().uninstrument()
        assert all(one is other for one, other in zip(before, held(), strict=True))

    def test_lets_what_is_held_pass(self, log: CapturedAudit) -> None:
        """A bound method from before passes every call straight through."""
        run, stream = add.run, two_steps().stream
        AuditInstrumentor().uninstrument()
        assert run({"a": 1, "b": 2}) == 3
        assert list(stream(HELLO))
        assert log.entries == ()

    @pytest.mark.parametrize(("owner", "name"), [(BaseTool, "arun"), (BaseChatModel, "agenerate")])
    def test_names_a_target_that_is_gone(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        """A version without a function that is wrapped is refused by name, and nothing is left wrapped."""
        AuditInstrumentor().uninstrument()
        before = BaseTool.run
        monkeypatch.delattr(owner, name)
        with pytest.raises(AuditConfigError, match=name):
            AuditInstrumentor().instrument(frameworks=["langchain"])
        assert BaseTool.run is before

    def test_of_a_part_is_whole_or_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A part that lacks one function has none of the others wrapped; the other parts are audited."""
        from langchain.agents.middleware import HumanInTheLoopMiddleware, human_in_the_loop

        AuditInstrumentor().uninstrument()
        monkeypatch.delattr(human_in_the_loop, "interrupt")
        told: list[str] = []
        AuditInstrumentor().instrument(frameworks=["langchain"], on_missing=lambda error: told.append(str(error)))
        assert ["'interrupt'" in text for text in told] == [True]
        assert type(vars(HumanInTheLoopMiddleware)["after_model"]).__name__ == "function"
        assert type(vars(ToolNode)["__init__"]).__name__ == "_Patch"

    def test_leaves_copies_and_pickles_as_they_are(self, log: CapturedAudit) -> None:
        """Tools and agents are copied, and tools pickled, as without us, and the copies are audited."""
        copy.copy(two_steps()).invoke(HELLO)
        assert lines(log) == TWO_STEPS
        log.clear()
        for made in (copy.copy(add), copy.deepcopy(add), pickle.loads(pickle.dumps(Adder()))):
            assert made.invoke({"a": 1, "b": 2}) == 3
        assert len(log.entries) == 6


class TestImport:
    def test_costs_nothing_but_what_the_program_imports(self) -> None:
        """Instrumenting imports neither tools nor models nor LangGraph."""
        out = run_program(
            "import sys\n"
            "from otel_audit import AuditInstrumentor\n"
            "AuditInstrumentor().instrument(frameworks=['langchain'])\n"
            "import langchain_core\n"
            "print([name for name in sys.modules if name.startswith(('langgraph', 'langchain.',"
            " 'langchain_core.tools.base', 'langchain_core.language_models.chat_models'))])\n"
        )
        assert out == "[]\n"

    def test_may_come_afterwards(self) -> None:
        """What is imported after instrumenting is audited when it is imported, and no longer after uninstrumenting."""
        out = run_program(
            "from otel_audit import AuditInstrumentor\n"
            "AuditInstrumentor().instrument()\n"
            "from otel_audit.testing import capture_audit\n"
            "from langgraph.func import entrypoint\n"
            "from langchain_core.tools import tool\n"
            "@tool\n"
            "def add(a: int) -> int:\n"
            "    'Add.'\n"
            "    return a + 1\n"
            "@entrypoint()\n"
            "def flow(a): return add.invoke({'a': a})\n"
            "with capture_audit() as log:\n"
            "    assert flow.invoke(1) == 2\n"
            "    print([entry.attributes['audit.target.id'] for entry in log.entries])\n"
            "AuditInstrumentor().uninstrument()\n"
            "import langchain.agents.middleware\n"
            "from langgraph.prebuilt import ToolNode\n"
            "print(type(ToolNode.__init__).__name__)\n"
        )
        assert out == "['LangGraph', 'add', 'add', 'LangGraph']\nfunction\n"


def test_example(tmp_path: Path) -> None:
    """The example runs offline, and prints the lines of a log that verifies."""
    path = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        env={**os.environ, "OTEL_AUDIT_FILE": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert verify_log(path).intact
    told = [entry for entry in read_log(path) if entry.event_name.startswith("gen_ai.")]
    assert len(done.stdout.splitlines()) == len(told) == 16
    assert "maya@example.com > triage > billing: intent gen_ai.tool.execute refund" in done.stdout
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60
