"""autogen: tools, workbenches, models and code of every kind."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from autogen_agentchat.agents import ApprovalResponse, CodeExecutorAgent
from autogen_agentchat.messages import TextMessage
from autogen_core import AgentId, CancellationToken, FunctionCall, SingleThreadedAgentRuntime
from autogen_core.code_executor import CodeExecutor, CodeResult
from autogen_core.tool_agent import ToolAgent
from autogen_core.tools import FunctionTool, StaticWorkbench, TextResultContent, ToolResult, Workbench
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import AuditWriteError, acting_as
from otel_audit.instrument.genai_spans import GenAISpanProcessor
from otel_audit.testing import CapturedAudit
from tests.frameworks.autogen_parts import ScriptedModel
from tests.frameworks.conformance.autogen import DRIVER
from tests.frameworks.conformance.driver import Script
from tests.frameworks.conformance.told import asking, audited, chain, ending, note, of_kind, pairs, short
from tests.frameworks.test_autogen import agent, disk_full, noted, run


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit autogen in every test."""
    with audited(DRIVER):
        yield


def of(log: CapturedAudit, kind: str = "tool") -> list[str]:
    """Return the entries of one kind of act, in short."""
    return [short(entry) for entry in of_kind(log.entries, kind)]


NOTE = FunctionTool(note, description="Note a text.")


class Remote(Workbench):  # type: ignore[misc]  # not installed where the types are checked
    """A workbench that calls what is no tool object."""

    component_type = "workbench"

    def __init__(self, fails: bool = False) -> None:
        self.called: list[str] = []
        self.fails = fails

    async def list_tools(self) -> list[Any]:
        return [{"name": "note", "description": "Note.", "parameters": {"type": "object", "properties": {}}}]

    async def call_tool(
        self, name: str, arguments: Any = None, cancellation_token: Any = None, call_id: str | None = None
    ) -> Any:
        self.called.append(name)
        return ToolResult(name=name, result=[TextResultContent(content="secret text")], is_error=self.fails)

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def reset(self) -> None: ...
    async def save_state(self) -> Any: ...
    async def load_state(self, state: Any) -> None: ...


