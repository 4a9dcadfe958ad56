"""An act whose steps are those of an async generator.

Its consumer can leave it, close it or throw into it: the generator gets that at once, as
without auditing, and neither sees the other's context.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, get_current, set_value

from otel_audit.errors import AuditError
from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks.act import Act
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.once import warn_once
from otel_audit.instrument.run import CLOSED_EARLY
from otel_audit.instrument.span import end_span, in_span
from otel_audit.interrupt import is_interrupt
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.resume import OwnContext, aresumed

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.pipeline.action import AuditAction

_log = logging.getLogger(__name__)


class Watcher:
    """Is told of what a stream gives, and tells it to the outcome. This one tells nothing."""

    def see(self, item: Any) -> None:
        """Look at an item, before the consumer gets it."""

    def result(self) -> object:
        """Return what a tool's call returned, for the settings that have it recorded."""

    def judge(self, action: AuditAction) -> None:
        """Say how the act ended; of a stream closed early, ``unknown`` was said already."""

    def excuse(self, action: AuditAction, raised: BaseException) -> None:
        """Say so where what was raised is no failure."""

    def unrecorded(self, error: AuditError) -> None:
        """Learn that the intent could not be written, so that nothing was asked for."""

    def own(self, raised: Exception) -> Exception:
        """Return what the consumer gets in place of what was raised; this."""
        return raised


def acted(
    auditor: Auditor,
    act: Act,
    stream: Callable[[], Any],
    watcher: Watcher,
    *,
    within: AbstractContextManager[object] | None = None,
    agent: object = None,
    values: Mapping[str, object] | None = None,
) -> AsyncGenerator[Any, Any]:
    """Return a stream, audited: begun at its first step, with the intent durable.

    Where the intent cannot be written, that step raises, and nothing was asked for.

    Args:
        auditor: Writes the entries.
        act: What it is.
        stream: Asks for the stream: anything to iterate over by ``async for``.
        watcher: Told of what the stream gives.
        within: What the act begins in, such as `Auditor.acting`; used once.
        agent: Name of the agent that acts inside of it.
        values: What else is in the context inside of it.
    """
    run = _Run(auditor, act, watcher, within or nullcontext(), agent, values or {})
    inner: Any = _Seen(stream, run.see, watcher.own)
    return aresumed(inner, run.enter, run.finish, run.fail)


class _Run:
    """One act, from the first step to the last. Used by one reader: no lock."""

    __slots__ = (
        "_act",
        "_action",
        "_agent",
        "_auditor",
        "_context",
        "_span",
        "_values",
        "_watcher",
        "_within",
    )
    _action: AuditAction

    def __init__(
        self,
        auditor: Auditor,
        act: Act,
        watcher: Watcher,
        within: AbstractContextManager[object],
        agent: object,
        values: Mapping[str, object],
    ) -> None:
        self._auditor = auditor
        self._act = act
        self._watcher = watcher
        self._within = within
        self._agent = agent
        self._values = values
        self._span: Span | None = None
        self._context = Context()

    async def enter(self) -> Context:
        try:
            with self._within:
                self._span = self._auditor.start_span(self._act)
                with in_span(self._span):
                    self._action = await self._auditor.astart(self._act)
                    with self._auditor.acting(self._agent), under_way.inside(self._action):
                        self._context = get_current()
        except BaseException as raised:
            if isinstance(raised, AuditError):
                self._watcher.unrecorded(raised)
            if self._span is not None:
                end_span(self._span, error_type_of(raised))
            raise
        for name, value in self._values.items():
            self._context = set_value(name, value, self._context)
        return self._context

    def see(self, item: object) -> None:
        try:
            self._watcher.see(item)
        except BaseException as error:  # what an item's own code raises: the item goes on
            if is_interrupt(error):
                raise
            warn_once(_log, "the outcome of %s lacks what its stream tells: %s", self._act.event_name, error)

    async def finish(self) -> None:
        self._judge()
        await self._action.aend_quietly()
        if self._span is not None:
            self._span.end()

    def fail(self, raised: BaseException, closed: bool) -> None:
        if closed:
            self._action.set_outcome("unknown", reason=CLOSED_EARLY)
            self._judge()
            self._action.end_quietly()
        else:
            self._auditor.excuse(self._action, raised, self._watcher.excuse)
            self._action.fail(raised)
        if self._span is not None:
            end_span(self._span, None if closed else error_type_of(raised))

    def _judge(self) -> None:
        with OwnContext(self._context):
            self._auditor.judge(
                self._action, self._watcher.result(), lambda action, _result: self._watcher.judge(action)
            )


class _Seen:
    """A generator that is asked for at the first step, and whose items somebody sees."""

    __slots__ = ("_ask", "_inner", "_own", "_see")
    _inner: AsyncGenerator[Any, Any]

    def __init__(
        self, ask: Callable[[], Any], see: Callable[[object], None], own: Callable[[Exception], Exception]
    ) -> None:
        self._ask: Callable[[], Any] | None = ask
        self._see = see
        self._own = own

    def asend(self, given: Any) -> Awaitable[Any]:
        if self._ask is not None:
            stream, self._ask = self._ask(), None
            self._inner = stream if isinstance(stream, AsyncGenerator) else _generated(stream)
        # Called here, not when it is awaited: that is when the event loop would learn of it.
        return self._seen(self._inner.asend(given))

    def athrow(self, error: BaseException) -> Awaitable[Any]:
        return self._seen(self._inner.athrow(error))

    async def _seen(self, step: Awaitable[Any]) -> Any:
        try:
            item = await step
        except StopAsyncIteration:
            raise
        except Exception as raised:
            own = self._own(raised)
            if own is raised:
                raise
            raise own from None
        self._see(item)
        return item


def asking(wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any]:
    """Return what asks for a stream.

    Where that makes a generator and does nothing, it is done at once: wrong arguments raise here.
    """
    if inspect.isasyncgenfunction(wrapped):
        generator = wrapped(*args, **kwargs)
        return lambda: generator
    return lambda: wrapped(*args, **kwargs)


async def _generated(stream: Any) -> AsyncGenerator[Any, Any]:
    """Yield what an iterator gives that is no generator, and close it."""
    try:
        async for item in stream:
            yield item
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            with suppress(Exception):
                closed = close()
                if inspect.isawaitable(closed):
                    await closed
