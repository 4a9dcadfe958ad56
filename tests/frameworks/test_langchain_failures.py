"""Logs that cannot be written, and secrets that must not get into them."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, tool
from langgraph.graph import MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_audit
from otel_audit import read_log, verify_log
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit, capture_audit
from tests.disk import fill
from tests.frameworks.langchain_support import (
    HELLO,
    SECRET,
    ScriptedModel,
    StreamingModel,
    calls,
    instrumented,
    line,
    lines,
    model,
    of,
    run_in,
)


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Audit LangChain."""
    with instrumented():
        yield


@pytest.fixture
def done() -> list[str]:
    """What was done."""
    return []


def agent(chat: ScriptedModel, *tools: Any, **options: Any) -> Any:
    return create_agent(chat, list(tools), name="clerk", **options)


class Acting(BaseTool):  # type: ignore[misc]
    name: str = "act"
    description: str = "Act."
    done: Any

    def _run(self, note: str) -> str:
        self.done.append(note)
        return "done"


def ways_to_run(done: list[str]) -> dict[str, tuple[Any, Callable[[Any, Any], Any]]]:
    """Return each kind of tool, and how it is run by a model that has been told to call it."""

    def act(note: str) -> str:
        """Act."""
        done.append(note)
        return "done"

    async def aact(note: str) -> str:
        """Act."""
        return act(note)

    def in_graph(chat: Any, each: Any) -> Any:
        graph = StateGraph(MessagesState)
        graph.add_node("ask", lambda state: {"messages": [chat.invoke(state["messages"])]})
        graph.add_node("tools", ToolNode([each], handle_tool_errors=True))
        graph.set_entry_point("ask")
        graph.add_edge("ask", "tools")
        return graph.compile().invoke(HELLO)

    def alone(chat: Any, each: Any) -> Any:
        return each.invoke(chat.invoke("hello").tool_calls[0])

    async def aalone(chat: Any, each: Any) -> Any:
        return await each.ainvoke((await chat.ainvoke("hello")).tool_calls[0])

    sync, coroutine = tool("act")(act), tool("act")(aact)
    return {
        "invoke": (sync, lambda chat, each: agent(chat, each).invoke(HELLO)),
        "ainvoke": (coroutine, lambda chat, each: asyncio.run(agent(chat, each).ainvoke(HELLO))),
        "ainvoke, sync": (sync, lambda chat, each: asyncio.run(agent(chat, each).ainvoke(HELLO))),
        "stream": (sync, lambda chat, each: run_in("stream", agent(chat, each))()),
        "astream": (coroutine, lambda chat, each: run_in("astream", agent(chat, each))()),
        "class": (Acting(done=done), lambda chat, each: agent(chat, each).invoke(HELLO)),
        "class, ainvoke": (Acting(done=done), lambda chat, each: asyncio.run(agent(chat, each).ainvoke(HELLO))),
        "single input": (Tool("act", act, "Act."), lambda chat, each: agent(chat, each).invoke(HELLO)),
        "structured": (StructuredTool.from_function(act), lambda chat, each: agent(chat, each).invoke(HELLO)),
        "alone": (sync, alone),
        "alone, async": (coroutine, lambda chat, each: asyncio.run(aalone(chat, each))),
        "handled errors": (sync, in_graph),
        "retried": (
            sync,
            lambda chat, each: agent(
                chat, each, middleware=[ToolRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)]
            ).invoke(HELLO),
        ),
    }


WAYS = tuple(ways_to_run([]))


