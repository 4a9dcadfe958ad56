from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.llms import MockLLM
from llama_index.core.tools import BaseTool, FunctionTool, calling
from llama_index.core.tools.eval_query_engine import EvalQueryEngineTool
from llama_index.core.workflow.workflow import Workflow, WorkflowMeta
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_audit
from otel_audit import AuditInstrumentor, read_log, verify_log
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks import FrameworkSettings, llama_index
from otel_audit.testing import CapturedAudit
from tests.frameworks.llama_index_parts import ScriptedModel, agent, call_of, instrumented, lines, of, short

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # llama-index's own

EXAMPLE = Path(__file__).parents[2] / "examples" / "frameworks" / "with_llama_index.py"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def with_subclasses(base: type) -> Iterator[type]:
    """Yield a class and all that derive from it."""
    yield base
    subclasses: list[type] = base.__subclasses__()
    for cls in subclasses:
        yield from with_subclasses(cls)


def objects() -> dict[tuple[Any, str], object]:
    """Return every attribute of every class and module that could have been touched."""
    owners: list[Any] = [calling, EvalQueryEngineTool, WorkflowMeta, Workflow]
    for base in (BaseTool, BaseLLM, BaseWorkflowAgent, AgentWorkflow):
        owners += with_subclasses(base)
    return {
        (owner, name): value
        for owner in owners
        for name, value in vars(owner).items()
        if name not in ("__abstractmethods__", "_abc_impl")
    }


