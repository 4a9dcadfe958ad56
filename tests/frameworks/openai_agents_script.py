"""A model that says what it is told to say, and the entries of a log in short."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from agents import Agent, Model, ModelResponse, Runner, Usage, set_trace_processors
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseUsage,
)

from otel_audit.instrument.instrumentor import AuditInstrumentor
from otel_audit.testing import CapturedAudit

Step = list[Any] | Exception | Callable[[], Any]


class Script(Model):  # type: ignore[misc]  # mypy does not see the framework
    """Answers with one step after the other: output items, an exception to raise, a function to await."""

    model = "gpt-test"

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)

    async def get_response(self, *_args: Any, **_kwargs: Any) -> ModelResponse:
        usage = Usage(requests=1, input_tokens=11, output_tokens=7, total_tokens=18)
        return ModelResponse(output=await self._next(), usage=usage, response_id="resp_1")

    async def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
        details: Any = {"cached_tokens": 0, "reasoning_tokens": 0, "cache_write_tokens": 0}
        usage = ResponseUsage(
            input_tokens=11,
            output_tokens=7,
            total_tokens=18,
            input_tokens_details=details,
            output_tokens_details=details,
        )
        response = Response(
            id="resp_1",
            created_at=0,
            model="gpt-test-2026",
            object="response",
            output=await self._next(),
            parallel_tool_calls=True,
            status="completed",
            tool_choice="auto",
            tools=[],
            usage=usage,
        )
        yield ResponseCompletedEvent(response=response, sequence_number=0, type="response.completed")

    async def _next(self) -> list[Any]:
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return await step() if callable(step) else step


def say(text: str) -> ResponseOutputMessage:
    """Return a message, the end of a run."""
    content = ResponseOutputText(text=text, type="output_text", annotations=[])
    return ResponseOutputMessage(id="msg_1", content=[content], role="assistant", status="completed", type="message")


def call(name: str, call_id: str, arguments: str = "{}") -> ResponseFunctionToolCall:
    """Return a call of a function tool."""
    return ResponseFunctionToolCall(name=name, call_id=call_id, arguments=arguments, type="function_call")


@contextlib.contextmanager
def event_loop() -> Iterator[None]:
    """Give ``run_sync`` an event loop that is closed at the end; it leaves its own open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def run_async(agent: Agent[Any], prompt: str = "go", **options: Any) -> Any:
    """Run an agent as a coroutine."""
    return asyncio.run(Runner.run(agent, prompt, **options)).final_output


def run_sync(agent: Agent[Any], prompt: str = "go", **options: Any) -> Any:
    """Run an agent blocking."""
    with event_loop():
        return Runner.run_sync(agent, prompt, **options).final_output


def run_streamed(agent: Agent[Any], prompt: str = "go", **options: Any) -> Any:
    """Run an agent, reading its events to the end."""

    async def run() -> Any:
        result = Runner.run_streamed(agent, prompt, **options)
        async for _ in result.stream_events():
            pass
        return result.final_output

    return asyncio.run(run())


RUNS = pytest.mark.parametrize("run", [run_async, run_sync, run_streamed])
"""Every way to run an agent."""


@contextlib.contextmanager
def audited(**settings: Any) -> Iterator[None]:
    """Audit openai-agents meanwhile."""
    set_trace_processors([])  # the default one is for a service on the internet
    instrumentor = AuditInstrumentor()
    instrumentor.instrument(frameworks=["openai_agents"], **settings)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def told(log: CapturedAudit, *event_names: str) -> list[str]:
    """Return each entry as what happens, to what, as what; of these kinds, if any are given."""
    return [
        f"{short(entry.event_name)} {entry.attributes.get('audit.target.id')} {stage(entry.attributes)}"
        for entry in log.entries
        if not event_names or short(entry.event_name) in event_names
    ]


def short(event_name: str) -> str:
    """Return the part of an event name that tells the kind of act."""
    return event_name.split(".")[1]


def stage(attributes: Any) -> str:
    """Return a decision, ``intent``, or how an act ended."""
    if "audit.decision" in attributes:
        return str(attributes["audit.decision"])
    return "intent" if attributes.get("audit.phase") == "intent" else str(attributes["audit.outcome"])


def of(log: CapturedAudit, kind: str, stage_: str | None = None) -> list[Any]:
    """Return the attributes of the entries of one kind."""
    return [
        entry.attributes
        for entry in log.entries
        if short(entry.event_name) == kind and stage_ in (None, stage(entry.attributes))
    ]
