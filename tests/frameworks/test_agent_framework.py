"""Microsoft's Agent Framework: real agents, and a client of ours that says what it is told to."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_framework import (
    Agent,
    AgentResponse,
    AgentResponseUpdate,
    BaseAgent,
    BaseEmbeddingClient,
    ChatResponse,
    Content,
    Embedding,
    FunctionTool,
    GeneratedEmbeddings,
    MCPStdioTool,
    Message,
    ResponseStream,
    WorkflowBuilder,
    agent_middleware,
    function_middleware,
    tool,
)
from agent_framework.exceptions import UserInputRequiredException
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_audit
from otel_audit import AuditInstrumentor, acting_as, read_log, verify_log
from otel_audit.errors import AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.disk import fill
from tests.frameworks.agent_framework_parts import WAYS, Client, agent, instrumented, run, scripted, stream, told

SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("notes")

@server.tool()
def note(text: str) -> str:
    return "noted"

server.run("stdio")
"""

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_agent_framework.py"


@pytest.fixture(autouse=True)
def audited() -> Iterator[None]:
    """Every test runs with the framework audited, by default settings."""
    with instrumented():
        yield


def call(name: str, call_id: str = "call-1", **arguments: object) -> tuple[str, str, dict[str, Any]]:
    """Return a tool call of a model."""
    return name, call_id, arguments


def note(text: str) -> str:
    """Note something."""
    return f"noted {text}"


STEPS = [
    ("agent.invoke", "writer", "intent", "unknown"),
    ("model.call", "scripted-1", "intent", "unknown"),
    ("model.call", "scripted-1", "outcome", "success"),
    ("tool.execute", "note", "intent", "unknown"),
    ("tool.execute", "note", "outcome", "success"),
    ("model.call", "scripted-1", "intent", "unknown"),
    ("model.call", "scripted-1", "outcome", "success"),
    ("agent.invoke", "writer", "outcome", "success"),
]


def writer(*, function: Callable[..., Any] = note, **options: Any) -> Agent:
    """Return an agent that calls its tool once."""
    return agent("writer", [call("note", text="x")], "all|done", tools=[function], **options)


