"""A connector that says what it is told to, for Semantic Kernel."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar

from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.chat_completion_client_base import ChatCompletionClientBase
from semantic_kernel.connectors.ai.completion_usage import CompletionUsage
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.prompt_execution_settings import PromptExecutionSettings
from semantic_kernel.contents import (
    ChatMessageContent,
    FunctionCallContent,
    StreamingChatMessageContent,
    StreamingTextContent,
    TextContent,
)
from semantic_kernel.contents.utils.author_role import AuthorRole
from semantic_kernel.contents.utils.finish_reason import FinishReason
from semantic_kernel.functions import kernel_function

from otel_audit import AuditInstrumentor
from otel_audit.testing import CapturedAudit

Say = str | list[tuple[str, str, dict[str, Any]]]
"""A text, in bits where it has bars, or calls: name, id and arguments."""


class Settings(PromptExecutionSettings):  # type: ignore[misc]  # the packages are not there where types are checked
    """Settings with functions."""

    function_choice_behavior: FunctionChoiceBehavior | None = None
    tools: Any = None
    tool_choice: Any = None


class Connector(ChatCompletionClientBase):  # type: ignore[misc]
    """A model of which the program decides what it says."""

    SUPPORTS_FUNCTION_CALLING: ClassVar[bool] = True
    MODEL_PROVIDER_NAME: ClassVar[str] = "fake"
    turn: Callable[[], Say]

    def get_prompt_execution_settings_class(self) -> type[Settings]:
        """Return the class of its settings."""
        return Settings

    def _update_function_choice_settings_callback(self) -> Callable[..., None]:
        return lambda *_args: None

    def _reset_function_choice_settings(self, settings: Any) -> None:
        settings.tool_choice = None

    async def _inner_get_chat_message_contents(self, chat_history: Any, settings: Any) -> list[ChatMessageContent]:
        return [
            ChatMessageContent(
                role=AuthorRole.ASSISTANT,
                items=self._items(TextContent, bits=False),
                finish_reason=FinishReason.STOP,
                ai_model_id="scripted-1-2026",
                metadata=_metadata(),
            )
        ]

    async def _inner_get_streaming_chat_message_contents(
        self, chat_history: Any, settings: Any, function_invoke_attempt: int = 0
    ) -> AsyncIterator[list[StreamingChatMessageContent]]:
        items = self._items(StreamingTextContent, bits=True)
        for number, item in enumerate(items, 1):
            last = number == len(items)
            yield [
                StreamingChatMessageContent(
                    role=AuthorRole.ASSISTANT,
                    choice_index=0,
                    items=[item],
                    finish_reason=FinishReason.STOP if last else None,
                    ai_model_id="scripted-1-2026",
                    metadata=_metadata() if last else {},
                )
            ]

    def _items(self, text: Any, *, bits: bool) -> list[Any]:
        said = self.turn()
        if isinstance(said, str):
            words = said.split("|") if bits else [said.replace("|", "")]
            index = {"choice_index": 0} if text is StreamingTextContent else {}
            return [text(text=word, **index) for word in words]
        return [
            FunctionCallContent(id=call_id, name=name, index=number, arguments=json.dumps(given))
            for number, (name, call_id, given) in enumerate(said)
        ]


def _metadata() -> dict[str, Any]:
    return {"id": "answer-1", "usage": CompletionUsage(prompt_tokens=7, completion_tokens=3)}


def scripted(*turns: Say | Exception) -> Connector:
    """Return a connector that takes its turns in order, and then says ``done``."""
    left = list(turns)

    def turn() -> Say:
        said = left.pop(0) if left else "done"
        if isinstance(said, Exception):
            raise said
        return said

    return Connector(ai_model_id="scripted-1", turn=turn)


def agent(name: str, *turns: Say | Exception, functions: Any = (), plugins: Any = ()) -> ChatCompletionAgent:
    """Return an agent whose model takes these turns, with functions in a plugin called ``tools``."""
    kernel = Kernel()
    for function in functions:
        kernel.add_function("tools", kernel_function(function))
    return ChatCompletionAgent(
        service=scripted(*turns),
        name=name,
        kernel=kernel,
        plugins=list(plugins),
        function_choice_behavior=FunctionChoiceBehavior.Auto(),
    )


async def respond(agent: Any, prompt: str = "go") -> str:
    """Run an agent, and return its answer."""
    return str((await agent.get_response(messages=prompt)).content)


async def invoke(agent: Any, prompt: str = "go") -> str:
    """Run an agent, and return its last message."""
    return [str(item.content) async for item in agent.invoke(messages=prompt)][-1]


async def stream(agent: Any, prompt: str = "go") -> str:
    """Run an agent as a stream, and return its answer."""
    return "".join([str(item.content) async for item in agent.invoke_stream(messages=prompt)])


WAYS = {"get_response": respond, "invoke": invoke, "invoke_stream": stream}


@contextlib.contextmanager
def instrumented(**settings: Any) -> Iterator[None]:
    """Audit Semantic Kernel meanwhile."""
    AuditInstrumentor().instrument(frameworks=["semantic_kernel"], **settings)
    try:
        yield
    finally:
        AuditInstrumentor().uninstrument()


def told(log: CapturedAudit, event: str = "") -> list[tuple[Any, ...]]:
    """Return of each entry the end of the event's name, target, phase, and outcome."""
    return [
        (
            entry.event_name.removeprefix("gen_ai."),
            entry.attributes.get("audit.target.id"),
            entry.attributes.get("audit.phase"),
            entry.attributes["audit.outcome"],
        )
        for entry in log.entries
        if event in entry.event_name
    ]
