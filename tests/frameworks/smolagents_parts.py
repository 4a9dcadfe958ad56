"""A scripted model for smolagents, and the log's lines in a short form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from smolagents import CodeAgent, LogLevel, Model, ToolCallingAgent
from smolagents.models import (
    ChatMessage,
    ChatMessageStreamDelta,
    ChatMessageToolCall,
    ChatMessageToolCallFunction,
    ChatMessageToolCallStreamDelta,
    MessageRole,
)
from smolagents.monitoring import TokenUsage

from otel_audit import AuditInstrumentor

CANARY = "sk-canary-5f2c9d8e7b6a4c3d2e1f0a9b8c7d6e5f"
Request = tuple[str, str, dict[str, Any]]
"""A tool call: the tool's name, the call's id, the arguments."""


class ScriptedModel(Model):  # type: ignore[misc]  # not installed where the types are checked
    """Answers with what its script says, in order: a text, tool calls, what a callable returns, or an error."""

    def __init__(self, script: Any, **kwargs: Any) -> None:
        super().__init__(model_id="scripted-1", **kwargs)
        self.script = script

    def _next(self) -> Any:
        step = self.script.pop(0)
        if callable(step):
            step = step()
        if isinstance(step, BaseException):
            raise step
        return step

    def generate(self, messages: Any, **_kwargs: Any) -> ChatMessage:
        step = self._next()
        calls = [
            ChatMessageToolCall(
                id=call_id, type="function", function=ChatMessageToolCallFunction(name=name, arguments=arguments)
            )
            for name, call_id, arguments in (step if isinstance(step, list) else ())
        ]
        choice = SimpleNamespace(finish_reason="tool_calls" if calls else "stop")
        return ChatMessage(
            role=MessageRole.ASSISTANT,
            content=None if calls else step,
            tool_calls=calls or None,
            raw=SimpleNamespace(id="answer-1", model="scripted-1-2026", choices=[choice]),
            token_usage=TokenUsage(input_tokens=7, output_tokens=3),
        )


class StreamingModel(ScriptedModel):
    """As `ScriptedModel`, and can stream its answers."""

    def generate_stream(self, messages: Any, **_kwargs: Any) -> Iterator[ChatMessageStreamDelta]:
        step = self._next()
        yield ChatMessageStreamDelta(content="", token_usage=TokenUsage(input_tokens=7, output_tokens=0))
        if not isinstance(step, list):
            yield ChatMessageStreamDelta(content=step, token_usage=TokenUsage(input_tokens=0, output_tokens=3))
            return
        for index, (name, call_id, arguments) in enumerate(step):
            function = ChatMessageToolCallFunction(name=name, arguments=json.dumps(arguments))
            delta = ChatMessageToolCallStreamDelta(index=index, id=call_id, type="function", function=function)
            usage = TokenUsage(input_tokens=0, output_tokens=3)
            yield ChatMessageStreamDelta(content="", tool_calls=[delta], token_usage=usage)


@contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Audit smolagents for a block."""
    AuditInstrumentor().instrument(frameworks=["smolagents"], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def call_of(tool: str, call_id: str = "call-1", /, **arguments: Any) -> list[Request]:
    """Return what the model answers to have one tool called."""
    return [(tool, call_id, arguments)]


def answer(text: str = "done", call_id: str = "call-9") -> list[Request]:
    """Return what the model answers to end the run."""
    return call_of("final_answer", call_id, answer=text)


def code(text: str) -> str:
    """Return what the model answers to have code executed."""
    return f"Thought: so.\n<code>\n{text}\n</code>"


def calling(name: str | None, script: Any, tools: list[Any] | None = None, **kwargs: Any) -> ToolCallingAgent:
    """Return an agent that calls tools, with a scripted model."""
    model = kwargs.pop("model", ScriptedModel)(script)
    return kwargs.pop("kind", ToolCallingAgent)(
        tools=tools or [], model=model, name=name, description="Works.", verbosity_level=LogLevel.OFF, **kwargs
    )


def coding(name: str | None, script: list[Any], tools: list[Any] | None = None, **kwargs: Any) -> CodeAgent:
    """Return an agent that writes code, with a scripted model."""
    model = kwargs.pop("model", ScriptedModel)(script)
    return CodeAgent(
        tools=tools or [], model=model, name=name, description="Works.", verbosity_level=LogLevel.OFF, **kwargs
    )
