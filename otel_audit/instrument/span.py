"""The OpenTelemetry span around an audited call.

Messages of exceptions can hold what must not leave the process, so a span gets the type of
an error and nothing else of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from otel_audit import __version__
from otel_audit.pipeline.context import made_current
from otel_audit.record import AuditReceipt
from otel_audit.semconv import AUDIT_RECORD_ID, CODE_FUNCTION_NAME, ERROR_TYPE

_SCOPE: Final = "otel_audit"

_provider: trace.TracerProvider | None = None
_tracer: Tracer | None = None


def current_tracer() -> Tracer | None:
    """Return the tracer of the global provider; None where tracing is not set up."""
    global _provider, _tracer  # noqa: PLW0603
    provider = trace.get_tracer_provider()
    if provider is not _provider:
        # Two threads at most both get a tracer; either is right.
        unset = isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider))
        _tracer = None if unset else provider.get_tracer(_SCOPE, __version__)
        _provider = provider
    return _tracer


def start_span(tracer: Tracer, event_name: str, function_name: str) -> Span:
    """Start the span of a call, a child of the current one. It is not made current."""
    return tracer.start_span(
        event_name,
        attributes={CODE_FUNCTION_NAME: function_name},
        record_exception=False,
        set_status_on_exception=False,
    )


@contextmanager
def in_span(span: Span | None, *, end: bool = False) -> Iterator[None]:
    """Make a span current, if there is one.

    Nothing of an exception is recorded: messages can hold what the arguments held. A block may be
    left in another context than it was entered in.

    Args:
        span: The span.
        end: Whether to end it behind the block.
    """
    if span is None:
        yield
        return
    try:
        with made_current(trace.set_span_in_context(span)):
            yield
    finally:
        if end:
            span.end()


def mark_span(span: Span | None, intent: AuditReceipt | None) -> None:
    """Have the span of a call name its intent: the way from the trace to the log."""
    if span is not None and intent is not None and intent.record_id:
        span.set_attribute(AUDIT_RECORD_ID, intent.record_id)


def mark_current_span(intent: AuditReceipt | None) -> None:
    """Do so for the current span, if it was opened here, for this act."""
    span = trace.get_current_span()
    scope = getattr(span, "instrumentation_scope", None)
    if scope is not None and scope.name == _SCOPE and AUDIT_RECORD_ID not in (getattr(span, "attributes", None) or ()):
        mark_span(span, intent)


def end_span(span: Span, error_type: str | None = None) -> None:
    """End the span of a call, as an error where it is given the type of one."""
    if error_type is not None:
        span.set_attribute(ERROR_TYPE, error_type)
        span.set_status(Status(StatusCode.ERROR))
    span.end()