class TestWayBack:
    def test_identical(self) -> None:
        """Instrumenting and uninstrumenting, twice, leaves the identical objects."""
        before = objects()
        for _ in range(2):
            with instrumented():
                during = objects()
                changed = {key for key in before if during[key] is not before[key]}
                assert len(changed) > 30
                assert during.keys() - before.keys() == {
                    (BaseTool, "__init_subclass__"),
                    (BaseLLM, "__init_subclass__"),
                }
            after = objects()
            assert after.keys() == before.keys()
            assert [key for key in before if after[key] is not before[key]] == []

    def test_class_made_meanwhile(self, log: CapturedAudit) -> None:
        """Classes that are made while instrumented are audited, and get their own methods back."""
        with instrumented():

            class Adder(FunctionTool):  # type: ignore[misc]
                def call(self, *args: Any, **kwargs: Any) -> Any:
                    return super().call(*args, **kwargs)

            class Model(ScriptedModel):
                def chat(self, messages: Any, **kwargs: Any) -> Any:
                    return super().chat(messages)

            class Clerk(FunctionAgent):  # type: ignore[misc]
                def run(self, *args: Any, **kwargs: Any) -> Any:
                    return super().run(*args, **kwargs)

            held = [vars(Adder)["call"], vars(Model)["chat"], vars(Clerk)["run"]]
            Adder.from_defaults(add)(a=1, b=2)
            Model(script=["yes"]).chat([])
            asyncio.run(self.run(Clerk))
            assert len(lines(log)) == 8
        log.clear()
        for own, wrapped in zip((vars(Adder)["call"], vars(Model)["chat"], vars(Clerk)["run"]), held, strict=True):
            assert own is wrapped.__wrapped__
        Adder.from_defaults(add)(a=1, b=2)
        Model(script=["yes"]).chat([])
        assert lines(log) == []

    def test_handed_on(self, log: CapturedAudit) -> None:
        """Whoever hands the way back on to another stack gets back the classes that are made later, too."""
        before = objects()
        with ExitStack() as undo:
            with ExitStack() as own:
                logger = otel_audit.get_audit_logger("test")
                llama_index.instrument(logger, FrameworkSettings(), own)
                undo.push(own.pop_all())

            class Adder(FunctionTool):  # type: ignore[misc]
                def call(self, *args: Any, **kwargs: Any) -> Any:
                    return super().call(*args, **kwargs)

            made = vars(Adder)["call"].__wrapped__
            Adder.from_defaults(add)(a=1, b=2)
            assert len(lines(log)) == 2
        log.clear()
        Adder.from_defaults(add)(a=1, b=2)
        assert lines(log) == []
        assert vars(Adder)["call"] is made
        assert all(objects()[key] is value for key, value in before.items())

    @staticmethod
    async def run(kind: Any) -> None:
        """Run an agent of a class."""
        await kind(name="clerk", tools=[add], llm=ScriptedModel(script=["0"])).run("go")

    def test_held(self, log: CapturedAudit) -> None:
        """What the program holds from before is audited; what it still holds afterwards is not."""
        tool, model = FunctionTool.from_defaults(add), MockLLM()
        call, chat = tool.acall, model.chat
        with instrumented():
            tool(a=1, b=2)
            held = tool.acall
            assert len(lines(log)) == 2
        log.clear()
        assert asyncio.run(held(a=1, b=2)).raw_output == 3
        assert asyncio.run(call(a=1, b=2)).raw_output == 3
        chat([])
        assert lines(log) == []

    def test_uninstrumented_during_a_run(self, log: CapturedAudit) -> None:
        """A run that is under way when auditing ends goes on to its end."""

        def stop() -> str:
            """End the auditing."""
            AuditInstrumentor().uninstrument()
            return "stopped"

        async def run() -> str:
            return str(await agent("clerk", [[call_of("stop")], "done"], [stop]).run("go"))

        with instrumented():
            assert asyncio.run(run()) == "done"
        assert lines(log, "tool") == ["tool intent stop", "tool success stop"]
        of(log, "agent success clerk")

    @pytest.mark.parametrize(
        ("owner", "name"),
        [(calling, "acall_tool_with_selection"), (EvalQueryEngineTool, "_process_tool_output"), (AgentWorkflow, "run")],
    )
    def test_moved(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        """A version that lacks what is wrapped is refused by name, and nothing is instrumented."""
        for base in {owner, *(owner.__mro__ if isinstance(owner, type) else ())}:
            if name in vars(base):
                monkeypatch.delattr(base, name)
        before = objects()
        with pytest.raises(AuditConfigError, match=name):
            AuditInstrumentor().instrument(frameworks=["llama_index"])
        assert all(value is before[key] for key, value in objects().items())


class TestOpenInference:
    @pytest.fixture
    def openinference(self, spans: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
        """Have OpenInference's instrumentation trace llama-index, too."""
        from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
        from opentelemetry import trace

        LlamaIndexInstrumentor().instrument(tracer_provider=trace.get_tracer_provider())
        yield spans
        LlamaIndexInstrumentor().uninstrument()

    async def test_one_trace(self, log: CapturedAudit, openinference: InMemorySpanExporter) -> None:
        """With OpenInference's spans, all lines and all spans of a run are of one trace."""
        with instrumented():
            await agent("clerk", [[call_of("add", a=1, b=2)], "3"], [add]).run("go")
        spans = openinference.get_finished_spans()
        assert len(spans) > 5
        assert len({span.context.trace_id for span in spans}) == 1
        assert {entry.trace_id for entry in log.entries} == {format(spans[0].context.trace_id, "032x")}
        ids = {format(span.context.span_id, "016x") for span in spans}
        assert {entry.span_id for entry in log.entries} <= ids
        assert [short(entry) for entry in log.entries][-1] == "agent success clerk"

    def test_outside_of_agents(self, log: CapturedAudit, openinference: InMemorySpanExporter) -> None:
        """A tool or a model on its own is in one trace with OpenInference's span of it."""
        with instrumented():
            FunctionTool.from_defaults(add)(a=1, b=2)
            list(ScriptedModel(script=["yes"]).stream_chat([]))
        traces = {format(span.context.trace_id, "032x") for span in openinference.get_finished_spans()}
        assert len(traces) == 2
        assert {entry.trace_id for entry in log.entries} == traces


def test_example(tmp_path: Path) -> None:
    """The example runs offline, and prints the lines of a log that verifies."""
    path = tmp_path / "audit.jsonl"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLE)],
        env={**os.environ, "OTEL_AUDIT_FILE": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert verify_log(path).intact
    printed = done.stdout.splitlines()
    told = [entry for entry in read_log(path) if entry.event_name.startswith("gen_ai.")]
    assert len(printed) == len(told) + 1
    assert "maya@example.com > triage > billing" in done.stdout
    assert {"gen_ai.tool.execute", "gen_ai.model.call", "gen_ai.agent.invoke", "gen_ai.agent.handoff"} == {
        entry.event_name for entry in told
    }
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60
