"""crewai: tools of every kind, models, and what is decided."""

from __future__ import annotations

import asyncio
import errno
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from otel_audit import AuditInstrumentor, AuditWriteError, acting_as
from otel_audit.testing import CapturedAudit
from tests.frameworks.conformance.crewai import DRIVER
from tests.frameworks.conformance.driver import Script
from tests.frameworks.conformance.told import asking, audited, chain, note, of_kind, short
from tests.frameworks.crewai_parts import (
    BaseTool,
    CrewStructuredTool,
    MCPServerStdio,
    ScriptedModel,
    ToolFailure,
    crewai,
    register_before_tool_call_hook,
    tool,
    unregister_before_tool_call_hook,
)
from tests.frameworks.test_crewai import REACT, clerk, crew, disk_full, kickoff

pytestmark = [pytest.mark.filterwarnings(text) for text in DRIVER.warnings]


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit crewai in every test."""
    with audited(DRIVER):
        yield


class TextModel(ScriptedModel):
    """A model that cannot call functions: it writes what it wants."""

    def supports_function_calling(self) -> bool:
        return False


def writer(*turns: Any) -> Any:
    """Return an agent whose model writes its tool calls as text."""
    made = clerk(*turns)
    made.llm = TextModel(model="scripted-1", script=made.llm.script)
    return made


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


class TestText:
    @pytest.mark.parametrize("way", ["kickoff", "akickoff"])
    def test_call(self, log: CapturedAudit, way: str) -> None:
        """A tool call that a model writes as text is the same act."""
        made = writer(REACT, "Thought: done.\nFinal Answer: done")
        with acting_as("ann", type="user"):
            assert (made.kickoff("go") if way == "kickoff" else asyncio.run(made.akickoff("go"))).raw == "done"
        assert of(log) == ["tool intent note", "tool success note"]
        assert {tuple(chain(entry)) for entry in of_kind(log.entries, "tool")} == {("ann", "clerk")}

    def test_failing(self, log: CapturedAudit) -> None:
        """A failing tool is tried again by the framework, and each time has a pair that says so."""

        def fail(text: str) -> str:
            """Fail."""
            tries.append(text)
            raise ConnectionError("secret text")

        tries: list[str] = []
        made = clerk("Thought: done.\nFinal Answer: done", tools=(fail,))
        turns = REACT.replace("Action: note", "Action: fail"), "Thought: done.\nFinal Answer: done"
        made.llm = TextModel(model="scripted-1", script=Script(*turns))
        made.kickoff("go")
        assert len(tries) > 1
        assert of(log) == ["tool intent fail", "tool failure fail"] * len(tries)

    @pytest.mark.parametrize("way", ["kickoff", "akickoff"])
    def test_unrecorded(self, log: CapturedAudit, way: str) -> None:
        """Where its intent cannot be written, however often it is tried, the tool does not run and the run ends."""
        made = writer(disk_full(log, REACT, 9), "Thought: done.\nFinal Answer: done")
        with pytest.raises(AuditWriteError):
            made.kickoff("go") if way == "kickoff" else asyncio.run(made.akickoff("go"))
        assert "program.note" not in {entry.event_name for entry in log.entries}
        assert made.llm.script.asked == 1


class TestTools:
    def test_direct(self, log: CapturedAudit) -> None:
        """A tool that the program runs itself is the program's own act."""
        with acting_as("ann", type="user"):
            assert tool("note")(note).run(text="hello") == "noted hello"
        assert [(short(entry), chain(entry)) for entry in of_kind(log.entries, "tool")] == [
            ("tool intent note", ["ann"]),
            ("tool success note", ["ann"]),
        ]

    def test_own_class(self, log: CapturedAudit) -> None:
        """A tool's own class, made later, that calls its parent's ``run`` is one act, sync and async."""

        class Pay(BaseTool):  # type: ignore[misc]  # not installed where the types are checked
            name: str = "pay"
            description: str = "Pay."

            def run(self, *args: Any, **kwargs: Any) -> Any:
                return super().run(*args, **kwargs)

            def _run(self, amount: int) -> str:
                return f"paid {amount}"

            async def _arun(self, amount: int) -> str:
                return f"paid {amount}"

        assert Pay().run(amount=5) == asyncio.run(Pay().arun(amount=5)) == "paid 5"
        assert of(log) == ["tool intent pay", "tool success pay"] * 2

    def test_called_anew(self, log: CapturedAudit) -> None:
        """A tool whose function calls it by its other method is two acts."""

        def act(text: str) -> str:
            """Act."""
            return str(asyncio.run(made.ainvoke({"text": "inner"}))) if text == "outer" else text

        made = CrewStructuredTool.from_function(act, name="act", description="Act.")
        assert made.invoke({"text": "outer"}) == "inner"
        assert of(log) == ["tool intent act"] * 2 + ["tool success act"] * 2

    def test_called_anew_by_coroutine(self, log: CapturedAudit) -> None:
        """A coroutine that calls the tool that it is, by ``run`` in a thread, is two acts."""

        async def act(text: str) -> str:
            """Act."""
            return str(await asyncio.to_thread(lambda: made.run(text="inner"))) if text == "outer" else text

        made = tool("act")(act)
        assert asyncio.run(made.arun(text="outer")) == "inner"
        assert of(log) == ["tool intent act"] * 2 + ["tool success act"] * 2

    def test_called_anew_on_full_disk(self, log: CapturedAudit) -> None:
        """Where the intent of the second call cannot be written, that call is not made."""
        ran: list[str] = []

        def act(text: str) -> str:
            """Act."""
            if text == "outer":
                log.fail(OSError(errno.ENOSPC, "no space"), times=9)
                return str(asyncio.run(made.ainvoke({"text": "inner"})))
            ran.append(text)
            return text

        made = CrewStructuredTool.from_function(act, name="act", description="Act.")
        with pytest.raises(AuditWriteError):
            made.invoke({"text": "outer"})
        assert ran == []

    def test_method_put_on_class(self, log: CapturedAudit) -> None:
        """What is put on a tool's class after it was made is audited from the next run of an agent on, and put back."""

        class Pay(BaseTool):  # type: ignore[misc]
            name: str = "pay"
            description: str = "Pay."

            def _run(self, text: str) -> str:
                return text

        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            return self._run(*args, **kwargs)

        Pay.run = run
        clerk("done", tools=()).kickoff("go")
        assert Pay().run(text="a") == "a"
        assert of(log) == ["tool intent pay", "tool success pay"]
        AuditInstrumentor().uninstrument()
        assert Pay.run is run

    def test_call_id(self, log: CapturedAudit) -> None:
        """Calls at the same time are in threads, each with the model's id of its own, by the agent."""
        threads: set[int] = set()
        barrier = threading.Barrier(3, timeout=60)

        def wait(text: str) -> str:
            """Wait for the others."""
            barrier.wait()
            threads.add(threading.get_ident())
            return text

        calls = tuple(asking("wait", f"c{number}", text="x")[0] for number in range(3))
        with acting_as("ann", type="user"):
            clerk(calls, "done", tools=(wait,)).kickoff("go")
        assert len(threads) == 3
        entries = of_kind(log.entries, "tool")
        assert sorted(str(entry.attributes["gen_ai.tool.call.id"]) for entry in entries) == sorted(
            ["c0", "c1", "c2"] * 2
        )
        assert {tuple(chain(entry)) for entry in entries} == {("ann", "clerk")}

    def test_unrecorded_in_parallel(self, log: CapturedAudit) -> None:
        """One of several calls that cannot be recorded ends the run."""
        made = clerk(disk_full(log, (*asking(), *asking(call_id="c2")), 2), "done")
        with pytest.raises(AuditWriteError):
            made.kickoff("go")
        assert made.llm.script.asked == 1

    def test_tool_in_a_tool(self, log: CapturedAudit) -> None:
        """A tool that runs another one has its own pair around that one's, whose id is not its own."""
        inner = tool("inner")(note)

        def outer(text: str) -> str:
            """Have another tool do it."""
            return str(inner.run(text=text))

        clerk(asking("outer"), "done", tools=(outer,)).kickoff("go")
        assert of(log) == ["tool intent outer", "tool intent inner", "tool success inner", "tool success outer"]
        assert "gen_ai.tool.call.id" not in of_kind(log.entries, "tool", "inner")[0].attributes

    def test_declared_failure(self, log: CapturedAudit) -> None:
        """A tool that says itself that it failed, failed."""

        def fail(text: str) -> Any:
            """Fail."""
            return ToolFailure(message="secret text")

        clerk(asking("fail"), "done", tools=(fail,)).kickoff("go")
        assert of(log) == ["tool intent fail", "tool failure fail"]

    def test_mcp(self, log: CapturedAudit) -> None:
        """A tool of an MCP server has the agent's pair, and one of the client inside of it, both by the agent."""
        tool_text = "def note(text: str) -> str:\n return text"
        server = f"from mcp.server.fastmcp import FastMCP as M; m = M('s')\n@m.tool()\n{tool_text}\nm.run()"
        made = clerk("found", tools=(), mcps=[MCPServerStdio(command=sys.executable, args=["-c", server])])
        name = made.get_mcp_tools(made.mcps)[0].name
        made.llm.script = Script(asking(name), "done")
        AuditInstrumentor().uninstrument()
        AuditInstrumentor().instrument(frameworks=["crewai", "mcp"])
        with acting_as("ann", type="user"):
            made.kickoff("go")
        entries = of_kind(log.entries, "tool")
        assert [entry.attributes.get("span.kind") for entry in entries] == [None, "client", "client", None]
        assert {tuple(chain(entry)) for entry in entries} == {("ann", "clerk")}


