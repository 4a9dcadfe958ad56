"""Real instrumentations of other makers through the span bridge."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from otel_audit import AuditInstrumentor, AuditWriteError, acting_as, get_audit_logger
from otel_audit.instrument import live_span
from otel_audit.instrument.sampler import AlwaysRecordSampler
from otel_audit.reader import read_log
from otel_audit.testing import CapturedAudit
from tests.frameworks.genai_spans_support import CANARY, INSTRUMENTATIONS, instrumented, told

FULL = OSError(errno.ENOSPC, "no space left on device")
EACH = pytest.mark.parametrize("name", INSTRUMENTATIONS)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the instrumentations

ALONE = {
    "OpenInference, langchain": [
        "ada: model.call scripted-1 success",
        "ada: tool.execute lookup success",
        "ada: model.call scripted-1 success",
        "ada: retrieval.query _Orders success",
    ],
    "OpenInference, openai-agents": [
        "ada: agent.invoke triage intent",
        "triage: guardrail.check pii success",
        "triage: model.call None intent",
        "triage: model.call gpt-test success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call None intent",
        "triage: model.call gpt-test success",
        "triage: agent.handoff billing success",
        "ada: agent.invoke triage success",
        "ada: agent.invoke billing intent",
        "billing: model.call None intent",
        "billing: model.call gpt-test success",
        "ada: agent.invoke billing success",
    ],
    "OpenInference, llama-index": [
        "ada: model.call scripted-1 success",
        "ada: tool.execute lookup success",
        "ada: model.call scripted-1 success",
    ],
    "OpenLLMetry, langchain": [
        "ada: agent.invoke triage intent",
        "triage: model.call None success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call None success",
        "ada: agent.invoke triage success",
        "ada: retrieval.query _Orders success",
    ],
    "OpenLLMetry, openai-agents": [
        "ada: agent.invoke triage intent",
        "triage: model.call gpt-test intent",
        "triage: model.call gpt-test success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call gpt-test intent",
        "triage: model.call gpt-test success",
        "triage: agent.handoff None intent",
        "triage: agent.handoff None success",
        "ada: agent.invoke triage success",
        "ada: agent.invoke billing intent",
        "billing: model.call gpt-test intent",
        "billing: model.call gpt-test success",
        "ada: agent.invoke billing success",
    ],
    "pydantic-ai": [
        "ada: agent.invoke triage intent",
        "triage: model.call scripted intent",
        "triage: model.call scripted success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call scripted intent",
        "triage: model.call scripted success",
        "ada: agent.invoke triage success",
    ],
}

TOGETHER = {
    "OpenInference, langchain": [
        "ada: agent.invoke triage intent",
        "triage: model.call scripted-1 intent",
        "triage: model.call scripted-1 success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call scripted-1 intent",
        "triage: model.call scripted-1 success",
        "ada: agent.invoke triage success",
        "ada: retrieval.query _Orders success",
    ],
    "OpenInference, openai-agents": [
        "ada: agent.invoke triage intent",
        "triage: guardrail.check pii allow",
        "triage: model.call gpt-test intent",
        "triage: model.call gpt-test success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call gpt-test intent",
        "triage: model.call gpt-test success",
        "triage: agent.handoff billing intent",
        "triage: agent.handoff billing success",
        "triage: agent.invoke billing intent",
        "billing: model.call gpt-test intent",
        "billing: model.call gpt-test success",
        "triage: agent.invoke billing success",
        "ada: agent.invoke triage success",
    ],
    "OpenInference, llama-index": [
        "ada: agent.invoke triage intent",
        "triage: model.call scripted-1 intent",
        "triage: model.call scripted-1 success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call scripted-1 intent",
        "triage: model.call scripted-1 success",
        "ada: agent.invoke triage success",
    ],
    "OpenLLMetry, langchain": [
        "ada: agent.invoke triage intent",
        "triage: model.call scripted-1 intent",
        "triage: model.call scripted-1 success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call scripted-1 intent",
        "triage: model.call scripted-1 success",
        "ada: agent.invoke triage success",
        "ada: retrieval.query _Orders success",
    ],
    "OpenLLMetry, openai-agents": [
        "ada: agent.invoke triage intent",
        "triage: guardrail.check pii allow",
        "triage: model.call gpt-test intent",
        "triage: model.call gpt-test success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call gpt-test intent",
        "triage: model.call gpt-test success",
        "triage: agent.handoff billing intent",
        "triage: agent.handoff billing success",
        "triage: agent.invoke billing intent",
        "billing: model.call gpt-test intent",
        "billing: model.call gpt-test success",
        "triage: agent.invoke billing success",
        "ada: agent.invoke triage success",
    ],
    "pydantic-ai": [
        "ada: agent.invoke triage intent",
        "triage: model.call scripted intent",
        "triage: model.call scripted success",
        "triage: tool.execute lookup intent",
        "triage: tool.execute lookup success",
        "triage: model.call scripted intent",
        "triage: model.call scripted success",
        "ada: agent.invoke triage success",
    ],
}


class FailTools(SpanProcessor):
    """Makes the log fail when the span of a tool begins."""

    def __init__(self, log: CapturedAudit) -> None:
        self.log = log

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if "lookup" in span.name or span.name.startswith("FunctionTool"):
            self.log.fail(FULL)


@pytest.fixture
def exported() -> InMemorySpanExporter:
    """What is exported."""
    return InMemorySpanExporter()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, exported: InMemorySpanExporter) -> Iterator[TracerProvider]:
    """The global tracer provider: it samples no span, and all are recorded."""
    provider = TracerProvider(sampler=AlwaysRecordSampler(ALWAYS_OFF), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield provider
    if AuditInstrumentor().is_instrumented_by_opentelemetry:
        AuditInstrumentor().uninstrument()
    live_span._live.clear()  # spans that an instrumentation never ended


@EACH
def test_alone(log: CapturedAudit, provider: TracerProvider, exported: InMemorySpanExporter, name: str) -> None:
    """With a sampler at 0 % every act of an agent that other instrumentations tell of is recorded, none is exported."""
    with instrumented(name) as (_, run), acting_as("ada"):
        AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
        run(lambda order: order)
    assert told(log) == ALONE[name]
    assert exported.get_finished_spans() == ()
    assert len({entry.trace_id for entry in log.entries}) <= 2  # the retriever is asked outside of the run
    with open(log.path, encoding="utf-8") as file:
        assert CANARY not in file.read()


@EACH
@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "ours last"])
def test_with_our_module(log: CapturedAudit, provider: TracerProvider, name: str, ours_first: bool) -> None:
    """Where a module of ours sees an act as well, it is recorded once; whichever instrumented first."""
    framework = INSTRUMENTATIONS[name][1]
    if ours_first:
        AuditInstrumentor().instrument(frameworks=[framework], genai_spans=True)
    with instrumented(name) as (_, run), acting_as("ada"):
        if not ours_first:
            AuditInstrumentor().instrument(frameworks=[framework], genai_spans=True)
        run(lambda order: order)
        AuditInstrumentor().uninstrument()
    assert sorted(told(log)) == sorted(TOGETHER[name])
    intents = {
        entry.attributes["audit.record.id"] for entry in log.entries if entry.attributes.get("audit.phase") == "intent"
    }
    ended = [entry.attributes["audit.intent.id"] for entry in log.entries if "audit.intent.id" in entry.attributes]
    assert sorted(map(str, ended)) == sorted(map(str, intents))


@EACH
def test_a_tool_finds_its_intent(log: CapturedAudit, provider: TracerProvider, name: str) -> None:
    """Where a span tells at its start what it is, the tool finds its own intent in the log."""
    last = []

    def lookup(order: str) -> str:
        last.append(told(log)[-1:])
        return order

    with instrumented(name) as (_, run), acting_as("ada"):
        AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
        run(lookup)
    known = any(line.endswith("lookup intent") for line in ALONE[name])
    assert known == (name not in ("OpenInference, langchain", "OpenInference, llama-index"))
    assert (last == [["triage: tool.execute lookup intent"]]) is known


@EACH
def test_a_tool_without_intent(log: CapturedAudit, provider: TracerProvider, name: str) -> None:
    """A span that may not begin stops the tool of pydantic-ai alone; the others swallow it. The loss is declared."""
    ran = []
    provider.add_span_processor(FailTools(log))

    def lookup(order: str) -> str:
        ran.append(order)
        return order

    error = None
    with instrumented(name) as (_, run), acting_as("ada"):
        AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
        try:
            run(lookup)
        except AuditWriteError as raised:
            error = raised
    assert (error is not None) == (name == "pydantic-ai")
    assert ran == ([] if name == "pydantic-ai" else [CANARY])
    get_audit_logger("test").emit("after")
    declared = [entry for entry in read_log(log.path) if entry.event_name == "audit.log.dropped"]
    assert [entry.attributes["audit.dropped.count"] for entry in declared] == [1]


@EACH
def test_uninstrumented(log: CapturedAudit, provider: TracerProvider, name: str) -> None:
    """After `uninstrument` spans are recorded no more; instrumented again, each once."""
    with instrumented(name) as (_, run), acting_as("ada"):
        AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
        AuditInstrumentor().uninstrument()
        run(lambda order: order)
        assert told(log) == []
        AuditInstrumentor().instrument(frameworks=[], genai_spans=True)
        run(lambda order: order)
    assert told(log) == ALONE[name]


MCP = """
import asyncio, sys
from mcp import Client
from mcp.server.mcpserver import MCPServer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
import otel_audit
from otel_audit import AuditInstrumentor

