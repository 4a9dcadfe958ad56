"""Google ADK: what is recorded of agents, tools, models, transfers and decisions."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents import LoopAgent, ParallelAgent, SequentialAgent
from google.adk.agents.base_agent import BaseAgent
from google.adk.code_executors.unsafe_local_code_executor import UnsafeLocalCodeExecutor
from google.adk.models.llm_response import LlmResponse
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.tools import FunctionTool, LongRunningFunctionTool, ToolContext
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.mcp_tool import McpToolset
from google.adk.tools.mcp_tool.mcp_session_manager import StdioConnectionParams
from google.genai import types
from mcp import StdioServerParameters

from otel_audit import AuditInstrumentor, acting_as
from otel_audit.errors import AuditWriteError
from otel_audit.pipeline.context import current_actors
from otel_audit.testing import CapturedAudit
from tests.frameworks.google_adk_parts import CANARY, Chat, ScriptedModel, agent, call_of, instrumented, text_of
from tests.frameworks.recorded import delegation, first, lines, of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # the framework's own
FULL = OSError(errno.ENOSPC, "no space")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = call_of("add", a=1, b=2)


def to(name: str, call_id: str = "call-0") -> Any:
    """Return what a model answers to transfer to an agent."""
    return call_of("transfer_to_agent", call_id, agent_name=name)


SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("notes")


@server.tool()
def note(text: str) -> str:
    return f"noted {text}"


server.run("stdio")
"""
OWN_SPANS = """
import asyncio, json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
import otel_audit
otel_audit.configure(sys.argv[1])
otel_audit.AuditInstrumentor().instrument(frameworks=["google_adk"])
from tests.frameworks.google_adk_parts import Chat, agent, call_of

def add(a: int, b: int) -> int:
    return a + b

asyncio.run(Chat(agent("clerk", [call_of("add", a=1, b=2), "3"], [add])).ask())
spans = {f"{span.context.span_id:016x}": span for span in exporter.get_finished_spans()}
entries = [entry for entry in otel_audit.read_log(sys.argv[1]) if entry.event_name.startswith("gen_ai")]
print(json.dumps({
    "traces": len({entry.trace_id for entry in entries} | {f"{s.context.trace_id:032x}" for s in spans.values()}),
    "scopes": sorted({span.instrumentation_scope.name for span in spans.values()}),
    "spans": [(entry.event_name, spans[entry.span_id].name) for entry in entries],
}))
"""


@pytest.fixture(autouse=True)
def auditing() -> Iterator[None]:
    """Audit Google ADK in every test here."""
    with instrumented():
        yield


class TestAttributes:
    async def test_what_is_told(self, log: CapturedAudit) -> None:
        """Agent, tool and model say their names and ids, and the model its tokens."""
        await Chat(agent("clerk", [ADD, "3"], [add])).ask()
        assert of(log, "agent intent clerk").attributes["gen_ai.conversation.id"] == "one"
        tool = of(log, "tool intent add").attributes
        assert (tool["gen_ai.tool.call.id"], tool["gen_ai.agent.name"]) == ("call-1", "clerk")
        model = log.entries[2].attributes
        assert (model["gen_ai.usage.input_tokens"], model["gen_ai.usage.output_tokens"]) == (7, 3)
        assert model["gen_ai.response.finish_reasons"] == ["STOP"]
        assert model["gen_ai.response.model"] == "scripted-1-2026"
        assert model["gen_ai.provider.name"] == "ScriptedModel"

    async def test_no_content(self, log: CapturedAudit) -> None:
        """Nothing of messages, arguments and transfers' reasons is in the log."""
        back = agent("back", [call_of("add", a=CANARY, b=CANARY), CANARY], [add])
        hand = call_of("transfer_to_agent", agent_name="back", transfer_reason=CANARY)
        await Chat(agent("front", [hand], sub_agents=[back])).ask(CANARY)
        assert "agent success back" in lines(log)
        assert CANARY not in open(log.path, encoding="utf-8").read()  # noqa: ASYNC230, SIM115


