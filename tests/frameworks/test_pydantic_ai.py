"""Pydantic AI: what runs of agents and their tools leave in the log."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, CallDeferred, ModelRetry, TextOutput, ToolOutput, UnexpectedModelBehavior
from pydantic_ai.capabilities import AbstractCapability, Hooks
from pydantic_ai.exceptions import SkipToolExecution, UserError
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.test import TestModel

from otel_audit import acting_as, read_log, verify_log
from otel_audit.testing import CapturedAudit
from tests.frameworks.pydantic_ai_fakes import (
    MAKE_AND_RUN,
    WAYS_TO_RUN,
    Notes,
    instrumented,
    loop_of_its_own,  # noqa: F401 - a fixture
    scripted,
    told,
    tool_entries,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_pydantic_ai.py"


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Every test runs with Pydantic AI audited, by default settings."""
    with instrumented():
        yield


@pytest.fixture
def notes(tmp_path: Path, log: CapturedAudit) -> Notes:
    """A tool with a side effect."""
    return Notes(tmp_path, log.path)


STEPS = [
    ("agent.invoke", "writer", "intent", "unknown"),
    ("model.call", "scripted", "intent", "unknown"),
    ("model.call", "scripted", "outcome", "success"),
    ("tool.execute", "note", "intent", "unknown"),
    ("tool.execute", "note", "outcome", "success"),
    ("model.call", "scripted", "intent", "unknown"),
    ("model.call", "scripted", "outcome", "success"),
    ("agent.invoke", "writer", "outcome", "success"),
]


