"""smolagents: what is not done because it could not be recorded, and the way back."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from smolagents import ActionStep, Model, MultiStepAgent, Tool, ToolCallingAgent, local_python_executor, tool
from smolagents.agents import PythonExecutor
from smolagents.tools import BaseTool

import otel_audit
from otel_audit import AuditInstrumentor, verify_log
from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.testing import CapturedAudit
from tests.disk import fill
from tests.frameworks.recorded import check_example, first, lines
from tests.frameworks.smolagents_parts import (
    ScriptedModel,
    StreamingModel,
    answer,
    call_of,
    calling,
    code,
    coding,
    instrumented,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_smolagents.py"
FULL = OSError(errno.ENOSPC, "no space")

written: list[str] = []
"""What the tool below did."""


@tool
def write(text: str) -> str:
    """Write.

    Args:
        text: What.
    """
    written.append(text)
    return text


@pytest.fixture(autouse=True)
def nothing_written() -> None:
    """Begin without any effect."""
    written.clear()


def then(full: Callable[[], object], said: Any) -> Callable[[], Any]:
    """Return an answer of a model on whose way the disk becomes full."""
    return first(full, said)


Full = Callable[[], object]

WAYS: dict[str, Callable[[Full], Any]] = {
    "called": lambda full: (full(), write("x")),
    "agent": lambda full: calling("clerk", [then(full, call_of("write", text="x")), answer()], [write]).run("go"),
    "in parallel": lambda full: calling(
        "clerk", [then(full, [("write", "id-1", {"text": "x"}), ("write", "id-2", {"text": "y"})]), answer()], [write]
    ).run("go"),
    "streamed": lambda full: list(
        calling("clerk", [then(full, call_of("write", text="x")), answer()], [write]).run("go", stream=True)
    ),
    "streaming model": lambda full: calling(
        "clerk",
        [then(full, call_of("write", text="x")), answer()],
        [write],
        model=StreamingModel,
        stream_outputs=True,
    ).run("go"),
    "code": lambda full: coding("clerk", [then(full, code("write('x')")), code("final_answer(1)")], [write]).run("go"),
    "tool in code": lambda full: coding(
        "clerk", [code("fill()\nwrite('x')"), code("final_answer(1)")], [write, filling(full)]
    ).run("go"),
    "code that catches": lambda full: coding(
        "clerk",
        [code("fill()\ntry:\n    write('x')\nexcept Exception:\n    pass\nfinal_answer(1)")],
        [write, filling(full)],
    ).run("go"),
    "managed": lambda full: calling(
        "boss",
        [call_of("helper", task="write"), answer()],
        managed_agents=[calling("helper", [then(full, call_of("write", text="x")), answer()], [write])],
    ).run("go"),
    "managed at its start": lambda full: calling(
        "boss",
        [then(full, call_of("helper", task="write")), answer()],
        managed_agents=[calling("helper", [call_of("write", text="x"), answer()], [write])],
    ).run("go"),
    "managed by code": lambda full: coding(
        "boss",
        [code("try:\n    helper('write')\nexcept Exception:\n    pass\nfinal_answer(1)")],
        managed_agents=[coding("helper", [then(full, code("write('x')")), code("final_answer(1)")], [write])],
    ).run("go"),
}
"""Every way to run a tool; each lets the disk be full before."""


def filling(full: Full) -> Any:
    """Return a tool that generated code can call to have the disk full."""

    class Fill(Tool):  # type: ignore[misc]
        name = "fill"
        description = "Fill."
        inputs: ClassVar[dict[str, Any]] = {}
        output_type = "null"

        def forward(self) -> None:
            full()

    return Fill()


class TestRefused:
    @pytest.mark.parametrize("way", WAYS)
    def test_tool(self, log: CapturedAudit, way: str) -> None:
        """A tool whose intent cannot be written does not run, and the run raises, though all later ones could be."""
        # The model's outcome before it, and the intent; both intents of two.
        times = {"called": 1, "in parallel": 3}.get(way, 2)
        with instrumented(), pytest.raises(AuditWriteError):
            WAYS[way](lambda: log.fail(FULL, times=times))
        assert written == []

    @pytest.mark.parametrize("way", WAYS)
    def test_open(self, log: CapturedAudit, way: str) -> None:
        """With ``open``, the tool runs."""
        with instrumented(on_failure="open"):
            WAYS[way](lambda: log.fail(FULL, times=99))
        assert "x" in written

    @pytest.mark.parametrize("streams", [False, True])
    def test_model(self, log: CapturedAudit, streams: bool) -> None:
        """A model whose call cannot be written is not asked, and the run raises why."""
        agent = calling("clerk", ["never"], model=StreamingModel, stream_outputs=streams)

        def messages() -> list[Any]:
            log.fail(FULL, times=99)
            return []

        agent.write_memory_to_messages = messages  # called before the model is
        with instrumented(), pytest.raises(AuditWriteError):
            agent.run("go")
        assert agent.model.script == ["never"]

    def test_run(self, log: CapturedAudit) -> None:
        """A run whose intent cannot be written does not begin."""
        agent = calling("clerk", [answer()])
        with instrumented(), pytest.raises(AuditWriteError):
            log.fail(FULL)
            agent.run("go")
        assert len(agent.model.script) == 1
        assert agent.memory.steps == []

    def test_streamed_run(self, log: CapturedAudit) -> None:
        """A streamed run whose intent cannot be written raises at its first step."""
        agent = calling("clerk", [answer()])
        with instrumented():
            log.fail(FULL)
            steps = agent.run("go", stream=True)
            with pytest.raises(AuditWriteError):
                next(steps)
        assert len(agent.model.script) == 1

    def test_last_answer(self, log: CapturedAudit) -> None:
        """Where the answer of a run out of steps cannot be asked for, the run raises why: our error is no answer."""
        agent = calling("clerk", [call_of("write", text="x"), "never"], [write], max_steps=1)
        agent.step_callbacks.register(ActionStep, lambda _step, **_kwargs: log.fail(FULL, times=99))
        with instrumented(), pytest.raises(AuditWriteError):
            agent.run("go")
        assert agent.model.script == ["never"]

    def test_check(self, log: CapturedAudit) -> None:
        """A decision that cannot be written has no effect: the answer is not given."""

        def passes(_answer: Any, _memory: Any, agent: Any) -> bool:
            log.fail(FULL, times=99)
            return True

        with instrumented(), pytest.raises(AuditWriteError):
            calling("clerk", [answer()], final_answer_checks=[passes]).run("go")

    def test_outcome_only(self, log: CapturedAudit) -> None:
        """A tool that ran has its result used, though its outcome could not be written."""

        @tool
        def last() -> str:
            """Fill the disk for one entry."""
            log.fail(FULL, times=1)
            return "ran"

        with instrumented():
            assert calling("clerk", [call_of("last"), answer()], [last]).run("go") == "done"
        assert "tool intent last" in lines(log)
        assert "tool success last" not in lines(log)


class TestDisk:
    @pytest.mark.parametrize("way", ["agent", "in parallel", "code", "managed by code"])
    def test_full(self, disk: Path, way: str) -> None:
        """On a full disk no tool runs, and the program is told; with room again the log is intact."""
        provider = otel_audit.configure(disk / "audit.jsonl")
        fillers: list[Path] = []
        with instrumented(), pytest.raises(AuditWriteError, match="No space left on device"):
            WAYS[way](lambda: fillers.append(fill(disk)))
        assert written == []
        for filler in fillers:
            filler.unlink()
        otel_audit.get_audit_logger("test").emit("room.again")
        provider.shutdown()
        assert verify_log(disk / "audit.jsonl").errors == ()


class TestWayBack:
    def test_identical(self) -> None:
        """Uninstrumented, every class has the very objects that it had before."""

        def objects() -> dict[tuple[Any, str], object]:
            owners: list[Any] = [local_python_executor]
            waiting: list[Any] = [BaseTool, Model, MultiStepAgent, PythonExecutor]
            while waiting:
                owners.append(waiting.pop())
                waiting += owners[-1].__subclasses__()
            return {(owner, name): value for owner in owners for name, value in vars(owner).items()}

        before = objects()
        with instrumented():
            changed = {key for key, value in objects().items() if before.get(key) is not value}
        assert len(changed) > 10
        after = objects()
        assert [key for key in before if key not in after or after[key] is not before[key]] == []
        assert [key for key in after if key not in before] == []

    def test_passes_through(self, log: CapturedAudit) -> None:
        """What was taken while instrumented passes every call through afterwards."""
        with instrumented():
            call, generate = write.__call__, ScriptedModel(["said"]).generate
        assert call("x") == "x"
        assert generate([]).content == "said"
        assert log.entries == ()

    def test_from_before(self, log: CapturedAudit) -> None:
        """Agents and classes that were made before are audited, and those made after it too."""
        before = calling("before", [call_of("write", text="x"), answer()], [write])
        with instrumented():

            class Later(ScriptedModel):
                def generate(self, messages: Any, **kwargs: Any) -> Any:
                    return super().generate(messages)

            before.run("go")
            calling("after", [answer()], model=Later).run("go")
        assert lines(log, "agent")[::2] == ["agent intent before", "agent intent after"]
        assert lines(log, "model") == ["model intent scripted-1", "model success scripted-1"] * 3

    def test_target_has_moved(self, log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
        """A method that this version lacks is an error that names it, and nothing stays wrapped."""
        monkeypatch.delattr(ToolCallingAgent, "execute_tool_call")
        run = vars(MultiStepAgent)["run"]
        with pytest.raises(AuditConfigError, match="execute_tool_call"):
            AuditInstrumentor().instrument(frameworks=["smolagents"])
        assert vars(MultiStepAgent)["run"] is run


def test_example(tmp_path: Path) -> None:
    """The example runs as it stands, and its log has every kind of act that it shows."""
    check_example(
        EXAMPLE,
        tmp_path / "audit.jsonl",
        "gen_ai.tool.execute",
        "gen_ai.model.call",
        "gen_ai.agent.invoke",
        "gen_ai.guardrail.check",
    )
