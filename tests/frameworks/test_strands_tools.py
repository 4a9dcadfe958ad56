"""strands-agents: tools of every kind, and what is decided of their calls."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from strands import Agent, tool
from strands.hooks import AfterToolCallEvent, BeforeToolCallEvent, BeforeToolsEvent
from strands.interventions import Confirm, Deny, Guide, InterventionHandler, Proceed, Transform
from strands.types.tools import ToolContext
from strands.vended_interventions.hitl import HumanInTheLoop

from otel_audit import AuditInstrumentor, AuditWriteError, acting_as
from otel_audit.testing import CapturedAudit
from tests.frameworks.conformance.strands import DRIVER
from tests.frameworks.conformance.told import audited, chain, of_kind, short
from tests.frameworks.test_strands import agent, asking, disk_full


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit strands-agents in every test."""
    with audited(DRIVER):
        yield


def of(log: CapturedAudit, kind: str = "tool") -> list[str]:
    """Return the entries of one kind of act, in short."""
    return [short(entry) for entry in of_kind(log.entries, kind)]


def decisions(log: CapturedAudit) -> list[tuple[Any, ...]]:
    """Return what was decided: the event, of what, how, and why."""
    return [
        (
            entry.event_name.removeprefix("gen_ai."),
            entry.attributes.get("audit.target.id"),
            entry.attributes["audit.decision"],
            entry.attributes.get("audit.reason"),
        )
        for entry in log.entries
        if "audit.decision" in entry.attributes
    ]


class TestKinds:
    def test_direct_call(self, log: CapturedAudit) -> None:
        """What the program calls through the agent is the program's own act."""
        clerk = agent("clerk")
        with acting_as("ann", type="user"):
            clerk.tool.note(text="hello")
        assert of(log) == ["tool intent note", "tool success note"]
        assert {tuple(chain(entry)) for entry in log.entries} == {("ann",)}

    def test_unrecorded_direct_call(self, log: CapturedAudit) -> None:
        """A direct call that cannot be recorded raises, and the tool does not run."""
        ran: list[str] = []

        @tool
        def note(text: str) -> str:
            """Note a text."""
            ran.append(text)
            return text

        clerk = agent("clerk", tools=(note,))
        log.fail(OSError("disk full"))
        with pytest.raises(AuditWriteError):
            clerk.tool.note(text="hello")
        assert ran == []

    def test_unknown_tool(self, log: CapturedAudit) -> None:
        """Of a tool that there is not, nothing is run, and nothing is recorded."""
        agent("clerk", asking("missing"), "done")("go")
        assert of(log) == []

    def test_generator(self, log: CapturedAudit) -> None:
        """A tool that yields what it does on the way has one pair, around all of it."""
        seen: list[list[str]] = []

        @tool
        async def count() -> AsyncIterator[str]:
            """Count."""
            for number in range(3):
                seen.append(of(log))
                yield str(number)

        agent("clerk", asking("count"), "done", tools=(count,))("go")
        assert seen == [["tool intent count"]] * 3
        assert of(log) == ["tool intent count", "tool success count"]

    def test_thread(self, log: CapturedAudit) -> None:
        """A blocking tool runs in a thread, where the agent acts too."""
        from otel_audit import get_audit_logger

        @tool
        def pay() -> str:
            """Pay."""
            assert threading.current_thread() is not threading.main_thread()
            get_audit_logger("bank").emit("bank.pay")
            return "paid"

        with acting_as("ann", type="user"):
            agent("clerk", asking("pay"), "done", tools=(pay,))("go")
        (paid,) = [entry for entry in log.entries if entry.event_name == "bank.pay"]
        assert chain(paid) == ["ann", "clerk"]

    def test_error_result(self, log: CapturedAudit) -> None:
        """A tool that says itself that it failed, failed."""

        @tool
        def fail() -> dict[str, Any]:
            """Fail."""
            return {"status": "error", "content": [{"text": "secret text"}]}

        agent("clerk", asking("fail"), "done", tools=(fail,))("go")
        assert of_kind(log.entries, "tool")[-1].attributes["error.type"] == "tool_error"

    def test_background(self, log: CapturedAudit) -> None:
        """A tool in the background is the agent's act, also where it ends after the turn."""
        clerk = agent("clerk", asking(), "waiting", "done", background_tasks=True)
        with acting_as("ann", type="user"), clerk:
            clerk("go")
        assert of(log) == ["tool intent note", "tool success note"]
        assert {tuple(chain(entry)) for entry in of_kind(log.entries, "tool")} == {("ann", "clerk")}

    def test_retry(self, log: CapturedAudit) -> None:
        """Each attempt that a hook asks for has a pair of its own."""
        tries: list[int] = []

        def again(event: AfterToolCallEvent) -> None:
            tries.append(1)
            event.retry = len(tries) < 3

        clerk = agent("clerk", asking(), "done")
        clerk.add_hook(again, AfterToolCallEvent)
        clerk("go")
        assert of(log) == ["tool intent note", "tool success note"] * 3

    def test_retry_after_a_full_disk(self, log: CapturedAudit) -> None:
        """A hook that asks for another attempt gets one, which is recorded and goes on."""

        def again(event: AfterToolCallEvent) -> None:
            event.retry = event.exception is not None

        clerk = agent("clerk", disk_full(log, asking()), "done")
        clerk.add_hook(again, AfterToolCallEvent)
        assert str(clerk("go")) == "done\n"
        assert of(log) == ["tool intent note", "tool success note"]

    def test_mcp(self, log: CapturedAudit) -> None:
        """A tool of an MCP server has the agent's pair, and one of the client inside of it, both by the agent."""
        from mcp import StdioServerParameters, stdio_client
        from strands.tools.mcp import MCPClient

        server = (
            "from mcp.server.fastmcp import FastMCP as M; m = M('s'); m.tool(name='note')(lambda text: text); m.run()"
        )
        parameters = StdioServerParameters(command=sys.executable, args=["-c", server])
        AuditInstrumentor().uninstrument()
        AuditInstrumentor().instrument(frameworks=["strands", "mcp"])
        with MCPClient(lambda: stdio_client(parameters)) as client, acting_as("ann", type="user"):
            agent("clerk", asking(), "done", tools=tuple(client.list_tools_sync()))("go")
        entries = of_kind(log.entries, "tool", "note")
        assert [entry.attributes.get("span.kind") for entry in entries] == [None, "client", "client", None]
        assert {tuple(chain(entry)) for entry in entries} == {("ann", "clerk")}


