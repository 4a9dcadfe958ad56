from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from otel_audit import acting_as
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.frameworks.langchain_support import (
    HELLO,
    calls,
    chain,
    instrumented,
    line,
    lines,
    model,
    of,
    run_in,
)

CONFIG = {"configurable": {"thread_id": "1"}}


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Audit LangChain."""
    with instrumented():
        yield


def transfer(agent: str, *, sent: bool = False) -> Any:
    """Return the tool that hands the work to another agent of the graph."""

    @tool(f"transfer_to_{agent}")
    def hand_over(tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Hand over."""
        message = ToolMessage("handed over", tool_call_id=tool_call_id)
        update = {"messages": [calls((f"transfer_to_{agent}", {})), message]}
        goto: Any = Send(agent, update) if sent else agent
        return Command(goto=goto, graph=Command.PARENT, update=update)

    return hand_over


def team(*members: Any, **options: Any) -> Any:
    """Return a graph of agents, of which the first begins."""
    graph = StateGraph(MessagesState)
    for member in members:
        graph.add_node(member.name, member)
    graph.add_edge(START, members[0].name)
    return graph.compile(name="team", **options)


def handing(name: str, to: str, *more: Any, sent: bool = False) -> Any:
    return create_agent(model(calls((f"transfer_to_{to}", {})), *more), [transfer(to, sent=sent)], name=name)


class TestHandoff:
    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
    @pytest.mark.parametrize("sent", [False, True])
    def test_is_recorded_before_the_other_agent_runs(self, log: CapturedAudit, way: str, sent: bool) -> None:
        """An agent whose tool sends the work to another one has handed over, and has not failed."""
        run_in(way, team(handing("sales", "billing", sent=sent), create_agent(model("paid"), [], name="billing")))()
        assert [entry for entry in lines(log) if entry[0] != "model.call"] == [
            ("agent.invoke", "team", "intent", "unknown"),
            ("agent.invoke", "sales", "intent", "unknown"),
            ("tool.execute", "transfer_to_billing", "intent", "unknown"),
            ("tool.execute", "transfer_to_billing", "outcome", "success"),
            ("agent.handoff", "billing", "intent", "unknown"),
            ("agent.handoff", "billing", "outcome", "success"),
            ("agent.invoke", "sales", "outcome", "success"),
            ("agent.invoke", "billing", "intent", "unknown"),
            ("agent.invoke", "billing", "outcome", "success"),
            ("agent.invoke", "team", "outcome", "success"),
        ]
        handoff = of(log, "agent.handoff")[0].attributes
        assert handoff["gen_ai.agent.name"] == "sales"
        assert handoff["gen_ai.tool.call.id"] == "call-1"
        assert handoff["audit.target.type"] == "agent"

    @pytest.mark.parametrize("way", ["invoke", "ainvoke"])
    def test_makes_the_chain_of_delegation(self, log: CapturedAudit, way: str) -> None:
        """Who is handed the work acts for the one who handed it over, who acts for the caller."""
        agents = handing("sales", "billing"), handing("billing", "legal"), create_agent(model("fine"), [], name="legal")
        with acting_as("maya", type="user"):
            run_in(way, team(*agents))()
        ask = {entry.attributes["gen_ai.agent.name"]: chain(entry) for entry in of(log, "model.call")}
        assert ask == {
            "sales": ["maya", "team", "sales"],
            "billing": ["maya", "team", "sales", "billing"],
            "legal": ["maya", "team", "sales", "billing", "legal"],
        }
        run = next(entry for entry in of(log, "agent.invoke") if entry.attributes["audit.target.id"] == "billing")
        assert chain(run) == ["maya", "team", "sales"]
        assert chain(of(log, "agent.handoff")[0]) == ["maya", "team", "sales"]

    def test_there_and_back_ends_where_it_began(self, log: CapturedAudit) -> None:
        """An agent that gets the work back acts as it did before, however often it goes round."""
        agents = (
            handing("sales", "billing", calls(("transfer_to_billing", {})), "done"),
            handing("billing", "sales", calls(("transfer_to_sales", {}))),
        )
        team(*agents).invoke(HELLO)
        assert [chain(entry) for entry in of(log, "model.call")[::2]] == [
            ["team", "sales"],
            ["team", "sales", "billing"],
            ["team", "sales"],
            ["team", "sales", "billing"],
            ["team", "sales"],
        ]

    def test_is_of_one_run_only(self, log: CapturedAudit) -> None:
        """Who was handed the work in one run acts for itself in the next."""
        billing = create_agent(model("paid", "paid"), [], name="billing")
        team(handing("sales", "billing"), billing).invoke(HELLO)
        log.clear()
        team(billing).invoke(HELLO)
        assert chain(of(log, "model.call")[0]) == ["team", "billing"]

    def test_is_of_one_turn_only(self, log: CapturedAudit) -> None:
        """Who was handed the work, and is run again by the graph itself, then acts for the graph."""
        graph = StateGraph(MessagesState)
        graph.add_node("sales", handing("sales", "billing"))
        graph.add_node("billing", create_agent(model("paid", "paid again"), [], name="billing"))
        graph.add_edge(START, "sales")
        graph.add_conditional_edges(
            "billing", lambda state: END if state["messages"][-1].content == "paid again" else "billing"
        )
        graph.compile(name="team").invoke(HELLO)
        assert [chain(entry) for entry in of(log, "model.call")[2::2]] == [
            ["team", "sales", "billing"],
            ["team", "billing"],
        ]

    def test_does_not_happen_where_it_cannot_be_written(self, log: CapturedAudit) -> None:
        """Where the handoff cannot be recorded, the other agent does not run."""

        @tool("transfer_to_billing")
        def hand_over() -> Any:
            """Hand over."""
            log.fail(OSError("full"), times=9)  # the tool's own outcome, the handoff, what ends after it
            return Command(goto="billing", graph=Command.PARENT)

        sales = create_agent(model(calls(("transfer_to_billing", {}))), [hand_over], name="sales")
        billing = create_agent(model("paid"), [], name="billing")
        with pytest.raises(AuditWriteError):
            team(sales, billing).invoke(HELLO)
        assert not [entry for entry in of(log, "agent.invoke") if entry.attributes["audit.target.id"] == "billing"]