class TestTransfer:
    async def test_chain(self, log: CapturedAudit) -> None:
        """A transfer is a handoff; who is handed the work acts on behalf of who handed it over, whose run has ended."""
        back = agent("back", [ADD, "3"], [add])
        with acting_as("maya", type="user"):
            await Chat(agent("front", [to("back")], sub_agents=[back])).ask()
        assert lines(log, "agent", "handoff", "tool") == [
            "agent intent front",
            "handoff intent back",
            "handoff success back",
            "agent success front",
            "agent intent back",
            "tool intent add",
            "tool success add",
            "agent success back",
        ]
        assert of(log, "handoff intent back").attributes["gen_ai.tool.call.id"] == "call-0"
        assert delegation(of(log, "handoff intent back")) == ["maya", "front"]
        assert delegation(of(log, "agent intent back")) == ["maya", "front"]
        assert delegation(of(log, "tool intent add")) == ["maya", "front", "back"]

    async def test_there_and_back(self, log: CapturedAudit) -> None:
        """Where the work goes back, the chain is cut back."""
        back = agent("back", [to("front", "call-2")])
        with acting_as("maya", type="user"):
            await Chat(agent("front", [to("back"), ADD, "3"], [add], sub_agents=[back])).ask()
        assert delegation(of(log, "handoff intent front")) == ["maya", "front", "back"]
        assert delegation(of(log, "tool intent add")) == ["maya", "front"]

    async def test_nobody(self, log: CapturedAudit) -> None:
        """A transfer to an agent that does not exist has no target, and fails."""
        with pytest.raises(ValueError, match="nobody"):
            await Chat(agent("front", [to("nobody")], sub_agents=[agent("back", [])])).ask()
        assert lines(log, "handoff") == ["handoff intent None", "handoff failure None"]

    async def test_own_tool(self, log: CapturedAudit) -> None:
        """What a tool of the program's transfers is a handoff after the tool's own pair."""

        def escalate(tool_context: ToolContext) -> str:
            """Escalate."""
            tool_context.actions.transfer_to_agent = "back"
            return "escalated"

        await Chat(agent("front", [call_of("escalate")], [escalate], sub_agents=[agent("back", ["done"])])).ask()
        assert lines(log, "tool", "handoff") == [
            "tool intent escalate",
            "tool success escalate",
            "handoff intent back",
            "handoff success back",
        ]
        assert delegation(of(log, "agent intent back"))[-1] == "front"

    async def test_next_turn(self, log: CapturedAudit) -> None:
        """In its next turn, an agent that was handed the work acts for the caller only."""
        chat = Chat(agent("front", [to("back")], sub_agents=[agent("back", ["one", ADD, "two"], [add])]))
        with acting_as("maya", type="user"):
            await chat.ask()
            await chat.ask()
        assert delegation(of(log, "tool intent add")) == ["maya", "back"]


class TestOtherAgents:
    async def test_agent_tool(self, log: CapturedAudit) -> None:
        """An agent that is called as a tool is a tool call, and a run by the agent that calls."""
        inner = agent("inner", [ADD, "3"], [add])
        await Chat(agent("outer", [call_of("inner", "call-7", request="add"), "done"], [AgentTool(inner)])).ask()
        assert of(log, "tool intent inner").attributes["gen_ai.tool.call.id"] == "call-7"
        assert delegation(of(log, "agent intent inner"))[-1:] == ["outer"]
        assert delegation(of(log, "tool intent add"))[-2:] == ["outer", "inner"]
        assert len(lines(log, "agent")) == 4

    async def test_single_turn(self, log: CapturedAudit) -> None:
        """A sub-agent of a single turn is a tool of its parent's, with the same chain."""
        inner = agent("inner", [ADD, "3"], [add], mode="single_turn")
        await Chat(agent("outer", [call_of("inner", request="add"), "done"], sub_agents=[inner])).ask()
        assert delegation(of(log, "tool intent add"))[-2:] == ["outer", "inner"]

    async def test_task(self, log: CapturedAudit) -> None:
        """A sub-agent that is given a task acts on behalf of the agent that gave it, whose tool call it is."""
        inner = agent("inner", [ADD, call_of("finish_task", "call-3", result="3")], [add], mode="task")
        await Chat(agent("outer", [call_of("inner", request="add"), "done"], sub_agents=[inner])).ask()
        assert of(log, "tool success inner").attributes["gen_ai.tool.call.id"] == "call-1"
        assert delegation(of(log, "tool intent inner"))[-1] == "outer"
        assert delegation(of(log, "agent intent inner"))[-1] == "outer"
        assert delegation(of(log, "tool intent add"))[-2:] == ["outer", "inner"]
        assert "agent success inner" in lines(log)
        assert lines(log, "agent").count("agent success outer") == 2

    @pytest.mark.parametrize("kind", [SequentialAgent, ParallelAgent, LoopAgent])
    async def test_workflow(self, log: CapturedAudit, kind: Any) -> None:
        """Agents of a workflow agent act on its behalf, side by side too."""
        steps = [agent(name, [call_of("add", name, a=1, b=2), "3"], [add]) for name in ("one", "two")]
        options = {"max_iterations": 1} if kind is LoopAgent else {}
        await Chat(kind(name="flow", sub_agents=steps, **options)).ask()
        for entry in log.entries:
            if entry.event_name == "gen_ai.tool.execute":
                assert delegation(entry)[-2:] == ["flow", entry.attributes["gen_ai.tool.call.id"]]
        assert len(lines(log, "tool")) == 4
        assert lines(log, "agent")[-1] == "agent success flow"

    async def test_own_class(self, log: CapturedAudit) -> None:
        """An agent of the program's own class is audited, once where it has its parent's method run."""

        class Own(BaseAgent):  # type: ignore[misc]
            async def run_async(self, parent_context: Any) -> Any:
                async for event in super().run_async(parent_context):
                    yield event

            async def _run_async_impl(self, ctx: Any) -> Any:
                for inner in self.sub_agents:
                    async for event in inner.run_async(ctx):
                        yield event

        await Chat(Own(name="own", sub_agents=[agent("inner", ["done"])])).ask()
        assert lines(log, "agent") == [
            "agent intent own",
            "agent intent inner",
            "agent success inner",
            "agent success own",
        ]