class TestInterrupts:
    def test_hook(self, log: CapturedAudit) -> None:
        """A person's answer to a hook is an approval, or a refusal, of that call, by whoever goes on with the run."""

        def ask(event: BeforeToolCallEvent) -> None:
            if event.interrupt("sure?") != "yes":
                event.cancel_tool = "no"

        clerk = agent("clerk", (*asking(), *asking(call_id="c2")), "done")
        clerk.add_hook(ask, BeforeToolCallEvent)
        result = clerk("go")
        assert result.stop_reason == "interrupt"
        assert decisions(log) == []
        assert log.entries[-1].attributes["audit.reason"] == "waits for the answer to an interrupt"
        answers = zip(result.interrupts, ("yes", "never"), strict=True)
        with acting_as("ann", type="user"):
            clerk([{"interruptResponse": {"interruptId": asked.id, "response": said}} for asked, said in answers])
        assert sorted(decisions(log)) == [
            ("tool.approve", "note", "allow", None),
            ("tool.approve", "note", "block", None),
        ]
        approvals = [entry for entry in log.entries if entry.event_name == "gen_ai.tool.approve"]
        assert {tuple(chain(entry)) for entry in approvals} == {("ann",)}
        assert of(log) == ["tool intent note", "tool success note"]

    def test_one_answer_of_two(self, log: CapturedAudit) -> None:
        """As long as one hook waits for its answer, nothing is decided, whatever another one was answered."""

        def ready(event: BeforeToolCallEvent) -> None:
            event.interrupt("ready", response="yes")

        def ask(event: BeforeToolCallEvent) -> None:
            event.interrupt("sure?")

        clerk = agent("clerk", asking(), "done")
        clerk.add_hook(ready, BeforeToolCallEvent)
        clerk.add_hook(ask, BeforeToolCallEvent)
        (asked,) = clerk("go").interrupts
        assert decisions(log) == []
        clerk([{"interruptResponse": {"interruptId": asked.id, "response": "yes"}}])
        assert decisions(log) == [("tool.approve", "note", "allow", None)]

    def test_unrecorded_approval(self, log: CapturedAudit) -> None:
        """An approval that cannot be written has no effect: the tool does not run."""

        class Careless(InterventionHandler):  # type: ignore[misc]
            name = "careless"
            on_error = "proceed"

            def before_tool_call(self, event: Any) -> Any:
                return Confirm(prompt="sure?", response=True)

        clerk = agent("clerk", disk_full(log, asking()), "done", interventions=[Careless()])
        with pytest.raises(AuditWriteError):
            clerk("go")
        assert (of(log), clerk.model.script.asked) == ([], 1)

    def test_tool(self, log: CapturedAudit) -> None:
        """A tool that asks a person has a pair that waits, and another one when it goes on."""

        @tool(context=True)
        def pay(tool_context: ToolContext) -> str:
            """Pay."""
            return f"paid {tool_context.interrupt('how much?')}"

        clerk = agent("clerk", asking("pay"), "done", tools=(pay,))
        (asked,) = clerk("go").interrupts
        clerk([{"interruptResponse": {"interruptId": asked.id, "response": "5"}}])
        assert of(log) == ["tool intent pay", "tool unknown pay", "tool intent pay", "tool success pay"]

    def test_batch(self, log: CapturedAudit) -> None:
        """A hook that refuses all calls of an answer refuses each of them."""

        def refuse(event: BeforeToolsEvent) -> None:
            event.cancel = "no"

        clerk = agent("clerk", (*asking(), *asking(call_id="c2")), "done")
        clerk.add_hook(refuse, BeforeToolsEvent)
        clerk("go")
        assert decisions(log) == [("tool.approve", "note", "block", "hook")] * 2
        assert of(log) == []

    def test_cancelled_by_a_hook(self, log: CapturedAudit) -> None:
        """A hook that refuses a call without asking anybody is told as such, and the tool does not run."""

        def refuse(event: BeforeToolCallEvent) -> None:
            event.cancel_tool = True

        clerk = agent("clerk", asking(), "done")
        clerk.add_hook(refuse, BeforeToolCallEvent)
        clerk("go")
        assert decisions(log) == [("tool.approve", "note", "block", "hook")]
        assert of(log) == []