class TestModels:
    def test_usage(self, log: CapturedAudit) -> None:
        """What is told of an answer to the event bus stands in the outcome, and nothing of what it says."""

        class Telling(ScriptedModel):
            def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
                from crewai.events.types.llm_events import LLMCallType

                self._emit_call_completed_event(
                    "secret text",
                    LLMCallType.LLM_CALL,
                    usage={"prompt_tokens": 3, "completion_tokens": 5},
                    finish_reason="stop",
                    response_id="r-1",
                )
                return super().call(messages)

        Telling(model="scripted-1", script=Script("secret text")).call("secret text")
        intent, told = log.entries
        assert intent.attributes["gen_ai.provider.name"] == "Telling"
        assert told.attributes["gen_ai.response.finish_reasons"] == ["stop"]
        assert told.attributes["gen_ai.usage.output_tokens"] == 5
        assert told.attributes["gen_ai.response.id"] == "r-1"
        assert "secret" not in str(told.attributes)

    def test_async(self, log: CapturedAudit) -> None:
        """A model that is awaited, and calls its own blocking method for it, is one call."""
        assert asyncio.run(ScriptedModel(model="scripted-1", script=Script("one")).acall("go")) == "one"
        assert of(log, "model") == ["model intent scripted-1", "model success scripted-1"]


