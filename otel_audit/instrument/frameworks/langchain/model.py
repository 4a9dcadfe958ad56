"""LangChain: calls of chat and text models, with nothing of what is asked or answered.

A chat model is wrapped at `generate`, `stream` and their async forms, which all other calls of it
go through, but for its stream of events (version 3 of the protocol), the end of which nothing public tells.
A class that overrides one of the methods by which a model is asked need not go through them: its own
is wrapped, and a call is one act, however many of them it goes through. A second question is another one:
a method that is called anew, or whatever is called when the framework's own has ended.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import ExitStack, aclosing, suppress
from functools import partial
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


def instrument_chat_models(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the calls of all chat models.

    Raises:
        AuditConfigError: This version of langchain-core lacks a function that is wrapped.
    """
    model = named("langchain_core.language_models.chat_models", "BaseChatModel")
    _instrument(auditor, undo, model, "chat")
    # Private, and the only place that sees the end of such a stream; older versions have none.
    for name, wrapper in (("_iter_v2_events", _stream), ("_aiter_v2_events", _astream)):
        if hasattr(model, name):
            undo.callback(wrap(model, name, wrapper(auditor, "chat", (model, name))))


def instrument_text_models(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the calls of all text models.

    Raises:
        AuditConfigError: This version of langchain-core lacks a function that is wrapped.
    """
    _instrument(auditor, undo, named("langchain_core.language_models.llms", "BaseLLM"), "text_completion")


def _instrument(auditor: Auditor, undo: ExitStack, model: Any, operation: str) -> None:
    for name, make in (("generate", _generate), ("agenerate", _agenerate), ("stream", _stream), ("astream", _astream)):
        undo.callback(wrap(model, name, make(auditor, operation, (model, name))))
    wrap_overrides(model, dict.fromkeys(_METHODS, partial(_override, auditor, operation)), undo)


def _override(auditor: Auditor, operation: str, method: Method, function: Any) -> Wrapper:
    name = method[1]
    if inspect.iscoroutinefunction(function) or name in ("ainvoke", "agenerate", "agenerate_prompt"):
        return _agenerate(auditor, operation, method, overrides=True)
    if name in ("stream", "astream"):
        return (_stream if name == "stream" else _astream)(auditor, operation, method, overrides=True)
    return _generate(auditor, operation, method, overrides=True)


def _generate(auditor: Auditor, operation: str, method: Method, *, overrides: bool = False) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        outer = _goes_on(model, method)
        call = outer or _Call(model, method)

        def ask() -> Any:
            try:
                return wrapped(*args, **kwargs)
            finally:
                call.is_over = call.is_over or not overrides

        def begin() -> Any:
            with OwnContext(set_value(_ASKED, call)):
                return ask()

        if outer is None:
            return auditor.run(_asking(model, kwargs, operation), begin, call.judge)
        result = ask()
        outer.answered(result)
        return result

    return wrapper


def _agenerate(auditor: Auditor, operation: str, method: Method, *, overrides: bool = False) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        outer = _goes_on(model, method)
        call = outer or _Call(model, method)

        async def ask() -> Any:
            try:
                return await wrapped(*args, **kwargs)
            finally:
                call.is_over = call.is_over or not overrides

        async def begin() -> Any:
            with OwnContext(set_value(_ASKED, call)):
                return await ask()

        if outer is None:
            return await auditor.arun(_asking(model, kwargs, operation), begin, call.judge)
        result = await ask()
        outer.answered(result)
        return result

    return wrapper


def _stream(auditor: Auditor, operation: str, method: Method, *, overrides: bool = False) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ask = partial(wrapped, *args, **kwargs)
        outer = _goes_on(model, method)
        if outer is not None:
            return ask() if overrides else _ending(ask(), outer)
        streamed = _streamed(auditor, model, method, kwargs, operation, overrides=overrides)
        return streamed.over(_later(ask) if overrides else ask())

    return wrapper


def _astream(auditor: Auditor, operation: str, method: Method, *, overrides: bool = False) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ask = partial(wrapped, *args, **kwargs)
        outer = _goes_on(model, method)
        if outer is not None:
            return ask() if overrides else _aending(ask(), outer)
        streamed = _streamed(auditor, model, method, kwargs, operation, overrides=overrides)
        return streamed.aover(_alater(ask) if overrides else ask())

    return wrapper


def _ending(pieces: Generator[Any, Any, Any], call: _Call) -> Generator[Any, Any, Any]:
    """Note when the framework's own stream is over."""
    try:
        return (yield from pieces)
    finally:
        call.is_over = True


async def _aending(pieces: AsyncGenerator[Any, Any], call: _Call) -> AsyncGenerator[Any, Any]:
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    finally:
        call.is_over = True


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
        method: By which it begins.
        gathered: The object in which a stream of events gathers its message.
        overrides: Whether it is asked by a method of its class's own, which may ask several times.

    Attributes:
        model: The model that is asked.
        methods: Of it, that the call went through so far.
        is_over: Whether the framework's own method has asked and ended; whatever is asked then is another call.
        streamed: Writes the entries of one that answers piece by piece.
    """

    __slots__ = ("_answer", "_gathered", "_inner", "_overrides", "is_over", "methods", "model", "streamed")

    def __init__(self, model: Any, method: Method, gathered: Any = None, *, overrides: bool = False) -> None:
        self.model = model
        self.methods = {method}
        self.is_over = False
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


def _goes_on(model: Any, method: Method) -> _Call | None:
    """Return the call that a method of a model is a part of; None where it begins one, as it does when called anew."""
    call = get_value(_ASKED)
    if not isinstance(call, _Call) or call.model is not model or call.is_over or method in call.methods:
        return None
    call.methods.add(method)
    return call


def _streamed(
    auditor: Auditor, model: Any, method: Method, kwargs: Mapping[str, Any], operation: str, *, overrides: bool
) -> StreamedAct:
    call = _Call(model, method, kwargs.get("stream"), overrides=overrides)
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