class Says(InterventionHandler):  # type: ignore[misc]
    """Says the same of everything."""

    name = "says"

    def __init__(self, action: Any) -> None:
        self.action = action

    def before_tool_call(self, event: Any) -> Any:
        return self.action


class TestInterventions:
    @pytest.mark.parametrize(
        ("action", "decision", "runs"),
        [
            (Proceed(), "allow", True),
            (Deny(reason="secret text"), "block", False),
            (Guide(feedback="secret text"), "block", False),
            (Transform(), "allow", True),
        ],
    )
    def test_kinds(self, log: CapturedAudit, action: Any, decision: str, runs: bool) -> None:
        """What a handler says of a tool call is a guardrail's decision, by the handler's name."""
        agent("clerk", asking(), "done", interventions=[Says(action)])("go")
        assert decisions(log) == [("guardrail.check", "says", decision, action.type)]
        assert bool(of(log)) is runs

    @pytest.mark.parametrize(("answer", "decision"), [("y", "allow"), ("n", "block")])
    def test_human_in_the_loop(self, log: CapturedAudit, answer: str, decision: str) -> None:
        """The framework's own intervention that asks a person is an approval."""
        clerk = agent("clerk", asking(), "done", interventions=[HumanInTheLoop()])
        (asked,) = clerk("go").interrupts
        clerk([{"interruptResponse": {"interruptId": asked.id, "response": answer}}])
        assert [told[:3] for told in decisions(log) if told[0] == "tool.approve"] == [
            ("tool.approve", "note", decision)
        ]
        assert bool(of(log)) is (decision == "allow")

    def test_input(self, log: CapturedAudit) -> None:
        """A handler that denies a whole run is a guardrail that blocks."""

        class Bouncer(InterventionHandler):  # type: ignore[misc]
            name = "bouncer"

            async def before_invocation(self, event: Any) -> Any:
                return Deny(reason="secret text")

        clerk = agent("clerk", "done", interventions=[Bouncer()])
        clerk("go")
        assert decisions(log) == [("guardrail.check", "bouncer", "block", "deny")]
        assert clerk.model.script.asked == 0


class TestInstrument:
    def test_before(self, log: CapturedAudit) -> None:
        """An agent and its tools from before are audited."""
        AuditInstrumentor().uninstrument()
        clerk = agent("clerk", asking(), "done")
        AuditInstrumentor().instrument(frameworks=["strands"])
        clerk("go")
        assert of(log) == ["tool intent note", "tool success note"]

    def test_restored(self) -> None:
        """Uninstrumenting puts the identical objects back."""
        from strands.hooks.registry import HookRegistry
        from strands.interventions.registry import InterventionRegistry
        from strands.models import Model
        from strands.multiagent.graph import Graph
        from strands.multiagent.swarm import Swarm
        from strands.tools.executors import _executor

        from tests.frameworks.strands_conformance_model import ScriptedModel

        owners = (
            Agent, Swarm, Graph, HookRegistry, InterventionRegistry, Model, ScriptedModel, BeforeToolCallEvent,
            BeforeToolsEvent, _executor, _executor.ToolExecutor,
        )  # fmt: skip
        AuditInstrumentor().uninstrument()
        before = [dict(vars(owner)) for owner in owners]
        AuditInstrumentor().instrument(frameworks=["strands"])
        during = [dict(vars(owner)) for owner in owners]
        AuditInstrumentor().uninstrument()
        after = [dict(vars(owner)) for owner in owners]
        for owner, old, changed, new in zip(owners, before, during, after, strict=True):
            own = {name for name in old if name not in ("_abc_impl", "__doc__")}
            assert all(new[name] is old[name] for name in own), owner
            assert new.keys() == old.keys()
            assert any(changed[name] is not old.get(name) for name in changed), owner

    def test_stream_under_way(self, log: CapturedAudit) -> None:
        """A run that is under way when auditing ends goes on to its end."""

        async def main() -> str:
            events = agent("clerk", asking(), "done").stream_async("go")
            await anext(events)
            AuditInstrumentor().uninstrument()
            async for event in events:
                last = event
            return str(last["result"])

        assert asyncio.run(main()) == "done\n"
        assert of(log, "agent") == ["agent intent clerk", "agent success clerk"]
        assert of(log) == []
