"""Google ADK: models, by `BaseLlm.generate_content_async` of every class, streaming or not.

An answer is an async generator in any case, which the framework does not read to its end before it
calls the tools that the answer asks for: the outcome is written once the whole answer is there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.errors import AuditError
from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks.act import model_call, token_counts
from otel_audit.instrument.frameworks.auditor import close
from otel_audit.instrument.frameworks.google_adk.turn import closed, current_run, refuse
from otel_audit.instrument.frameworks.methods import Inside, Method, entered, stepping, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.patch import Wrapper

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction

_PROVIDERS: Final = {
    "AnthropicLlm": "anthropic",
    "ApigeeLlm": "apigee",
    "Claude": "gcp.vertex_ai",
    "Gemini": "gcp.gemini",
    "Gemma": "gcp.gemini",
    "LiteLlm": "litellm",
}
"""``gen_ai.provider.name`` of the framework's own classes."""


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all models.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from google.adk.models.base_llm import BaseLlm

    models = _Models(auditor)
    wrap_methods(
        (BaseLlm,),
        {"generate_content_async": models.wrap},
        undo,
        maker=(BaseLlm, "__init_subclass__"),
        leave=_asks_others(),
    )


def _asks_others() -> type | None:
    """Return the class of models that ask others, each of which is audited."""
    try:
        from google.adk.models._fallback_model import FallbackModel
    except ImportError:  # of this version's own
        return None
    return FallbackModel  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _Models:
    """Writes what models are asked; nothing of what is asked or answered."""

    auditor: Auditor

    def wrap(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
            request = args[0] if args else kwargs.get("llm_request")
            streams = bool(kwargs.get("stream", args[1] if len(args) > 1 else False))
            return self._ask(model, request, lambda: wrapped(*args, **kwargs), Inside(model, method), streams)

        return wrapper

    async def _ask(
        self, model: Any, request: Any, ask: Callable[[], Any], inside: Inside, streams: bool
    ) -> AsyncGenerator[Any, Any]:
        run = current_run()
        act = model_call(
            getattr(request, "model", None) or read(model, "model"),
            provider=_provider(type(model)),
            agent=None if run is None else run.agent,
        )
        try:
            action = await self.auditor.astart(act)
        except AuditError as error:
            refuse(error)
            raise
        ended = False
        try:
            with under_way.inside(action), stepping(inside):
                answers = aiter(ask())
            try:
                while True:
                    with under_way.inside(action), stepping(inside):
                        try:
                            answer = await anext(answers)
                        except StopAsyncIteration:
                            break
                    if not ended:
                        self.auditor.judge(action, answer, _note_answer)
                        if _is_whole(answer, streams=streams):
                            # Tools are called before the framework asks for more, which does not come.
                            ended = True
                            await action.aend_quietly()
                    yield answer
            finally:
                inside.is_over = True
                await closed(answers)
        except GeneratorExit:
            if not ended:
                close(action)
            raise
        except BaseException as error:
            if not ended:
                action.fail(error)
            raise
        if not ended:
            await action.aend_quietly()


def _is_whole(answer: Any, *, streams: bool) -> bool:
    """Whether an answer is the last one of its call; of a stream, that has them all in it."""
    if getattr(answer, "partial", None):
        return False
    told = (getattr(answer, name, None) for name in ("finish_reason", "usage_metadata", "error_code"))
    return not streams or any(value is not None for value in told)


def _provider(kind: type) -> str:
    return next((_PROVIDERS[cls.__name__] for cls in kind.__mro__ if cls.__name__ in _PROVIDERS), kind.__name__)


def _note_answer(action: AuditAction, answer: Any) -> None:
    usage = getattr(answer, "usage_metadata", None)
    reason = getattr(getattr(answer, "finish_reason", None), "value", None)
    model = getattr(answer, "model_version", None)
    error = getattr(answer, "error_code", None)
    attributes = {
        **token_counts(getattr(usage, "prompt_token_count", None), getattr(usage, "candidates_token_count", None)),
        semconv.GEN_AI_RESPONSE_FINISH_REASONS: [reason[:256]] if isinstance(reason, str) and reason else None,
        semconv.GEN_AI_RESPONSE_MODEL: model[:256] if isinstance(model, str) and model else None,
    }
    for name, value in attributes.items():
        if value is not None:
            action.set_attribute(name, value)
    if isinstance(error, str) and error:
        action.set_outcome("failure", error_type=error[:256])