class TestRun:
    @pytest.mark.parametrize("way", WAYS)
    async def test_order_of_lines(self, log: CapturedAudit, way: str) -> None:
        """However an agent is run, its run, model calls and tool call stand in the log in their order."""
        assert await WAYS[way](writer()) == "alldone"
        assert told(log) == STEPS

    @pytest.mark.parametrize("way", WAYS)
    async def test_delegation(self, log: CapturedAudit, way: str) -> None:
        """An agent that is another's tool acts on behalf of it."""
        front = agent("front", [call("writer", task="y")], tools=[writer().as_tool()])
        with acting_as("maya", type="user"):
            await WAYS[way](front)
        assert {(e.event_name, str(e.attributes.get("audit.delegation"))) for e in log.entries} == {
            ("gen_ai.agent.invoke", "None"),
            ("gen_ai.agent.invoke", "['maya', 'front']"),
            ("gen_ai.tool.execute", "['maya', 'front']"),
            ("gen_ai.tool.execute", "['maya', 'front', 'writer']"),
            ("gen_ai.model.call", "['maya', 'front']"),
            ("gen_ai.model.call", "['maya', 'front', 'writer']"),
        }

    @pytest.mark.parametrize("way", WAYS)
    async def test_block_is_the_programs(self, log: CapturedAudit, way: str) -> None:
        """What the program does after a run, or between two updates of a stream, is not by the agent."""
        audit = log.provider.get_audit_logger("program")
        with acting_as("maya", type="user"):
            if way == "stream":
                async for _ in writer().run("go", stream=True):
                    audit.emit("program.look")
            else:
                await WAYS[way](writer())
            audit.emit("program.look")
        own = [entry for entry in log.entries if entry.event_name == "program.look"]
        assert len(own) > (3 if way == "stream" else 0)
        assert {entry.attributes["audit.actor.id"] for entry in own} == {"maya"}

    @pytest.mark.parametrize("way", WAYS)
    async def test_one_trace(self, log: CapturedAudit, spans: InMemorySpanExporter, way: str) -> None:
        """A run is one trace, with the framework's own spans in it, and model calls have the ids of theirs."""
        await WAYS[way](writer())
        finished = spans.get_finished_spans()
        assert {f"{span.context.trace_id:032x}" for span in finished} == {entry.trace_id for entry in log.entries}
        assert len({span.context.trace_id for span in finished}) == 1
        of_ours = [span.name for span in finished if "otel_audit" in str(span.instrumentation_scope)]
        assert of_ours == ["gen_ai.agent.invoke writer"]

    async def test_within_a_span(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """Within a span of the program the entries are of its trace."""
        with trace.get_tracer_provider().get_tracer("program").start_as_current_span("program") as span:
            await run(writer())
        assert {entry.trace_id for entry in log.entries} == {f"{span.get_span_context().trace_id:032x}"}

    @pytest.mark.usefixtures("spans")
    @pytest.mark.parametrize("way", WAYS)
    async def test_with_the_span_bridge(self, log: CapturedAudit, way: str) -> None:
        """With the spans that the framework opens recorded as well, each act is recorded once."""
        AuditInstrumentor().uninstrument()
        with instrumented(genai_spans=True):
            await WAYS[way](writer())
        assert told(log) == STEPS

    async def test_attributes(self, log: CapturedAudit) -> None:
        """Entries have the conventions' attributes, and none of what was asked or answered."""
        made = writer()
        session = made.create_session()
        await made.run("go", session=session)
        entries = {(e.event_name, str(e.attributes["audit.phase"])): e.attributes for e in log.entries}
        names = [
            {key: value for key, value in entries[event, phase].items() if key.startswith("gen_ai.")}
            for event, phase in (
                ("gen_ai.agent.invoke", "intent"),
                ("gen_ai.tool.execute", "intent"),
                ("gen_ai.model.call", "outcome"),
            )
        ]
        assert names == [
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": "writer",
                "gen_ai.agent.id": made.id,
                "gen_ai.conversation.id": session.session_id,
            },
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "note",
                "gen_ai.tool.call.id": "call-1",
                "gen_ai.tool.type": "function",
                "gen_ai.agent.name": "writer",
            },
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "fake",
                "gen_ai.request.model": "scripted-1",
                "gen_ai.agent.name": "writer",
                "gen_ai.response.model": "scripted-1-2026",
                "gen_ai.response.id": "answer-1",
                "gen_ai.response.finish_reasons": ["stop"],
                "gen_ai.usage.input_tokens": 7,
                "gen_ai.usage.output_tokens": 3,
            },
        ]

    @pytest.mark.parametrize("way", WAYS)
    async def test_failing_model(self, log: CapturedAudit, way: str) -> None:
        """A model's exception comes through as it is, and is the outcome of call and run."""
        error = ValueError("secret")
        with pytest.raises(ValueError, match="secret") as raised:
            await WAYS[way](agent("writer", error))
        assert raised.value is error
        assert told(log)[-2:] == [
            ("model.call", "scripted-1", "outcome", "failure"),
            ("agent.invoke", "writer", "outcome", "failure"),
        ]
        assert "secret" not in str(log.entries)

    async def test_run_anew_by_middleware(self, log: CapturedAudit) -> None:
        """Middleware that runs its agent again begins another run; one that only goes on does not."""
        again = True

        @agent_middleware
        async def twice(context: Any, call_next: Any) -> None:
            nonlocal again
            if again:
                again = False
                await context.agent.run("first")
            await call_next()

        await run(agent("writer", "one", "two", middleware=[twice]))
        assert [what[:3] for what in told(log, "agent")] == [
            ("agent.invoke", "writer", "intent"),
            ("agent.invoke", "writer", "intent"),
            ("agent.invoke", "writer", "outcome"),
            ("agent.invoke", "writer", "outcome"),
        ]


