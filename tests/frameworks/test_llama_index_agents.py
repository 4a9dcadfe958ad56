from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context, HumanResponseEvent, InputRequiredEvent
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from workflows.errors import WorkflowCancelledByUser

from otel_audit import acting_as
from otel_audit.instrument.frameworks import delegation as delegation_module
from otel_audit.testing import CapturedAudit
from tests.frameworks.llama_index_parts import (
    CANARY,
    ScriptedModel,
    agent,
    call_of,
    delegation,
    instrumented,
    last_line,
    lines,
    of,
    pairs,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # llama-index's own


@pytest.fixture(autouse=True)
def audited(log: CapturedAudit) -> Iterator[None]:
    """Audit llama-index in every test."""
    with instrumented():
        yield


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    await asyncio.sleep(0)
    return a * b


STEPS = [[call_of("add", "call-1", a=1, b=2)], [call_of("multiply", "call-2", a=3, b=4)], "15"]
ORDER = [
    "agent intent clerk",
    "model intent scripted-1",
    "model success scripted-1",
    "tool intent add",
    "tool success add",
    "model intent scripted-1",
    "model success scripted-1",
    "tool intent multiply",
    "tool success multiply",
    "model intent scripted-1",
    "model success scripted-1",
    "agent success clerk",
]


class TestOrder:
    @pytest.mark.parametrize("streaming", [True, False])
    async def test_function_agent(self, log: CapturedAudit, streaming: bool) -> None:
        """A run of several steps is in the log in the order of its acts, each intent before its outcome."""
        result = await agent("clerk", list(STEPS), [add, multiply], streaming=streaming).run("add")
        assert str(result) == "15"
        assert lines(log) == ORDER

    async def test_react_agent(self, log: CapturedAudit) -> None:
        """A ReAct agent, which finds its tool calls in text, gives the same lines."""
        script = [
            'Thought: I need a tool.\nAction: add\nAction Input: {"a": 1, "b": 2}',
            'Thought: I need a tool.\nAction: multiply\nAction Input: {"a": 3, "b": 4}',
            "Thought: I can answer.\nAnswer: 15",
        ]
        clerk = ReActAgent(name="clerk", tools=[add, multiply], llm=ScriptedModel(script=script))
        assert str(await clerk.run("add")) == "15"
        assert lines(log) == ORDER
        assert len({entry.attributes["gen_ai.tool.call.id"] for entry, _ in pairs(log, "tool").values()}) == 2

    async def test_code_act_agent(self, log: CapturedAudit) -> None:
        """The code that a CodeAct agent has executed is a tool call."""

        def execute(code: str) -> str:
            return code

        clerk = CodeActAgent(
            code_execute_fn=execute, llm=ScriptedModel(script=["<execute>1</execute>", "1"]), name="clerk"
        )
        await clerk.run("add")
        assert lines(log, "tool") == ["tool intent execute", "tool success execute"]

    async def test_workflow(self, log: CapturedAudit) -> None:
        """A workflow of one agent gives the same lines as the agent alone."""
        workflow = AgentWorkflow(agents=[agent("clerk", list(STEPS), [add, multiply])])
        await workflow.run("add")
        assert lines(log) == ORDER

    async def test_tools_or_functions(self, log: CapturedAudit) -> None:
        """An agent that the framework makes itself is audited, under the name that it gives it."""
        workflow = AgentWorkflow.from_tools_or_functions([add], llm=ScriptedModel(script=["0"]))
        await workflow.run("add")
        assert lines(log, "agent") == ["agent intent Agent", "agent success Agent"]

    async def test_outcome_is_there(self, log: CapturedAudit) -> None:
        """Whoever has awaited a run finds its outcome in the log."""
        for number in range(3):
            handler = agent("clerk", ["0"]).run("add")
            await handler
            assert lines(log)[-1] == "agent success clerk"
            assert len(lines(log, "agent")) == 2 * number + 2


class TestWhoActs:
    async def test_agent(self, log: CapturedAudit) -> None:
        """The run is by the caller; what happens inside is by the agent, on the caller's behalf."""
        with acting_as("maya", type="user"):
            await agent("clerk", list(STEPS), [add, multiply]).run("add")
        inside = [entry for entry in log.entries if entry.event_name != "gen_ai.agent.invoke"]
        assert delegation(of(log, "agent intent clerk")) == ["maya"]
        assert delegation(of(log, "agent success clerk")) == ["maya"]
        assert {tuple(delegation(entry)) for entry in inside} == {("maya", "clerk")}
        assert {entry.attributes["gen_ai.agent.name"] for entry in inside} == {"clerk"}

    async def test_side_by_side(self, log: CapturedAudit) -> None:
        """Runs at the same time keep their agents apart."""

        async def run(name: str) -> None:
            with acting_as(f"user of {name}"):
                await agent(name, [[call_of("multiply", name, a=1, b=2)], "2"], [multiply]).run("multiply")

        await asyncio.gather(*(run(f"clerk {number}") for number in range(4)))
        for name, (intent, outcome) in pairs(log, "tool").items():
            assert delegation(intent) == delegation(outcome) == [f"user of {name}", name]

    async def test_afterwards(self, log: CapturedAudit) -> None:
        """After a run, the caller acts again."""
        with acting_as("maya"):
            await agent("clerk", ["0"]).run("add")
            FunctionTool.from_defaults(add)(a=1, b=2)
        assert delegation(of(log, "tool intent add")) == ["maya"]

    async def test_agent_as_tool(self, log: CapturedAudit) -> None:
        """An agent that is another one's tool acts on behalf of that one."""
        inner = agent("inner", [[call_of("add", "call-9", a=1, b=2)], "3"], [add])

        async def ask(question: str) -> str:
            """Ask the inner agent."""
            return str(await inner.run(question))

        with acting_as("maya"):
            await agent("outer", [[call_of("ask", "call-1", question="1 + 2")], "3"], [ask]).run("add")
        assert lines(log, "agent", "tool") == [
            "agent intent outer",
            "tool intent ask",
            "agent intent inner",
            "tool intent add",
            "tool success add",
            "agent success inner",
            "tool success ask",
            "agent success outer",
        ]
        assert delegation(of(log, "agent intent inner")) == ["maya", "outer"]
        assert delegation(of(log, "tool intent add")) == ["maya", "outer", "inner"]

    async def test_own_run(self, log: CapturedAudit) -> None:
        """An agent class with a ``run`` and a step of its own is audited once, also if made while instrumented."""

        class OwnAgent(FunctionAgent):  # type: ignore[misc]
            def run(self, *args: Any, **kwargs: Any) -> Any:
                return super().run(*args, **kwargs)

            async def _call_tool(self, *args: Any, **kwargs: Any) -> Any:
                return await super()._call_tool(*args, **kwargs)

        clerk = OwnAgent(name="clerk", tools=[add, multiply], llm=ScriptedModel(script=list(STEPS)))
        await clerk.run("add")
        assert lines(log) == ORDER


def pair_of_agents(first: list[Any], second: list[Any], **kwargs: Any) -> AgentWorkflow:
    """Return a workflow of ``front``, which begins, and ``back``."""
    return AgentWorkflow(
        agents=[
            agent("front", first, [add], can_handoff_to=kwargs.pop("front_to", ["back"])),
            agent("back", second, [add], can_handoff_to=["front"]),
        ],
        root_agent="front",
        **kwargs,
    )


class TestHandoff:
    async def test_chain(self, log: CapturedAudit) -> None:
        """A handoff is recorded before it happens, and the next agent acts on behalf of the one before."""
        workflow = pair_of_agents(
            [[call_of("handoff", "call-1", to_agent="back", reason="sums")]],
            [[call_of("add", "call-2", a=1, b=2)], "3"],
        )
        with acting_as("maya"):
            assert str(await workflow.run("add")) == "3"
        assert lines(log) == [
            "agent intent front",
            "model intent scripted-1",
            "model success scripted-1",
            "handoff intent back",
            "handoff success back",
            "model intent scripted-1",
            "model success scripted-1",
            "tool intent add",
            "tool success add",
            "model intent scripted-1",
            "model success scripted-1",
            "agent success front",
        ]
        handed = of(log, "handoff intent back")
        assert delegation(handed) == ["maya", "front"]
        assert handed.attributes["gen_ai.agent.name"] == "front"
        assert handed.attributes["gen_ai.tool.call.id"] == "call-1"
        assert delegation(of(log, "tool intent add")) == ["maya", "front", "back"]
        assert delegation(of(log, "agent success front")) == ["maya"]

    async def test_back_again(self, log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
        """Handed back, the chain grows; of a long one the first and the latest are kept."""
        monkeypatch.setattr(delegation_module, "MAX_AGENTS", 3)
        to_back = [call_of("handoff", "to-back", to_agent="back", reason="sums")]
        to_front = [call_of("handoff", "to-front", to_agent="front", reason="words")]
        workflow = pair_of_agents([to_back, to_back, "3"], [to_front, to_front])
        with acting_as("maya"):
            await workflow.run("add")
        chains = [delegation(entry) for entry in log.entries if entry.attributes.get("audit.phase") == "intent"]
        assert chains[1] == ["maya", "front"]
        assert chains[3] == ["maya", "front", "back"]
        assert chains[5] == ["maya", "front", "back", "front"]
        assert chains[-1] == ["maya", "front", "back", "front"]

    @pytest.mark.parametrize(("to_agent", "named"), [("back", "back"), (CANARY, None)])
    async def test_refused(self, log: CapturedAudit, to_agent: str, named: str | None) -> None:
        """A handoff that the workflow does not allow is a failure; a name that no agent has is not recorded."""
        workflow = AgentWorkflow(
            agents=[
                agent(
                    "front",
                    [[call_of("handoff", to_agent=to_agent, reason="sums")], "no", "no"],
                    can_handoff_to=["side"],
                ),
                agent("side", []),
                agent("back", []),
            ],
            root_agent="front",
        )
        await workflow.run("add")
        outcome = of(log, f"handoff failure {named}")
        assert CANARY not in "".join(str(entry) for entry in log.entries)
        assert outcome.attributes["error.type"] == "handoff_refused"
        assert {delegation(entry)[-1] for entry in log.entries if entry.event_name == "gen_ai.model.call"} == {"front"}

    async def test_without_arguments(self, log: CapturedAudit) -> None:
        """A handoff that the model asks for without saying to whom is recorded, and fails as ever."""
        workflow = pair_of_agents([[call_of("handoff")], "no"], [])
        await workflow.run("add")
        assert of(log, "handoff failure None").attributes["error.type"] == "TypeError"


class TestTrace:
    async def test_own_spans(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """Without any other instrumentation, all lines of a run are in one trace: that of the run's own span."""
        await agent("clerk", list(STEPS), [add, multiply]).run("add")
        (span,) = spans.get_finished_spans()
        assert span.name == "gen_ai.agent.invoke clerk"
        assert {entry.trace_id for entry in log.entries} == {format(span.context.trace_id, "032x")}
        assert {entry.span_id for entry in log.entries} == {format(span.context.span_id, "016x")}

    async def test_callers_span(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """Inside a span of the program's, the lines have its ids, and no span is added."""
        with trace.get_tracer_provider().get_tracer("program").start_as_current_span("request") as span:
            await agent("clerk", list(STEPS), [add, multiply]).run("add")
        assert [span.name for span in spans.get_finished_spans()] == ["request"]
        assert {entry.span_id for entry in log.entries} == {format(span.get_span_context().span_id, "016x")}

    async def test_failed(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """The span of a run that fails has the type of the error, and nothing else of it."""
        with pytest.raises(ValueError, match="canary"):
            await agent("clerk", [ValueError(CANARY)]).run("add")
        (span,) = spans.get_finished_spans()
        assert span.status.status_code.name == "ERROR"
        intent = log.entries[0].attributes["audit.record.id"]
        assert dict(span.attributes or {}) == {"audit.record.id": intent, "error.type": "ValueError"}
        assert CANARY not in span.to_json()

    async def test_intent_refused(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """The span of a run that may not begin is ended all the same."""
        log.fail(OSError("no room"))
        with pytest.raises(Exception, match="no room"):
            agent("clerk", []).run("add")
        assert len(spans.get_finished_spans()) == 1


class TestParallel:
    async def test_together(self, log: CapturedAudit) -> None:
        """Tool calls of one answer run at the same time still, each between its own two lines."""
        barrier = asyncio.Barrier(3)

        async def meet(name: str) -> str:
            """Wait until all three are here."""
            await asyncio.wait_for(barrier.wait(), 9)
            if name == "b":
                raise ValueError("left")
            return name

        calls = [call_of("meet", name, name=name) for name in "abc"]
        await agent("clerk", [calls, "done"], [meet]).run("meet")
        met = pairs(log, "tool")
        assert {name: outcome.attributes["audit.outcome"] for name, (_, outcome) in met.items()} == {
            "a": "success",
            "b": "failure",
            "c": "success",
        }
        assert all(outcome.attributes["gen_ai.tool.call.id"] == name for name, (_, outcome) in met.items())
        assert lines(log, "tool")[:3] == ["tool intent meet"] * 3

    async def test_sync_tools(self, log: CapturedAudit) -> None:
        """Sync tools run in threads of their own still, with agent, trace and call id of their own."""
        barrier = threading.Barrier(2)

        def meet(name: str) -> str:
            """Wait until both are here."""
            barrier.wait(9)
            FunctionTool.from_defaults(add)(a=1, b=2)
            return name

        calls = [call_of("meet", name, name=name) for name in "ab"]
        await agent("clerk", [calls, "done"], [meet]).run("meet")
        met = pairs(log, "tool")
        assert {met[name][1].attributes["audit.outcome"] for name in "ab"} == {"success"}
        assert {delegation(entry)[-1] for entry in log.entries if entry.event_name == "gen_ai.tool.execute"} == {
            "clerk"
        }


class TestEnds:
    async def test_tool_fails(self, log: CapturedAudit) -> None:
        """A tool that raises is a failure with the type of its error; the run goes on and succeeds."""

        def refuse() -> None:
            """Raise."""
            raise PermissionError(CANARY)

        await agent("clerk", [[call_of("refuse")], "sorry"], [refuse]).run("go")
        assert of(log, "tool failure refuse").attributes["error.type"] == "PermissionError"
        of(log, "agent success clerk")

    async def test_unknown_tool(self, log: CapturedAudit) -> None:
        """A tool that the agent does not have is not run, and so no line says that it was."""
        await agent("clerk", [[call_of("rm")], "sorry"], [add]).run("go")
        assert lines(log, "tool") == []
        of(log, "agent success clerk")

    async def test_model_fails(self, log: CapturedAudit) -> None:
        """A model that raises is a failure, and so is the run; the error is the model's own."""
        error = ConnectionError(CANARY)
        with pytest.raises(ConnectionError) as raised:
            await agent("clerk", [error]).run("go")
        assert raised.value is error
        assert lines(log)[-2:] == ["model failure scripted-1", "agent failure clerk"]
        assert {of(log, text).attributes["error.type"] for text in lines(log)[-2:]} == {"ConnectionError"}

    async def test_cancelled_by_user(self, log: CapturedAudit) -> None:
        """A run that is cancelled is a failure, and so is the tool that was under way."""
        running = asyncio.Event()

        async def hang() -> None:
            """Wait for ever."""
            running.set()
            await asyncio.Event().wait()

        handler = agent("clerk", [[call_of("hang")]], [hang]).run("go")
        await asyncio.wait_for(running.wait(), 9)
        await handler.cancel_run()
        with pytest.raises(WorkflowCancelledByUser):
            await handler
        assert of(log, "tool failure hang").attributes["error.type"] == "asyncio.exceptions.CancelledError"
        assert of(log, "agent failure clerk").attributes["error.type"] == "workflows.errors.WorkflowCancelledByUser"

    async def test_timeout(self, log: CapturedAudit) -> None:
        """A run that takes too long is a failure."""

        async def hang() -> None:
            """Wait for ever."""
            await asyncio.Event().wait()

        with pytest.raises(Exception, match="timed out"):
            await agent("clerk", [[call_of("hang")]], [hang], timeout=0.2).run("go")
        assert of(log, "agent failure clerk").attributes["error.type"] == "workflows.errors.WorkflowTimeoutError"

    async def test_stream_of_events(self, log: CapturedAudit) -> None:
        """A run whose events are streamed gives the same lines; who stops reading does not stop it."""
        handler = agent("clerk", list(STEPS), [add, multiply]).run("add")
        async for _event in handler.stream_events():
            break
        await handler
        assert lines(log) == ORDER

    @pytest.mark.filterwarnings("ignore:.*never awaited:RuntimeWarning")  # llama-index's own coroutine
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_without_a_loop(self, log: CapturedAudit) -> None:
        """Where the framework refuses to run, its own error comes, and the run is a failure."""
        with pytest.raises(RuntimeError, match="no running event loop"):
            agent("clerk", []).run("go")
        assert lines(log) == ["agent intent clerk", "agent failure clerk"]

    @pytest.mark.filterwarnings("ignore:Skipping serialization")
    async def test_resumed(self, log: CapturedAudit) -> None:
        """A second run in the same context begins with the agent that the first one ended with."""
        workflow = pair_of_agents(
            [[call_of("handoff", to_agent="back", reason="sums")]], ["3", [call_of("add", a=1, b=2)], "3"]
        )
        context = Context(workflow)
        await workflow.run("add", ctx=context)
        log.clear()
        await workflow.run("again", ctx=context)
        assert delegation(of(log, "tool intent add"))[-1:] == ["back"]
        assert "front" not in delegation(of(log, "tool intent add"))


class TestHuman:
    @staticmethod
    async def answered(answer: str, deleted: list[str]) -> None:
        """Let an agent delete a file, if a person says so."""

        async def delete(ctx: Context, name: str) -> str:
            """Delete a file, if the person agrees."""
            question = InputRequiredEvent(prefix="delete?")
            response = await ctx.wait_for_event(HumanResponseEvent, waiter_id=name, waiter_event=question)
            if response.response != "yes":
                return "refused"
            deleted.append(name)
            return "deleted"

        # llama-index compares the annotation itself, which in this module is a text.
        delete.__annotations__["ctx"] = Context
        handler = agent("clerk", [[call_of("delete", name="a.txt")], "done"], [delete]).run("delete it")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                assert handler.ctx is not None
                handler.ctx.send_event(HumanResponseEvent(response=answer))
        await handler

    @pytest.mark.parametrize(("answer", "expected"), [("yes", ["a.txt"]), ("no", [])])
    async def test_waits(self, log: CapturedAudit, answer: str, expected: list[str]) -> None:
        """A tool that waits for a person is no failure: it is called again with the answer, and decides itself."""
        deleted: list[str] = []
        await self.answered(answer, deleted)
        assert deleted == expected
        told = lines(log, "tool")
        assert told[0] == "tool intent delete"
        assert told[-1] == "tool success delete"
        assert "tool failure delete" not in told
        if len(told) == 4:  # called twice: a tool cannot be resumed where it waits
            waited = of(log, "tool unknown delete")
            assert waited.attributes["audit.reason"] == "waits for an event, and is called again when it has come"


async def test_intent_before(log: CapturedAudit) -> None:
    """A tool of an agent finds its own intent in the log."""
    seen = []

    def look() -> None:
        """Read the log."""
        seen.append(last_line(log.path))

    async def alook() -> None:
        """Read the log."""
        seen.append(last_line(log.path))

    await agent("clerk", [[call_of("look")], [call_of("alook")], "done"], [look, alook]).run("look")
    assert seen == ["tool intent look", "tool intent alook"]