class TestFullDisk:
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("on_failure", ["closed", "open"])
    def test_stops_the_tool(self, disk: Path, done: list[str], way: str, on_failure: Any) -> None:
        """Where no intent can be written, no tool runs; where failures are open it does, and the loss is declared."""
        path = disk / "audit.jsonl"
        made, run = ways_to_run(done)[way]

        class Filling(ScriptedModel):
            def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
                if len(self.answers) == 2:
                    fill(disk)
                    try:
                        while otel_audit.get_audit_logger("test").emit("test.filler").recorded:
                            pass
                    except AuditWriteError:
                        pass
                return super()._generate(messages, *args, **kwargs)

        chat = model(calls(("act", {"note": "mail"})), "done", kind=Filling)
        provider = otel_audit.configure(path, durability="os", on_failure=on_failure)
        try:
            if on_failure == "open":
                run(chat, made)
            elif way == "handled errors":
                # A node may be told to turn every error into a message: the tool did not run.
                assert run(chat, made)["messages"][-1].status == "error"
            else:
                with pytest.raises(AuditWriteError):
                    run(chat, made)
            assert done == (["mail"] if on_failure == "open" else [])
            (disk / "filler").unlink()
            otel_audit.get_audit_logger("test").emit("test.after")
        finally:
            provider.shutdown()
        assert verify_log(path).intact
        dropped = [entry for entry in read_log(path) if entry.event_name == "audit.log.dropped"]
        assert dropped
        assert not [
            entry for entry in read_log(path) if entry.event_name == "gen_ai.tool.execute" and on_failure == "closed"
        ]

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
    def test_stops_run_and_model(self, way: str) -> None:
        """Neither a run nor a call of a model begins without its intent."""
        for kind in ("run", "model"):
            with capture_audit() as log:
                chat = model("fine", kind=StreamingModel)
                log.fail(OSError("full"))
                with pytest.raises(AuditWriteError):
                    run_in(way, *((agent(chat), HELLO) if kind == "run" else (chat, "hello")))()
                assert len(chat.answers) == 1
                assert log.entries == ()


class TestLostOutcome:
    @pytest.mark.parametrize("way", [way for way in WAYS if way != "handled errors"])
    def test_of_a_tool_leaves_its_result(self, log: CapturedAudit, done: list[str], way: str) -> None:
        """An outcome that is lost costs nothing but the entry: the tool's result goes on."""
        made, run = ways_to_run(done)[way]

        def failing(note: str) -> str:
            log.fail(OSError("full"))
            done.append(note)
            return "done"

        async def afailing(note: str) -> str:
            return failing(note)

        if isinstance(made, Acting):
            object.__setattr__(made, "_run", failing)
        elif getattr(made, "coroutine", None) is not None:
            made.coroutine = afailing
        else:
            made.func = failing
        run(model(calls(("act", {"note": "mail"})), "fine"), made)
        assert done == ["mail"]
        assert [line(entry)[2] for entry in of(log, "tool.execute")] == ["intent"]

    def test_of_a_tool_leaves_its_exception(self, log: CapturedAudit) -> None:
        """So does its exception."""
        error = LookupError("no")

        @tool
        def fail() -> str:
            """Fail."""
            log.fail(OSError("full"))
            raise error

        with pytest.raises(LookupError) as caught:
            fail.invoke({})
        assert caught.value is error

    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
    def test_of_a_model_leaves_its_answer(self, log: CapturedAudit, way: str) -> None:
        """So does the answer of a model, and what a run gives."""

        class Failing(ScriptedModel):
            def _generate(self, *args: Any, **kwargs: Any) -> Any:
                log.fail(OSError("full"), times=2)
                return super()._generate(*args, **kwargs)

        assert "fine" in str(run_in(way, agent(model("fine", kind=Failing)))())
        assert [entry[2] for entry in lines(log)] == ["intent", "intent"]


class TestSecret:
    @pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
    def test_reaches_neither_log_nor_spans(
        self, log: CapturedAudit, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture, way: str
    ) -> None:
        """A secret in prompt, arguments, result, answer, state or error is in none of our lines, spans and messages."""
        caplog.set_level(logging.DEBUG, "otel_audit")

        @tool
        def look(secret: str) -> str:
            """Look."""
            return f"found {secret}"

        @tool
        def refuse(secret: str) -> str:
            """Refuse."""
            raise ToolException(f"no {secret}")

        @tool
        def fail(secret: str) -> str:
            """Fail."""
            raise LookupError(f"no {secret}")

        refuse.handle_tool_error = True
        given = {"secret": SECRET}
        for kind in (ScriptedModel, StreamingModel):
            chat = model(calls(("look", given), ("refuse", given)), SECRET, calls(("fail", given)), kind=kind)
            prompt = {"messages": [("user", f"my key is {SECRET}")]}
            run_in(way, agent(chat, look, refuse, system_prompt=SECRET), prompt)()
            with pytest.raises(LookupError) as caught:
                run_in(way, agent(chat, fail), prompt)()
            assert SECRET in "".join(traceback.format_exception(caught.value))
            with pytest.raises(TimeoutError):
                run_in(way, model(TimeoutError(SECRET)), SECRET)()
        assert len(log.entries) > 20
        assert SECRET not in Path(log.path).read_text()
        assert SECRET not in "".join(span.to_json() for span in spans.get_finished_spans())
        assert spans.get_finished_spans()
        assert SECRET not in caplog.text