class TestStreams:
    async def test_closed_early(self, log: CapturedAudit, spans: InMemorySpanExporter) -> None:
        """A stream that its reader closes has the outcome unknown, of the model call too; all spans end."""
        response = agent("writer", "one|two|three").run("go", stream=True)
        async for _ in response:
            break
        await response.close()
        assert told(log)[2:] == [
            ("model.call", "scripted-1", "outcome", "unknown"),
            ("agent.invoke", "writer", "outcome", "unknown"),
        ]
        assert "gen_ai.agent.invoke writer" in [span.name for span in spans.get_finished_spans()]

    async def test_dropped(self, log: CapturedAudit) -> None:
        """A stream that is begun and forgotten gets its outcome when it is collected."""
        response = agent("writer", "one|two|three").run("go", stream=True)
        await anext(response)
        del response
        gc.collect()
        for _ in range(9):
            await asyncio.sleep(0)
        assert told(log, "agent")[-1] == ("agent.invoke", "writer", "outcome", "unknown")

    async def test_never_read(self, log: CapturedAudit) -> None:
        """A stream that nobody reads was never begun."""
        response = writer().run("go", stream=True)
        assert isinstance(response, ResponseStream)
        del response
        gc.collect()
        assert told(log) == []

    async def test_read_in_another_task(self, log: CapturedAudit) -> None:
        """A stream is by who asked for it, whoever reads it."""
        with acting_as("maya", type="user"):
            response = writer().run("go", stream=True)

        async def read() -> None:
            with acting_as("reader"):
                await response.get_final_response()

        await asyncio.create_task(read())
        assert told(log) == STEPS
        assert {str(e.attributes.get("audit.delegation")) for e in log.entries} == {"None", "['maya', 'writer']"}
        assert log.entries[0].attributes["audit.actor.id"] == "maya"

    async def test_hooks_of_the_program(self, log: CapturedAudit) -> None:
        """What the program hangs on a stream is called as ever."""
        seen: list[str] = []
        response = agent("writer", "one|two").run("go", stream=True)
        response.with_transform_hook(lambda update: seen.append(update.text))
        response.with_cleanup_hook(lambda: seen.append("over"))
        response.with_result_hook(lambda result: seen.append(type(result).__name__))
        assert (await response.get_final_response()).text == "onetwo"
        assert seen == ["one", "two", "", "over", "AgentResponse"]

    @pytest.mark.parametrize("way", WAYS)
    async def test_cancelled(self, log: CapturedAudit, way: str) -> None:
        """A run that is cancelled inside its tool ends both with an outcome, and the program gets the cancellation."""
        running = asyncio.Event()

        async def note(text: str) -> str:
            running.set()
            await asyncio.Event().wait()
            return text

        task = asyncio.create_task(WAYS[way](writer(function=note)))
        await running.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ends = [(what, outcome) for what, _, phase, outcome in told(log) if phase == "outcome"]
        assert ends[-2:] == [("tool.execute", "failure"), ("agent.invoke", "failure")] or ends[-2:] == [
            ("tool.execute", "unknown"),
            ("agent.invoke", "unknown"),
        ]


