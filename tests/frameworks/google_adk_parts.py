"""A scripted model for Google ADK, and the log's lines in a short form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
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
from otel_audit.entry import Entry
from otel_audit.testing import CapturedAudit

CANARY = "sk-canary-5f2c9d8e7b6a4c3d2e1f0a9b8c7d6e5f"
SHORT = {
    "gen_ai.tool.execute": "tool",
    "gen_ai.model.call": "model",
    "gen_ai.agent.invoke": "agent",
    "gen_ai.agent.handoff": "handoff",
    "gen_ai.guardrail.check": "guardrail",
    "gen_ai.tool.approve": "approval",
}

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
