"""An act that gives its result piece by piece, in an OpenTelemetry context of its own.

A generator's body runs in the context of whoever asks for the next item. Here each step of it
runs in the act's: in its span, and by its agent.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context, get_current, set_value
from opentelemetry.trace import Span, set_span_in_context

from otel_audit.instrument.frameworks.act import Act
from otel_audit.instrument.frameworks.auditor import Auditor, Excuse, Judge, close
from otel_audit.instrument.once import warn_once
from otel_audit.instrument.span import current_tracer, end_span
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.resume import OwnContext, aresumed, resumed

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What an act is, and what its body runs in.

    Attributes:
        act: The act.
        callers: Names of the agents that led to it, behind those that act already.
        agent: Name of the agent that acts inside of it.
        mark: A key and a value of the body's context.
    """

    act: Act
    callers: Sequence[str] = ()
    agent: object = None
    mark: tuple[str, object]


class StreamedAct:
    """One act, from its first step to its end. Used by one run: no lock.

    Args:
        auditor: Writes the entries.
        prepare: Called at the first step.
        see: Told of each item, on the way to whoever asked for it.
        judge: Told when the body has ended by itself.
        excuse: Told of what it raised.
    """

    __slots__ = ("_action", "_auditor", "_excuse", "_judge", "_prepare", "_see", "_span")
    _action: AuditAction
    _span: Span | None

    def __init__(
        self,
        auditor: Auditor,
        prepare: Callable[[], Setting],
        see: Callable[[Any], None],
        judge: Judge,
        excuse: Excuse | None = None,
    ) -> None:
        self._auditor = auditor
        self._prepare = prepare
        self._see = see
        self._judge = judge
        self._excuse = excuse

    def over(self, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Return the generator, audited.

        The intent is durable before its first step; where it cannot be written, that step raises.
        """
        observed: Any = _Observed(inner, self._note)
        return resumed(observed, self._enter, self._finish, self._fail)

    def aover(self, inner: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
        """As `over`, for async generators."""
        observed: Any = _AsyncObserved(inner, self._note)
        return aresumed(observed, self._aenter, self._afinish, self._fail)

    def complete(self, result: object = None) -> None:
        """Write the outcome now, of a body that is done, whether or not anybody asks for its next item.

        Args:
            result: What the judge is told of.
        """
        self._finish(result)

    def _enter(self) -> Context:
        setting = self._prepare()
        with OwnContext(self._open_span(setting.act)), ExitStack() as callers:
            for name in setting.callers:
                callers.enter_context(self._auditor.acting(name))
            try:
                self._action = self._auditor.start(setting.act)
            except BaseException as error:
                self._end_span(error)
                raise
            return self._body(setting)

    async def _aenter(self) -> Context:
        setting = self._prepare()
        with OwnContext(self._open_span(setting.act)), ExitStack() as callers:
            for name in setting.callers:
                callers.enter_context(self._auditor.acting(name))
            try:
                self._action = await self._auditor.astart(setting.act)
            except BaseException as error:
                self._end_span(error)
                raise
            return self._body(setting)

    def _body(self, setting: Setting) -> Context:
        with self._auditor.acting(setting.agent):
            return set_value(*setting.mark, get_current())

    def _finish(self, result: object) -> None:
        self._auditor.judge(self._action, result, self._judge)
        self._action.end_quietly()
        self._end_span()

    async def _afinish(self) -> None:
        self._auditor.judge(self._action, None, self._judge)
        await self._action.aend_quietly()
        self._end_span()

    def _fail(self, error: BaseException, closed: bool) -> None:
        if closed:
            close(self._action)
            self._end_span()
            return
        self._auditor.excuse(self._action, error, self._excuse)
        self._action.fail(error)
        self._end_span(error)

    def _note(self, item: object) -> None:
        try:
            self._see(item)
        except Exception as error:  # what an item's own code raises: the item goes on
            warn_once(_log, "the outcome of %s lacks what its items tell: %s", self._action.event_name, error)

    def _open_span(self, act: Act) -> Context:
        self._span = None
        tracer = current_tracer()
        if tracer is None or trace.get_current_span().get_span_context().is_valid:
            return get_current()
        name = act.event_name if act.target is None else f"{act.event_name} {act.target.id}"
        self._span = tracer.start_span(name, record_exception=False, set_status_on_exception=False)
        return set_span_in_context(self._span)

    def _end_span(self, error: BaseException | None = None) -> None:
        span, self._span = self._span, None
        if span is not None:
            end_span(span, None if error is None else error_type_of(error))


class _Observed:
    """A generator that somebody sees the items of."""

    __slots__ = ("_inner", "_see")

    def __init__(self, inner: Generator[Any, Any, Any], see: Callable[[Any], None]) -> None:
        self._inner = inner
        self._see = see

    def send(self, given: Any) -> Any:
        item = self._inner.send(given)
        self._see(item)
        return item

    def throw(self, error: BaseException) -> Any:
        item = self._inner.throw(error)
        self._see(item)
        return item


class _AsyncObserved:
    """An async generator that somebody sees the items of."""

    __slots__ = ("_inner", "_see")

    def __init__(self, inner: AsyncGenerator[Any, Any], see: Callable[[Any], None]) -> None:
        self._inner = inner
        self._see = see

    def asend(self, given: Any) -> Awaitable[Any]:
        # Called here, not when it is awaited: that is when the event loop would learn of it.
        return self._seen(self._inner.asend(given))

    def athrow(self, error: BaseException) -> Awaitable[Any]:
        return self._seen(self._inner.athrow(error))

    async def _seen(self, step: Awaitable[Any]) -> Any:
        item = await step
        self._see(item)
        return item
