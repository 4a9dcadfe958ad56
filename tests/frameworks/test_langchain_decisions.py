from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    PIIMiddleware,
    ToolCallLimitMiddleware,
    after_model,
    before_agent,
    before_model,
    hook_config,
    wrap_tool_call,
)
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command

from otel_audit import AuditInstrumentor, acting_as
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.frameworks.langchain_support import HELLO, SECRET, calls, chain, instrumented, lines, model, of, run_in

CONFIG = {"configurable": {"thread_id": "1"}}


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Audit LangChain."""
    with instrumented():
        yield


@pytest.fixture
def sent() -> list[str]:
    """The mails that were sent."""
    return []


@pytest.fixture
def send(sent: list[str]) -> Any:
    """A tool that sends mails."""

    @tool
    def send(to: str) -> str:
        """Send a mail."""
        sent.append(to)
        return "sent"

    return send


def decisions(log: CapturedAudit, event: str = "tool.approve") -> list[tuple[Any, ...]]:
    return [
        tuple(
            entry.attributes.get(name)
            for name in ("audit.target.id", "gen_ai.tool.call.id", "audit.decision", "audit.reason")
        )
        for entry in of(log, event)
    ]


def checks(log: CapturedAudit) -> list[tuple[Any, ...]]:
    return [(name, decision, reason) for name, _, decision, reason in decisions(log, "guardrail.check")]


class TestApproval:
    def agent(self, send: Any, mode: str, *answers: Any) -> Any:
        options = {} if mode == "batched" else {"interrupt_mode": mode}
        people = HumanInTheLoopMiddleware(interrupt_on={"send": True}, **options)
        return create_agent(
            model(*answers, "done"), [send], middleware=[people], name="clerk", checkpointer=InMemorySaver()
        )

    def resume(self, way: str, agent: Any, mode: str, *answers: dict[str, Any]) -> Any:
        paused = agent.get_state(CONFIG).interrupts
        if mode == "batched":
            return run_in(way, agent, Command(resume={"decisions": list(answers)}), CONFIG)()
        assert len(paused) == len(answers)
        resume = {one.id: answer for one, answer in zip(paused, answers, strict=True)}
        return run_in(way, agent, Command(resume=resume), CONFIG)()

    @pytest.mark.parametrize("way", ["invoke", "ainvoke"])
    @pytest.mark.parametrize("mode", ["batched", "per_call"])
    def test_is_recorded_before_the_tool_runs(
        self, log: CapturedAudit, send: Any, sent: list[str], mode: str, way: str
    ) -> None:
        """What a person decides stands in the log before the tool runs; what is rejected does not run."""
        agent = self.agent(send, mode, calls(("send", {"to": "a"}), ("send", {"to": "b"}), ("send", {"to": "c"})))
        with acting_as("maya", type="user"):
            run_in(way, agent, HELLO, CONFIG)()
        assert decisions(log) == []
        assert lines(log)[-1] == ("agent.invoke", "clerk", "outcome", "unknown")
        with acting_as("maya", type="user"):
            self.resume(
                way,
                agent,
                mode,
                {"type": "approve"},
                {"type": "reject", "message": SECRET},
                {"type": "edit", "edited_action": {"name": "send", "args": {"to": "d"}}},
            )
        assert sorted(decisions(log)) == [
            ("send", "call-1", "allow", "approve"),
            ("send", "call-2", "block", "reject"),
            ("send", "call-3", "allow", "edit"),
        ]
        assert sorted(sent) == ["a", "d"]
        assert [chain(entry) for entry in of(log, "tool.approve")] == [["maya", "clerk"]] * 3
        order = [entry[0] for entry in lines(log)]
        if mode == "batched":
            assert max(i for i, each in enumerate(order) if each == "tool.approve") < order.index("tool.execute")
        with open(log.path) as file:
            assert SECRET not in file.read()

    def test_that_a_person_gives_the_answer_is_a_refusal(self, log: CapturedAudit, send: Any, sent: list[str]) -> None:
        """Where a person answers in the tool's place, the tool does not run, once in the log and in fact."""
        for mode in ("batched", "per_call"):
            log.clear()
            agent = self.agent(send, mode, calls(("send", {"to": "a"})))
            agent.invoke(HELLO, CONFIG)
            self.resume("invoke", agent, mode, {"type": "respond", "message": "no need"})
            assert decisions(log) == [("send", "call-1", "block", "respond")]
        assert sent == []

    def test_that_cannot_be_written_stops_the_tool(self, log: CapturedAudit, send: Any, sent: list[str]) -> None:
        """An approval that is not in the log is none."""
        agent = self.agent(send, "batched", calls(("send", {"to": "a"})))
        agent.invoke(HELLO, CONFIG)
        stream = agent.stream(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG, stream_mode="debug")
        next(stream)
        log.fail(OSError("full"))
        with pytest.raises(AuditWriteError):
            list(stream)
        assert sent == []

    def test_that_does_not_fit_is_the_frameworks_to_refuse(self, log: CapturedAudit, send: Any) -> None:
        """Too few decisions are no decisions: the framework says so, in its own words."""
        agent = self.agent(send, "batched", calls(("send", {"to": "a"}), ("send", {"to": "b"})))
        agent.invoke(HELLO, CONFIG)
        with pytest.raises(ValueError, match="Number of human decisions"):
            agent.invoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)
        assert decisions(log) == []