class TestDecisions:
    def test_hook(self, log: CapturedAudit) -> None:
        """A hook that refuses a tool call is told as such, and the tool does not run."""

        def refuse(context: Any) -> bool:
            return False

        register_before_tool_call_hook(refuse)
        try:
            clerk(asking(), "done").kickoff("go")
            writer(REACT, "Thought: done.\nFinal Answer: done").kickoff("go")
        finally:
            unregister_before_tool_call_hook(refuse)
        assert decisions(log) == [("tool.approve", "note", "block", "hook")] * 2
        assert of(log) == []

    def test_guardrail(self, log: CapturedAudit) -> None:
        """Each check of a task's guardrail is a decision, before the answer is used."""
        seen: list[int] = []

        def short_enough(output: Any):  # type: ignore[no-untyped-def]  # it would be read
            seen.append(len(decisions(log)))
            return (len(output.raw) < 9, output.raw if len(output.raw) < 9 else "secret text")

        worker = clerk("much too long", "done", tools=())
        task = crewai.Task(description="Do.", expected_output="It.", agent=worker, guardrail=short_enough)
        assert kickoff(crewai.Crew(name="desk", agents=[worker], tasks=[task])) == "done"
        assert decisions(log) == [
            ("guardrail.check", "short_enough", "block", None),
            ("guardrail.check", "short_enough", "allow", None),
        ]
        assert seen == [0, 1]

    def test_guardrail_of_an_agent(self, log: CapturedAudit) -> None:
        """The guardrail of an agent without a crew is told, too; one that raises is an error."""

        def broken(output: Any) -> tuple[bool, Any]:
            raise ConnectionError("secret text")

        with pytest.raises(ConnectionError):
            clerk("done", tools=(), guardrail=broken).kickoff("go")
        assert decisions(log) == [("guardrail.check", "broken", "error", "ConnectionError")]

    def test_unrecorded_guardrail(self, log: CapturedAudit) -> None:
        """An answer whose check cannot be written is not used."""

        def fine(output: Any) -> tuple[bool, Any]:
            log.fail(OSError("disk full"))
            return (True, output.raw)

        with pytest.raises(AuditWriteError):
            clerk("done", tools=(), guardrail=fine).kickoff("go")

    def test_human_input(self, log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
        """A person's check of an answer is a decision by whoever runs the crew: feedback blocks, none lets it pass."""
        answers = iter(["secret text", ""])
        monkeypatch.setattr("builtins.input", lambda *_: next(answers))
        worker = clerk("draft", "better", tools=())
        with acting_as("ann", type="user"):
            assert kickoff(crew(worker, task={"human_input": True})) == "better"
        assert decisions(log) == [
            ("guardrail.check", "human_input", "block", None),
            ("guardrail.check", "human_input", "allow", None),
        ]
        checks = [entry for entry in log.entries if entry.event_name == "gen_ai.guardrail.check"]
        assert {tuple(chain(entry)) for entry in checks} == {("ann",)}