class TestReading:
    async def test_break_at_the_answer(self, log: CapturedAudit) -> None:
        """A turn that is left at its final answer is a success, as nothing is left to come."""
        chat = Chat(agent("clerk", [ADD, "3"], [add]))
        await chat.begin()
        async with aclosing(chat.events()) as events:
            async for event in events:
                if event.is_final_response():
                    break
        assert lines(log)[-1] == "agent success clerk"

    async def test_reader(self, log: CapturedAudit) -> None:
        """Who reads the events does not become the agent."""
        chat = Chat(agent("clerk", [ADD, "3"], [add]))
        await chat.begin()
        async for _event in chat.events():
            assert current_actors() == ()

    def test_own_spans(self, tmp_path: Path) -> None:
        """The entries are of the spans that the framework opens itself, all of one trace."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", OWN_SPANS, str(tmp_path / "audit.jsonl")],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout.splitlines()[-1])
        assert told["traces"] == 1
        assert "otel_audit" not in told["scopes"]
        spans = dict(told["spans"])
        assert spans["gen_ai.tool.execute"] == "execute_tool add"
        assert all(name != "" for name in spans.values())


class TestTools:
    async def test_own_class(self, log: CapturedAudit) -> None:
        """A tool whose class has its parent's method run is one act."""

        class Twice(FunctionTool):  # type: ignore[misc]
            async def run_async(self, *, args: Any, tool_context: Any) -> Any:
                return await super().run_async(args=args, tool_context=tool_context)

        await Chat(agent("clerk", [ADD, "3"], [Twice(add)])).ask()
        assert lines(log, "tool") == ["tool intent add", "tool success add"]

    async def test_long_running(self, log: CapturedAudit) -> None:
        """A tool that has no result yet is unknown."""

        def later() -> None:
            """Begin what takes long."""

        await Chat(agent("clerk", [call_of("later"), "waiting"], [LongRunningFunctionTool(later)])).ask()
        assert "tool unknown later" in lines(log)

    async def test_of_an_mcp_server(self, log: CapturedAudit, tmp_path: Path) -> None:
        """A tool of an MCP server is a tool call of the agent, beside the client's request where that is audited."""
        script = tmp_path / "server.py"
        script.write_text(SERVER, encoding="utf-8")
        server = StdioServerParameters(command=sys.executable, args=[str(script)])
        tools = McpToolset(connection_params=StdioConnectionParams(server_params=server, timeout=60))
        AuditInstrumentor().uninstrument()
        AuditInstrumentor().instrument(frameworks=["google_adk", "mcp"])
        await Chat(agent("clerk", [call_of("note", text="x"), "done"], [tools])).ask()
        await tools.close()
        kinds = [
            (e.attributes.get("span.kind"), e.attributes["audit.phase"]) for e in log.entries if "tool" in e.event_name
        ]
        assert kinds == [(None, "intent"), ("client", "intent"), ("client", "outcome"), (None, "outcome")]

    async def test_error_that_is_told(self, log: CapturedAudit) -> None:
        """A result that the tool itself takes for an error is a failure of that kind."""

        class Remote(BaseTool):  # type: ignore[misc]
            async def run_async(self, *, args: Any, tool_context: Any) -> Any:
                return {"isError": True}

            def _get_declaration(self) -> Any:
                return types.FunctionDeclaration(name=self.name, description=self.description)

            def _detect_error_in_response(self, response: Any) -> str | None:
                return "remote_error" if response.get("isError") else None

        await Chat(agent("clerk", [call_of("far"), "sorry"], [Remote(name="far", description="Far.")])).ask()
        assert of(log, "tool failure far").attributes["error.type"] == "remote_error"

    async def test_handled_error(self, log: CapturedAudit) -> None:
        """A tool's error that a callback answers is a failure all the same."""

        def fail() -> None:
            """Fail."""
            raise KeyError(CANARY)

        made = agent(
            "clerk", [call_of("fail"), "sorry"], [fail], on_tool_error_callback=lambda **_kwargs: {"error": "handled"}
        )
        assert text_of(await Chat(made).ask()) == "sorry"
        assert of(log, "tool failure fail").attributes["error.type"] == "KeyError"

    async def test_code(self, log: CapturedAudit) -> None:
        """Code of a model's that is executed is a tool call of the executor's."""
        said = "```python\nprint(1)\n```"
        await Chat(agent("clerk", [said, "done"], code_executor=UnsafeLocalCodeExecutor())).ask()
        entry = of(log, "tool intent UnsafeLocalCodeExecutor")
        assert delegation(entry)[-1] == "clerk"
        assert "tool success UnsafeLocalCodeExecutor" in lines(log)


