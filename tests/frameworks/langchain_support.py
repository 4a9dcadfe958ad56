"""A chat model that says what it is told to, and what the tests of LangChain share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from otel_audit import AuditInstrumentor
from otel_audit.entry import Entry
from otel_audit.testing import CapturedAudit

SECRET = "canary-5f2c"
HELLO: dict[str, Any] = {"messages": [("user", "hello")]}


class ScriptedModel(BaseChatModel):  # type: ignore[misc]  # not installed where the types are checked
    """Gives one answer after the other, and raises those that are exceptions."""

    answers: list[Any]
    model_name: str = "scripted-1"

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return ChatResult(generations=[ChatGeneration(message=answer)])


class StreamingModel(ScriptedModel):
    """As `ScriptedModel`, word by word; the tokens are counted with the last one."""

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        answer = self.answers.pop(0)
        for word in answer.content.split():
            yield ChatGenerationChunk(message=AIMessageChunk(word))
        last: Any = AIMessageChunk(
            "",
            tool_calls=answer.tool_calls,
            usage_metadata=answer.usage_metadata,
            response_metadata=answer.response_metadata,
        )
        yield ChatGenerationChunk(message=last)


def model(*answers: Any, kind: type[ScriptedModel] = ScriptedModel, **members: Any) -> ScriptedModel:
    """Return a model that gives these answers; a text is a plain answer."""
    return kind(answers=[says(answer) if isinstance(answer, str) else answer for answer in answers], **members)


def says(text: str) -> AIMessage:
    """Return an answer that ends a run, of 7 tokens on 11."""
    return AIMessage(
        text,
        usage_metadata={"input_tokens": 11, "output_tokens": 7, "total_tokens": 18},
        response_metadata={"finish_reason": "stop", "model_name": "scripted-1-0613", "id": "answer-1"},
    )


def calls(*asked: tuple[str, dict[str, Any]]) -> AIMessage:
    """Return an answer that calls tools; the ids are ``call-1``, ``call-2`` and so on."""
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": args, "id": f"call-{number}"} for number, (name, args) in enumerate(asked, 1)
        ],
    )


@contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Audit LangChain meanwhile."""
    AuditInstrumentor().instrument(frameworks=["langchain"], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def line(entry: Entry) -> tuple[Any, ...]:
    """Return event, target, phase or decision, and outcome."""
    attributes = entry.attributes
    return (
        entry.event_name.removeprefix("gen_ai."),
        attributes.get("audit.target.id"),
        attributes.get("audit.phase") or attributes.get("audit.decision"),
        attributes["audit.outcome"],
    )


def lines(log: CapturedAudit) -> list[tuple[Any, ...]]:
    """Return those of all entries."""
    return [line(entry) for entry in log.entries]


def of(log: CapturedAudit, event: str) -> list[Entry]:
    """Return the entries of one kind of act."""
    return [entry for entry in log.entries if entry.event_name == f"gen_ai.{event}"]


def chain(entry: Entry) -> list[Any]:
    """Return who acts, the originating principal first."""
    actors = entry.attributes.get("audit.delegation", [entry.attributes["audit.actor.id"]])
    assert isinstance(actors, list)
    return actors


def found_intent(log: CapturedAudit, tool: str) -> bool:
    """Return whether the last entry is the intent of this tool, which is running."""
    return line(log.entries[-1]) == ("tool.execute", tool, "intent", "unknown")


def run_in(way: str, agent: Any, given: Any = HELLO, config: Any = None) -> Callable[[], Any]:
    """Return a function that runs an agent in one of the ways that there are, and returns what it gives."""
    import asyncio

    async def collected(items: Any) -> list[Any]:
        return [item async for item in items]

    ways: dict[str, Callable[[], Any]] = {
        "invoke": lambda: agent.invoke(given, config),
        "ainvoke": lambda: asyncio.run(agent.ainvoke(given, config)),
        "stream": lambda: list(agent.stream(given, config)),
        "astream": lambda: asyncio.run(collected(agent.astream(given, config))),
        "messages": lambda: list(agent.stream(given, config, stream_mode="messages")),
        "batch": lambda: agent.batch([given], config),
        "abatch": lambda: asyncio.run(agent.abatch([given], config)),
        "astream_events": lambda: asyncio.run(collected(agent.astream_events(given, config, version="v2"))),
    }
    return ways[way]


WAYS = ("invoke", "ainvoke", "stream", "astream", "messages", "batch", "abatch", "astream_events")
