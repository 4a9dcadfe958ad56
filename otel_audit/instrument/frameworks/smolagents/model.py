"""smolagents: models, by ``generate`` and ``generate_stream`` of every class.

A stream's request is sent at its first step, so that is when its intent is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts
from otel_audit.instrument.frameworks.methods import Inside, Method, entered, stepping, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.frameworks.smolagents.run import audited, current_agent, current_run
from otel_audit.instrument.patch import Wrapper

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction

Args = tuple[Any, ...]
Kwargs = dict[str, Any]

_PROVIDERS: Final = {
    "AmazonBedrockModel": "aws.bedrock",
    "AzureOpenAIModel": "azure.ai.openai",
    "InferenceClientModel": "huggingface",
    "LiteLLMModel": "litellm",
    "LiteLLMRouterModel": "litellm",
    "MLXModel": "mlx",
    "OpenAIModel": "openai",
    "TransformersModel": "transformers",
    "VLLMModel": "vllm",
}
"""``gen_ai.provider.name`` of the framework's own classes."""


def instrument(auditor: Auditor, undo: ExitStack) -> Callable[[], None]:
    """Audit all models; return what finds those that were made or changed unnoticed (`wrap_methods`).

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from smolagents.models import Model

    models = _Models(auditor)
    return wrap_methods(
        (Model,),
        {"generate": models.wrap, "generate_stream": models.wrap_stream},
        undo,
        maker=(Model, "__init_subclass__"),
    )


@dataclass(frozen=True, slots=True)
class _Models:
    """Writes what models are asked; nothing of what is asked or answered."""

    auditor: Auditor

    def wrap(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], model: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                return audited(self.auditor, _act(model), lambda: wrapped(*args, **kwargs), _note_answer)

        return wrapper

    def wrap_stream(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], model: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                return self._stream(model, method, lambda: wrapped(*args, **kwargs))

        return wrapper

    def _stream(self, model: Any, method: Method, ask: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        usage = _Usage()
        asked = False

        def parts() -> Iterator[Any]:
            nonlocal asked
            asked = True
            return _stepped(ask, Inside(model, method), usage)

        try:
            yield from self.auditor.stream(_act(model), parts, usage.note)
        except AuditError as error:
            run = current_run()
            if not asked and run is not None:
                run.refuse(error)
            raise


class _Usage:
    """Tokens of a stream, each part of which tells its own. Used by one reader: no lock."""

    def __init__(self) -> None:
        self.told = False
        self.input_tokens = 0
        self.output_tokens = 0

    def add(self, part: Any) -> None:
        """Count what a part tells."""
        usage = getattr(part, "token_usage", None)
        if usage is not None:
            self.told = True
            self.input_tokens += usage.input_tokens
            self.output_tokens += usage.output_tokens

    def note(self, action: AuditAction, _last: object) -> None:
        """Set it on the call, once its stream is over."""
        if self.told:
            for name, count in token_counts(self.input_tokens, self.output_tokens).items():
                action.set_attribute(name, count)


def _stepped(ask: Callable[[], Iterator[Any]], inside: Inside, usage: _Usage) -> Iterator[Any]:
    """Yield a stream's parts, each step of it as a part of one call."""
    with stepping(inside):
        parts = iter(ask())
    try:
        while True:
            with stepping(inside):
                try:
                    part = next(parts)
                except StopIteration:
                    return
            usage.add(part)
            yield part
    finally:
        inside.is_over = True
        if hasattr(parts, "close"):
            parts.close()


def _act(model: Any) -> Act:
    return model_call(read(model, "model_id"), provider=_provider(type(model)), agent=current_agent())


def _provider(kind: type) -> str:
    return next((_PROVIDERS[cls.__name__] for cls in kind.__mro__ if cls.__name__ in _PROVIDERS), kind.__name__)


def _note_answer(action: AuditAction, answer: Any) -> None:
    usage = getattr(answer, "token_usage", None)
    raw = getattr(answer, "raw", None)
    choices = _of(raw, "choices")
    reason = _of(choices[0], "finish_reason") if isinstance(choices, list) and choices else None
    attributes = {
        **token_counts(getattr(usage, "input_tokens", None), getattr(usage, "output_tokens", None)),
        semconv.GEN_AI_RESPONSE_FINISH_REASONS: [reason[:256]] if isinstance(reason, str) and reason else None,
        semconv.GEN_AI_RESPONSE_MODEL: _text(_of(raw, "model")),
        semconv.GEN_AI_RESPONSE_ID: _text(_of(raw, "id")),
    }
    for name, value in attributes.items():
        if value is not None:
            action.set_attribute(name, value)


def _of(value: Any, name: str) -> Any:
    """Return what a provider's own answer has under a name."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _text(value: object) -> str | None:
    return value[:256] if isinstance(value, str) and value else None
