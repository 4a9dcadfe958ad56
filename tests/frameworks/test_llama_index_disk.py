from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, ReActAgent
from llama_index.core.tools import BaseTool, FunctionTool, ToolMetadata, ToolOutput

import otel_audit
from otel_audit import AuditProvider, read_log, verify_log
from otel_audit.errors import AuditWriteError
from tests.disk import PAGE_BYTES, fill
from tests.frameworks.llama_index_parts import ScriptedModel, agent, call_of, first, instrumented, short

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # llama-index's own

SHORTEST_LINE_BYTES = 300


class Effect:
    """A tool's side effect, and a disk that is filled just before the tool is called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.happened = 0
        self.filler: Path | None = None

    def fill(self) -> None:
        """Fill the disk, and the log's own last page."""
        audit = otel_audit.get_audit_logger("filler")
        while -self.path.stat().st_size % PAGE_BYTES > SHORTEST_LINE_BYTES:
            audit.emit("fill")
        self.filler = fill(self.path.parent)

    def empty(self) -> None:
        """Make room again."""
        assert self.filler is not None
        self.filler.unlink(missing_ok=True)

    def write(self, name: str = "x") -> str:
        """Do it."""
        self.happened += 1
        return name

    async def awrite(self, name: str = "x") -> str:
        """Do it."""
        return self.write(name)

    def execute(self, code: str) -> str:
        """Do it."""
        return self.write(code)

    def calling(self, tool: str, argument: str = "name") -> Callable[[], Any]:
        """Return a model's answer that has a tool called, after which there is no room."""
        return first(self.fill, [call_of(tool, **{argument: "x"})])

    def full(self, call: Callable[[], Any]) -> Any:
        """Make a call on a full disk."""
        self.fill()
        return call()


class Writer(BaseTool):  # type: ignore[misc]
    """A tool of a class of the program's."""

    def __init__(self, effect: Effect) -> None:
        self.effect = effect

    @property
    def metadata(self) -> ToolMetadata:
        return ToolMetadata("Write.", "write")

    def __call__(self, input: str) -> ToolOutput:  # noqa: A002
        return ToolOutput(tool_name="write", content=self.effect.write(input), raw_input={}, raw_output=input)


async def run(agents: Any) -> Any:
    """Run an agent or a workflow."""
    return await agents.run("go")


WAYS: dict[str, Callable[[Effect], Any]] = {
    "called": lambda effect: effect.full(lambda: FunctionTool.from_defaults(effect.write)(name="x")),
    "call": lambda effect: effect.full(lambda: FunctionTool.from_defaults(effect.write).call(name="x")),
    "acall": lambda effect: effect.full(
        lambda: asyncio.run(FunctionTool.from_defaults(async_fn=effect.awrite).acall(name="x"))
    ),
    "own class": lambda effect: effect.full(lambda: Writer(effect)("x")),
    "agent": lambda effect: asyncio.run(run(agent("clerk", [effect.calling("write"), "done"], [effect.write]))),
    "agent, async tool": lambda effect: asyncio.run(
        run(agent("clerk", [effect.calling("awrite"), "done"], [effect.awrite]))
    ),
    "agent, not streaming": lambda effect: asyncio.run(
        run(agent("clerk", [effect.calling("write"), "done"], [effect.write], streaming=False))
    ),
    "agent, own class": lambda effect: asyncio.run(
        run(agent("clerk", [effect.calling("write", "input"), "done"], [Writer(effect)]))
    ),
    "workflow": lambda effect: asyncio.run(
        run(AgentWorkflow(agents=[agent("clerk", [effect.calling("write"), "done"], [effect.write])]))
    ),
    "react": lambda effect: asyncio.run(
        run(
            ReActAgent(
                name="clerk",
                tools=[effect.write],
                llm=ScriptedModel(
                    script=[
                        first(effect.fill, 'Thought: write.\nAction: write\nAction Input: {"name": "x"}'),
                        "Thought: I can answer.\nAnswer: done",
                    ]
                ),
            )
        )
    ),
    "code": lambda effect: asyncio.run(
        run(
            CodeActAgent(
                name="clerk",
                code_execute_fn=effect.execute,
                llm=ScriptedModel(script=[first(effect.fill, "<execute>1</execute>"), "done"]),
            )
        )
    ),
    "predict_and_call": lambda effect: ScriptedModel(script=[effect.calling("write")]).predict_and_call(
        [FunctionTool.from_defaults(effect.write)], "go"
    ),
    "apredict_and_call": lambda effect: asyncio.run(
        ScriptedModel(script=[effect.calling("awrite")]).apredict_and_call(
            [FunctionTool.from_defaults(effect.awrite)], "go"
        )
    ),
}
"""Every way to run a tool."""


