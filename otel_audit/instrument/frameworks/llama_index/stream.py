"""llama-index: answers of a model that come one by one.

Whoever reads them may close the stream or throw into it: the model's own gets that at once, as without
auditing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_audit.instrument.frameworks.auditor import close
from otel_audit.instrument.frameworks.llama_index.answer import note_answer
from otel_audit.instrument.frameworks.methods import Inside, stepping
from otel_audit.instrument.span import end_span
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.resume import aresumed, resumed

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction


@dataclass(frozen=True, slots=True)
class Stream:
    """Answers of a model under way, up to their end."""

    auditor: Auditor
    action: AuditAction
    span: Span | None
    inside: Inside

    def steps(self, answers: Iterable[Any]) -> Iterator[Any]:
        """Pass the answers on, and write the outcome when they end."""
        inner: Any = _Seen(answers if isinstance(answers, Generator) else _generated(answers), self)
        return resumed(inner, lambda: None, self._finish, self._fail)

    def asteps(self, answers: AsyncIterable[Any]) -> AsyncIterator[Any]:
        """As `steps`, for what is iterated over by ``async for``."""
        inner: Any = _AsyncSeen(answers if isinstance(answers, AsyncGenerator) else _agenerated(answers), self)
        return aresumed(inner, _nowhere, self._afinish, self._fail)

    def see(self, answer: Any) -> None:
        """Take an answer into account: each tells what it has so far."""
        self.auditor.judge(self.action, answer, note_answer)

    def fail(self, raised: BaseException) -> None:
        """Write that the model raised."""
        self.action.fail(raised)
        end(self.span, raised)

    def _finish(self, _returned: object) -> None:
        self.inside.is_over = True
        self.action.end_quietly()
        end(self.span)

    async def _afinish(self) -> None:
        self.inside.is_over = True
        await self.action.aend_quietly()
        end(self.span)

    def _fail(self, raised: BaseException, closed: bool) -> None:
        self.inside.is_over = True
        if not closed:
            self.fail(raised)
            return
        close(self.action)
        end(self.span)


class _Seen:
    """A generator of answers, each step of which is a part of the call."""

    __slots__ = ("_inner", "_stream")

    def __init__(self, inner: Generator[Any, Any, Any], stream: Stream) -> None:
        self._inner = inner
        self._stream = stream

    def send(self, given: Any) -> Any:
        with stepping(self._stream.inside):
            answer = self._inner.send(given)
        self._stream.see(answer)
        return answer

    def throw(self, error: BaseException) -> Any:
        with stepping(self._stream.inside):
            answer = self._inner.throw(error)
        self._stream.see(answer)
        return answer


class _AsyncSeen:
    """As `_Seen`, for async generators."""

    __slots__ = ("_inner", "_stream")

    def __init__(self, inner: AsyncGenerator[Any, Any], stream: Stream) -> None:
        self._inner = inner
        self._stream = stream

    def asend(self, given: Any) -> Awaitable[Any]:
        # Called here, not when it is awaited: that is when the event loop would learn of it.
        return self._seen(self._inner.asend(given))

    def athrow(self, error: BaseException) -> Awaitable[Any]:
        return self._seen(self._inner.athrow(error))

    async def _seen(self, step: Awaitable[Any]) -> Any:
        with stepping(self._stream.inside):
            answer = await step
        self._stream.see(answer)
        return answer


async def _nowhere() -> None:
    """Have each step made in the context of whoever asks for it."""


def _generated(answers: Iterable[Any]) -> Generator[Any, Any, Any]:
    yield from answers


async def _agenerated(answers: AsyncIterable[Any]) -> AsyncGenerator[Any, Any]:
    iterator = aiter(answers)
    try:
        async for answer in iterator:
            yield answer
    finally:
        if hasattr(iterator, "aclose"):
            await iterator.aclose()


def end(span: Span | None, raised: BaseException | None = None) -> None:
    """End a call's span, where it has one."""
    if span is not None:
        end_span(span, None if raised is None else error_type_of(raised))
