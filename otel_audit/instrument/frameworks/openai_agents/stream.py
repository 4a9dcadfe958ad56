"""openai-agents: a model call whose answer is a stream.

Whoever reads the stream can also close it, or throw into it: the model's own generator gets
that at once, as without auditing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context, get_current

from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks.act import Act
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.once import warn_once
from otel_audit.instrument.run import CLOSED_EARLY
from otel_audit.interrupt import is_interrupt
from otel_audit.pipeline.resume import OwnContext, aresumed

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

_LAST_EVENTS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})

_log = logging.getLogger(__name__)


class StreamedCall:
    """One call, from its first step to its end. Used by one reader: no lock.

    Args:
        auditor: Writes the entries.
        act: What it is.
        context: Of OpenTelemetry, that the call is made in: its reader has its own at each step.
        judge: Told of the last event that has the model's response, once the stream is over.
    """

    __slots__ = ("_act", "_action", "_auditor", "_context", "_judge", "_last")
    _action: AuditAction

    def __init__(self, auditor: Auditor, act: Act, context: Context, judge: Callable[[AuditAction, Any], None]) -> None:
        self._auditor = auditor
        self._act = act
        self._context = context
        self._judge = judge
        self._last: Any = None

    def over(self, ask: Callable[[], AsyncIterator[Any]]) -> AsyncGenerator[Any, Any]:
        """Return the stream, audited.

        The model is asked at the first step, with the intent durable; where it cannot be
        written, that step raises.
        """
        answer: Any = _Answer(ask, self._note)
        return aresumed(answer, self._enter, self._finish, self._fail)

    async def _enter(self) -> Context:
        with OwnContext(self._context):
            self._action = await self._auditor.astart(self._act)
            with under_way.inside(self._action):
                return get_current()

    async def _finish(self) -> None:
        self._tell()
        await self._action.aend_quietly()

    def _fail(self, error: BaseException, closed: bool) -> None:
        if not closed:
            self._action.fail(error)
            return
        # The framework need not wait for the end of a stream that has told all.
        self._action.set_outcome("unknown", reason=CLOSED_EARLY)
        self._tell()
        self._action.end_quietly()

    def _tell(self) -> None:
        if self._last is not None:
            with OwnContext(self._context):
                self._auditor.judge(self._action, self._last, self._judge)

    def _note(self, event: object) -> None:
        try:
            kind = getattr(event, "type", None)
            if isinstance(kind, str) and kind in _LAST_EVENTS:
                self._last = event
        except BaseException as error:  # what an event's own code raises: the event goes on
            if is_interrupt(error):
                raise
            warn_once(_log, "the outcome of %s lacks what its events tell: %s", self._act.event_name, error)


class _Answer:
    """The generator of a model, asked for at the first step, whose events somebody sees."""

    __slots__ = ("_ask", "_inner", "_see")
    _inner: AsyncGenerator[Any, Any]

    def __init__(self, ask: Callable[[], Any], see: Callable[[object], None]) -> None:
        self._ask: Callable[[], Any] | None = ask
        self._see = see

    def asend(self, given: Any) -> Awaitable[Any]:
        if self._ask is not None:
            answer, self._ask = self._ask(), None
            self._inner = answer if isinstance(answer, AsyncGenerator) else _generated(answer)
        # Called here, not when it is awaited: that is when the event loop would learn of it.
        return self._seen(self._inner.asend(given))

    def athrow(self, error: BaseException) -> Awaitable[Any]:
        return self._seen(self._inner.athrow(error))

    async def _seen(self, step: Awaitable[Any]) -> Any:
        event = await step
        self._see(event)
        return event


async def _generated(answer: AsyncIterator[Any]) -> AsyncGenerator[Any, Any]:
    """Yield what an iterator gives that is no generator, and close it as the framework does: quietly."""
    try:
        async for event in answer:
            yield event
    finally:
        with suppress(Exception):
            close = getattr(answer, "aclose", None) or getattr(answer, "close", None)
            closed = None if close is None else close()
            if isawaitable(closed):
                await closed
