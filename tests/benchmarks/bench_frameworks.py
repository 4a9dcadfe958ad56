"""What auditing costs a tool call in each framework, as ratios to the same call without it, in one process and in turn.

The tool does nothing and the model is a script: the worst case. A real model takes a second or more.

Run with ``python -m tests.benchmarks.bench_frameworks`` where the frameworks are installed;
tests/benchmarks/README.md says what the lines mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

from agents import Agent as OpenAIAgent
from agents import Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from llama_index.core.tools import FunctionTool
from mcp import Client
from mcp.server.mcpserver import MCPServer
from openai.types.responses import ResponseFunctionToolCall
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.messages import ModelResponse as PydanticResponse
from pydantic_ai.messages import TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel

from otel_audit import AuditInstrumentor, AuditProvider, read_log, set_audit_provider
from tests.benchmarks import measure
from tests.benchmarks.measure import Figure, Side
from tests.benchmarks.workload import open_log
from tests.frameworks.llama_index_parts import agent as llama_index_agent
from tests.frameworks.llama_index_parts import call_of

Call = Callable[[], Awaitable[object]]


def nothing() -> str:
    """Be a tool that does nothing."""
    return ""


class Case(NamedTuple):
    """One operation of one framework, with one tool call in it.

    Attributes:
        framework: Its name, as in `FRAMEWORKS`.
        what: What is done.
        opened: Makes what is called, and what it needs, within a running event loop.
    """

    framework: str
    what: str
    opened: Callable[[], AbstractAsyncContextManager[Call]]


@asynccontextmanager
async def mcp_call() -> AsyncIterator[Call]:
    """Yield a call from a client to a server of the same process."""
    server = MCPServer("bench")
    server.add_tool(nothing)
    async with Client(server) as client:
        yield lambda: client.call_tool("nothing", {})


class ScriptedModel(Model):  # type: ignore[misc]  # untyped where types are checked
    """Calls the tool."""

    async def get_response(self, *_args: Any, **_kwargs: Any) -> ModelResponse:
        """Answer."""
        call = ResponseFunctionToolCall(call_id="1", name="nothing", arguments="{}", type="function_call")
        return ModelResponse(output=[call], usage=Usage(), response_id=None)

    def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
        """Be asked for nothing."""
        raise NotImplementedError


@asynccontextmanager
async def openai_agents_run() -> AsyncIterator[Call]:
    """Yield a run of an agent that ends with its tool's answer."""
    agent = OpenAIAgent(
        "bench", tools=[function_tool(nothing)], model=ScriptedModel(), tool_use_behavior="stop_on_first_tool"
    )
    config = RunConfig(tracing_disabled=True)
    yield lambda: Runner.run(agent, "", run_config=config)


@asynccontextmanager
async def langchain_tool() -> AsyncIterator[Call]:
    """Yield a tool's call, outside of an agent."""
    made = tool(nothing)
    yield lambda: made.ainvoke({})


class ScriptedChat(FakeMessagesListChatModel):  # type: ignore[misc]  # untyped where types are checked
    """Calls the tool and is done, in turn."""

    def bind_tools(self, *_args: Any, **_kwargs: Any) -> ScriptedChat:
        """Know of the tools already."""
        return self


@asynccontextmanager
async def langchain_run() -> AsyncIterator[Call]:
    """Yield a run of an agent that asks the model, calls a tool, and asks again."""
    call = AIMessage("", tool_calls=[{"name": "nothing", "args": {}, "id": "1"}])
    model = ScriptedChat(responses=[call, AIMessage("done")])
    agent = create_agent(model, [tool(nothing)], name="bench")
    yield lambda: agent.ainvoke({"messages": [("user", "")]})


@asynccontextmanager
async def llama_index_tool() -> AsyncIterator[Call]:
    """Yield a tool's call, outside of an agent."""
    made = FunctionTool.from_defaults(nothing)
    yield made.acall


