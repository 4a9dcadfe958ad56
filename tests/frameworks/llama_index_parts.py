"""A scripted model for llama-index, and the log's lines in a short form."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import ToolSelection

from otel_audit import AuditInstrumentor, read_log
from otel_audit.entry import Entry
from otel_audit.testing import CapturedAudit

CANARY = "sk-canary-5f2c9d8e7b6a4c3d2e1f0a9b8c7d6e5f"
SHORT = {
    "gen_ai.tool.execute": "tool",
    "gen_ai.model.call": "model",
    "gen_ai.agent.invoke": "agent",
    "gen_ai.agent.handoff": "handoff",
    "gen_ai.guardrail.check": "guardrail",
}


class ScriptedModel(FunctionCallingLLM):  # type: ignore[misc]  # not installed where the types are checked
    """Answers with what its script says, in order: a text, tool calls, what a callable returns, or an error."""

    script: list[Any]
    model: str = "scripted-1"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_function_calling_model=True, is_chat_model=True)

    def _prepare_chat_with_tools(self, tools: Any, chat_history: Any = None, **_kwargs: Any) -> dict[str, Any]:
        return {"messages": chat_history or []}

    def get_tool_calls_from_response(self, response: ChatResponse, **_kwargs: Any) -> list[ToolSelection]:
        return list(response.message.additional_kwargs.get("tool_calls", []))

    def _answer(self) -> ChatResponse:
        step = self.script.pop(0)
        if callable(step):
            step = step()
        if isinstance(step, BaseException):
            raise step
        calls = step if isinstance(step, list) else []
        text = "" if calls else step
        message = ChatMessage(role="assistant", content=text, additional_kwargs={"tool_calls": calls})
        return ChatResponse(
            message=message,
            delta=text,
            raw={
                "id": "answer-1",
                "model": "scripted-1-2026",
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
                "choices": [{"finish_reason": "tool_calls" if calls else "stop"}],
            },
        )

    def chat(self, messages: Any, **_kwargs: Any) -> ChatResponse:
        return self._answer()

    async def achat(self, messages: Any, **_kwargs: Any) -> ChatResponse:
        await asyncio.sleep(0)
        return self._answer()

    def stream_chat(self, messages: Any, **_kwargs: Any) -> Iterator[ChatResponse]:
        def parts() -> Iterator[ChatResponse]:
            yield ChatResponse(message=ChatMessage(role="assistant", content=""), delta="")
            yield self._answer()

        return parts()

    async def astream_chat(self, messages: Any, **_kwargs: Any) -> AsyncIterator[ChatResponse]:
        async def parts() -> AsyncIterator[ChatResponse]:
            yield ChatResponse(message=ChatMessage(role="assistant", content=""), delta="")
            await asyncio.sleep(0)
            yield self._answer()

        return parts()

    def complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> CompletionResponse:
        answer = self.chat([])
        return CompletionResponse(text=answer.message.content or "", raw=answer.raw)

    async def acomplete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> CompletionResponse:
        return self.complete(prompt)

    def stream_complete(self, prompt: str, formatted: bool = False, **_kwargs: Any) -> Iterator[CompletionResponse]:
        for answer in self.stream_chat([]):
            yield CompletionResponse(text=answer.message.content or "", raw=answer.raw)

    async def astream_complete(
        self, prompt: str, formatted: bool = False, **_kwargs: Any
    ) -> AsyncIterator[CompletionResponse]:
        async def parts() -> AsyncIterator[CompletionResponse]:
            for answer in self.stream_chat([]):
                yield CompletionResponse(text=answer.message.content or "", raw=answer.raw)

        return parts()


@contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Audit llama-index for a block."""
    AuditInstrumentor().instrument(frameworks=["llama_index"], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def call_of(tool: str, call_id: str = "call-1", /, **arguments: Any) -> ToolSelection:
    """Return what the model answers to have a tool called."""
    return ToolSelection(tool_id=call_id, tool_name=tool, tool_kwargs=arguments)


def agent(name: str, script: list[Any], tools: list[Any] | None = None, **kwargs: Any) -> FunctionAgent:
    """Return an agent with a scripted model."""
    return FunctionAgent(name=name, description=f"The {name}.", tools=tools, llm=ScriptedModel(script=script), **kwargs)


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


def first(step: Callable[[], object], answer: Any) -> Callable[[], Any]:
    """Return a step of a script that does something before it answers."""

    def do() -> Any:
        step()
        return answer

    return do


def pairs(log: CapturedAudit, act: str) -> dict[str, tuple[Entry, Entry]]:
    """Return intents and their own outcomes, by the call id; the one without under ``""``."""
    outcomes = {entry.attributes.get("audit.intent.id"): entry for entry in log.entries}
    return {
        str(entry.attributes.get("gen_ai.tool.call.id", "")): (entry, outcomes[entry.attributes["audit.record.id"]])
        for entry in log.entries
        if short(entry).startswith(f"{act} intent")
    }


def delegation(entry: Entry) -> list[str]:
    """Return who acted, the originating principal first."""
    actor = str(entry.attributes["audit.actor.id"])
    chain = entry.attributes.get("audit.delegation") or [actor]
    assert isinstance(chain, list)
    assert chain[-1] == actor
    return chain


def last_line(path: str) -> str:
    """Return the last line of a log in its short form, as a tool sees it while it runs."""
    return short(list(read_log(path))[-1])


def recorded(function: Callable[..., Any]) -> str:
    """Return the type of what a call raises."""
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"