@pytest.fixture
def effect(disk: Path, request: pytest.FixtureRequest) -> Iterator[Effect]:
    """Audit on a small disk, failures closed or open as the test says."""
    path = disk / "audit.jsonl"
    provider: AuditProvider = otel_audit.configure(path, on_failure=request.param, durability="os")
    effect = Effect(path)
    with instrumented():
        yield effect
    effect.empty()
    otel_audit.get_audit_logger("test").emit("room.again")
    provider.shutdown()
    assert verify_log(path).errors == ()


@pytest.mark.parametrize("effect", ["closed"], indirect=True)
@pytest.mark.parametrize("way", WAYS)
def test_closed(effect: Effect, way: str) -> None:
    """On a full disk no tool runs, whichever way it is called, and the program is told."""
    with pytest.raises(AuditWriteError, match="No space left on device"):
        WAYS[way](effect)
    assert effect.happened == 0
    effect.empty()
    assert not any("tool" in short(entry) for entry in read_log(effect.path) if entry.event_name.startswith("gen_ai"))


@pytest.mark.parametrize("effect", ["open"], indirect=True)
@pytest.mark.parametrize("way", WAYS)
def test_open(effect: Effect, way: str) -> None:
    """With failures open the tool runs, and the log declares what it lost when there is room again."""
    WAYS[way](effect)
    assert effect.happened == 1
    effect.empty()
    otel_audit.get_audit_logger("test").emit("room.again")
    lost = sum(
        int(str(entry.attributes["audit.dropped.count"]))
        for entry in read_log(effect.path)
        if entry.event_name == "audit.log.dropped"
    )
    assert lost >= 2


@pytest.mark.parametrize("effect", ["closed"], indirect=True)
def test_other_tools(effect: Effect) -> None:
    """Where one of the tools that are called together cannot be recorded, the run stops, and says why."""
    with pytest.raises(AuditWriteError):
        asyncio.run(
            run(
                agent(
                    "clerk",
                    [first(effect.fill, [call_of("write", "1"), call_of("awrite", "2")]), "never asked"],
                    [effect.write, effect.awrite],
                )
            )
        )
    assert effect.happened == 0


@pytest.mark.parametrize("effect", ["closed"], indirect=True)
def test_agent(effect: Effect) -> None:
    """On a full disk no run begins, and no model is asked."""
    asked: list[int] = []
    effect.fill()
    with pytest.raises(AuditWriteError):
        asyncio.run(run(agent("clerk", [first(lambda: asked.append(1), "done")])))
    with pytest.raises(AuditWriteError):
        ScriptedModel(script=[first(lambda: asked.append(1), "done")]).chat([])
    assert asked == []


@pytest.mark.parametrize("effect", ["closed"], indirect=True)
def test_handoff(effect: Effect) -> None:
    """On a full disk no agent hands over."""
    workflow = AgentWorkflow(
        agents=[
            agent("front", [first(effect.fill, [call_of("handoff", to_agent="back", reason="x")])]),
            agent("back", [effect.write]),
        ],
        root_agent="front",
    )
    with pytest.raises(AuditWriteError):
        asyncio.run(run(workflow))
    assert effect.happened == 0