trace.set_tracer_provider(TracerProvider())
otel_audit.configure(sys.argv[1])
AuditInstrumentor().instrument(frameworks=sys.argv[2:], genai_spans=True)
server = MCPServer("desk")
server.add_tool(lambda: "done", name="lookup")

async def main():
    async with Client(server) as session:
        await session.call_tool("lookup", {})

asyncio.run(main())
for entry in otel_audit.read_log(sys.argv[1]):
    if not entry.event_name.startswith("audit.log."):
        said = entry.attributes
        names = ("audit.target.id", "span.kind", "audit.phase", "audit.outcome")
        print(entry.event_name, *(said.get(name) for name in names))
"""


@pytest.mark.parametrize("frameworks", [[], ["mcp"]], ids=["alone", "with our module"])
def test_mcp(tmp_path: Path, frameworks: list[str]) -> None:
    """The span of an mcp server is recorded where our module does not record the call on that end."""
    command = [sys.executable, "-c", MCP, str(tmp_path / "audit.jsonl"), *frameworks]
    environment = {"PATH": os.environ["PATH"], "OTEL_SERVICE_NAME": "desk"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    act = "gen_ai.tool.execute lookup"
    ends = ["client intent unknown", "server intent unknown", "server outcome success", "client outcome success"]
    expected = [f"{act} {end}" for end in (ends if frameworks else ("None intent unknown", "None outcome success"))]
    assert (done.stdout.splitlines(), done.stderr) == (expected, "")
