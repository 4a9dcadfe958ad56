"""A scripted model for Google ADK, and the log's lines in a short form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.apps import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types

from otel_audit import AuditInstrumentor

CANARY = "sk-canary-5f2c9d8e7b6a4c3d2e1f0a9b8c7d6e5f"
Request = tuple[str, str, dict[str, Any]]
"""A tool call: the tool's name, the call's id, the arguments."""


class ScriptedModel(BaseLlm):  # type: ignore[misc]  # not installed where the types are checked
    """Answers with what its script says, in order: a text, tool calls, what a callable returns, or an error."""

    model: str = "scripted-1"
    script: Any

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[LlmResponse, None]:
        step = self.script.pop(0)
        await asyncio.sleep(0)
        if callable(step):
            step = step()
        if isinstance(step, BaseException):
            raise step
        calls = [
            types.Part(function_call=types.FunctionCall(name=name, id=call_id, args=arguments))
            for name, call_id, arguments in (step if isinstance(step, list) else ())
        ]
        content = types.Content(role="model", parts=calls or [types.Part(text=step)])
        if stream:
            part = types.Content(role="model", parts=[types.Part(text="…")])
            yield LlmResponse(content=part, partial=True)
        yield LlmResponse(
            content=content,
            finish_reason=types.FinishReason.STOP,
            model_version="scripted-1-2026",
            usage_metadata=types.GenerateContentResponseUsageMetadata(prompt_token_count=7, candidates_token_count=3),
        )


@contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Audit Google ADK for a block."""
    AuditInstrumentor().instrument(frameworks=["google_adk"], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def call_of(tool: str, call_id: str = "call-1", /, **arguments: Any) -> list[Request]:
    """Return what the model answers to have one tool called."""
    return [(tool, call_id, arguments)]


def agent(name: str, script: Any, tools: Sequence[Any] = (), **kwargs: Any) -> LlmAgent:
    """Return an agent with a scripted model."""
    model = kwargs.pop("model", ScriptedModel)(script=script)
    return LlmAgent(name=name, description=f"The {name}.", model=model, tools=list(tools), **kwargs)


def message(text: str = "go") -> types.Content:
    """Return what a user says."""
    return types.Content(role="user", parts=[types.Part(text=text)])


class Chat:
    """One session with an agent.

    Args:
        agent: The agent.
        plugins: Of the app.
        stream: Whether the model's answers are streamed.
    """

    def __init__(self, agent: Any, plugins: Sequence[Any] = (), *, stream: bool = False) -> None:
        self.runner = InMemoryRunner(app=App(name="app", root_agent=agent, plugins=list(plugins)))
        self.config = RunConfig(streaming_mode=StreamingMode.SSE if stream else StreamingMode.NONE)
        self.session: Any = None

    def events(self, said: Any = "go") -> Any:
        """Return the events of one turn, an async generator."""
        return self.runner.run_async(
            user_id="maya", session_id="one", new_message=self._said(said), run_config=self.config
        )

    async def begin(self) -> None:
        """Make the session."""
        if self.session is None:
            self.session = await self.runner.session_service.create_session(
                app_name="app", user_id="maya", session_id="one"
            )

    async def ask(self, said: Any = "go") -> list[Any]:
        """Run one turn, and return its events."""
        await self.begin()
        return [event async for event in self.events(said)]

    def _said(self, said: Any) -> types.Content:
        return message(said) if isinstance(said, str) else said


def text_of(events: Sequence[Any]) -> str:
    """Return the last text of a turn."""
    texts = [
        part.text for event in events for part in (event.content.parts if event.content else None) or () if part.text
    ]
    return texts[-1] if texts else ""