class TestGuardrail:
    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream"])
    def test_blocks(self, log: CapturedAudit, way: str) -> None:
        """A hook that ends the run is a guardrail that blocked; the model is not asked."""

        @before_agent(can_jump_to=["end"])
        def no_greetings(state: Any, runtime: Any) -> Any:
            return {"jump_to": "end", "messages": [AIMessage("no greetings")]}

        run_in(way, create_agent(model("fine"), [], middleware=[no_greetings], name="clerk"))()
        assert lines(log) == [
            ("agent.invoke", "clerk", "intent", "unknown"),
            ("guardrail.check", "no_greetings", "block", "success"),
            ("agent.invoke", "clerk", "outcome", "success"),
        ]
        assert of(log, "guardrail.check")[0].attributes["gen_ai.agent.name"] == "clerk"

    @pytest.mark.parametrize("way", ["invoke", "ainvoke"])
    def test_allows(self, log: CapturedAudit, way: str) -> None:
        """One that lets the run go on allowed it; a hook that cannot end the run is no guardrail."""

        @before_model(can_jump_to=["end"])
        def listen(state: Any, runtime: Any) -> Any:
            return None

        @after_model
        def note(state: Any, runtime: Any) -> Any:
            return None

        run_in(way, create_agent(model("fine"), [], middleware=[listen, note]))()
        assert checks(log) == [("listen", "allow", "before_model")]

    async def test_is_a_coroutine(self, log: CapturedAudit) -> None:
        """A hook that is a coroutine function is audited, too, and so is a class with several."""

        class Guard(AgentMiddleware):  # type: ignore[misc]
            @hook_config(can_jump_to=["end"])
            async def abefore_model(self, state: Any, runtime: Any) -> Any:
                return None

            @hook_config(can_jump_to=["end"])
            async def aafter_model(self, state: Any, runtime: Any) -> Any:
                return {"jump_to": "end"}

        await create_agent(model("fine"), [], middleware=[Guard()]).ainvoke(HELLO)
        assert checks(log) == [("Guard", "allow", "before_model"), ("Guard", "block", "after_model")]

    def test_of_personal_data(self, log: CapturedAudit) -> None:
        """The framework's own guardrail blocks by an exception; what it found is not recorded."""
        guard = PIIMiddleware("email", strategy="block")
        agent = create_agent(model("fine", "fine"), [], middleware=[guard])
        agent.invoke(HELLO)
        log.clear()
        with pytest.raises(Exception, match="email") as caught:
            agent.invoke({"messages": [("user", f"I am {SECRET}@example.com")]})
        assert type(caught.value).__name__ == "PIIDetectionError"
        assert [entry[1] for entry in checks(log)] == ["block"]
        assert lines(log)[-1] == ("agent.invoke", "LangGraph", "outcome", "failure")
        with open(log.path) as file:
            assert SECRET not in file.read()

    def test_that_is_faulty(self, log: CapturedAudit) -> None:
        """A hook that raises has decided nothing."""

        @before_model(can_jump_to=["end"])
        def broken(state: Any, runtime: Any) -> Any:
            raise KeyError(SECRET)

        with pytest.raises(KeyError, match=SECRET):
            create_agent(model("fine"), [], middleware=[broken]).invoke(HELLO)
        assert checks(log) == [("broken", "error", "before_model")]

    def test_of_limits(self, log: CapturedAudit, send: Any, sent: list[str]) -> None:
        """A limit of model calls ends the run; a limit of tool calls refuses the calls beyond it."""
        limits = [
            ModelCallLimitMiddleware(run_limit=2, exit_behavior="end"),
            ToolCallLimitMiddleware(run_limit=1, exit_behavior="continue"),
        ]
        twice = calls(("send", {"to": "a"}), ("send", {"to": "b"}))
        create_agent(model(twice, calls(("send", {"to": "c"})), "done"), [send], middleware=limits).invoke(HELLO)
        assert sent == ["a"]
        assert [entry[1:3] for entry in decisions(log)] == [("call-2", "block"), ("call-1", "block")]
        assert checks(log)[-1] == ("ModelCallLimitMiddleware", "block", "before_model")

    def test_that_cannot_be_written_stops_the_run(self, log: CapturedAudit) -> None:
        """Where the decision is not in the log, the model is not asked."""
        chat = model("fine")

        @before_model(can_jump_to=["end"])
        def pass_on(state: Any, runtime: Any) -> Any:
            log.fail(OSError("full"))

        with pytest.raises(AuditWriteError):
            create_agent(chat, [], middleware=[pass_on]).invoke(HELLO)
        assert len(chat.answers) == 1

    def test_passes_straight_through_afterwards(self, log: CapturedAudit, send: Any) -> None:
        """An agent that was made meanwhile is not audited any more once we are uninstrumented."""

        @before_model(can_jump_to=["end"])
        def listen(state: Any, runtime: Any) -> Any:
            return None

        @wrap_tool_call
        def refuse(request: Any, handler: Any) -> Any:
            return ToolMessage("no", tool_call_id=request.tool_call["id"])

        agent = create_agent(model(calls(("send", {"to": "a"})), "fine"), [send], middleware=[listen, refuse])
        AuditInstrumentor().uninstrument()
        agent.invoke(HELLO)
        assert log.entries == ()