class TestTools:
    async def test_intent_first(self, log: CapturedAudit) -> None:
        """A tool that reads the log finds its own intent there."""
        found: list[str] = []

        def note(text: str) -> str:
            found.extend(entry.event_name for entry in read_log(log.path))
            return text

        await run(writer(function=note))
        assert found[-1] == "gen_ai.tool.execute"

    async def test_failing(self, log: CapturedAudit) -> None:
        """A tool that fails is a failure, though the model is told of it and the run goes on."""

        def note(text: str) -> str:
            raise KeyError("secret")

        assert await run(writer(function=note)) == "alldone"
        entry = [e for e in log.entries if e.event_name == "gen_ai.tool.execute"][-1]
        assert entry.attributes["audit.outcome"] == "failure"
        assert entry.attributes["error.type"] == "KeyError"
        assert "audit.reason" not in entry.attributes
        assert "secret" not in str(log.entries)

    async def test_wrong_arguments(self, log: CapturedAudit) -> None:
        """A tool whose arguments the framework refuses did not run, and the outcome says so."""
        await run(agent("writer", [call("note", number=1)], tools=[note]))
        assert [
            (e.attributes["audit.outcome"], e.attributes["audit.reason"])
            for e in log.entries
            if e.event_name == "gen_ai.tool.execute" and e.attributes["audit.phase"] == "outcome"
        ] == [("failure", "the tool did not run")]

    async def test_in_parallel(self, log: CapturedAudit) -> None:
        """Calls of one answer run side by side, each between its own entries."""
        inside = asyncio.Barrier(2)

        async def note(text: str) -> str:
            async with inside:
                return text

        await run(agent("writer", [call("note", "call-1", text="a"), call("note", "call-2", text="b")], tools=[note]))
        entries = [e for e in log.entries if e.event_name == "gen_ai.tool.execute"]
        assert [e.attributes["audit.phase"] for e in entries] == ["intent", "intent", "outcome", "outcome"]
        assert sorted(str(e.attributes["gen_ai.tool.call.id"]) for e in entries) == [f"call-{n}" for n in (1, 1, 2, 2)]

    async def test_middleware_that_answers(self, log: CapturedAudit) -> None:
        """A tool in whose place middleware answers did not run, and has no entries."""

        @function_middleware
        async def answer(context: Any, call_next: Any) -> None:
            context.result = "cached"

        assert await run(writer(middleware=[answer])) == "alldone"
        assert told(log, "tool") == []

    async def test_that_asks(self, log: CapturedAudit) -> None:
        """A tool that asks for something first has the outcome unknown, and its run too."""

        def note(text: str) -> str:
            raise UserInputRequiredException(
                contents=[Content.from_oauth_consent_request("https://example.com/consent")]
            )

        response = await writer(function=note).run("go")
        assert response.user_input_requests
        assert told(log)[4] == ("tool.execute", "note", "outcome", "unknown")
        assert told(log)[-1] == ("agent.invoke", "writer", "outcome", "unknown")

    async def test_without_an_agent(self, log: CapturedAudit) -> None:
        """A tool that the program invokes itself is audited, and its result is the framework's."""
        result = await tool(note).invoke(arguments={"text": "x"})
        assert [content.text for content in result] == ["noted x"]
        assert await tool(note).invoke(text="x", skip_parsing=True) == "noted x"
        assert told(log) == [STEPS[3], STEPS[4]] * 2

    async def test_class_of_the_program(self, log: CapturedAudit) -> None:
        """A tool of a class that overrides `invoke` has one pair, also of a class that is made later."""

        class Noisy(FunctionTool):  # type: ignore[misc]
            async def invoke(self, **options: Any) -> Any:
                return await super().invoke(**options)

        await run(agent("writer", [call("note", text="x")], tools=[Noisy(name="note", func=note)]))
        assert told(log, "tool") == [STEPS[3], STEPS[4]]

    async def test_class_that_runs_its_parents_twice(self, log: CapturedAudit) -> None:
        """A tool of a class that has its parent's run a second time has an intent each time."""

        class Again(FunctionTool):  # type: ignore[misc]
            async def invoke(self, **options: Any) -> Any:
                await super().invoke(**options)
                return await super().invoke(**options)

        await run(agent("writer", [call("note", text="x")], tools=[Again(name="note", func=note)]))
        assert told(log, "tool") == [STEPS[3], STEPS[3], STEPS[4], STEPS[4]]

    @pytest.mark.parametrize("way", ["run", "stream"])
    async def test_captured(self, log: CapturedAudit, way: str) -> None:
        """Arguments that are named and results that are asked for are recorded."""
        AuditInstrumentor().uninstrument()
        with instrumented(capture=["text"], capture_result=True):
            await WAYS[way](writer())
            await tool(note).invoke(text="y")
        AuditInstrumentor().instrument(frameworks=["agent_framework"])
        entries = [e.attributes for e in log.entries if e.event_name == "gen_ai.tool.execute"]
        assert [e.get("audit.arguments", e.get("audit.result")) for e in entries] == [
            {"text": "x"},
            "noted x",
            {"text": "y"},
            "noted y",
        ]

    async def test_not_run_where_disk_is_full(self, disk: Path) -> None:
        """A tool whose intent cannot be written does not run."""
        ran: list[str] = []
        provider = otel_audit.configure(disk / "audit.jsonl")
        filler = fill(disk)

        def note(text: str) -> None:
            ran.append(text)

        async def until_full() -> None:
            for _ in range(99):
                await tool(note).invoke(arguments={"text": "x"})

        with pytest.raises(AuditWriteError):
            await until_full()
        before = len(ran)
        with pytest.raises(AuditWriteError):
            await until_full()
        assert len(ran) == before
        filler.unlink()
        provider.shutdown()
        assert verify_log(disk / "audit.jsonl").intact

    async def test_of_an_mcp_server(self, log: CapturedAudit, tmp_path: Path) -> None:
        """A tool of an MCP server is a tool call of the agent, beside the client's request where that is audited."""
        AuditInstrumentor().uninstrument()
        script = tmp_path / "server.py"
        script.write_text(SERVER, encoding="utf-8")
        server = MCPStdioTool("notes", sys.executable, args=[str(script)])
        AuditInstrumentor().instrument(frameworks=["agent_framework", "mcp"])
        async with server:
            await run(agent("writer", [call("note", text="x")], tools=[server]))
        kinds = [
            (e.attributes.get("span.kind"), e.attributes["audit.phase"]) for e in log.entries if "tool" in e.event_name
        ]
        assert kinds == [(None, "intent"), ("client", "intent"), ("client", "outcome"), (None, "outcome")]