@asynccontextmanager
async def llama_index_run() -> AsyncIterator[Call]:
    """Yield a run of an agent that asks the model, calls a tool, and asks again."""
    made = llama_index_agent("bench", [], [FunctionTool.from_defaults(nothing)])

    async def run() -> object:
        made.llm.script[:] = [[call_of("nothing")], "done"]
        return await made.run("")

    yield run


@asynccontextmanager
async def pydantic_ai_run() -> AsyncIterator[Call]:
    """Yield a run of an agent that asks the model, calls a tool, and asks again."""

    def answer(messages: list[Any], _info: object) -> PydanticResponse:
        return PydanticResponse([TextPart("done") if len(messages) > 1 else ToolCallPart("nothing", {}, "1")])

    agent = PydanticAgent(FunctionModel(answer), tools=[nothing], name="bench")
    yield lambda: agent.run("")


CASES = (
    Case("mcp", "client's call and server's answer, in one process", mcp_call),
    Case("openai_agents", "run with one tool call", openai_agents_run),
    Case("langchain", "tool alone", langchain_tool),
    Case("langchain", "run with one tool call", langchain_run),
    Case("llama_index", "tool alone", llama_index_tool),
    Case("llama_index", "run with one tool call", llama_index_run),
    Case("pydantic_ai", "run with one tool call", pydantic_ai_run),
)


async def timed(case: Case, count: int) -> int:
    """Do an operation ``count`` times after a first one; return nanoseconds per operation."""
    async with case.opened() as call:
        await call()
        began = perf_counter_ns()
        for _ in range(count):
            await call()
        return (perf_counter_ns() - began) // count


def audited(case: Case, count: int, provider: AuditProvider) -> int:
    """Do the same with the framework instrumented."""
    set_audit_provider(provider)
    AuditInstrumentor().instrument(frameworks=[case.framework])
    try:
        return asyncio.run(timed(case, count))
    finally:
        AuditInstrumentor().uninstrument()
        set_audit_provider(None)


def bench_case(case: Case, folder: Path, rounds: int, count: int) -> tuple[list[Figure], str]:
    """Compare one operation without auditing, with ``os`` and with ``always``; return figures and a table row."""
    path = folder / "os.jsonl"
    with open_log(path, "os") as cached, open_log(folder / "always.jsonl", "always") as durable:
        audited(case, 1, cached)
        entries = sum(1 for entry in read_log(path) if "audit.phase" in entry.attributes) // 2
        sides: list[Side] = [
            lambda: asyncio.run(timed(case, count)),
            lambda: audited(case, count, cached),
            lambda: audited(case, count, durable),
        ]
        bare, in_cache, on_disk = measure.in_turn(rounds, *sides)
    name = f"{case.framework}: {case.what}"
    medians = [measure.median_micros(figures) for figures in (bare, in_cache, on_disk)]
    print(f"\n{name}; {entries} entries; {rounds} rounds of {count}")
    print(f"medians: {medians[0]:.0f} µs; audited (os) {medians[1]:.0f} µs; audited (always) {medians[2]:.0f} µs")
    figures = [
        measure.ratio(f"{name} (os)", in_cache, bare),
        measure.ratio(f"{name} (always)", on_disk, bare),
    ]
    ratios = [measure.quartiles(figure.values)[1] for figure in figures]
    more = [(median - medians[0]) / entries for median in medians[1:]]
    row = f"| `{case.framework}` | {case.what} | {entries} | {medians[0]:.0f} µs | {ratios[0]:.2f} | {ratios[1]:.2f} |"
    return figures, f"{row} {more[0]:.0f} µs | {more[1]:.0f} µs |"


def bench(folder: Path, quick: bool) -> list[Figure]:
    """Run all, and print the table of docs/frameworks.md."""
    rounds, count = (3, 5) if quick else (21, 20)
    figures: list[Figure] = []
    rows = []
    for index, case in enumerate(CASES):
        place = folder / str(index)
        place.mkdir()
        found, row = bench_case(case, place, rounds, count)
        figures += found
        rows.append(row)
    print("\n| framework | operation | entries | without | `os` | `always` | `os`, each entry | `always`, each entry |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))
    return figures


if __name__ == "__main__":
    measure.run(__doc__, bench)
