"""strands-agents: agents, swarms and graphs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from strands import Agent, tool
from strands.hooks import BeforeModelCallEvent, BeforeToolCallEvent
from strands.multiagent import GraphBuilder, Swarm
from strands.multiagent.base import Status
from strands.types.exceptions import EventLoopException

from otel_audit import AuditWriteError, acting_as, read_log, verify_log
from otel_audit.pipeline.context import current_actors
from otel_audit.testing import CapturedAudit
from tests.frameworks.conformance.driver import Call, Script, Turn
from tests.frameworks.conformance.strands import DRIVER
from tests.frameworks.conformance.told import audited, chain, of_kind, short
from tests.frameworks.strands_conformance_model import ScriptedModel

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_strands.py"


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit strands-agents in every test."""
    with audited(DRIVER):
        yield


@tool
def note(text: str) -> str:
    """Note a text.

    Args:
        text: The text.
    """
    return f"noted {text}"


def asking(name: str = "note", call_id: str = "c1", **arguments: str) -> tuple[Call, ...]:
    """Return the turn that has a tool called."""
    return (Call(name, arguments or {"text": "hello"}, call_id),)


def agent(name: str, *turns: Turn, tools: tuple[Any, ...] = (note,), **options: Any) -> Any:
    """Return an agent whose model says this."""
    return Agent(name=name, model=ScriptedModel(Script(*turns)), tools=list(tools), callback_handler=None, **options)


def handing(to: str) -> tuple[Call, ...]:
    """Return the turn that hands the work to another agent of a swarm."""
    return asking("handoff_to_agent", f"to {to}", agent_name=to, message="yours")


def disk_full(log: CapturedAudit, then: Any, appends: int = 2) -> Any:
    """Return a turn behind which the next appends fail: the model's outcome, and the intent of what it asks for."""

    def turn() -> Any:
        log.fail(OSError("disk full"), times=appends)
        return then

    return turn


class TestSwarm:
    def test_chain(self, log: CapturedAudit) -> None:
        """Each agent acts for the swarm and for those that handed the work on, also where it comes back."""
        first = agent("first", handing("second"), "handed", "done")
        second = agent("second", handing("first"), "back")
        with acting_as("ann", type="user"):
            assert Swarm([first, second], id="desk")("go").status is Status.COMPLETED
        asked = [chain(entry) for entry in of_kind(log.entries, "model")][::2]
        assert asked == [["ann", "desk", "first"]] * 2 + [["ann", "desk", "first", "second"]] * 2 + [
            ["ann", "desk", "first", "second", "first"]
        ]
        runs = [short(entry) for entry in of_kind(log.entries, "agent")]
        assert runs[0] == "agent intent desk"
        assert runs[-1] == "agent success desk"

    def test_handoff(self, log: CapturedAudit) -> None:
        """A handoff has its two entries, inside the tool by which it is asked for."""
        Swarm([agent("first", handing("second"), "handed"), agent("second", "done")])("go")
        handed = [entry for entry in log.entries if entry.event_name == "gen_ai.agent.handoff"]
        assert [(short(entry), chain(entry)[-1]) for entry in handed] == [
            ("gen_ai.agent.handoff intent second", "first"),
            ("gen_ai.agent.handoff success second", "first"),
        ]
        assert handed[0].attributes["gen_ai.agent.name"] == "first"

    def test_unrecorded_handoff(self, log: CapturedAudit) -> None:
        """A handoff whose intent cannot be written does not happen, and the first agent is not asked again."""
        first, second = agent("first", handing("second"), "handed"), agent("second", "done")
        swarm = Swarm([first, second])
        tool_of_swarm = first.tool_registry.registry["handoff_to_agent"]
        function = tool_of_swarm._tool_func

        def hand_over(**arguments: Any) -> Any:
            log.fail(OSError("disk full"))
            return function(**arguments)

        tool_of_swarm._tool_func = hand_over
        assert swarm("go").status is Status.FAILED
        assert (first.model.script.asked, second.model.script.asked) == (1, 0)
        assert "gen_ai.agent.handoff" not in {entry.event_name for entry in log.entries}
        failed = of_kind(log.entries, "agent", "default_swarm")[-1].attributes
        assert failed["error.type"] == "otel_audit.errors.AuditWriteError"

    def test_failure(self, log: CapturedAudit) -> None:
        """A swarm of which an agent fails is a failure, of that error."""
        assert Swarm([agent("first", ConnectionError("secret text"))])("go").status is Status.FAILED
        assert of_kind(log.entries, "agent", "default_swarm")[-1].attributes["error.type"] == "ConnectionError"


class TestGraph:
    def test_chain(self, log: CapturedAudit) -> None:
        """The agents of a graph, at the same time or not, act for the graph and not for each other."""
        builder = GraphBuilder()
        for name in ("one", "two", "last"):
            builder.add_node(agent(name, asking(), "done"), name)
        builder.add_edge("one", "last")
        builder.add_edge("two", "last")
        builder.set_graph_id("works")
        builder.set_max_node_executions(9)
        with acting_as("ann", type="user"):
            assert builder.build()("go").status is Status.COMPLETED
        tools = {tuple(chain(entry)) for entry in of_kind(log.entries, "tool")}
        assert tools == {("ann", "works", name) for name in ("one", "two", "last")}
        assert short(log.entries[-1]) == "agent success works"


