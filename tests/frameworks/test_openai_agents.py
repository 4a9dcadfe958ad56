"""openai-agents: runs and handoffs, and who acts in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from agents import (
    Agent,
    MaxTurnsExceeded,
    Runner,
    SQLiteSession,
    UserError,
    function_tool,
    handoff,
)
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import AuditWriteError, acting_as
from otel_audit.testing import CapturedAudit
from tests.frameworks.openai_agents_script import RUNS, Script, audited, call, event_loop, of, run_async, say, told

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit openai-agents in every test."""
    with audited():
        yield


@function_tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


ADD = call("add", "call_1", '{"a": 1, "b": 2}')


def triage(*refund_steps: Any) -> Agent[Any]:
    """Return an agent that hands over to a second one, which uses a tool."""
    steps = refund_steps or ([ADD], [say("3")])
    refunds = Agent(name="refunds", model=Script(*steps), tools=[add])
    return Agent(name="triage", model=Script([call("transfer_to_refunds", "call_0")]), handoffs=[refunds])


class TestRun:
    @RUNS
    def test_order(self, log: CapturedAudit, run: Run) -> None:
        """However a run is started, each act has its two entries, within those of the run."""
        agent = Agent(name="sums", model=Script([ADD], [say("3")]), tools=[add])
        assert run(agent) == "3"
        assert told(log) == [
            "agent sums intent",
            "model gpt-test intent",
            "model gpt-test success",
            "tool add intent",
            "tool add success",
            "model gpt-test intent",
            "model gpt-test success",
            "agent sums success",
        ]

    @RUNS
    def test_actors(self, log: CapturedAudit, run: Run) -> None:
        """The run is its caller's act; what happens inside is the agent's, on behalf of the caller."""
        with acting_as("ann", type="user"):
            run(Agent(name="sums", model=Script([ADD], [say("3")]), tools=[add]))
        for entry in log.entries:
            attributes = entry.attributes
            if entry.event_name == "gen_ai.agent.invoke":
                assert (attributes["audit.actor.id"], attributes["audit.actor.type"]) == ("ann", "user")
            else:
                assert attributes["audit.actor.id"] == "sums"
                assert attributes["audit.delegation"] == ["ann", "sums"]

    @RUNS
    def test_own_span(self, log: CapturedAudit, spans: InMemorySpanExporter, run: Run) -> None:
        """A run without a span gets one, which all entries carry."""
        run(triage())
        (span,) = spans.get_finished_spans()
        assert span.name == "gen_ai.agent.invoke triage"
        ids = {(entry.trace_id, entry.span_id) for entry in log.entries}
        assert ids == {(f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")}

    @RUNS
    def test_span_of_the_caller(self, log: CapturedAudit, spans: InMemorySpanExporter, run: Run) -> None:
        """A run in a span carries that one's ids, and none is added."""
        with trace.get_tracer_provider().get_tracer("test").start_as_current_span("outer"):
            run(triage())
        (span,) = spans.get_finished_spans()
        assert {entry.span_id for entry in log.entries} == {f"{span.context.span_id:016x}"}

    @RUNS
    def test_failure(self, log: CapturedAudit, run: Run) -> None:
        """What a model raises comes through, and fails both acts; nothing of its text is recorded."""
        error = ConnectionError("secret text")
        with pytest.raises(ConnectionError) as raised:
            run(Agent(name="sums", model=Script(error)))
        assert raised.value is error
        assert told(log)[-2:] == ["model gpt-test failure", "agent sums failure"]
        assert {attributes["error.type"] for attributes in of(log, "agent", "failure")} == {"ConnectionError"}

    @RUNS
    def test_max_turns(self, log: CapturedAudit, run: Run) -> None:
        """A run that is stopped after too many turns failed."""
        with pytest.raises(MaxTurnsExceeded):
            run(Agent(name="sums", model=Script([ADD], [ADD]), tools=[add]), max_turns=1)
        (ended,) = of(log, "agent", "failure")
        assert ended["error.type"] == "agents.exceptions.MaxTurnsExceeded"

    @RUNS
    def test_unrecorded_run_does_not_begin(self, log: CapturedAudit, run: Run) -> None:
        """Where the run's intent cannot be written, the model is not asked."""
        model = Script([say("3")])
        log.fail(OSError("disk full"))
        with pytest.raises(AuditWriteError):
            run(Agent(name="sums", model=model))
        assert len(model.steps) == 1
        assert told(log) == []

    @RUNS
    def test_lost_outcome(self, log: CapturedAudit, run: Run) -> None:
        """Where the run's outcome cannot be written, its result comes through."""

        async def last() -> list[Any]:
            # The next appends: the model's outcome, then the run's.
            log.fail(OSError("disk full"), times=2)
            return [say("3")]

        assert run(Agent(name="sums", model=Script(last))) == "3"
        assert told(log) == ["agent sums intent", "model gpt-test intent"]

    @RUNS
    def test_session(self, log: CapturedAudit, run: Run) -> None:
        """A run in a session names the conversation."""
        session = SQLiteSession("talk-7")
        run(Agent(name="sums", model=Script([say("3")])), session=session)
        session.close()
        assert [a["gen_ai.conversation.id"] for a in of(log, "agent")] == ["talk-7", "talk-7"]

    def test_wrong_arguments(self) -> None:
        """Calls with wrong arguments raise the framework's own errors."""
        with event_loop(), pytest.raises(TypeError, match="starting_agent"):
            Runner.run_sync()
        with pytest.raises(TypeError, match="prompt"):
            asyncio.run(Runner.run(Agent(name="sums"), prompt="go"))

    def test_loop_is_running(self) -> None:
        """To run blocking inside an event loop is the framework's own error."""

        async def main() -> None:
            Runner.run_sync(Agent(name="sums", model=Script()), "go")

        with pytest.raises(RuntimeError, match="event loop"):
            asyncio.run(main())

    def test_concurrent_runs(self, log: CapturedAudit) -> None:
        """Runs at the same time do not mix up their agents."""

        async def main() -> None:
            agents = [Agent(name=f"sums {i}", model=Script([ADD], [say("3")]), tools=[add]) for i in range(5)]
            await asyncio.gather(*(Runner.run(agent, "go") for agent in agents))

        asyncio.run(main())
        tools = of(log, "tool", "success")
        assert sorted(attributes["audit.actor.id"] for attributes in tools) == [f"sums {i}" for i in range(5)]
        assert all(attributes["gen_ai.agent.name"] == attributes["audit.actor.id"] for attributes in tools)

    def test_subclass(self, log: CapturedAudit) -> None:
        """A runner of the program's own is audited once."""

        class Own(Runner):  # type: ignore[misc]
            @classmethod
            async def run(cls, *args: Any, **kwargs: Any) -> Any:
                return await super().run(*args, **kwargs)

        asyncio.run(Own.run(Agent(name="sums", model=Script([say("3")])), "go"))
        assert told(log, "agent") == ["agent sums intent", "agent sums success"]


class TestEnd:
    def test_cancelled(self, log: CapturedAudit) -> None:
        """A run that is cancelled in the middle of a tool fails, and so does the tool."""
        begun = asyncio.Event()

        @function_tool
        async def wait() -> None:
            """Wait for ever."""
            begun.set()
            await asyncio.Event().wait()

        async def main() -> None:
            task = asyncio.create_task(Runner.run(Agent(name="a", model=Script([call("wait", "c")]), tools=[wait]), ""))
            await begun.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

        asyncio.run(main())
        assert sorted(told(log)[-2:]) == ["agent a failure", "tool wait failure"]
        assert {a["error.type"] for a in of(log, "agent", "failure")} == {"asyncio.exceptions.CancelledError"}

    def test_stream_is_cancelled(self, log: CapturedAudit) -> None:
        """A streamed run that its consumer cancels is neither a success nor a failure."""
        begun = asyncio.Event()

        @function_tool
        async def wait() -> None:
            """Wait for ever."""
            begun.set()
            await asyncio.Event().wait()

        async def main() -> None:
            result = Runner.run_streamed(Agent(name="a", model=Script([call("wait", "c")]), tools=[wait]), "go")
            await begun.wait()
            result.cancel()
            async for _ in result.stream_events():
                pass

        asyncio.run(main())
        assert sorted(told(log)[-2:]) == ["agent a unknown", "tool wait failure"]

    def test_stream_is_abandoned(self, log: CapturedAudit) -> None:
        """A streamed run whose events nobody reads to the end is closed early, or ends by itself."""

        async def main() -> None:
            agent = Agent(name="a", model=Script([ADD], [say("3")]), tools=[add])
            result = Runner.run_streamed(agent, "go")
            events = result.stream_events()
            await anext(events)
            await events.aclose()
            await asyncio.wait([result.run_loop_task])

        asyncio.run(main())
        assert told(log, "agent")[-1] in ("agent a unknown", "agent a success")
        intents, ends = of(log, "tool", "intent"), of(log, "tool")
        assert len(ends) == 2 * len(intents)

    def test_stream_of_a_model_that_is_cancelled(self, log: CapturedAudit) -> None:
        """A model call under way when its stream is cancelled has an outcome, too."""
        asked = asyncio.Event()

        async def think() -> list[Any]:
            asked.set()
            await asyncio.Event().wait()
            return []

        async def main() -> None:
            result = Runner.run_streamed(Agent(name="a", model=Script(think)), "go")
            await asked.wait()
            result.cancel()
            async for _ in result.stream_events():
                pass

        asyncio.run(main())
        assert told(log) == ["agent a intent", "model gpt-test intent", "model gpt-test failure", "agent a unknown"]


class TestHandoff:
    @RUNS
    def test_order(self, log: CapturedAudit, run: Run) -> None:
        """A handoff has its two entries between the acts of the two agents."""
        assert run(triage()) == "3"
        assert told(log)[3:8] == [
            "agent refunds intent",
            "agent refunds success",
            "model gpt-test intent",
            "model gpt-test success",
            "tool add intent",
        ]
        first, _ = of(log, "agent")[1:3]
        assert (first["gen_ai.agent.name"], first["gen_ai.tool.call.id"]) == ("triage", "call_0")

    @RUNS
    def test_chain(self, log: CapturedAudit, run: Run) -> None:
        """The agent that was handed to acts on behalf of the first one, and the caller comes first."""
        with acting_as("ann", type="user"):
            run(triage())
        (tool,) = of(log, "tool", "success")
        assert tool["audit.delegation"] == ["ann", "triage", "refunds"]
        invoked, handed = [entry.attributes for entry in log.entries if entry.event_name.startswith("gen_ai.agent")][:2]
        assert (invoked["audit.actor.id"], handed["audit.actor.id"]) == ("ann", "triage")
        last = log.entries[-1].attributes
        assert (last["audit.target.id"], last["audit.actor.id"]) == ("triage", "ann")

    def test_to_and_fro(self, log: CapturedAudit) -> None:
        """An agent that is handed back to acts on behalf of both."""
        first: Agent[Any] = Agent(name="first", model=Script([call("transfer_to_second", "1")], [say("done")]))
        first.handoffs = [Agent(name="second", model=Script([call("transfer_to_first", "2")]), handoffs=[first])]
        assert run_async(first) == "done"
        model = of(log, "model", "success")[-1]
        assert model["audit.delegation"][-3:] == ["first", "second", "first"]

    def test_for_ever(self, log: CapturedAudit) -> None:
        """Of a run that is handed to and fro without end, the chain has a bound, and the first agent."""
        to, fro = ([[call(f"transfer_to_{name}", f"{name} {i}")] for i in range(40)] for name in ("second", "first"))
        first: Agent[Any] = Agent(name="first", model=Script(*to, [say("done")]))
        first.handoffs = [Agent(name="second", model=Script(*fro), handoffs=[first])]
        assert run_async(first, max_turns=99) == "done"
        chain = of(log, "model", "success")[-1]["audit.delegation"]
        assert 30 <= len(chain) <= 32
        assert chain[0] == "first"

    @RUNS
    def test_resumed(self, log: CapturedAudit, run: Run) -> None:
        """A run that goes on with the second agent has both in its chain."""

        @function_tool(needs_approval=True)
        def refund() -> None:
            """Refund."""

        agent = triage([call("refund", "call_1")], [say("done")])
        agent.handoffs[0].tools = [refund]

        async def wait() -> Any:
            state = (await Runner.run(agent, "go")).to_state()
            state.approve(state.get_interruptions()[0])
            return state

        state = asyncio.run(wait())
        with acting_as("ann", type="user"):
            assert run(agent, state) == "done"
        assert of(log, "tool", "success")[0]["audit.delegation"] == ["ann", "triage", "refunds"]

    def test_side_effect_waits_for_the_intent(self, log: CapturedAudit) -> None:
        """What a program does on a handoff happens after its intent is in the log."""
        seen: list[str] = []
        second = Agent(name="second", model=Script([say("done")]))
        to_second = handoff(second, on_handoff=lambda _context: seen.extend(told(log, "agent")))
        run_async(Agent(name="first", model=Script([call("transfer_to_second", "1")]), handoffs=[to_second]))
        assert seen[-1] == "agent second intent"

    @RUNS
    def test_unrecorded_handoff_does_not_happen(self, log: CapturedAudit, run: Run) -> None:
        """Where the handoff's intent cannot be written, it does not happen."""
        seen: list[str] = []
        second = Agent(name="second", model=Script([say("done")]))
        to_second = handoff(second, on_handoff=lambda _context: seen.append("handed"))

        async def hand_over() -> list[Any]:
            log.fail(OSError("disk full"), times=2)  # the model's outcome, and the handoff's intent
            return [call("transfer_to_second", "1")]

        with pytest.raises(AuditWriteError):
            run(Agent(name="first", model=Script(hand_over), handoffs=[to_second]))
        assert seen == []

    def test_failing(self, log: CapturedAudit) -> None:
        """A handoff whose own code fails is a failure."""

        def refuse(_context: object) -> None:
            raise UserError("secret text")

        second = Agent(name="second", model=Script([say("done")]))
        first = Agent(
            name="first", model=Script([call("transfer_to_second", "1")]), handoffs=[handoff(second, on_handoff=refuse)]
        )
        with pytest.raises(UserError):
            run_async(first)
        assert told(log, "agent")[1:] == ["agent second intent", "agent second failure", "agent first failure"]