class TestRun:
    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_order_of_lines(self, log: CapturedAudit, notes: Notes, way: str) -> None:
        """However an agent is run, run, model calls and tool calls stand in the log in the order they happened."""
        assert WAYS_TO_RUN[way](notes.agent()).strip() == "done"
        assert told(log) == STEPS

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_actors(self, log: CapturedAudit, notes: Notes, way: str) -> None:
        """The caller runs the agent; the agent calls the tool and the model."""
        with acting_as("maya", type="user"):
            WAYS_TO_RUN[way](notes.agent())
        actors = {
            (entry.event_name, entry.attributes["audit.actor.id"], str(entry.attributes.get("audit.delegation")))
            for entry in log.entries
        }
        assert actors == {
            ("gen_ai.agent.invoke", "maya", "None"),
            ("gen_ai.model.call", "writer", "['maya', 'writer']"),
            ("gen_ai.tool.execute", "writer", "['maya', 'writer']"),
        }

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_own_trace(self, log: CapturedAudit, notes: Notes, spans: InMemorySpanExporter, way: str) -> None:
        """Where there is no span, one of ours makes a run's entries one trace."""
        WAYS_TO_RUN[way](notes.agent())
        (span,) = spans.get_finished_spans()
        assert span.name == "gen_ai.agent.invoke writer"
        ids = {(entry.trace_id, entry.span_id) for entry in log.entries}
        assert ids == {(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")}

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_programs_trace(self, log: CapturedAudit, notes: Notes, spans: InMemorySpanExporter, way: str) -> None:
        """Within a span of the program the entries are of its trace, and there is no span of ours."""
        with trace.get_tracer_provider().get_tracer("program").start_as_current_span("program") as span:
            WAYS_TO_RUN[way](notes.agent())
        assert [span.name for span in spans.get_finished_spans()] == ["program"]
        assert {entry.trace_id for entry in log.entries} == {f"{span.get_span_context().trace_id:032x}"}

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_frameworks_trace(self, log: CapturedAudit, notes: Notes, spans: InMemorySpanExporter, way: str) -> None:
        """With the framework's own instrumentation all is of one trace, and a model call has the ids of its span."""
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        agent = notes.agent()
        agent.instrument = InstrumentationSettings(tracer_provider=provider)
        WAYS_TO_RUN[way](agent)
        finished = spans.get_finished_spans()
        assert {f"{span.context.trace_id:032x}" for span in finished} == {entry.trace_id for entry in log.entries}
        assert len({span.context.trace_id for span in finished}) == 1
        chats = {f"{span.context.span_id:016x}" for span in finished if span.name.startswith("chat")}
        assert chats == {entry.span_id for entry in log.entries if entry.event_name == "gen_ai.model.call"}

    def test_attributes(self, log: CapturedAudit, notes: Notes) -> None:
        """A tool call has its name, call id and agent, a run its conversation."""
        result = notes.agent().run_sync("go")
        for phase in ("intent", "outcome"):
            (entry,) = tool_entries(log, phase)
            assert {name: value for name, value in entry.attributes.items() if name.startswith("gen_ai.")} == {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "note",
                "gen_ai.tool.call.id": "call-0-0",
                "gen_ai.tool.type": "function",
                "gen_ai.agent.name": "writer",
            }
        end = log.entries[-1].attributes
        assert end["gen_ai.agent.name"] == "writer"
        assert end["gen_ai.conversation.id"] == result.all_messages()[-1].conversation_id

    def test_name_is_still_inferred(self, log: CapturedAudit) -> None:
        """An agent without a name gets that of the program's variable, as ever."""
        helper = Agent(scripted("done"))
        helper.run_sync("go")
        assert told(log)[0] == ("agent.invoke", "helper", "intent", "unknown")

    def test_no_name(self, log: CapturedAudit) -> None:
        """An agent that has no name runs, and its acts are the caller's."""
        with acting_as("maya", type="user"):
            WAYS_TO_RUN["iter"](Agent(scripted("done")))
        assert {entry.attributes["audit.actor.id"] for entry in log.entries} == {"maya"}
        assert told(log)[0] == ("agent.invoke", None, "intent", "unknown")

    def test_failing_model(self, log: CapturedAudit) -> None:
        """An exception that ends a run comes through as it is, and is the outcome of call and run."""
        error = ValueError("secret")
        agent = Agent(scripted("done"), name="writer")

        @agent.output_validator
        def fail(_output: str) -> str:
            raise error

        with pytest.raises(ValueError, match="secret") as raised:
            agent.run_sync("go")
        assert raised.value is error
        assert told(log)[-1] == ("agent.invoke", "writer", "outcome", "failure")
        assert log.entries[-1].attributes["error.type"] == "ValueError"

    async def test_block_is_the_programs(self, log: CapturedAudit, notes: Notes) -> None:
        """What the program does itself between the steps of a run is not by the agent."""
        audit = log.provider.get_audit_logger("program")
        with acting_as("maya", type="user"):
            async with notes.agent().iter("go") as run:
                async for _ in run:
                    audit.emit("program.look")
            async with notes.agent().run_stream("go") as result:
                async for _ in result.stream_text():
                    audit.emit("program.look")
        own = [entry for entry in log.entries if entry.event_name == "program.look"]
        assert len(own) > 3
        assert {entry.attributes["audit.actor.id"] for entry in own} == {"maya"}

    async def test_runs_side_by_side(self, log: CapturedAudit, tmp_path: Path) -> None:
        """Of two runs that take turns in one task, each tool call is by its own agent."""
        agents = []
        for name in ("first", "second"):
            agent = Agent(scripted([(f"tool_of_{name}", {})], "done"), name=name)
            agent.tool_plain(name=f"tool_of_{name}")(lambda: "x")
            agents.append(agent)
        async with agents[0].iter("go") as one, agents[1].iter("go") as two:
            steps = [aiter(one), aiter(two)]
            while steps:
                steps = [step for step in steps if await anext(step, None) is not None]
        actors = {
            (e.attributes["audit.target.id"], e.attributes["audit.actor.id"]) for e in tool_entries(log, "intent")
        }
        assert actors == {("tool_of_first", "first"), ("tool_of_second", "second")}
        assert told(log, "agent")[2:] == [
            ("agent.invoke", "second", "outcome", "success"),
            ("agent.invoke", "first", "outcome", "success"),
        ]


class TestClosedEarly:
    async def test_iteration_that_stops(self, log: CapturedAudit, notes: Notes) -> None:
        """A run that its program leaves before the end has the outcome unknown."""
        async with notes.agent().iter("go") as run:
            async for _ in run:
                break
        assert told(log) == [STEPS[0], ("agent.invoke", "writer", "outcome", "unknown")]

    async def test_stream_that_is_left(self, log: CapturedAudit) -> None:
        """A stream that is left at its first word: model call and run have the outcome unknown, and say why."""
        async with Agent(scripted("one two three"), name="writer").run_stream("go") as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                break
        ends = [entry for entry in log.entries if entry.attributes["audit.phase"] == "outcome"]
        assert [entry.attributes["audit.outcome"] for entry in ends] == ["unknown", "unknown"]
        assert {entry.attributes["audit.reason"] for entry in ends} == {"closed by its consumer before it ended"}

    async def test_generator_that_is_closed(self, log: CapturedAudit) -> None:
        """A generator around a stream that is closed ends the run's action."""

        async def words() -> Any:
            async with Agent(scripted("one two three"), name="writer").run_stream("go") as result:
                async for text in result.stream_text(delta=True, debounce_by=None):
                    yield text

        generator = words()
        await anext(generator)
        await generator.aclose()
        assert told(log, "agent")[-1] == ("agent.invoke", "writer", "outcome", "unknown")
        assert told(log, "model")[-1] == ("model.call", "scripted", "outcome", "unknown")

    async def test_cancelled_in_a_tool(self, log: CapturedAudit) -> None:
        """A run that is cancelled while its tool runs: cancelled it is, and tool and run have failed so."""
        agent = Agent(scripted([("wait", {})], "done"), name="writer")
        began = asyncio.Event()

        @agent.tool_plain
        async def wait() -> None:
            began.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(agent.run("go"))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert told(log)[-2:] == [
            ("tool.execute", "wait", "outcome", "failure"),
            ("agent.invoke", "writer", "outcome", "failure"),
        ]
        assert {e.attributes["error.type"] for e in log.entries[-2:]} == {"asyncio.exceptions.CancelledError"}


class TestTool:
    @pytest.mark.parametrize(("how", "way"), MAKE_AND_RUN)
    def test_intent_comes_first(self, log: CapturedAudit, notes: Notes, how: str, way: str) -> None:
        """However a tool is made and its agent run, the tool finds its own intent in the log, and no outcome."""
        WAYS_TO_RUN[way](notes.agent(how))
        assert notes.written
        (then,) = [e for e in read_log(notes.log_then) if e.event_name == "gen_ai.tool.execute"]
        assert then.attributes["audit.phase"] == "intent"
        (now,) = tool_entries(log, "outcome")
        assert now.attributes["audit.outcome"] == "success"
        assert now.attributes["audit.intent.id"] == then.attributes["audit.record.id"]

    @pytest.mark.parametrize("kind", ["async", "sync"])
    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_inside(self, log: CapturedAudit, spans: InMemorySpanExporter, way: str, kind: str) -> None:
        """What a tool itself has audited is by the agent and of the run's trace, in a thread of its own too."""
        agent = Agent(scripted([("look", {})], "done"), name="writer")
        audit = log.provider.get_audit_logger("program")

        def look() -> str:
            audit.emit("program.look")
            return "seen"

        async def look_async() -> str:
            return look()

        agent.tool_plain(name="look")(look if kind == "sync" else look_async)
        with acting_as("maya", type="user"):
            WAYS_TO_RUN[way](agent)
        (entry,) = [entry for entry in log.entries if entry.event_name == "program.look"]
        assert entry.attributes["audit.delegation"] == ["maya", "writer"]
        (span,) = spans.get_finished_spans()
        assert entry.trace_id == f"{span.context.trace_id:032x}"

    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_that_fails(self, log: CapturedAudit, way: str) -> None:
        """A tool's exception comes through as it is, and its type is the outcome."""
        agent = Agent(scripted([("fail", {})], "done"), name="writer")
        error = LookupError("no such thing")

        @agent.tool_plain
        def fail() -> None:
            raise error

        with pytest.raises(LookupError) as raised:
            WAYS_TO_RUN[way](agent)
        assert raised.value is error
        (end,) = tool_entries(log, "outcome")
        assert (end.attributes["audit.outcome"], end.attributes["error.type"]) == ("failure", "LookupError")
        assert "audit.reason" not in end.attributes

    def test_that_asks_for_another_try(self, log: CapturedAudit) -> None:
        """A tool that sends the model back has failed; the next try is a call of its own."""
        agent = Agent(scripted([("guess", {"number": 1})], [("guess", {"number": 2})], "done"), name="writer")

        @agent.tool_plain
        def guess(number: int) -> str:
            if number == 1:
                raise ModelRetry("higher")
            return "right"

        assert agent.run_sync("go").output == "done"
        ends = tool_entries(log, "outcome")
        assert [end.attributes["audit.outcome"] for end in ends] == ["failure", "success"]
        assert ends[0].attributes["error.type"] == "pydantic_ai.exceptions.ModelRetry"
        assert [end.attributes["gen_ai.tool.call.id"] for end in ends] == ["call-0-0", "call-1-0"]

    def test_wrong_arguments(self, log: CapturedAudit) -> None:
        """Arguments that do not fit go back to the model by the framework; the log says that the tool did not run."""
        ran = []
        agent = Agent(scripted([("take", {"number": "many"})]), name="writer")

        @agent.tool_plain
        def take(number: int) -> None:
            ran.append(number)

        with pytest.raises(UnexpectedModelBehavior, match="max retries"):
            agent.run_sync("go")
        assert not ran
        (end,) = tool_entries(log, "outcome")
        assert end.attributes["audit.outcome"] == "failure"
        assert end.attributes["error.type"] == "pydantic_ai.exceptions.ToolRetryError"
        assert end.attributes["audit.reason"] == "the tool did not run"

    def test_unknown(self, log: CapturedAudit) -> None:
        """A tool that does not exist is an attempt that failed."""
        agent = Agent(scripted([("delete_all", {})], "done"), name="writer")
        assert agent.run_sync("go").output == "done"
        assert told(log, "tool")[-1] == ("tool.execute", "delete_all", "outcome", "failure")

    async def test_parallel_calls(self, log: CapturedAudit) -> None:
        """Tools still run at the same time, and each intent has its own outcome."""
        agent = Agent(scripted([("meet", {"who": "a"}), ("meet", {"who": "b"})], "done"), name="writer")
        met = asyncio.Barrier(2)

        @agent.tool_plain
        async def meet(who: str) -> str:
            async with asyncio.timeout(30):
                await met.wait()
            if who == "b":
                raise ModelRetry("again")
            return who

        await agent.run("go", model=scripted([("meet", {"who": "a"}), ("meet", {"who": "b"})], "done"))
        ids = {
            e.attributes["audit.record.id"]: e.attributes["gen_ai.tool.call.id"] for e in tool_entries(log, "intent")
        }
        ends = {
            ids[str(e.attributes["audit.intent.id"])]: (
                e.attributes["gen_ai.tool.call.id"],
                e.attributes["audit.outcome"],
            )
            for e in tool_entries(log, "outcome")
        }
        assert ends == {"call-0-0": ("call-0-0", "success"), "call-0-1": ("call-0-1", "failure")}

    def test_answered_by_a_capability(self, log: CapturedAudit, notes: Notes) -> None:
        """A capability that answers in a tool's place: the outcome is unknown, and says that the tool did not run."""
        hooks: Hooks[None] = Hooks()

        @hooks.on.before_tool_execute
        async def skip(ctx: Any, *, call: Any, tool_def: Any, args: Any) -> Any:
            raise SkipToolExecution("no need")

        agent = notes.agent()
        assert agent.run_sync("go", capabilities=[hooks]).output == "done"
        assert not notes.written
        (end,) = tool_entries(log, "outcome")
        assert (end.attributes["audit.outcome"], end.attributes["audit.reason"]) == ("unknown", "the tool did not run")

    def test_blocked_by_a_capability(self, log: CapturedAudit, notes: Notes) -> None:
        """An exception by which a capability blocks a tool comes through; the log says that the tool did not run."""

        class Guard(AbstractCapability[None]):  # type: ignore[misc]
            """Blocks everything."""

            async def wrap_tool_execute(self, ctx: Any, *, call: Any, tool_def: Any, args: Any, handler: Any) -> Any:
                """Block."""
                raise PermissionError("blocked")

        with pytest.raises(PermissionError, match="blocked"):
            notes.agent().run_sync("go", capabilities=[Guard()])
        assert not notes.written
        (end,) = tool_entries(log, "outcome")
        assert (end.attributes["error.type"], end.attributes["audit.reason"]) == (
            "PermissionError",
            "the tool did not run",
        )

    def test_answer_from_outside(self, log: CapturedAudit) -> None:
        """A tool that defers its answer has the outcome unknown, and says why."""
        from pydantic_ai import DeferredToolRequests

        agent = Agent(scripted([("later", {})]), name="writer", output_type=[str, DeferredToolRequests])

        @agent.tool_plain
        def later() -> str:
            raise CallDeferred

        assert [call.tool_name for call in agent.run_sync("go").output.calls] == ["later"]
        (end,) = tool_entries(log, "outcome")
        assert end.attributes["audit.outcome"] == "unknown"
        assert end.attributes["audit.reason"] == "deferred: the result comes from outside of the run"


class TestOutputFunction:
    @pytest.mark.parametrize("kind", ["function", "named", "text"])
    @pytest.mark.parametrize("way", WAYS_TO_RUN)
    def test_is_a_tool_call(self, log: CapturedAudit, kind: str, way: str) -> None:
        """A function that makes the output is audited under its own name, its intent before it runs."""
        seen = []

        def book(text: str) -> str:
            seen.append(told(log, "tool")[-1])
            return text.upper()

        said: Any = (
            "paris" if kind == "text" else [("final_result" if kind == "function" else "give", {"text": "paris"})]
        )
        output: Any = {"function": book, "named": ToolOutput(book, name="give"), "text": TextOutput(book)}[kind]
        output_of = WAYS_TO_RUN[way](Agent(scripted(said), name="writer", output_type=output))
        assert output_of.strip() == "PARIS"
        assert set(seen) == {("tool.execute", "book", "intent", "unknown")}
        assert told(log, "tool")[-1] == ("tool.execute", "book", "outcome", "success")
        assert {e.attributes["audit.actor.id"] for e in tool_entries(log, "intent")} == {"writer"}

    def test_that_fails(self, log: CapturedAudit) -> None:
        """Its exception comes through as it is."""
        error = LookupError("no")

        def book(text: str) -> str:
            raise error

        with pytest.raises(LookupError) as raised:
            Agent(scripted([("final_result", {"text": "x"})]), name="writer", output_type=book).run_sync("go")
        assert raised.value is error
        assert told(log, "tool")[-1] == ("tool.execute", "book", "outcome", "failure")

    def test_structured_output_is_no_act(self, log: CapturedAudit) -> None:
        """Output that is only data has no entry of its own."""
        agent = Agent(scripted([("final_result", {"response": 3})]), name="writer", output_type=int)
        assert agent.run_sync("go").output == 3
        assert told(log, "tool") == []


class TestDelegation:
    def test_agent_as_tool(self, log: CapturedAudit) -> None:
        """An agent that a tool runs is run by the agent whose tool it is, and acts for both."""
        helper = Agent(scripted([("look", {})], "seen"), name="helper")
        boss = Agent(scripted([("ask", {})], "done"), name="boss")

        @helper.tool_plain
        def look() -> str:
            return "sun"

        @boss.tool_plain
        async def ask() -> str:
            return str((await helper.run("go")).output)

        with acting_as("maya", type="user"):
            boss.run_sync("go")
        chains = [
            (e.event_name, e.attributes["audit.target.id"], e.attributes.get("audit.delegation") or ["maya"])
            for e in log.entries
            if e.attributes["audit.phase"] == "intent" and e.event_name != "gen_ai.model.call"
        ]
        assert chains == [
            ("gen_ai.agent.invoke", "boss", ["maya"]),
            ("gen_ai.tool.execute", "ask", ["maya", "boss"]),
            ("gen_ai.agent.invoke", "helper", ["maya", "boss"]),
            ("gen_ai.tool.execute", "look", ["maya", "boss", "helper"]),
        ]

    def test_output_function_that_hands_over(self, log: CapturedAudit) -> None:
        """An output function that lets another agent go on is the handoff, with the delegation of both."""
        second = Agent(scripted("from the second"), name="second")

        async def hand_over(task: str) -> str:
            return str((await second.run(task)).output)

        first = Agent(scripted([("final_result", {"task": "x"})]), name="first", output_type=hand_over)
        with acting_as("maya", type="user"):
            assert first.run_sync("go").output == "from the second"
        asked = [e.attributes["audit.delegation"] for e in log.entries if e.event_name == "gen_ai.model.call"]
        assert asked[0] == ["maya", "first"]
        assert asked[-1] == ["maya", "first", "second"]


class TestExample:
    def test_prints_its_lines(self, tmp_path: Path) -> None:
        """The example runs offline and prints who did what, in the order of its log, which is intact."""
        path = tmp_path / "audit.jsonl"
        done = subprocess.run(
            [sys.executable, "-W", "error", str(EXAMPLE)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=os.environ | {"OTEL_AUDIT_FILE": str(path)},
        )
        assert (done.returncode, done.stderr) == (0, "")
        printed = done.stdout.splitlines()
        assert len(printed) == 17
        assert printed[0] == "done"
        assert printed[8] == (" 9 maya@example.com > front-desk > clerk: intent gen_ai.tool.execute refund")
        assert verify_log(path).findings == ()
        assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60


class TestObjects:
    def test_pickled_and_copied(self, log: CapturedAudit) -> None:
        """Models can be pickled and copied as ever, and copies are audited."""
        model = TestModel(custom_output_text="done")
        for copied in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
            assert copied == model
            log.clear()
            assert Agent(copied, name="writer").run_sync("go").output == "done"
            assert len(log.entries) == 4

    def test_copied_tools_and_agents(self, log: CapturedAudit, notes: Notes) -> None:
        """Copies of agents with their tools are audited."""
        agent = copy.copy(notes.agent())
        agent.run_sync("go")
        assert told(log) == STEPS

    def test_framework_refuses(self, log: CapturedAudit) -> None:
        """Wrong arguments raise the framework's own errors."""
        agent: Any = Agent(scripted("done"), name="writer")
        with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
            agent.run_sync("go", nonsense=1)
        with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
            agent.iter("go", nonsense=1)
        with pytest.raises(UserError, match="model"):
            Agent(name="writer").run_sync("go")