class TestAgentAsTool:
    def test_chain(self, log: CapturedAudit) -> None:
        """An agent that is a tool acts for the one that calls it."""
        inner = agent("inner", asking(), "done")
        with acting_as("ann", type="user"):
            agent("outer", asking("inner", input="go"), "told", tools=(inner.as_tool(),))("go")
        assert {tuple(chain(entry)) for entry in of_kind(log.entries, "tool", "note")} == {("ann", "outer", "inner")}

    def test_unrecorded(self, log: CapturedAudit) -> None:
        """Where the inner agent's tool cannot be recorded, both runs end, and the outer model is not told."""
        inner = agent("inner", disk_full(log, asking()), "done")
        outer = agent("outer", asking("inner", input="go"), "told", tools=(inner.as_tool(),))
        with pytest.raises(AuditWriteError):
            outer("go")
        assert (inner.model.script.asked, outer.model.script.asked) == (1, 1)

    def test_tool_that_runs_an_agent(self, log: CapturedAudit) -> None:
        """A tool of the program that deals with the inner agent's error itself goes on."""
        inner = agent("inner", disk_full(log, asking()), "done")

        @tool
        def ask() -> str:
            """Ask the inner agent."""
            try:
                return str(inner("go"))
            except AuditWriteError:
                return "could not"

        assert str(agent("outer", asking("ask"), "told", tools=(ask,))("go")) == "told\n"


class TestRun:
    def test_error_of_the_program(self) -> None:
        """What the program raises comes in the framework's own wrapping, as without auditing."""
        error = ConnectionError("lost")

        def fail(_event: object) -> None:
            raise error

        clerk = agent("clerk", asking(), "done")
        clerk.add_hook(fail, BeforeToolCallEvent)
        with pytest.raises(EventLoopException) as raised:
            clerk("go")
        assert raised.value.original_exception is error

    def test_unrecorded_model_call(self, log: CapturedAudit) -> None:
        """An intent that cannot be written raises `AuditWriteError` itself, whatever the framework made of it."""
        clerk = agent("clerk", "done")
        log.fail(OSError("disk full"))
        with pytest.raises(AuditWriteError):
            clerk("go")
        assert clerk.model.script.asked == 0

        clerk.add_hook(lambda _: log.fail(OSError("disk full")), BeforeModelCallEvent)
        with pytest.raises(AuditWriteError):
            clerk("go")
        assert clerk.model.script.asked == 0

    def test_cancelled(self, log: CapturedAudit) -> None:
        """A run that the program cancels is neither a success nor a failure."""
        signal = threading.Event()
        signal.set()
        assert agent("clerk", "done")("go", cancel_signal=signal).stop_reason == "cancelled"
        ended = of_kind(log.entries, "agent")[-1]
        assert (short(ended), ended.attributes["audit.reason"]) == ("agent unknown clerk", "cancelled by the program")
        assert short(of_kind(log.entries, "model")[-1]) != "model success scripted-1"

    def test_read_to_its_result(self, log: CapturedAudit) -> None:
        """A stream that is closed when its result was read is a success."""

        async def main() -> None:
            events = agent("clerk", "done").stream_async("go")
            async for event in events:
                if "result" in event:
                    break
            await events.aclose()

        asyncio.run(main())
        assert short(log.entries[-1]) == "agent success clerk"

    def test_consumer(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """Whoever reads a stream is not the agent, and has no span of it."""

        async def main() -> None:
            async for _ in agent("clerk", asking(), "done").stream_async("go"):
                assert current_actors() == ()
                assert not trace.get_current_span().get_span_context().is_valid

        asyncio.run(main())
        assert len(log.entries) == 8

    def test_wrong_arguments(self, log: CapturedAudit) -> None:
        """A call with wrong arguments raises the framework's error at once, and leaves no entry."""
        with pytest.raises(TypeError, match="positional"):
            agent("clerk").stream_async("go", "too", "many")
        assert log.entries == ()

    def test_session(self, log: CapturedAudit, tmp_path: Any) -> None:
        """A run in a session names the conversation."""
        from strands.session import FileSessionManager

        agent("clerk", "done", session_manager=FileSessionManager("talk-7", storage_dir=str(tmp_path)))("go")
        assert log.entries[-1].attributes["gen_ai.conversation.id"] == "talk-7"

    def test_concurrent(self, log: CapturedAudit) -> None:
        """Runs at the same time do not mix up their agents."""

        async def main() -> None:
            await asyncio.gather(*(agent(f"clerk {i}", asking(), "done").invoke_async("go") for i in range(5)))

        asyncio.run(main())
        for entry in of_kind(log.entries, "tool"):
            assert chain(entry)[-1] == entry.attributes["gen_ai.agent.name"]
        assert len({tuple(chain(entry)) for entry in of_kind(log.entries, "tool")}) == 5


def test_example(tmp_path: Path) -> None:
    """The example runs offline and says nothing but its answer and its log."""
    path = tmp_path / "audit.jsonl"
    env = os.environ | {"OTEL_AUDIT_FILE": str(path)}
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=120, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Done.\n")
    assert verify_log(path).intact
    (refund,) = (entry for entry in read_log(path) if entry.attributes.get("audit.arguments"))
    assert refund.attributes["audit.arguments"] == {"order_id": "A-1027"}
    assert chain(refund) == ["maya@example.com", "desk", "triage", "refunds"]
