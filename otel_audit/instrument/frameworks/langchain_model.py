"""LangChain: calls of chat and text models, with nothing of what is asked or answered.

A chat model is wrapped at `generate`, `stream` and their async forms, which all other calls of it
go through, but for its stream of events (version 3 of the protocol), the end of which nothing public tells.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import create_key, get_value, set_value

from otel_audit.instrument.frameworks.act import Act, model_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain_answer import Answer
from otel_audit.instrument.frameworks.langchain_graph import current_agent, named
from otel_audit.instrument.frameworks.langchain_stream import Setting, StreamedAct
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.resume import OwnContext

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_ASKED: Final = create_key("otel-audit-langchain-model")
"""The call that is on record: a model that cannot stream calls its own `invoke`."""


def instrument_chat_models(auditor: Auditor, undo: ExitStack, module: ModuleType) -> None:
    """Audit the calls of all chat models.

    Raises:
        AuditConfigError: This version of langchain-core lacks a function that is wrapped.
    """
    model = named(module, "BaseChatModel")
    _instrument(auditor, undo, model, "chat")
    # Private, and the only place that sees the end of such a stream; older versions have none.
    for name, wrapper in (("_iter_v2_events", _stream), ("_aiter_v2_events", _astream)):
        if hasattr(model, name):
            undo.callback(wrap(model, name, wrapper(auditor, "chat")))


def instrument_text_models(auditor: Auditor, undo: ExitStack, module: ModuleType) -> None:
    """Audit the calls of all text models.

    Raises:
        AuditConfigError: This version of langchain-core lacks a function that is wrapped.
    """
    _instrument(auditor, undo, named(module, "BaseLLM"), "text_completion")


def _instrument(auditor: Auditor, undo: ExitStack, model: Any, operation: str) -> None:
    undo.callback(wrap(model, "generate", _generate(auditor, operation)))
    undo.callback(wrap(model, "agenerate", _agenerate(auditor, operation)))
    undo.callback(wrap(model, "stream", _stream(auditor, operation)))
    undo.callback(wrap(model, "astream", _astream(auditor, operation)))


def _generate(auditor: Auditor, operation: str) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _Call(model)

        def ask() -> Any:
            with OwnContext(set_value(_ASKED, call)):
                return wrapped(*args, **kwargs)

        outer = _call_of(model)
        if outer is None:
            return auditor.run(_asking(model, kwargs, operation), ask, call.judge)
        result = wrapped(*args, **kwargs)
        outer.answered(result)
        return result

    return wrapper


def _agenerate(auditor: Auditor, operation: str) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        call = _Call(model)

        async def ask() -> Any:
            with OwnContext(set_value(_ASKED, call)):
                return await wrapped(*args, **kwargs)

        outer = _call_of(model)
        if outer is None:
            return await auditor.arun(_asking(model, kwargs, operation), ask, call.judge)
        result = await wrapped(*args, **kwargs)
        outer.answered(result)
        return result

    return wrapper


def _stream(auditor: Auditor, operation: str) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _call_of(model) is not None:
            return wrapped(*args, **kwargs)
        return _streamed(auditor, model, kwargs, operation).over(wrapped(*args, **kwargs))

    return wrapper


def _astream(auditor: Auditor, operation: str) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _call_of(model) is not None:
            return wrapped(*args, **kwargs)
        return _streamed(auditor, model, kwargs, operation).aover(wrapped(*args, **kwargs))

    return wrapper


class _Call:
    """One call of a model under way.

    Args:
        model: The model that is asked.
        gathered: The object in which a stream of events gathers its message.
    """

    __slots__ = ("_answer", "_gathered", "model", "streamed")

    def __init__(self, model: Any, gathered: Any = None) -> None:
        self.model = model
        self.streamed: StreamedAct | None = None
        self._answer = Answer()
        self._gathered = gathered

    def see(self, piece: Any) -> None:
        """Take a piece of a stream into account, and the end of one of events, after which nobody asks on."""
        self._answer.add(piece)
        if self.streamed is not None and getattr(self._gathered, "done", False):
            self.streamed.complete()

    def answered(self, result: Any) -> None:
        """Take the whole answer of a model that cannot stream: it is the stream's only piece, and its end."""
        if self.streamed is not None:
            self.streamed.complete(result)

    def judge(self, action: AuditAction, result: Any) -> None:
        """Set what the answer tells."""
        self._answer.add(getattr(self._gathered, "output_message", None))
        if result is not None:
            self._answer.add_result(result)
        for key, value in self._answer.attributes().items():
            action.set_attribute(key, value)


def _call_of(model: Any) -> _Call | None:
    call = get_value(_ASKED)
    return call if isinstance(call, _Call) and call.model is model else None


def _streamed(auditor: Auditor, model: Any, kwargs: Mapping[str, Any], operation: str) -> StreamedAct:
    call = _Call(model, kwargs.get("stream"))
    call.streamed = StreamedAct(
        auditor, lambda: Setting(act=_asking(model, kwargs, operation), mark=(_ASKED, call)), call.see, call.judge
    )
    return call.streamed


def _asking(model: Any, kwargs: Mapping[str, Any], operation: str) -> Act:
    """Return the act, named as LangChain names models in its own traces."""
    name = provider = None
    with suppress(Exception):  # a method of the model class's own
        given = {key: kwargs[key] for key in ("stop", "model") if key in kwargs}
        params = model._get_ls_params(**given)  # noqa: SLF001 - model classes override it; no public one tells
        name, provider = params.get("ls_model_name"), params.get("ls_provider")
    return model_call(name or type(model).__name__, provider=provider, agent=current_agent(), operation=operation)