class TestApproval:
    @pytest.mark.parametrize(("approved", "decision"), [(True, "allow"), (False, "block")])
    @pytest.mark.parametrize("way", ["run", "stream"])
    async def test_decision(self, log: CapturedAudit, way: str, approved: bool, decision: str) -> None:
        """What a person answers is recorded, by that person, before it takes effect; once."""
        ran: list[str] = []

        @tool(approval_mode="always_require")
        def note(text: str) -> None:
            ran.append(text)

        made = agent("writer", [call("note", text="x")], tools=[note])
        session = made.create_session()
        response = await made.run("go", session=session)
        assert told(log)[-1] == ("agent.invoke", "writer", "outcome", "unknown")
        (request,) = response.user_input_requests
        log.clear()
        with acting_as("maya", type="user"):
            answer = Message("user", [request.to_function_approval_response(approved)])
            await WAYS[way](made, answer, session=session)
            await WAYS[way](made, "once more", session=session)
        (entry,) = [e for e in log.entries if e.event_name == "gen_ai.tool.approve"]
        assert entry.attributes["audit.decision"] == decision
        assert entry.attributes["audit.actor.id"] == "maya"
        assert entry.attributes["audit.target.id"] == "note"
        assert entry.attributes["gen_ai.tool.call.id"] == "call-1"
        assert ran == (["x"] if approved else [])
        steps = [what[0] for what in told(log)]
        if approved:
            assert steps.index("tool.approve") < steps.index("tool.execute")


class TestModels:
    async def test_without_an_agent(self, log: CapturedAudit) -> None:
        """A model that the program asks itself is audited, and one that is asked for another model has its name."""
        response = await scripted("yes").get_response([Message("user", ["go"])], options={"model": "other-2"})
        assert isinstance(response, ChatResponse)
        assert told(log) == [
            ("model.call", "other-2", "intent", "unknown"),
            ("model.call", "other-2", "outcome", "success"),
        ]

    async def test_class_that_asks_its_parent(self, log: CapturedAudit) -> None:
        """A client whose class has its parent's ask is one call, whole or as a stream."""

        class Polite(Client):
            def _inner_get_response(self, *, stream: bool, **options: Any) -> Any:
                return super()._inner_get_response(stream=stream, **options)

        for way in ("run", "stream"):
            await WAYS[way](Agent(Polite(lambda: "yes"), name="writer"))
        assert told(log, "model") == [STEPS[1], STEPS[2]] * 2

    async def test_hosted_tools(self, log: CapturedAudit) -> None:
        """What the provider ran has one entry, by the agent."""

        class Hosting(Client):
            def _contents(self, **_: Any) -> list[Content]:
                return [
                    Content.from_code_interpreter_tool_call(call_id="ci-1"),
                    Content.from_mcp_server_tool_call("mcp-1", "lookup", server_name="far"),
                    Content.from_text("done"),
                ]

        for way in ("run", "stream"):
            log.clear()
            await WAYS[way](Agent(Hosting(lambda: ""), name="writer"))
            tools = [e.attributes for e in log.entries if e.event_name == "gen_ai.tool.execute"]
            assert [(t["audit.target.id"], t["gen_ai.tool.call.id"], t["audit.phase"]) for t in tools] == [
                ("code_interpreter", "ci-1", "outcome"),
                ("lookup", "mcp-1", "outcome"),
            ]
            assert {t["audit.actor.id"] for t in tools} == {"writer"}

    async def test_embeddings(self, log: CapturedAudit) -> None:
        """A client of embeddings is a model too."""

        class Embeddings(BaseEmbeddingClient):  # type: ignore[misc]
            model = "embedding-1"

            async def get_embeddings(self, values: Any, *, options: Any = None) -> GeneratedEmbeddings:
                return GeneratedEmbeddings([Embedding([0.5]) for _ in values], usage={"input_token_count": 4})

        await Embeddings().get_embeddings(["secret"])
        assert told(log)[-1] == ("model.call", "embedding-1", "outcome", "success")
        assert log.entries[-1].attributes["gen_ai.operation.name"] == "embeddings"
        assert log.entries[-1].attributes["gen_ai.usage.input_tokens"] == 4