class TestRefused:
    async def test_single_turn(self, log: CapturedAudit) -> None:
        """Where the framework makes a text of a sub-agent's error, ours is raised all the same, and no tool runs."""
        ran: list[int] = []

        def act() -> None:
            """Do it."""
            ran.append(1)

        inner = agent("inner", [first(lambda: log.fail(FULL, times=2), call_of("act"))], [act], mode="single_turn")
        outer = agent("outer", [call_of("inner", request="act"), "told"], sub_agents=[inner])
        with pytest.raises(AuditWriteError):
            await Chat(outer).ask()
        assert ran == []
        assert outer.model.script == ["told"]

    @pytest.mark.parametrize("where", ["front", "inner"])
    async def test_transfer_of_a_tool(self, log: CapturedAudit, where: str) -> None:
        """A tool's transfer that cannot be written ends the turn, also inside an agent whose error becomes a text."""

        def hand(tool_context: ToolContext) -> str:
            """Ask for back."""
            tool_context.actions.transfer_to_agent = "back"
            log.fail(FULL, times=2)  # its own outcome, and the handoff's intent
            return "handed"

        back = agent("back", ["done"])
        if where == "front":
            front = agent("front", [call_of("hand"), "never"], [hand], sub_agents=[back])
        else:
            inner = agent("inner", [call_of("hand")], [hand], mode="single_turn")
            front = agent("front", [call_of("inner", request="x"), "never"], sub_agents=[inner, back])
        with pytest.raises(AuditWriteError):
            await Chat(front).ask()
        assert (front.model.script, back.model.script) == (["never"], ["done"])

    async def test_transfer(self, log: CapturedAudit) -> None:
        """A transfer that cannot be written does not happen."""
        back = agent("back", ["never"])
        with pytest.raises(AuditWriteError):
            await Chat(agent("front", [first(lambda: log.fail(FULL, times=99), to("back"))], sub_agents=[back])).ask()
        assert back.model.script == ["never"]


