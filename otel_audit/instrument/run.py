"""One call of an audited function under way."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, set_span_in_context

from otel_audit.instrument.capture import Redact, capture_result
from otel_audit.instrument.span import current_tracer, end_span, mark_span, start_span
from otel_audit.pipeline.action import AuditAction, error_type_of
from otel_audit.semconv import AUDIT_ARGUMENTS

CLOSED_EARLY: Final = "closed by its consumer before it ended"
_ARGUMENTS: Final = f"/attributes/{AUDIT_ARGUMENTS}/"


class Run:
    """One call under way, from its intent to its outcome.

    Args:
        event_name: Of the entries and the span.
        function_name: The function's dotted name.
        span: Whether to open a span around it, where tracing is set up.
        capture_result: Whether to record what it returns.

    Attributes:
        context: What the call runs in: the caller's context with the call's span; None for the
            caller's as it is.
        altered: JSON Pointers of what is not recorded as it was given; the action's too.
        redact: The provider's, once the intent is recorded.
    """

    __slots__ = ("_capture_result", "_span", "action", "altered", "context", "redact")
    action: AuditAction
    context: Context | None
    redact: Redact | None

    def __init__(self, event_name: str, function_name: str, *, span: bool, capture_result: bool) -> None:
        self._capture_result = capture_result
        self._span: Span | None = None
        self.context = None
        self.redact = None
        self.altered: list[str] = []
        tracer = current_tracer() if span else None
        if tracer is not None:
            self._span = start_span(tracer, event_name, function_name)
            self.context = set_span_in_context(self._span)

    @classmethod
    def of(cls, action: AuditAction) -> Run:
        """Return the run of an action that is begun and has no span."""
        run = cls("", "", span=False, capture_result=False)
        run.begin(action)
        return run

    def begin(self, action: AuditAction) -> None:
        """Take the action whose intent is recorded."""
        self.action = action
        mark_span(self._span, action.intent)
        if action.intent is not None and self.altered:
            # The arguments stand in the intent only, and so do their pointers.
            self.altered[:] = [pointer for pointer in self.altered if not pointer.startswith(_ARGUMENTS)]

    def enter(self) -> Context:
        """Return the context that the body begins in."""
        return self.context or get_current()

    async def aenter(self) -> Context:
        """As `enter`."""
        return self.enter()

    def finish(self, result: object) -> None:
        """Record that the call returned. Never raises: the call's own result goes on.

        An outcome that cannot be written is logged, counted, and missed by `otel-audit verify`,
        as its intent stands in the log.
        """
        try:
            if self._capture_result:
                self._set_result(result)
            self.action.end_quietly()
        finally:
            self._end_span()

    async def afinish(self, result: object) -> None:
        """Record that the call returned, waiting without holding up the event loop."""
        try:
            if self._capture_result:
                self._set_result(result)
            await self.action.aend_quietly()
        finally:
            self._end_span()

    def fail(self, error: BaseException) -> None:
        """Record that the call raised. Never raises itself: the call's own exception goes on.

        Blocks, in coroutines too: in a cancelled scope every await raises.
        """
        try:
            self.action.fail(error)
        finally:
            self.abandon(error)

    async def aclose(self) -> None:
        """Record that an async generator ended: it returns nothing."""
        await self.afinish(None)

    def close(self, error: BaseException, closed: bool) -> None:
        """Record what ended a generator: its own exception, or its consumer's closing it early.

        Closed before it ended, it is neither a success nor a failure.
        """
        if not closed:
            self.fail(error)
            return
        try:
            self.action.set_outcome("unknown", reason=CLOSED_EARLY)
            self.action.end_quietly()
        finally:
            self._end_span()

    def abandon(self, error: BaseException) -> None:
        """End the span, and nothing else: of a call whose intent could not be recorded."""
        if self._span is not None:
            end_span(self._span, error_type_of(error))

    def _set_result(self, result: object) -> None:
        self.action.set_result(capture_result(result, redact=self.redact, altered=self.altered))

    def _end_span(self) -> None:
        if self._span is not None:
            end_span(self._span)