class TestPolicy:
    @pytest.mark.parametrize("way", ["invoke", "ainvoke"])
    def test_refuses(self, log: CapturedAudit, send: Any, sent: list[str], way: str) -> None:
        """A middleware that answers in the tool's place has refused the call; what it lets through just runs."""

        def decided(request: Any) -> Any:
            if request.tool_call["args"]["to"] == "b":
                return ToolMessage("not to b", tool_call_id=request.tool_call["id"])
            return None

        class OnlyToA(AgentMiddleware):  # type: ignore[misc]
            def wrap_tool_call(self, request: Any, handler: Any) -> Any:
                return decided(request) or handler(request)

            async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
                return decided(request) or await handler(request)

        both = calls(("send", {"to": "a"}), ("send", {"to": "b"}))
        run_in(way, create_agent(model(both, "done"), [send], middleware=[OnlyToA()], name="clerk"))()
        assert decisions(log) == [("send", "call-2", "block", "answered in the tool's place")]
        assert len(of(log, "tool.execute")) == 2
        assert sent == ["a"]

    def test_refuses_in_a_tool_node(self, log: CapturedAudit, send: Any, sent: list[str]) -> None:
        """So has one that is given to a node of tools; a call that it makes twice is two."""

        def policy(request: Any, execute: Any) -> Any:
            if request.tool_call["args"]["to"] == "b":
                return ToolMessage("not to b", tool_call_id=request.tool_call["id"])
            execute(request)
            return execute(request)

        graph = StateGraph(MessagesState)
        graph.add_node("tools", ToolNode([send], wrap_tool_call=policy))
        graph.set_entry_point("tools")
        graph.compile().invoke({"messages": [calls(("send", {"to": "a"}), ("send", {"to": "b"}))]})
        assert [entry[1:3] for entry in decisions(log)] == [("call-2", "block")]
        assert sent == ["a", "a"]
        assert len(of(log, "tool.execute")) == 4