class TestTools:
    def test_direct(self, log: CapturedAudit) -> None:
        """A tool that the program runs itself is the program's own act, and so is what it does in a thread."""
        with acting_as("ann", type="user"):
            asyncio.run(NOTE.run_json({"text": "hello"}, CancellationToken()))
        assert of(log) == ["tool intent note", "tool success note"]
        assert noted(log) == [["ann"]]

    def test_own_class(self, log: CapturedAudit) -> None:
        """A tool's own class, made later, that has its parent run it is one act."""

        class Own(FunctionTool):  # type: ignore[misc]  # not installed where the types are checked
            async def run_json(self, *args: Any, **kwargs: Any) -> Any:
                return await super().run_json(*args, **kwargs)

        asyncio.run(Own(note, description="Note a text.").run_json({"text": "hello"}, CancellationToken()))
        assert of(log) == ["tool intent note", "tool success note"]

    def test_workbench(self, log: CapturedAudit) -> None:
        """Where a tool cannot be recorded, the program's call of a workbench raises, and has no text of it."""
        log.fail(OSError("disk full"))
        with pytest.raises(AuditWriteError):
            asyncio.run(StaticWorkbench([NOTE]).call_tool("note", {"text": "hello"}))
        assert noted(log) == []

    def test_own_workbench(self, log: CapturedAudit) -> None:
        """A workbench of static tools that the program made is one act with its tool."""

        class Own(StaticWorkbench):  # type: ignore[misc]  # not installed where the types are checked
            async def call_tool(self, *args: Any, **kwargs: Any) -> Any:
                return await super().call_tool(*args, **kwargs)

        run(agent("clerk", asking(), "done", tools=(), workbench=Own([NOTE])))
        assert of(log) == ["tool intent note", "tool success note"]
        assert noted(log) == [["clerk"]]

    @pytest.mark.parametrize(
        ("name", "call_id", "passed"),
        [("note", None, None), ("note", "c1", None), ("note", "c1", "c2"), ("alias", "c1", "c1")],
    )
    def test_changing_workbench(self, log: CapturedAudit, name: str, call_id: str | None, passed: str | None) -> None:
        """A workbench that passes its tool another id or none, or runs it under another name, is one act with it."""

        class Own(StaticWorkbench):  # type: ignore[misc]  # not installed where the types are checked
            async def call_tool(self, _name: str, arguments: Any = None, token: Any = None, call_id: Any = None) -> Any:
                return await super().call_tool("note", arguments, token, passed)

        asyncio.run(Own([NOTE]).call_tool(name, {"text": "hello"}, None, call_id))
        assert of(log) == [f"tool intent {name}", f"tool success {name}"]
        assert len(noted(log)) == 1

    def test_workbench_twice(self, log: CapturedAudit) -> None:
        """A workbench that runs its tool a second time begins another act."""

        class Twice(StaticWorkbench):  # type: ignore[misc]  # not installed where the types are checked
            async def call_tool(self, *args: Any, **kwargs: Any) -> Any:
                await super().call_tool(*args, **kwargs)
                return await super().call_tool(*args, **kwargs)

        asyncio.run(Twice([NOTE]).call_tool("note", {"text": "hello"}, call_id="c1"))
        assert (len(noted(log)), of(log).count("tool intent note")) == (2, 2)

    def test_tool_twice(self, log: CapturedAudit) -> None:
        """A tool's own class that has its parent run it a second time begins another act."""

        class Twice(FunctionTool):  # type: ignore[misc]  # not installed where the types are checked
            async def run_json(self, *args: Any, **kwargs: Any) -> Any:
                await super().run_json(*args, **kwargs)
                return await super().run_json(*args, **kwargs)

        asyncio.run(Twice(note, description="Note a text.").run_json({"text": "hello"}, CancellationToken()))
        assert (len(noted(log)), of(log).count("tool intent note")) == (2, 2)

    @pytest.mark.parametrize("way", ["workbench", "own workbench", "agent"])
    @pytest.mark.parametrize("full", [False, True])
    def test_nested_namesake(self, log: CapturedAudit, way: str, full: bool) -> None:
        """A tool that is run inside of another one is an act, also with that one's name and id, or does not run."""

        class Own(StaticWorkbench):  # type: ignore[misc]  # not installed where the types are checked
            async def call_tool(self, *args: Any, **kwargs: Any) -> Any:
                return await super().call_tool(*args, **kwargs)

        async def outer(text: str) -> str:
            if full:
                log.fail(OSError("disk full"), times=9)
            if way == "agent":
                await agent("inner", asking(), "done").run(task="go")
            else:
                await StaticWorkbench([NOTE]).call_tool("note", {"text": text}, call_id="c1")
            return "done"

        kind = StaticWorkbench if way == "workbench" else Own
        tools = kind([FunctionTool(outer, description="Note.", name="note")])
        how = ending(lambda: asyncio.run(tools.call_tool("note", {"text": "hello"}, call_id="c1")))
        assert how.startswith("raised AuditWriteError" if full else "returned"), how
        assert len(noted(log)) == (0 if full else 1)
        assert of(log).count("tool intent note") == (1 if full else 2)

    @pytest.mark.parametrize(("fails", "outcome"), [(False, "success"), (True, "failure")])
    def test_remote(self, log: CapturedAudit, fails: bool, outcome: str) -> None:
        """A tool of a server is called by its workbench: that is the act, and its result tells how it ended."""
        with acting_as("ann", type="user"):
            run(agent("clerk", asking(), "done", tools=(), workbench=Remote(fails)))
        assert of(log) == ["tool intent note", f"tool {outcome} note"]
        entry = of_kind(log.entries, "tool")[0]
        assert (chain(entry), entry.attributes["gen_ai.tool.call.id"]) == (["ann", "clerk"], "c1")

    def test_unrecorded_remote(self, log: CapturedAudit) -> None:
        """Where that cannot be recorded, the server is not asked, and the run ends."""
        remote = Remote()
        with pytest.raises(AuditWriteError):
            run(agent("clerk", disk_full(log, asking()), "done", tools=(), workbench=remote))
        assert remote.called == []

    def test_core(self, log: CapturedAudit) -> None:
        """A tool that an agent of the core runs is audited without agentchat."""

        async def main() -> None:
            runtime = SingleThreadedAgentRuntime()
            await ToolAgent.register(runtime, "tools", lambda: ToolAgent("Tools.", [NOTE]))
            runtime.start()
            call = FunctionCall(id="c7", name="note", arguments='{"text": "hello"}')
            await runtime.send_message(call, AgentId("tools", "default"))
            await runtime.stop_when_idle()

        asyncio.run(main())
        assert of(log) == ["tool intent note", "tool success note"]
        assert log.entries[0].attributes["gen_ai.tool.call.id"] == "c7"


