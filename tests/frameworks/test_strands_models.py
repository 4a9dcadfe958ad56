"""strands-agents: models of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel
from strands.models import Model
from strands.telemetry import tracer as telemetry

from otel_audit import AuditInstrumentor
from otel_audit.instrument.genai_spans import GenAISpanProcessor
from otel_audit.testing import CapturedAudit
from tests.frameworks.conformance.driver import Script
from tests.frameworks.conformance.strands import DRIVER
from tests.frameworks.conformance.told import audited, of_kind, pairs, short
from tests.frameworks.strands_conformance_model import ScriptedModel
from tests.frameworks.test_strands import agent, asking


@pytest.fixture(autouse=True)
def instrumented(log: CapturedAudit) -> Iterator[None]:
    """Audit strands-agents in every test."""
    with audited(DRIVER):
        yield


async def collect(answer: AsyncIterator[Any]) -> list[Any]:
    """Return what an answer consists of."""
    return [chunk async for chunk in answer]


def test_usage(log: CapturedAudit) -> None:
    """The outcome has the model's token counts and why it stopped, and nothing of what it said."""
    agent("clerk", "secret text")("go")
    told = of_kind(log.entries, "model")[1].attributes
    assert told["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (3, 5)
    assert "secret" not in str(told)


def test_parent_that_asks(log: CapturedAudit) -> None:
    """A class that has its parent ask is one call; a second try is another."""

    class Trying(ScriptedModel):
        async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            for _ in range(2):
                async for chunk in super().stream(*args, **kwargs):
                    yield chunk

    asyncio.run(collect(Trying(Script("one", "two")).stream([])))
    assert [short(entry) for entry in log.entries] == ["model intent scripted-1", "model success scripted-1"]

    class Again(ScriptedModel):
        tries = 0

        async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            self.tries += 1
            async for chunk in self.stream(*args) if self.tries < 2 else super().stream(*args):
                yield chunk

    asyncio.run(collect(Again(Script("one")).stream([])))
    assert len(log.entries) == 6


def test_structured_output(log: CapturedAudit) -> None:
    """Structured output that asks by the model's own stream is one call."""

    class Structured(ScriptedModel):
        async def structured_output(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            async for chunk in self.stream([]):
                yield chunk
            yield {"output": "done"}

    asyncio.run(collect(Structured(Script("one")).structured_output(BaseModel, [])))
    intent, outcome = log.entries
    assert (short(intent), short(outcome)) == ("model intent scripted-1", "model success scripted-1")
    assert outcome.attributes["gen_ai.usage.output_tokens"] == 5


def test_class_made_later(log: CapturedAudit) -> None:
    """A class that is made while audited, of the abstract one, is audited; no longer so afterwards."""

    class Own(Model):  # type: ignore[misc]
        stream = ScriptedModel.__dict__["stream"].__wrapped__
        structured_output = ScriptedModel.structured_output
        script = Script("one")

        def update_config(self, **_: Any) -> None: ...
        def get_config(self) -> Any:
            raise RuntimeError

    asyncio.run(collect(Own().stream([])))
    assert [entry.attributes.get("audit.target.id") for entry in log.entries] == [None, None]
    assert log.entries[0].attributes["gen_ai.provider.name"] == "Own"
    AuditInstrumentor().uninstrument()
    asyncio.run(collect(Own().stream([])))
    assert len(log.entries) == 2


def test_no_generator(log: CapturedAudit) -> None:
    """A stream that is an iterator of the program's own is asked for when its intent is on disk."""

    class Chunks:
        def __init__(self) -> None:
            self.seen = [short(entry) for entry in log.entries]
            self.left = [{"messageStop": {"stopReason": "end_turn"}}]

        def __aiter__(self) -> Chunks:
            return self

        async def __anext__(self) -> Any:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    made: list[Chunks] = []

    class Plain(ScriptedModel):
        def stream(self, *args: Any, **kwargs: Any) -> Any:
            made.append(Chunks())
            return made[0]

    asyncio.run(collect(Plain(Script()).stream([])))
    assert made[0].seen == ["model intent scripted-1"]
    assert short(log.entries[-1]) == "model success scripted-1"


def test_closed_early(log: CapturedAudit) -> None:
    """An answer that is not read to its end is neither a success nor a failure, and its model learns of it."""
    closed: list[str] = []

    class Long(ScriptedModel):
        async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            try:
                yield {"messageStart": {"role": "assistant"}}
                yield {"messageStop": {"stopReason": "end_turn"}}
            finally:
                closed.append("closed")

    async def main() -> None:
        answer: Any = Long(Script()).stream([])
        await anext(answer)
        await answer.aclose()

    asyncio.run(main())
    assert closed == ["closed"]
    assert short(log.entries[-1]) == "model unknown scripted-1"


def test_own_spans(log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the framework's own spans are recorded too, each act has one pair, in the framework's span of it."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(GenAISpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(telemetry, "_tracer_instance", None)
    agent("clerk", asking(), "done")("go")
    provider.shutdown()
    found = pairs(log.entries)
    assert sorted(short(intent) for intent, _ in found) == [
        "agent intent clerk",
        "model intent scripted-1",
        "model intent scripted-1",
        "tool intent note",
    ]
    names = {f"{span.context.span_id:016x}": span.name for span in exporter.get_finished_spans()}
    assert {names[entry.span_id or ""] for entry in of_kind(log.entries, "tool")} == {"execute_tool note"}
    assert {names[entry.span_id or ""] for entry in of_kind(log.entries, "model")} == {"chat"}
    assert len({entry.trace_id for entry in log.entries}) == 1
