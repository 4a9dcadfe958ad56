"""A scripted model for smolagents, and the log's lines in a short form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
from otel_audit.entry import Entry
from otel_audit.testing import CapturedAudit

CANARY = "sk-canary-5f2c9d8e7b6a4c3d2e1f0a9b8c7d6e5f"
SHORT = {
    "gen_ai.tool.execute": "tool",
    "gen_ai.model.call": "model",
    "gen_ai.agent.invoke": "agent",
    "gen_ai.guardrail.check": "guardrail",
}

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
    return ToolCallingAgent(
        tools=tools or [], model=model, name=name, description="Works.", verbosity_level=LogLevel.OFF, **kwargs
    )


def coding(name: str | None, script: list[Any], tools: list[Any] | None = None, **kwargs: Any) -> CodeAgent:
    """Return an agent that writes code, with a scripted model."""
    model = kwargs.pop("model", ScriptedModel)(script)
    return CodeAgent(
        tools=tools or [], model=model, name=name, description="Works.", verbosity_level=LogLevel.OFF, **kwargs
    )


def short(entry: Entry) -> str:
    """Return ``tool intent add``, ``tool success add`` and so on."""
    attributes = entry.attributes
    end = attributes.get("audit.decision") or attributes["audit.outcome"]
    phase = "intent" if attributes.get("audit.phase") == "intent" else end
    return f"{SHORT[entry.event_name]} {phase} {attributes.get('audit.target.id')}"


def lines(log: CapturedAudit, *only: str) -> list[str]:
    """Return the log's lines, of these acts only if any is given."""
    return [text for text in map(short, log.entries) if not only or text.split()[0] in only]


def of(log: CapturedAudit, text: str) -> Entry:
    """Return the one entry with this short form."""
    found = [entry for entry in log.entries if short(entry) == text]
    assert len(found) == 1, f"expected one {text!r}, got {lines(log)}"
    return found[0]


def first(step: Callable[[], object], said: Any) -> Callable[[], Any]:
    """Return a step of a script that does something before it answers."""

    def do() -> Any:
        step()
        return said

    return do


def delegation(entry: Entry) -> list[str]:
    """Return who acted, the originating principal first."""
    actor = str(entry.attributes["audit.actor.id"])
    chain = entry.attributes.get("audit.delegation") or [actor]
    assert isinstance(chain, list)
    assert chain[-1] == actor
    return [str(name) for name in chain]
