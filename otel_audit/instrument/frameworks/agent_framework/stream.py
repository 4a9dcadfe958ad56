"""Microsoft's Agent Framework: acts whose result is a stream.

The program gets a stream of the framework's own class, as it expects one, and the stream
that it would have got is inside of it: closing, errors and the final response go through.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach, get_current

from otel_audit.instrument import under_way
from otel_audit.instrument.frameworks.act import Act
from otel_audit.instrument.frameworks.agent_framework.part import part
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.begun import begin
from otel_audit.instrument.frameworks.methods import Method
from otel_audit.instrument.once import warn_once
from otel_audit.instrument.run import CLOSED_EARLY
from otel_audit.instrument.span import end_span, in_span
from otel_audit.interrupt import is_interrupt
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.pipeline.action import AuditAction

_log = logging.getLogger(__name__)

_step: ContextVar[None] = ContextVar("otel-audit-agent-framework-step")


class Watcher:
    """Is told of what a stream or a call gives, and tells it to the outcome. This one tells nothing."""

    def see(self, update: Any) -> None:
        """Look at an update, before the consumer gets it."""

    def judge(self, action: AuditAction, result: Any = None) -> None:
        """Say how the act ended; of a stream closed early, ``unknown`` was said already."""


def streamed(
    auditor: Auditor,
    act: Act,
    call: Callable[[], Any],
    watcher: Watcher,
    *,
    key: str,
    instance: object,
    method: Method,
    agent: object = None,
) -> Any:
    """Return a ``ResponseStream``, audited: begun at its first step, with the intent durable.

    Where the intent cannot be written, that step raises, and the call was not made.

    Args:
        auditor: Writes the entries.
        act: What it is.
        call: Returns a ``ResponseStream``, or a coroutine that does.
        watcher: Told of what the stream gives.
        key: Of the context, that has the act.
        instance: Whose method the call is.
        method: Which one.
        agent: Name of the agent that acts inside of it.
    """
    begun = _Begun(auditor, act, call, watcher, lambda: begin(key, instance, method), agent)
    stream = part("agent_framework", "ResponseStream").from_awaitable(begun)
    stream.with_pull_context_manager(lambda: begun).with_update_transform(begun.see).with_cleanup_hook(begun.end)
    # Of a stream that nobody reads to its end or closes, nothing else tells.
    weakref.finalize(stream, begun.drop).atexit = False
    return stream


class _Begun(AbstractContextManager[None]):
    """One act: awaited for the stream, and the context of each step of it. Used by one reader: no lock."""

    _inner: Context
    _outer: Context
    _token: Token[None]

    def __init__(
        self,
        auditor: Auditor,
        act: Act,
        call: Callable[[], Any],
        watcher: Watcher,
        begin: Callable[[], Context],
        agent: object,
    ) -> None:
        self._auditor = auditor
        self._act = act
        self._call: Callable[[], Any] | None = call
        self._watcher = watcher
        self._begin = begin
        self._agent = agent
        self._context = get_current()  # the caller's, whoever makes the steps later
        self._action: AuditAction | None = None
        self._span: Span | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._raised: BaseException | None = None
        self._is_over = False
        self._is_told = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._ask().__await__()

    async def _ask(self) -> Any:
        self._loop = asyncio.get_running_loop()
        call, self._call = self._call, None
        assert call is not None
        self._span = self._auditor.start_span(self._act)
        try:
            with in_span(self._span):
                begun = self._begin()
                self._action = await self._auditor.astart(self._act)
                with made_current(begun), self._auditor.acting(self._agent), under_way.inside(self._action):
                    self._context = get_current()
            # Left attached: `__exit__` of this step takes it away.
            attach(self._context)
            answer = call()
            stream_class = part("agent_framework", "ResponseStream")
            if not isinstance(answer, stream_class) and isawaitable(answer):
                answer = await answer
            return answer if isinstance(answer, stream_class) else stream_class(answer)
        except BaseException as raised:
            self._raised = raised
            self._end()
            raise

    def __enter__(self) -> None:
        self._token = _step.set(None)
        self._outer = get_current()
        self._inner = self._context
        attach(self._context)

    def __exit__(self, _kind: object, raised: BaseException | None, _traceback: object) -> None:
        if isinstance(raised, StopAsyncIteration):
            self._is_over = True
        elif raised is not None:
            self._raised = raised
        try:
            _step.reset(self._token)
        except ValueError:  # a step that was collected in another context: nothing is to be undone there
            return
        context = get_current()
        if context is not self._inner:
            self._context = context
        attach(self._outer)

    def see(self, update: Any) -> None:
        try:
            self._watcher.see(update)
        except BaseException as error:  # what an update's own code raises: the update goes on
            if is_interrupt(error):
                raise
            warn_once(_log, "the outcome of %s lacks what its stream tells: %s", self._act.event_name, error)

    async def end(self) -> None:
        """Write the outcome: the stream is over, has failed or was closed. Never raises."""
        action = self._action
        if action is not None and self._raised is None and self._is_over and not self._is_told:
            self._is_told = True
            self._judge(action)
            await action.aend_quietly()
            if self._span is not None:
                self._span.end()
        self._end()

    def drop(self) -> None:
        """Write the outcome of a stream that is collected, not from within the collection."""
        if self._loop is not None and not self._is_told and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)
        else:
            self._end()

    def _end(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        action, raised = self._action, self._raised
        if action is not None and raised is not None:
            action.fail(raised)
        elif action is not None:
            action.set_outcome("unknown", reason=CLOSED_EARLY)
            self._judge(action)
            action.end_quietly()
        if self._span is not None:
            end_span(self._span, None if raised is None else error_type_of(raised))

    def _judge(self, action: AuditAction) -> None:
        with made_current(self._context):
            self._auditor.judge(action, None, self._watcher.judge)