class TestModels:
    def test_stream_that_asks(self, log: CapturedAudit) -> None:
        """A model that streams what it asked for at once is asked once; a second try is another call."""
        model = ScriptedModel(Script("all is done", "again"))

        async def main() -> None:
            assert [item async for item in model.create_stream([])][:3] == ["all", "is", "done"]
            await model.create([])

        asyncio.run(main())
        assert of(log, "model") == ["model intent scripted-1", "model success scripted-1"] * 2
        assert log.entries[0].attributes["gen_ai.provider.name"] == "ScriptedModel"

    def test_parent_that_asks(self, log: CapturedAudit) -> None:
        """A class that has its parent ask is one call, also where it was made later."""

        class Own(ScriptedModel):
            async def create(self, messages: Any, **kwargs: Any) -> Any:
                return await super().create(messages, **kwargs)

        asyncio.run(Own(Script("one")).create([]))
        assert of(log, "model") == ["model intent scripted-1", "model success scripted-1"]

    def test_closed_early(self, log: CapturedAudit) -> None:
        """An answer that is not read to its end is neither a success nor a failure."""

        async def main() -> None:
            answer: AsyncIterator[Any] = ScriptedModel(Script("all is done")).create_stream([])
            await anext(answer)
            await answer.aclose()  # type: ignore[attr-defined]

        asyncio.run(main())
        assert of(log, "model") == ["model intent scripted-1", "model unknown scripted-1"]


class Executor(CodeExecutor):  # type: ignore[misc]  # not installed where the types are checked
    """Runs nothing."""

    component_type = "code_executor"

    def __init__(self, exit_code: int = 0) -> None:
        self.exit_code = exit_code
        self.ran = 0

    async def execute_code_blocks(self, code_blocks: Any, cancellation_token: Any) -> Any:
        self.ran += 1
        return CodeResult(exit_code=self.exit_code, output="secret text")

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def restart(self) -> None: ...


def coder(executor: Any, approves: bool | None = None) -> Any:
    """Return an agent that runs the code in the messages that it is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nobody approves
        approve = (
            None if approves is None else lambda _: ApprovalResponse(approved=bool(approves), reason="secret text")
        )
        return CodeExecutorAgent("coder", executor, approval_func=approve)


CODE = TextMessage(content="```python\nprint(1)\n```", source="user")


class TestCode:
    @pytest.mark.parametrize(("exit_code", "outcome"), [(0, "success"), (1, "failure")])
    def test_run(self, log: CapturedAudit, exit_code: int, outcome: str) -> None:
        """Code that an agent runs is a tool call of that agent."""
        asyncio.run(coder(Executor(exit_code)).run(task=CODE))
        assert of(log) == ["tool intent execute_code_blocks", f"tool {outcome} execute_code_blocks"]
        assert chain(of_kind(log.entries, "tool")[0])[-1] == "coder"

    @pytest.mark.parametrize(("approves", "decision"), [(True, "allow"), (False, "block")])
    def test_approval(self, log: CapturedAudit, approves: bool, decision: str) -> None:
        """What is approved is on disk before it runs; what is not, does not run."""
        executor = Executor()
        asyncio.run(coder(executor, approves).run(task=CODE))
        (told,) = [entry for entry in log.entries if "audit.decision" in entry.attributes]
        assert (told.event_name, told.attributes["audit.decision"]) == ("gen_ai.tool.approve", decision)
        assert executor.ran == approves
        assert bool(of(log)) is approves

    def test_unrecorded(self, log: CapturedAudit) -> None:
        """Code that cannot be recorded does not run."""
        executor = Executor()

        async def main() -> None:
            made = coder(executor, True)
            original = made._approval_func

            def approve(request: Any) -> Any:
                log.fail(OSError("disk full"))
                return original(request)

            made._approval_func = approve
            await made.run(task=CODE)

        with pytest.raises(AuditWriteError):
            asyncio.run(main())
        assert executor.ran == 0


def test_own_spans(log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the framework's own spans are recorded too, each act has one pair, of one trace."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    run(agent("clerk", asking(), "done"))
    provider.shutdown()
    assert {span.name for span in exporter.get_finished_spans()} >= {"invoke_agent clerk", "execute_tool note"}
    intents = [
        short(intent) for intent, _ in pairs(entry for entry in log.entries if "audit.phase" in entry.attributes)
    ]
    assert sorted(intents) == [
        "agent intent clerk",
        "model intent scripted-1",
        "model intent scripted-1",
        "tool intent note",
    ]
    assert len({entry.trace_id for entry in log.entries}) == 1
