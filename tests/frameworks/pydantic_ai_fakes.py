"""Models that say what they are told to, tools that can be seen, and ways to run agents."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, FunctionToolset, RunContext, Tool
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, StreamedResponse
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.toolsets import AbstractToolset, WrapperToolset
from pydantic_ai.usage import RequestUsage

from otel_audit import AuditInstrumentor
from otel_audit.entry import Entry
from otel_audit.testing import CapturedAudit

Call = tuple[str, dict[str, Any]]
Turn = str | Sequence[Call]
"""What the model says: a text, or the tools that it calls at once."""


def scripted(*turns: Turn) -> FunctionModel:
    """Return a model that takes its turns in order, in each run anew, and repeats the last one."""

    def turn(messages: Sequence[Any]) -> tuple[int, Turn]:
        taken = sum(isinstance(message, ModelResponse) for message in messages)
        return taken, turns[min(taken, len(turns) - 1)]

    def respond(messages: list[Any], _info: AgentInfo) -> ModelResponse:
        taken, said = turn(messages)
        if isinstance(said, str):
            return ModelResponse([TextPart(said)])
        return ModelResponse([ToolCallPart(name, args, f"call-{taken}-{i}") for i, (name, args) in enumerate(said)])

    async def stream(messages: list[Any], _info: AgentInfo) -> AsyncIterator[Any]:
        taken, said = turn(messages)
        if isinstance(said, str):
            for word in said.split(" "):
                yield word + " "
            return
        for i, (name, args) in enumerate(said):
            text = ", ".join(f'"{key}": "{value}"' for key, value in args.items())
            yield {i: DeltaToolCall(name, "{" + text + "}", tool_call_id=f"call-{taken}-{i}")}

    return FunctionModel(respond, stream_function=stream, model_name="scripted")


class CountingModel(Model):  # type: ignore[misc]  # the packages are not there where types are checked
    """A model whose answers have known counts, and which can fail."""

    def __init__(
        self, name: str = "counting", error: Exception | None = None, asked: Callable[[], object] = list
    ) -> None:
        super().__init__()
        self.name = name
        self.error = error
        self.asked = asked

    @property
    def model_name(self) -> str:
        """What is asked for; what answers is a dated version."""
        return self.name

    @property
    def system(self) -> str:
        """The provider."""
        return "fake"

    async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> ModelResponse:
        """Answer, or fail."""
        self.asked()
        if self.error is not None:
            raise self.error
        return answer(self.name)

    @asynccontextmanager
    async def request_stream(
        self, messages: Any, model_settings: Any, model_request_parameters: Any, run_context: Any = None
    ) -> AsyncIterator[StreamedResponse]:
        """Answer bit by bit, or fail after the first."""
        self.asked()
        yield CountingStream(model_request_parameters, self.name, self.error)


def answer(name: str) -> ModelResponse:
    """Return what a counting model answers."""
    return ModelResponse(
        [TextPart("yes")],
        usage=RequestUsage(input_tokens=7, output_tokens=3),
        model_name=f"{name}-2026",
        provider_response_id="answer-1",
        finish_reason="stop",
    )


class CountingStream(StreamedResponse):  # type: ignore[misc]
    """A counting model's answer under way."""

    def __init__(self, parameters: Any, name: str, error: Exception | None) -> None:
        super().__init__(parameters)
        self._name = name
        self._error = error

    async def _get_event_iterator(self) -> AsyncIterator[Any]:
        self._usage = RequestUsage(input_tokens=7, output_tokens=1)
        for event in self._parts_manager.handle_text_delta(vendor_part_id="text", content="yes, "):
            yield event
        if self._error is not None:
            raise self._error
        for event in self._parts_manager.handle_text_delta(vendor_part_id="text", content="indeed"):
            yield event
        self._usage = RequestUsage(input_tokens=7, output_tokens=3)
        self.finish_reason = "stop"
        self.provider_response_id = "answer-1"

    @property
    def model_name(self) -> str:
        """What answers."""
        return f"{self._name}-2026"

    @property
    def provider_name(self) -> str:
        """The provider."""
        return "fake"

    @property
    def provider_url(self) -> None:
        """There is none."""

    @property
    def timestamp(self) -> Any:
        """When it began."""
        return answer(self._name).timestamp

    async def close_stream(self) -> None:
        """There is nothing to close."""


class NotingToolset(AbstractToolset[Any]):  # type: ignore[misc]
    """A toolset by class, with one tool made by another."""

    def __init__(self, inner: FunctionToolset[Any]) -> None:
        self.inner = inner

    @property
    def id(self) -> str:
        """Its name."""
        return "noting"

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, Any]:
        """Return the other's tools."""
        return dict(await self.inner.get_tools(ctx))

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: Any) -> Any:
        """Call the other's tool."""
        return await self.inner.call_tool(name, tool_args, ctx, tool)


SERVER = """
import sys
from pathlib import Path
from mcp.server.mcpserver import MCPServer

server = MCPServer("notes")

@server.tool()
def note(text: str) -> str:
    Path(sys.argv[1]).write_text(text, encoding="utf-8")
    Path(sys.argv[2]).write_bytes(Path(sys.argv[3]).read_bytes())
    return "noted"

server.run("stdio")
"""

WAYS_TO_MAKE = ("decorated", "sync", "object", "toolset", "wrapped toolset", "toolset class", "mcp")