class TestDecisions:
    @pytest.mark.parametrize("confirmed", [True, False])
    async def test_confirmation(self, log: CapturedAudit, confirmed: bool) -> None:
        """A person's answer to a confirmation is recorded, by that person, before the tool runs or does not."""
        ran: list[int] = []

        def act() -> str:
            """Do it."""
            ran.append(1)
            return "acted"

        chat = Chat(agent("clerk", [call_of("act"), "done", "done"], [FunctionTool(act, require_confirmation=True)]))
        with acting_as("maya", type="user"):
            events = await chat.ask()
        (asked,) = [
            call for event in events for call in event.get_function_calls() if call.name == "adk_request_confirmation"
        ]
        assert lines(log, "tool", "approval") == []
        answer = types.FunctionResponse(id=asked.id, name=asked.name, response={"confirmed": confirmed})
        with acting_as("bert", type="user"):
            await chat.ask(types.Content(role="user", parts=[types.Part(function_response=answer)]))
        entry = of(log, f"approval {'allow' if confirmed else 'block'} act")
        assert delegation(entry) == ["bert"]
        assert entry.attributes["gen_ai.tool.call.id"] == "call-1"
        assert lines(log, "tool") == (["tool intent act", "tool success act"] if confirmed else [])
        assert bool(ran) is confirmed

    async def test_callbacks(self, log: CapturedAudit) -> None:
        """A callback that answers in place of a tool or a model blocks it; one that does not has no entry."""

        def no_tool(tool: Any, args: Any, tool_context: Any) -> Any:
            return {"error": "not allowed"} if args.get("a") == 1 else None

        async def no_model(callback_context: Any, llm_request: Any) -> Any:
            if len(llm_request.contents) < 3:
                return None
            return LlmResponse(content=types.Content(role="model", parts=[types.Part(text="enough")]))

        made = agent("clerk", [ADD], [add], before_tool_callback=no_tool, before_model_callback=no_model)
        assert text_of(await Chat(made).ask()) == "enough"
        assert lines(log, "guardrail", "tool") == ["guardrail block no_tool", "guardrail block no_model"]
        assert lines(log, "model") == ["model intent scripted-1", "model success scripted-1"]
        assert delegation(of(log, "guardrail block no_tool"))[-1] == "clerk"

    async def test_callbacks_afterwards(self, log: CapturedAudit) -> None:
        """A callback that changes a result or an answer has kept nothing from happening."""

        def other_result(tool: Any, args: Any, tool_context: Any, tool_response: Any) -> Any:
            return {"result": 4}

        def same_answer(callback_context: Any, llm_response: Any) -> Any:
            return llm_response

        made = agent("clerk", [ADD, "4"], [add], after_tool_callback=other_result, after_model_callback=same_answer)
        assert text_of(await Chat(made).ask()) == "4"
        assert lines(log, "guardrail") == []

    async def test_agent_callback(self, log: CapturedAudit) -> None:
        """A callback that answers in an agent's place blocks it; one that comes after it is none."""
        content = types.Content(role="model", parts=[types.Part(text="closed")])

        def closed(callback_context: Any) -> Any:
            return content

        def after(callback_context: Any) -> Any:
            return content

        await Chat(agent("clerk", [], before_agent_callback=closed)).ask()
        await Chat(agent("other", ["done"], after_agent_callback=after)).ask()
        assert lines(log, "guardrail") == ["guardrail block closed"]

    async def test_plugin(self, log: CapturedAudit) -> None:
        """A plugin that answers in place of a tool blocks it, under its name."""

        class Policy(BasePlugin):  # type: ignore[misc]
            async def before_tool_callback(self, *, tool: Any, tool_args: Any, tool_context: Any) -> Any:
                return {"error": "not allowed"}

        await Chat(agent("clerk", [ADD, "sorry"], [add]), [Policy("policy")]).ask()
        assert lines(log, "guardrail", "tool") == ["guardrail block policy"]

    async def test_unwritten(self, log: CapturedAudit) -> None:
        """An answer whose decision cannot be written is not used."""

        def no_tool(tool: Any, args: Any, tool_context: Any) -> Any:
            log.fail(FULL, times=99)
            return {"error": "not allowed"}

        made = agent("clerk", [ADD, "told"], [add], before_tool_callback=no_tool)
        with pytest.raises(AuditWriteError):
            await Chat(made).ask()
        assert made.model.script == ["told"]


class TestModels:
    async def test_parent(self, log: CapturedAudit) -> None:
        """A model that has its parent class ask is one call; closed early, it is unknown."""

        class Child(ScriptedModel):
            async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
                async for answer in super().generate_content_async(llm_request, stream):
                    yield answer

        await Chat(agent("clerk", ["done"], model=Child)).ask()
        assert lines(log, "model") == ["model intent scripted-1", "model success scripted-1"]
        log.clear()
        answers = Child(script=["done"]).generate_content_async(None, stream=True)
        assert (await anext(answers)).partial
        await answers.aclose()
        assert lines(log) == ["model intent scripted-1", "model unknown scripted-1"]

    async def test_error_code(self, log: CapturedAudit) -> None:
        """An answer that is an error is a failure."""

        class Broken(ScriptedModel):
            async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
                yield LlmResponse(error_code="BLOCKED", error_message=CANARY)

        await Chat(agent("clerk", [], model=Broken)).ask()
        assert of(log, "model failure scripted-1").attributes["error.type"] == "BLOCKED"

    async def test_side_by_side(self, log: CapturedAudit) -> None:
        """Turns at the same time keep their agents apart."""

        async def run(name: str) -> None:
            with acting_as(f"user of {name}"):
                await Chat(agent(name, [call_of("add", name, a=1, b=2), "3"], [add])).ask()

        await asyncio.gather(run("one"), run("two"))
        for entry in log.entries:
            if entry.event_name == "gen_ai.tool.execute":
                name = entry.attributes["gen_ai.tool.call.id"]
                assert delegation(entry) == [f"user of {name}", name]
