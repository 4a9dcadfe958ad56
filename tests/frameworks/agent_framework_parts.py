"""A model that says what it is told to, for Microsoft's Agent Framework."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from agent_framework import (
    Agent,
    AgentResponseUpdate,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
)
from agent_framework.observability import ChatTelemetryLayer

from otel_audit import AuditInstrumentor
from otel_audit.testing import CapturedAudit

Say = str | list[tuple[str, str, dict[str, Any]]]
"""A text, in bits where it has bars, or tool calls: name, id and arguments."""


class Client(FunctionInvocationLayer, ChatMiddlewareLayer, ChatTelemetryLayer, BaseChatClient):  # type: ignore[misc]
    """A client with all the layers that the framework's own have."""

    OTEL_PROVIDER_NAME = "fake"
    model = "scripted-1"

    def __init__(self, turn: Callable[[], Say], **options: Any) -> None:
        super().__init__(**options)
        self.turn = turn

    def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **kwargs: Any) -> Any:
        return ResponseStream(self._bits(), finalizer=ChatResponse.from_updates) if stream else self._whole()

    async def _whole(self) -> ChatResponse:
        return ChatResponse(
            messages=[Message("assistant", self._contents(bits=False))],
            response_id="answer-1",
            model="scripted-1-2026",
            finish_reason="stop",
            usage_details={"input_token_count": 7, "output_token_count": 3, "total_token_count": 10},
        )

    async def _bits(self) -> AsyncIterator[ChatResponseUpdate]:
        usage = Content.from_usage({"input_token_count": 7, "output_token_count": 3, "total_token_count": 10})
        for content in [*self._contents(), usage]:
            yield ChatResponseUpdate(
                contents=[content],
                role="assistant",
                response_id="answer-1",
                model="scripted-1-2026",
                finish_reason="stop" if content is usage else None,
            )

    def _contents(self, *, bits: bool = True) -> list[Content]:
        said = self.turn()
        if isinstance(said, str):
            return [Content.from_text(word) for word in (said.split("|") if bits else [said.replace("|", "")])]
        return [Content.from_function_call(call_id, name, arguments=json.dumps(given)) for name, call_id, given in said]


def scripted(*turns: Say | Exception) -> Client:
    """Return a client that takes its turns in order, and then says ``done``."""
    left = list(turns)

    def turn() -> Say:
        said = left.pop(0) if left else "done"
        if isinstance(said, Exception):
            raise said
        return said

    return Client(turn)


async def run(agent: Any, message: Any = "go", **options: Any) -> str:
    """Run an agent, and return its answer."""
    return str((await agent.run(message, **options)).text)


async def stream(agent: Any, message: Any = "go", **options: Any) -> str:
    """Run an agent as a stream, to its end."""
    updates: list[AgentResponseUpdate] = []
    response = agent.run(message, stream=True, **options)
    async for update in response:
        updates.append(update)
    assert (await response.get_final_response()).text == "".join(update.text for update in updates)
    return "".join(update.text for update in updates)


async def final(agent: Any, message: Any = "go", **options: Any) -> str:
    """Run an agent as a stream that nobody looks at, and return its answer."""
    return str((await agent.run(message, stream=True, **options).get_final_response()).text)


WAYS = {"run": run, "stream": stream, "final": final}


@contextlib.contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Audit the framework meanwhile."""
    AuditInstrumentor().instrument(frameworks=["agent_framework"], **settings)
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


def agent(name: str, *turns: Say | Exception, tools: Any = (), **options: Any) -> Agent:
    """Return an agent whose model takes these turns."""
    return Agent(scripted(*turns), name=name, tools=list(tools), **options)