class Notes:
    """The side effect: a file, and beside it the log as it was when the tool ran."""

    def __init__(self, folder: Path, log_path: str) -> None:
        self.file = folder / "note"
        self.log_then = folder / "log-then"
        self.log_path = log_path

    def write(self, text: str) -> str:
        """Have a side effect."""
        self.file.write_text(text, encoding="utf-8")
        self.log_then.write_bytes(Path(self.log_path).read_bytes())
        return "noted"

    @property
    def written(self) -> bool:
        """Whether the tool ran."""
        return self.file.exists()

    def agent(self, how: str = "decorated", **options: Any) -> Agent[None, str]:
        """Return an agent whose tool ``note`` is made in one of `WAYS_TO_MAKE`."""

        async def note(text: str) -> str:
            """Note something."""
            await asyncio.sleep(0)
            return self.write(text)

        def note_at_once(text: str) -> str:
            """Note something."""
            return self.write(text)

        toolset = FunctionToolset([note])
        match how:
            case "object":
                options["tools"] = [Tool(note)]
            case "toolset":
                options["toolsets"] = [toolset]
            case "wrapped toolset":
                options["toolsets"] = [WrapperToolset(toolset.prefixed("my"))]
            case "toolset class":
                options["toolsets"] = [NotingToolset(toolset)]
            case "mcp":
                script = self.file.with_name("server.py")
                script.write_text(SERVER, encoding="utf-8")
                options["toolsets"] = [stdio_toolset(script, self.file, self.log_then, self.log_path)]
        called = "my_note" if how == "wrapped toolset" else "note"
        agent = Agent(scripted([(called, {"text": "hello"})], "done"), name="writer", **options)
        if how == "decorated":
            agent.tool_plain(note)
        elif how == "sync":
            agent.tool_plain(name="note")(note_at_once)
        return agent


def stdio_toolset(script: Path, *args: object) -> MCPToolset[Any]:
    """Return the tools of a server that runs as a program of its own."""
    transports = import_module("fastmcp.client.transports")
    return MCPToolset(transports.StdioTransport(sys.executable, [str(script), *map(str, args)], keep_alive=False))


async def _run(agent: Agent[Any, Any], **options: Any) -> Any:
    return (await agent.run("go", **options)).output


async def _run_stream(agent: Agent[Any, Any], **options: Any) -> Any:
    async with agent.run_stream("go", **options) as result:
        return await result.get_output()


async def _run_stream_events(agent: Agent[Any, Any], **options: Any) -> Any:
    async with agent.run_stream_events("go", **options) as events:
        async for event in events:
            last = event
    return last.result.output


async def _iter(agent: Agent[Any, Any], **options: Any) -> Any:
    async with agent.iter("go", **options) as run:
        async for _ in run:
            pass
    assert run.result is not None
    return run.result.output


async def _iter_streamed(agent: Agent[Any, Any], **options: Any) -> Any:
    async with agent.iter("go", **options) as run:
        async for node in run:
            if Agent.is_model_request_node(node) or Agent.is_call_tools_node(node):
                async with node.stream(run.ctx) as stream:
                    async for _ in stream:
                        pass
    assert run.result is not None
    return run.result.output


def _run_stream_sync(agent: Agent[Any, Any], **options: Any) -> Any:
    with contextlib.ExitStack() as stack:
        result: Any = agent.run_stream_sync("go", **options)
        if hasattr(result, "__enter__"):  # newer than the oldest version
            stack.enter_context(result)
        return result.get_output()


def _wait(coroutine: Any) -> Any:
    # As `run_sync` does: `asyncio.run` would take away the loop that it uses.
    return asyncio.get_event_loop().run_until_complete(coroutine)


WAYS_TO_RUN: dict[str, Callable[..., Any]] = {
    "run": lambda agent, **options: _wait(_run(agent, **options)),
    "run_sync": lambda agent, **options: agent.run_sync("go", **options).output,
    "run_stream": lambda agent, **options: _wait(_run_stream(agent, **options)),
    "run_stream_sync": _run_stream_sync,
    "run_stream_events": lambda agent, **options: _wait(_run_stream_events(agent, **options)),
    "iter": lambda agent, **options: _wait(_iter(agent, **options)),
    "iter, streamed": lambda agent, **options: _wait(_iter_streamed(agent, **options)),
}


@pytest.fixture(autouse=True)
def loop_of_its_own(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give a plain test an event loop, which is closed after it: `run_sync` would make one and leave it open."""
    if asyncio.iscoroutinefunction(request.function):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


MAKE_AND_RUN = [("decorated", way) for way in WAYS_TO_RUN] + [
    (how, way) for how in WAYS_TO_MAKE[1:] for way in ("run_sync", "run_stream")
]


@contextlib.contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Audit Pydantic AI meanwhile."""
    AuditInstrumentor().instrument(frameworks=["pydantic_ai"], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def told(log: CapturedAudit, event: str = "") -> list[tuple[Any, ...]]:
    """Return of each entry the end of the event's name, target, phase, and outcome or decision."""
    return [
        (
            entry.event_name.removeprefix("gen_ai."),
            entry.attributes.get("audit.target.id"),
            entry.attributes.get("audit.phase"),
            entry.attributes.get("audit.decision") or entry.attributes["audit.outcome"],
        )
        for entry in log.entries
        if event in entry.event_name
    ]


def tool_entries(log: CapturedAudit, phase: str) -> list[Entry]:
    """Return the entries of one phase of all tool calls."""
    return [
        entry
        for entry in log.entries
        if entry.event_name == "gen_ai.tool.execute" and entry.attributes["audit.phase"] == phase
    ]
