"""Generators that run in an OpenTelemetry context of their own.

A generator's body runs in the context of whoever asks for the next item. A context attached
in the body would therefore stay attached in the consumer between two items. The functions
here attach the generator's own context before each step and put the consumer's back after
it, so neither sees the other's.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import nullcontext
from contextvars import ContextVar, Token
from typing import Any

from opentelemetry.context import Context, attach, get_current

_here: ContextVar[None] = ContextVar("otel-audit-step")


class OwnContext:
    """A context that is attached for one step at a time and remembered in between.

    Used by one run, of which Python takes one step at a time: no lock.
    """

    __slots__ = ("_outer", "_own", "_token")
    _outer: Context
    _token: Token[None]

    def __init__(self, context: Context) -> None:
        self._own = context

    def __enter__(self) -> None:
        self._token = _here.set(None)
        self._outer = get_current()
        attach(self._own)

    def __exit__(self, *exc_info: object) -> None:
        # A step that waits may be ended from another thread or task (a collected coroutine):
        # there is nothing to undo there. OpenTelemetry's own token would log an error.
        try:
            _here.reset(self._token)
        except ValueError:
            return
        self._own = get_current()
        attach(self._outer)


def resumed(
    inner: Generator[Any, Any, Any],
    enter: Callable[[], Context | None],
    finish: Callable[[Any], None] | None = None,
    fail: Callable[[BaseException, bool], None] | None = None,
) -> Generator[Any, Any, Any]:
    """Yield from a generator, each of its steps in a context of its own.

    Not by ``yield from`` of another generator, which would close this one where its consumer
    throws a `GeneratorExit` in, and lose what the body returns when it is closed.

    Args:
        inner: The generator, not yet begun. ``send``, ``throw`` and ``close`` reach it.
        enter: Called at the first step; returns the context that the body begins in, None for
            its consumer's at each step, as without this.
        finish: Called with what the body returned, when it has ended by itself.
        fail: Called with what ended the body otherwise, and whether that is its consumer's
            closing it.

    Returns:
        What the generator returns.
    """
    own = _own(enter())
    step: Callable[[Any], Any] = inner.send
    given: Any = None
    closing: GeneratorExit | None = None
    try:
        while True:
            with own:
                try:
                    item = step(given)
                except StopIteration as stop:
                    result = stop.value
                    break
                finally:
                    given = None  # an exception that names this frame would keep itself alive
            try:
                given = yield item
                step, closing = inner.send, None
            except BaseException as error:
                # GeneratorExit too: thrown in, it ends the generator as `close` does.
                given, step = error, inner.throw
                closing = error if isinstance(error, GeneratorExit) else None
    except BaseException as error:
        closed, closing = error is closing, None
        if fail is not None:
            fail(error, closed)
        raise
    if closing is not None:
        if fail is not None:
            fail(closing, True)
    elif finish is not None:
        finish(result)
    return result


async def aresumed(
    inner: AsyncGenerator[Any, Any],
    enter: Callable[[], Awaitable[Context | None]],
    finish: Callable[[], Awaitable[None]] | None = None,
    fail: Callable[[BaseException, bool], None] | None = None,
) -> AsyncGenerator[Any, Any]:
    """Yield from an async generator, each of its steps in a context of its own.

    Args:
        inner: The generator, not yet begun. ``asend``, ``athrow`` and ``aclose`` reach it.
        enter: Awaited at the first step; returns the context that the body begins in, None for
            its consumer's at each step, as without this.
        finish: Awaited when the body has ended by itself.
        fail: Called with what ended the body otherwise, and whether that is its consumer's
            closing it.
    """
    own = _own(await enter())
    step: Callable[[Any], Awaitable[Any]] = _unhooked(inner)
    given: Any = None
    closing: GeneratorExit | None = None
    try:
        while True:
            with own:
                try:
                    item = await step(given)
                except StopAsyncIteration:
                    break
                finally:
                    given = None
            try:
                given = yield item
                step, closing = inner.asend, None
            except BaseException as error:
                given, step = error, inner.athrow
                closing = error if isinstance(error, GeneratorExit) else None
    except BaseException as error:
        closed, closing = error is closing, None
        if fail is not None:
            fail(error, closed)
        raise
    if closing is not None and fail is not None:
        fail(closing, True)
    elif closing is None and finish is not None:
        await finish()


def _own(context: Context | None) -> OwnContext | nullcontext[None]:
    return nullcontext() if context is None else OwnContext(context)


def _unhooked(inner: AsyncGenerator[Any, Any]) -> Callable[[Any], Awaitable[Any]]:
    """Return the first ``asend`` of a generator, which the event loop does not learn of.

    The loop closes all async generators that it knows at once when it ends, and would close
    the inner one while the outer one, which is known to it, is closing it.
    """

    def first(given: Any) -> Awaitable[Any]:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return inner.asend(given)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    return first
