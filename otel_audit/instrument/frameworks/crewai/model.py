"""crewai: model calls.

Every model has a ``call`` and an ``acall``, in which the framework has put its retries: they are wrapped outside of
these. The answer is a text or tool calls; tokens and the reason of its end are only told to the event bus, in passing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, model_call, token_counts
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.crewai.tool import current_role, role_of
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_INPUT_TOKENS: Final = ("prompt_tokens", "input_tokens", "prompt_token_count")
_OUTPUT_TOKENS: Final = ("completion_tokens", "output_tokens", "candidates_token_count")

_told: ContextVar[dict[str, object] | None] = ContextVar("otel-audit-crewai-told", default=None)
"""What is told of the answer of the call under way."""


def instrument(auditor: Auditor, undo: ExitStack) -> Callable[[], None]:
    """Audit all models; return what finds those that were made or changed unnoticed (`wrap_methods`).

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    model = import_module("crewai.llms.base_llm").BaseLLM
    import_module("crewai.llm")
    models = _Models(auditor)
    undo.callback(wrap(model, "_emit_call_completed_event", _note))
    return wrap_methods(
        (model,), {"call": models.call, "acall": models.acall}, undo, maker=(model, "__init_subclass__")
    )


class _Models:
    """The wrappers around a model's methods. Thread-safe."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor

    def call(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                told: dict[str, object] = {}
                with having(_told, told):
                    return self._auditor.run(_act(model, kwargs), lambda: wrapped(*args, **kwargs), _judge(told))

        return wrapper

    def acall(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Awaitable[Any]], model: Any, args: Any, kwargs: Any) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                told: dict[str, object] = {}
                with having(_told, told):
                    return await self._auditor.arun(_act(model, kwargs), lambda: wrapped(*args, **kwargs), _judge(told))

        return wrapper


def _act(model: Any, kwargs: Mapping[str, Any]) -> Act:
    kind = type(model)
    # The program's own classes have the default, which is OpenAI's.
    provider = getattr(model, "provider", None) if kind.__module__.startswith("crewai.") else kind.__name__
    agent = role_of(kwargs.get("from_agent")) or current_role.get()
    return model_call(model.model, provider=provider if isinstance(provider, str) else None, agent=agent)


def _note(wrapped: Callable[..., Any], _model: object, args: Any, kwargs: Any) -> Any:
    """Note what is told of an answer when it is complete."""
    told = _told.get()
    if told is not None:
        told.update({name: kwargs.get(name) for name in ("usage", "finish_reason", "response_id")})
    return wrapped(*args, **kwargs)


def _judge(told: Mapping[str, object]) -> Callable[[AuditAction, object], None]:
    def judge(action: AuditAction, _answer: object) -> None:
        usage = told.get("usage")
        if isinstance(usage, Mapping):
            for name, count in token_counts(_count(usage, _INPUT_TOKENS), _count(usage, _OUTPUT_TOKENS)).items():
                action.set_attribute(name, count)
        if isinstance(reason := told.get("finish_reason"), str):
            action.set_attribute(semconv.GEN_AI_RESPONSE_FINISH_REASONS, [reason])
        if isinstance(response_id := told.get("response_id"), str):
            action.set_attribute(semconv.GEN_AI_RESPONSE_ID, response_id)

    return judge


def _count(usage: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((usage[name] for name in names if type(usage.get(name)) is int), None)