class TestAgents:
    async def test_class_of_the_program(self, log: CapturedAudit) -> None:
        """An agent of a class of the program's own is audited, whole and as a stream."""

        class Echo(BaseAgent):  # type: ignore[misc]
            def run(self, messages: Any = None, *, stream: bool = False, **options: Any) -> Any:
                return ResponseStream(self._bits(), finalizer=AgentResponse.from_updates) if stream else self._whole()

            async def _whole(self) -> AgentResponse:
                return AgentResponse(messages=[Message("assistant", ["echo"])])

            async def _bits(self) -> Any:
                yield AgentResponseUpdate(contents=[Content.from_text("echo")], role="assistant")

        for way in WAYS:
            log.clear()
            assert await WAYS[way](Echo(name="echo")) == "echo"
            assert told(log) == [
                ("agent.invoke", "echo", "intent", "unknown"),
                ("agent.invoke", "echo", "outcome", "success"),
            ]

    async def test_class_that_overrides_run(self, log: CapturedAudit) -> None:
        """An agent whose class overrides `run` and has its parent do it is run once."""

        class Mine(Agent):  # type: ignore[misc]
            async def run(self, *args: Any, **options: Any) -> Any:
                return await super().run(*args, **options)

        await run(Mine(scripted([call("note", text="x")]), name="writer", tools=[note]))
        assert told(log) == STEPS

    async def test_workflow(self, log: CapturedAudit) -> None:
        """The agents of a workflow act for whoever runs it; a workflow as an agent is one more."""
        first, second = agent("first", "one"), agent("second", "two")
        workflow = WorkflowBuilder(start_executor=first).add_edge(first, second).build()
        with acting_as("maya", type="user"):
            await workflow.run("go")
            plain = told(log, "agent")
            log.clear()
            await run(workflow.as_agent(name="both"))
        assert [(what[1], what[2]) for what in plain] == [
            ("first", "intent"),
            ("first", "outcome"),
            ("second", "intent"),
            ("second", "outcome"),
        ]
        assert [
            (e.attributes["audit.target.id"], e.attributes.get("audit.delegation"))
            for e in log.entries
            if e.event_name == "gen_ai.agent.invoke" and e.attributes["audit.phase"] == "intent"
        ] == [("both", None), ("first", ["maya", "both"]), ("second", ["maya", "both"])]

    async def test_uninstrumented_meanwhile(self, log: CapturedAudit) -> None:
        """Agents and tools from before are audited, and after uninstrumenting no more."""
        AuditInstrumentor().uninstrument()
        made = writer()
        AuditInstrumentor().instrument(frameworks=["agent_framework"])
        held, bound = made.run, made.default_options["tools"][0].invoke
        await run(made)
        assert told(log) == STEPS
        log.clear()
        AuditInstrumentor().uninstrument()
        await held("go")
        await bound(arguments={"text": "x"})
        await stream(made)
        assert told(log) == []
        AuditInstrumentor().instrument(frameworks=["agent_framework"])


def test_example(tmp_path: Path) -> None:
    """The example runs offline and prints who did what."""
    AuditInstrumentor().uninstrument()
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
    assert printed[0] == "done"
    assert any(
        line.endswith("maya@example.com > front_desk > clerk: intent gen_ai.tool.execute refund") for line in printed
    )
    assert verify_log(path).findings == ()