class TestInterrupt:
    @pytest.fixture
    def agent(self) -> Any:
        @tool
        def book(room: str) -> str:
            """Book."""
            return f"{room}: {interrupt('how long?')}"

        chat = model(calls(("book", {"room": "a"})), "booked")
        return create_agent(chat, [book], name="host", checkpointer=InMemorySaver())

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "messages"])
    def test_leaves_the_run_open(self, log: CapturedAudit, agent: Any, way: str) -> None:
        """A run that waits for somebody is neither a success nor a failure, nor is its tool; resumed, both go on."""
        run_in(way, agent, HELLO, CONFIG)()
        assert [(line(entry)[0], line(entry)[3]) for entry in log.entries[-2:]] == [
            ("tool.execute", "unknown"),
            ("agent.invoke", "unknown"),
        ]
        assert {entry.attributes["audit.reason"] for entry in log.entries[-2:]} == {
            "interrupted, and waits to be resumed"
        }
        log.clear()
        run_in(way, agent, Command(resume="an hour"), CONFIG)()
        assert [(line(entry)[0], line(entry)[2], line(entry)[3]) for entry in log.entries] == [
            ("agent.invoke", "intent", "unknown"),
            ("tool.execute", "intent", "unknown"),
            ("tool.execute", "outcome", "success"),
            ("model.call", "intent", "unknown"),
            ("model.call", "outcome", "success"),
            ("agent.invoke", "outcome", "success"),
        ]

    def test_of_a_part_leaves_the_whole_open(self, log: CapturedAudit) -> None:
        """A graph of which one part waits for somebody waits, too."""

        def ask(state: Any) -> Any:
            return {"messages": [interrupt("well?")]}

        part = StateGraph(MessagesState).add_node(ask).add_edge(START, "ask").compile(name="part")
        team(part, checkpointer=InMemorySaver()).invoke(HELLO, CONFIG)
        assert lines(log)[2:] == [
            ("agent.invoke", "part", "outcome", "unknown"),
            ("agent.invoke", "team", "outcome", "unknown"),
        ]

    def test_before_a_node_leaves_the_run_open(self, log: CapturedAudit) -> None:
        """So does one at a break point."""
        graph = StateGraph(MessagesState).add_node("late", lambda state: {"messages": []}).add_edge(START, "late")
        graph.compile(name="paused", interrupt_before=["late"], checkpointer=InMemorySaver()).invoke(HELLO, CONFIG)
        assert lines(log)[-1] == ("agent.invoke", "paused", "outcome", "unknown")

    @pytest.mark.parametrize("mode", ["values", "updates", ["updates", "values"]])
    @pytest.mark.parametrize("version", ["v1", "v2"])
    def test_of_a_node_leaves_the_run_open(self, log: CapturedAudit, mode: Any, version: str) -> None:
        """So does one of a node, in each form in which the stream tells of it."""
        graph = StateGraph(MessagesState).add_node("ask", lambda state: {"messages": [interrupt("well?")]})
        asking = graph.add_edge(START, "ask").compile(name="asking", checkpointer=InMemorySaver())
        list(asking.stream(HELLO, CONFIG, stream_mode=mode, version=version))
        assert lines(log)[-1] == ("agent.invoke", "asking", "outcome", "unknown")


class TestGraph:
    def test_of_functions_is_a_run(self, log: CapturedAudit) -> None:
        """What the functional interface makes is audited as any graph."""

        @tool
        def double(a: int) -> int:
            """Double."""
            return 2 * a

        @entrypoint()
        def flow(a: int) -> int:
            return int(double.invoke({"a": a}))

        assert flow.invoke(2) == 4
        assert [entry[:2] for entry in lines(log)] == [
            ("agent.invoke", "LangGraph"),
            ("tool.execute", "double"),
            ("tool.execute", "double"),
            ("agent.invoke", "LangGraph"),
        ]

    def test_fails(self, log: CapturedAudit) -> None:
        """A run that takes too many steps has failed."""
        graph = StateGraph(MessagesState).add_node("again", lambda state: {"messages": []})
        graph.add_edge(START, "again").add_edge("again", "again")
        with pytest.raises(RecursionError):
            graph.compile(name="endless").invoke(HELLO, {"recursion_limit": 3})
        assert lines(log)[-1] == ("agent.invoke", "endless", "outcome", "failure")
        assert log.entries[-1].attributes["error.type"] == "langgraph.errors.GraphRecursionError"

    async def test_runs_beside_others(self, log: CapturedAudit) -> None:
        """Runs at the same time do not see each other's agent."""
        together = asyncio.Barrier(2)

        async def meet(state: Any) -> Any:
            async with asyncio.timeout(9):
                await together.wait()
            await model("fine").ainvoke("hello")
            return {"messages": []}

        def met(name: str) -> Any:
            return (
                StateGraph(MessagesState)
                .add_node(meet)
                .add_edge(START, "meet")
                .add_edge("meet", END)
                .compile(name=name)
            )

        await asyncio.gather(met("a").ainvoke(HELLO), met("b").ainvoke(HELLO))
        asked = [chain(entry) for entry in of(log, "model.call")]
        assert sorted(asked) == [["a"], ["a"], ["b"], ["b"]]
