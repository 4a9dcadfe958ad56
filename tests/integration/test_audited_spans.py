"""The spans around audited calls, with the real OpenTelemetry SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from otel_audit import audited
from otel_audit.testing import CapturedAudit, capture_audit


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """The log of one test."""
    with capture_audit(resource=Resource({"service.name": "shop"})) as captured:
        yield captured


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans that end, with a tracer provider of the test's own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


def current_ids() -> tuple[str, str]:
    """Trace and span id of the current span, as a line has them."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def ids(log: CapturedAudit) -> list[tuple[str | None, str | None]]:
    """Trace and span id of each line."""
    return [(entry.trace_id, entry.span_id) for entry in log.entries]


def test_function(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
    """The call runs in its span, a child of the current one, and both lines carry its ids."""
    inside = audited("order.refund")(current_ids)()
    assert ids(log) == [inside, inside]
    assert current_ids() == ("0" * 32, "0" * 16)
    [span] = spans.get_finished_spans()
    assert span.name == "order.refund"
    assert dict(span.attributes or {}) == {
        "code.function.name": f"{__name__}.current_ids",
        "audit.record.id": log.entries[0].attributes["audit.record.id"],
    }
    assert span.status.status_code is StatusCode.UNSET


async def test_coroutine(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
    """Interleaved coroutines each run in their own span."""

    @audited
    async def work() -> list[tuple[str, str]]:
        before = current_ids()
        await asyncio.sleep(0)
        return [before, current_ids()]

    results = await asyncio.gather(*(work() for _ in range(10)))
    assert all(before == after for before, after in results)
    assert sorted(ids(log)) == sorted([result[0] for result in results] * 2)
    assert len(spans.get_finished_spans()) == 10


def test_generator(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
    """A generator's body runs in its span, and the consumer never does."""

    @audited
    def items() -> Iterator[tuple[str, str]]:
        yield current_ids()
        yield current_ids()

    seen = []
    for item in items():
        seen.append(item)
        assert current_ids() == ("0" * 32, "0" * 16)
    assert ids(log) == seen
    assert len(spans.get_finished_spans()) == 1


async def test_async_generator(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
    """An async generator's body runs in its span, and the consumer never does."""

    @audited
    async def items() -> AsyncIterator[tuple[str, str]]:
        yield current_ids()
        await asyncio.sleep(0)
        yield current_ids()

    seen = []
    async for item in items():
        seen.append(item)
        assert current_ids() == ("0" * 32, "0" * 16)
    assert ids(log) == seen
    assert len(spans.get_finished_spans()) == 1


def test_parent(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
    """Nested calls make nested spans of one trace."""

    def outer() -> None:
        audited("inner")(current_ids)()

    audited("outer")(outer)()
    by_name = {span.name: span for span in spans.get_finished_spans()}
    assert by_name["inner"].parent == by_name["outer"].get_span_context()
    assert len({entry.trace_id for entry in log.entries}) == 1


@pytest.mark.parametrize("kind", ["plain", "coroutine", "generator", "async generator"])
def test_failure(log: CapturedAudit, spans: InMemorySpanExporter, kind: str) -> None:
    """A span that fails has the type of the error, and nothing of its message."""
    run: Any

    @audited("fail")
    def plain() -> None:
        raise ValueError("canary")

    @audited("fail")
    async def coroutine() -> None:
        raise ValueError("canary")

    @audited("fail")
    def generator() -> Iterator[int]:
        yield 1
        raise ValueError("canary")

    @audited("fail")
    async def async_generator() -> AsyncIterator[int]:
        yield 1
        raise ValueError("canary")

    async def consume() -> None:
        async for _ in async_generator():
            pass

    run = {
        "plain": plain,
        "coroutine": lambda: asyncio.run(coroutine()),
        "generator": lambda: list(generator()),
        "async generator": lambda: asyncio.run(consume()),
    }[kind]
    with pytest.raises(ValueError, match="canary"):
        run()
    [span] = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.events == ()
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert "canary" not in span.to_json()


def test_intent_fails(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
    """The span of a call that may not run is ended, as a failure."""
    log.fail(OSError(28, "full"))
    with pytest.raises(Exception, match="full"):
        audited(lambda: None)()
    [span] = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR


def test_switched_off(log: CapturedAudit, spans: InMemorySpanExporter) -> None:
    """With `span=False` there is none, and the lines carry the ids of the caller's."""
    tracer = trace.get_tracer_provider().get_tracer("test")
    with tracer.start_as_current_span("caller"):
        outside = current_ids()
        assert audited("inner", span=False)(current_ids)() == outside
    assert ids(log) == [outside, outside]
    assert [span.name for span in spans.get_finished_spans()] == ["caller"]


def test_not_sampled(log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler that drops every span decides nothing about the lines: they carry its ids."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    inside = audited(current_ids)()
    assert inside[1] != "0" * 16
    assert ids(log) == [inside, inside]
