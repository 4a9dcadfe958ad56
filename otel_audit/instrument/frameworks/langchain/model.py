"""LangChain: calls of chat and text models, with nothing of what is asked or answered.

A chat model is wrapped at `generate`, `stream` and their async forms, which all other calls of it
go through, but for its stream of events (version 3 of the protocol), the end of which nothing public tells.
A class that overrides one of the methods by which a model is asked need not go through them: its own
is wrapped, and a call is one act, however many of them it goes through.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import create_key, get_value, set_value

from otel_audit.instrument.frameworks.act import Act, model_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain.answer import Answer
from otel_audit.instrument.frameworks.langchain.graph import current_agent, named
from otel_audit.instrument.frameworks.langchain.methods import Method, wrap_overrides
from otel_audit.instrument.frameworks.langchain.stream import Setting, StreamedAct
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.resume import OwnContext

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_METHODS: Final = (
    *("invoke", "ainvoke", "generate", "agenerate", "generate_prompt", "agenerate_prompt"),
    *("stream", "astream"),
)
"""By which a model is asked; a class may override each."""
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
    wrap_overrides(model, dict.fromkeys(_METHODS, partial(_override, auditor, operation)), undo)


def _override(auditor: Auditor, operation: str, method: Method, function: Any) -> Wrapper:
    name = method[1]
    if inspect.iscoroutinefunction(function) or name in ("ainvoke", "agenerate", "agenerate_prompt"):
        return _agenerate(auditor, operation)
    if name in ("stream", "astream"):
        return (_stream if name == "stream" else _astream)(auditor, operation, overrides=True)
    return _generate(auditor, operation)


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


def _stream(auditor: Auditor, operation: str, *, overrides: bool = False) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _call_of(model) is not None:
            return wrapped(*args, **kwargs)
        streamed = _streamed(auditor, model, kwargs, operation, overrides=overrides)
        call = partial(wrapped, *args, **kwargs)
        return streamed.over(_later(call) if overrides else call())

    return wrapper


def _astream(auditor: Auditor, operation: str, *, overrides: bool = False) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _call_of(model) is not None:
            return wrapped(*args, **kwargs)
        streamed = _streamed(auditor, model, kwargs, operation, overrides=overrides)
        call = partial(wrapped, *args, **kwargs)
        return streamed.aover(_alater(call) if overrides else call())

    return wrapper


def _later(call: Callable[[], Iterable[Any]]) -> Generator[Any, Any, Any]:
    """Make a call at the first step: a method that is no generator does its work when it is called."""
    return (yield from call())


async def _alater(call: Callable[[], AsyncIterable[Any]]) -> AsyncGenerator[Any, Any]:
    pieces = call()
    try:
        async for piece in pieces:
            yield piece
    finally:
        if hasattr(pieces, "aclose"):
            await pieces.aclose()


class _Call:
    """One call of a model under way.

    Args:
        model: The model that is asked.
        gathered: The object in which a stream of events gathers its message.
        overrides: Whether it is asked by a method of its class's own, which may ask several times.
    """

    __slots__ = ("_answer", "_gathered", "_inner", "_overrides", "model", "streamed")

    def __init__(self, model: Any, gathered: Any = None, *, overrides: bool = False) -> None:
        self.model = model
        self.streamed: StreamedAct | None = None
        self._answer = Answer()
        self._gathered = gathered
        self._inner: list[Any] = []
        self._overrides = overrides

    def see(self, piece: Any) -> None:
        """Take a piece of a stream into account, and the end of one of events, after which nobody asks on."""
        self._answer.add(piece)
        if self.streamed is not None and getattr(self._gathered, "done", False):
            self.streamed.complete()

    def answered(self, result: Any) -> None:
        """Take an answer inside of the call: of a model that cannot stream it is the only piece, and the end."""
        if self.streamed is not None and not self._overrides:
            self.streamed.complete(result)
        else:
            self._inner.append(result)

    def judge(self, action: AuditAction, result: Any) -> None:
        """Set what the answer tells."""
        self._answer.add(getattr(self._gathered, "output_message", None))
        if result is not None:
            self._answer.add_result(result)
        if not self._answer.attributes():  # a method that returns a mere text
            for each in self._inner:
                self._answer.add_result(each)
        for key, value in self._answer.attributes().items():
            action.set_attribute(key, value)


def _call_of(model: Any) -> _Call | None:
    call = get_value(_ASKED)
    return call if isinstance(call, _Call) and call.model is model else None


def _streamed(
    auditor: Auditor, model: Any, kwargs: Mapping[str, Any], operation: str, *, overrides: bool
) -> StreamedAct:
    call = _Call(model, kwargs.get("stream"), overrides=overrides)
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
