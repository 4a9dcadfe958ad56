"""Semantic Kernel: model calls.

Every connector of a model gives the framework a method that makes one request, and a second one for streams; the
framework calls them again for each turn of a conversation with tools. Nothing of what is asked or answered is recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.begun import CALL, begin, current_agent, goes_on, values
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.patch import Wrapper
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_CONNECTORS: Final = (
    (
        "chat",
        "chat_completion_client_base",
        "ChatCompletionClientBase",
        ("_inner_get_chat_message_contents",),
        ("_inner_get_streaming_chat_message_contents",),
    ),
    (
        "text_completion",
        "text_completion_client_base",
        "TextCompletionClientBase",
        ("_inner_get_text_contents",),
        ("_inner_get_streaming_text_contents",),
    ),
    (
        "embeddings",
        "embedding_generator_base",
        "EmbeddingGeneratorBase",
        ("generate_embeddings", "generate_raw_embeddings"),
        (),
    ),
)
"""``gen_ai.operation.name``, module, class, and the methods that ask, whole and as a stream."""


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all connectors of chat, text and embedding models.

    Raises:
        AuditConfigError: This version lacks something that is wrapped.
    """
    for operation, module, name, whole, streamed in _CONNECTORS:
        connector: Any = getattr(import_module(f"semantic_kernel.connectors.ai.{module}"), name)
        asking = _Asking(auditor, operation)
        wrappers = dict.fromkeys(whole, asking.ask) | dict.fromkeys(streamed, asking.stream)
        for method in wrappers:  # of a class of the program's own it would say nothing
            if not hasattr(connector, method):
                raise AuditConfigError(
                    f"nothing to audit: expected {name} to have {method!r}, got a version without it"
                )
        wrap_methods((connector,), wrappers, undo, maker=(connector, "__init_subclass__"))


class _Answer(Watcher):
    """What an answer tells of itself, all at once or bit by bit."""

    def __init__(self) -> None:
        self._members: dict[str, object] = {}

    def see(self, item: Any) -> None:
        """Take what the messages of an answer tell."""
        for message in item if isinstance(item, Iterable) else ():
            metadata = getattr(message, "metadata", None) or {}
            if isinstance(model := getattr(message, "ai_model_id", None), str):
                self._members[semconv.GEN_AI_RESPONSE_MODEL] = model
            if isinstance(answer_id := metadata.get("id"), str):
                self._members[semconv.GEN_AI_RESPONSE_ID] = answer_id
            if isinstance(finish := getattr(message, "finish_reason", None), str):
                self._members[semconv.GEN_AI_RESPONSE_FINISH_REASONS] = [getattr(finish, "value", finish)]
            usage = metadata.get("usage")
            if usage is not None:
                self._members |= token_counts(
                    getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
                )

    def judge(self, action: AuditAction, result: Any = None) -> None:
        """Tell of the answer which model gave it, why it ended and what it cost."""
        self.see(result)
        for name, value in self._members.items():
            action.set_attribute(name, value)


class _Asking:
    """The wrappers around one kind of connector."""

    def __init__(self, auditor: Auditor, operation: str) -> None:
        self._auditor = auditor
        self._operation = operation

    def ask(self, method: Method) -> Wrapper:
        """Return the wrapper of a method that returns an answer."""

        async def wrapper(
            wrapped: Callable[..., Awaitable[Any]], connector: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> Any:
            if goes_on(CALL, connector, method):
                return await wrapped(*args, **kwargs)

            async def call() -> Any:
                with made_current(begin(CALL, connector, method)):
                    return await wrapped(*args, **kwargs)

            judge = None if self._operation == "embeddings" else _Answer().judge
            return await self._auditor.arun(self._act(connector, args, kwargs), call, judge)

        return wrapper

    def stream(self, method: Method) -> Wrapper:
        """Return the wrapper of a method that returns an answer bit by bit."""

        def wrapper(wrapped: Callable[..., Any], connector: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if goes_on(CALL, connector, method):
                return wrapped(*args, **kwargs)
            inside = values(CALL, connector, method)
            act = self._act(connector, args, kwargs)
            return acted(self._auditor, act, lambda: wrapped(*args, **kwargs), _Answer(), values=inside)

        return wrapper

    def _act(self, connector: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Act:
        settings = args[1] if len(args) > 1 else kwargs.get("settings")
        provider = getattr(connector, "MODEL_PROVIDER_NAME", None)
        return model_call(
            getattr(settings, "ai_model_id", None) or connector.ai_model_id,
            provider=provider if isinstance(provider, str) else None,
            agent=current_agent(),
            operation=self._operation,
        )
