"""A scripted chat generator for Haystack, and the log's lines in a short form."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from haystack import Pipeline, component
from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage, ToolCall
from haystack.tools import Tool, create_tool_from_function

from otel_audit import AuditInstrumentor

CANARY = "sk-canary-5f2c9d8e7b6a4c3d2e1f0a9b8c7d6e5f"
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
