"""Google ADK: instrumenting, the way back, and the example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.adk.agents.base_agent import BaseAgent
from google.adk.code_executors.base_code_executor import BaseCodeExecutor
from google.adk.flows.llm_flows.tools import _confirmation
from google.adk.models.base_llm import BaseLlm
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import Runner
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.function_tool import FunctionTool
from google.adk.utils import _callback_pipeline
from google.adk.workflow import _llm_agent_wrapper

from otel_audit import AuditInstrumentor
from otel_audit.errors import AuditConfigError
from otel_audit.testing import CapturedAudit
from tests.frameworks.google_adk_parts import Chat, ScriptedModel, agent, call_of, instrumented
from tests.frameworks.recorded import check_example, lines

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # the framework's own

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_google_adk.py"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def objects() -> dict[tuple[Any, str], object]:
    """Return every attribute of every class and module that could have been touched, which lives as long as this."""
    owners: list[Any] = [Runner, _confirmation, _callback_pipeline, _llm_agent_wrapper]
    waiting: list[Any] = [BaseTool, BaseLlm, BaseAgent, BasePlugin, BaseCodeExecutor]
    while waiting:
        owners.append(waiting.pop())
        waiting += owners[-1].__subclasses__()
    return {
        (owner, name): value
        for owner in owners
        for name, value in vars(owner).items()
        if not name.startswith(("__pydantic_", "_abc", "__abstract"))
    }


def test_identical() -> None:
    """Uninstrumented, every class has the very objects that it had before."""
    with instrumented():
        pass  # imports what is imported late
    before = objects()
    with instrumented():
        changed = {key for key, value in objects().items() if before.get(key) is not value}
    assert len(changed) > 20
    after = objects()
    assert [key for key in before if key not in after or after[key] is not before[key]] == []
    assert [key for key in after if key not in before] == []


async def test_passes_through(log: CapturedAudit) -> None:
    """What was taken while instrumented passes every call through afterwards."""
    with instrumented():
        tool, model = FunctionTool(add), ScriptedModel(script=["said"])
        run, ask = tool.run_async, model.generate_content_async
    assert await run(args={"a": 1, "b": 2}, tool_context=None) == 3
    assert [answer.content.parts[0].text async for answer in ask(None)] == ["said"]
    assert log.entries == ()


async def test_from_before(log: CapturedAudit) -> None:
    """Agents, tools and classes from before are audited, and those made after it too."""
    before = Chat(agent("before", [call_of("add", a=1, b=2), "3"], [FunctionTool(add)]))
    with instrumented():

        class Later(ScriptedModel):
            async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
                async for answer in super().generate_content_async(llm_request):
                    yield answer

        await before.ask()
        await Chat(agent("after", ["done"], model=Later)).ask()
    assert lines(log, "agent")[::2] == ["agent intent before", "agent intent after"]
    assert lines(log, "tool") == ["tool intent add", "tool success add"]
    assert lines(log, "model") == ["model intent scripted-1", "model success scripted-1"] * 3


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (_confirmation, "_resolve_confirmation_targets"),
        (_callback_pipeline, "_invoke_callback"),
        (_llm_agent_wrapper, "_dispatch_task_fc"),
        (Runner, "run_async"),
    ],
)
def test_target_has_moved(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that this version lacks is an error that names it, and nothing stays wrapped."""
    run = vars(BaseAgent)["run_async"]
    monkeypatch.delattr(owner, name)
    with pytest.raises(AuditConfigError, match=name):
        AuditInstrumentor().instrument(frameworks=["google_adk"])
    assert vars(BaseAgent)["run_async"] is run


def test_example(tmp_path: Path) -> None:
    """The example runs as it stands, and its log has every kind of act that it shows."""
    check_example(
        EXAMPLE,
        tmp_path / "audit.jsonl",
        "gen_ai.tool.execute",
        "gen_ai.model.call",
        "gen_ai.agent.invoke",
        "gen_ai.agent.handoff",
    )
