"""llama-index's models: the eight methods of `BaseLLM`, which every way to ask one ends in.

A stream is begun when it is asked for, as some models send the request then, and ended when it
is used up or closed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_audit.instrument.frameworks.act import Act, model_call
from otel_audit.instrument.frameworks.llama_index.answer import note_answer
from otel_audit.instrument.frameworks.llama_index.request import current_agent
from otel_audit.instrument.frameworks.llama_index.stream import Stream, end
from otel_audit.instrument.frameworks.methods import Inside, Method, entered, wrap_methods
from otel_audit.instrument.patch import Wrapper
from otel_audit.instrument.span import in_span

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.instrument.frameworks.auditor import Auditor

_INTEGRATIONS: Final = "llama_index.llms."
"""Where the packages of single providers put their modules."""
_PROVIDERS: Final = {
    "azure_inference": "azure.ai.inference",
    "azure_openai": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "bedrock_converse": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google_genai": "gcp.gemini",
    "mistralai": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""``gen_ai.provider.name`` of those whose package has another name."""


def instrument(auditor: Auditor, undo: ExitStack) -> Callable[[], None]:
    """Audit all models; return what finds those that were made or changed unnoticed (`wrap_methods`).

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from llama_index.core.base.llms.base import BaseLLM
    from llama_index.core.llms.structured_llm import StructuredLLM

    models = _Models(auditor)
    return wrap_methods(
        (BaseLLM,),
        {
            "chat": models.wrap_sync,
            "complete": models.wrap_sync,
            "achat": models.wrap_async,
            "acomplete": models.wrap_async,
            "stream_chat": models.wrap_stream,
            "stream_complete": models.wrap_stream,
            "astream_chat": models.wrap_async_stream,
            "astream_complete": models.wrap_async_stream,
        },
        undo,
        maker=(BaseLLM, "__init_subclass__"),
        leave=StructuredLLM,  # asks another model, which is audited
    )


@dataclass(frozen=True, slots=True)
class _Models:
    """Writes what models are asked; nothing of what is asked or answered."""

    auditor: Auditor

    def wrap_sync(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                return self.auditor.run(_act(model, method), lambda: wrapped(*args, **kwargs), note_answer)

        return wrapper

    def wrap_async(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                return await self.auditor.arun(_act(model, method), lambda: wrapped(*args, **kwargs), note_answer)

        return wrapper

    def wrap_stream(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                act = _act(model, method)
                span = self.auditor.start_span(act)
                stream = None
                try:
                    with in_span(span):
                        stream = Stream(self.auditor, self.auditor.start(act), span, Inside(model, method))
                        answers = wrapped(*args, **kwargs)
                except BaseException as raised:
                    _failed(span, stream, raised)
                    raise
                return stream.steps(answers)

        return wrapper

    def wrap_async_stream(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
            with entered(model, method) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                act = _act(model, method)
                span = self.auditor.start_span(act)
                stream = None
                try:
                    with in_span(span):
                        action = await self.auditor.astart(act)
                        stream = Stream(self.auditor, action, span, Inside(model, method))
                        answers = await wrapped(*args, **kwargs)
                except BaseException as raised:
                    _failed(span, stream, raised)
                    raise
                return stream.asteps(answers)

        return wrapper


def _failed(span: Span | None, stream: Stream | None, raised: BaseException) -> None:
    """End what was begun, where the model, or the intent before, raised."""
    if stream is not None:
        stream.fail(raised)
    else:
        end(span, raised)


def _act(model: Any, method: Method) -> Act:
    return model_call(
        _model_name(model),
        provider=_provider(type(model)),
        agent=current_agent.get(),
        operation="chat" if method.name.endswith("chat") else "text_completion",
    )


def _model_name(model: Any) -> object:
    for attribute in ("model", "model_name"):
        name = getattr(model, attribute, None)
        if isinstance(name, str) and name:
            return name
    try:
        return model.metadata.model_name
    except Exception:  # its own code, which may not know the model
        return None


def _provider(kind: type) -> str:
    for cls in kind.__mro__:
        if cls.__module__.startswith(_INTEGRATIONS):
            package = cls.__module__.removeprefix(_INTEGRATIONS).split(".")[0]
            return _PROVIDERS.get(package, package)
    return kind.__name__
