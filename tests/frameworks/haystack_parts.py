"""A scripted chat generator for Haystack, and the log's lines in a short form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from haystack import Pipeline, component
from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage, ToolCall
from haystack.tools import Tool, create_tool_from_function

from otel_audit import AuditInstrumentor
from otel_audit.entry import Entry
from otel_audit.testing import CapturedAudit

CANARY = "sk-canary-5f2c9d8e7b6a4c3d2e1f0a9b8c7d6e5f"
SHORT = {
    "gen_ai.tool.execute": "tool",
    "gen_ai.model.call": "model",
    "gen_ai.agent.invoke": "agent",
    "gen_ai.tool.approve": "approval",
}

Request = tuple[str, str, dict[str, Any]]
"""A tool call: the tool's name, the call's id, the arguments."""


@component
class ScriptedModel:
    """Answers with what its script says, in order: a text, tool calls, what a callable returns, or an error."""

    def __init__(self, script: Any) -> None:
        self.script = script
        self.model = "scripted-1"

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage],
        generation_kwargs: Any = None,
        tools: Any = None,
        streaming_callback: Any = None,
    ) -> dict[str, Any]:
        """Answer."""
        return self._answer()

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage],
        generation_kwargs: Any = None,
        tools: Any = None,
        streaming_callback: Any = None,
    ) -> dict[str, Any]:
        """Answer."""
        await asyncio.sleep(0)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        step = self.script.pop(0)
        if callable(step):
            step = step()
        if isinstance(step, BaseException):
            raise step
        calls = step if isinstance(step, list) else []
        meta = {
            "model": "scripted-1-2026",
            "finish_reason": "tool_calls" if calls else "stop",
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }
        requests = [ToolCall(tool_name=name, arguments=arguments, id=call_id) for name, call_id, arguments in calls]
        text = None if calls else step
        return {"replies": [ChatMessage.from_assistant(text, meta=meta, tool_calls=requests)]}


@contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Audit Haystack for a block."""
    AuditInstrumentor().instrument(frameworks=["haystack"], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def call_of(tool: str, call_id: str = "call-1", /, **arguments: Any) -> list[Request]:
    """Return what the model answers to have one tool called."""
    return [(tool, call_id, arguments)]


def task_of(tool: str, call_id: str = "call-1") -> list[Request]:
    """Return what the model answers to give an agent that is a tool some work."""
    return call_of(tool, call_id, messages=[{"role": "user", "content": "do it"}])


def agent(script: Any, tools: Sequence[Any] = (), **kwargs: Any) -> Any:
    """Return an agent with a scripted model."""
    made = [tool if isinstance(tool, Tool) else create_tool_from_function(tool) for tool in tools]
    return Agent(chat_generator=kwargs.pop("model", ScriptedModel)(script), tools=made, **kwargs)


def in_pipeline(name: str, made: Any) -> Any:
    """Return a pipeline of one component."""
    pipeline = Pipeline()
    pipeline.add_component(name, made)
    return pipeline


def messages(text: str = "go") -> list[ChatMessage]:
    """Return what a user says."""
    return [ChatMessage.from_user(text)]


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
