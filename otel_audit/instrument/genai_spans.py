"""The span bridge: spans of other instrumentations for generative AI become audit entries.

When what is known (measured with the releases that are named in docs/genai-spans.md):

========================================  ==========================  =======================
instrumentation                           at the start                so the log has
========================================  ==========================  =======================
pydantic-ai, and others that keep to      all; the model in the       an intent and an
OpenTelemetry's conventions               span's name                 outcome
OpenLLMetry for openai-agents             all                         an intent and an outcome
OpenLLMetry for langchain                 name of the span only:      both of tools and runs,
                                          tools and agent runs        an outcome of the rest
OpenInference for openai-agents           kind, name; not the model   an intent and an outcome
OpenInference for langchain, llama-index  nothing                     an outcome
========================================  ==========================  =======================

Guardrails have one entry, at the end: a check that nothing rests on before it is over.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Literal

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON
from opentelemetry.trace import NonRecordingSpan, StatusCode, set_span_in_context

from otel_audit import __version__
from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.instrument import live_span, under_way
from otel_audit.instrument.act_under_way import UnderWay
from otel_audit.instrument.frameworks.act import Act
from otel_audit.instrument.live_span import LiveSpan, SpanKey
from otel_audit.instrument.once import warn_once
from otel_audit.instrument.patch import wrap
from otel_audit.instrument.sampler import AlwaysRecordSampler
from otel_audit.instrument.span_dialects import act_of, error_type, outcome_attributes
from otel_audit.interrupt import is_interrupt
from otel_audit.pipeline.configuration import get_audit_logger
from otel_audit.pipeline.context import current_actors, with_actors
from otel_audit.record import Actor
from otel_audit.semconv import ERROR_TYPE, EVENT_AGENT_INVOKE, EVENT_GUARDRAIL_CHECK

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import SpanContext

    from otel_audit.pipeline.action import AuditAction

_log = logging.getLogger(__name__)

_RECORDS_ALL: Final[frozenset[str]] = frozenset(sampler.get_description() for sampler in (ALWAYS_ON, DEFAULT_ON))


class GenAISpanProcessor(SpanProcessor):
    """Writes the entries of spans that stand for tool calls, model calls, agent runs and the like.

    The intent is durable when the span has begun, the outcome when it has ended. Both carry the
    ids of the span. A span whose attributes tell nothing at its start has an outcome alone. A
    span that is not recorded (see `AlwaysRecordSampler`) is not seen. What a framework's module
    of ours, or a second one of these, sees as well is recorded once.

    Thread-safe. Blocks where a span begins and ends, in a coroutine too: a span processor has
    no way to wait.

    Args:
        on_failure: What `on_start` does when an intent cannot be written; None leaves it to the
            audit provider. ``"closed"`` raises out of the start of the span, which stops the act
            where the instrumentation lets it; as many swallow it, the loss is counted too.
    """

    def __init__(self, *, on_failure: Literal["closed", "open"] | None = None) -> None:
        self._logger = get_audit_logger("otel_audit.genai_spans", __version__)
        self._on_failure = on_failure
        self._stopped = False
        under_way.listen(self)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Write the intent of an act.

        Raises:
            AuditError: It could not be written, and failures are closed.
        """
        if self._stopped:
            return
        try:
            if not live_span.take(span):
                return
            context = get_current() if parent_context is None else parent_context
            scope = _scope(span)
            live = LiveSpan(span.name, scope, _key(span.parent), context, current_actors(context))
            act = act_of(span.name, span.attributes or {}, scope=scope, parent=live.parent_name)
            if act is not None and act.event_name != EVENT_GUARDRAIL_CHECK:
                self._begin(act, live)
        except BaseException as error:  # of a span that somebody else's code made
            if is_interrupt(error):
                raise
            warn_once(_log, "the start of a span of %s is not audited: %s", _scope(span), error)
            return
        if live.act is not None and act is not None:
            live.bind(live.act, self._start(act, live, span))
            live_span.tell_spans(live.act, live.parent)
        key = _key(span.get_span_context())
        if key is not None:
            live_span.enter(key, live)

    def on_end(self, span: ReadableSpan) -> None:
        """Write the outcome of an act. Never raises: the act is over."""
        try:
            self._end(span)
        except BaseException as error:
            if is_interrupt(error):
                raise
            warn_once(_log, "the end of a span of %s is not audited: %s", _scope(span), error)

    def shutdown(self) -> None:
        """Record nothing that begins from now on; what has begun has its outcome still."""
        self._stopped = True
        under_way.unlisten(self)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: what was written is as durable as it ever will be."""
        return True

    def _begin(self, act: Act, live: LiveSpan) -> None:
        mine = UnderWay(act, live.outer, live.scope)
        live.mirrors = live.is_mirror_of_another(mine)
        if not live.mirrors:
            live.act = mine
        if act.event_name == EVENT_AGENT_INVOKE and act.target is not None:
            if not live.actors or live.actors[-1].id != act.target.id:
                live.inner_actors = (*live.actors, Actor(act.target.id))

    def _start(self, act: Act, live: LiveSpan, span: ReadableSpan | Span) -> AuditAction:
        try:
            return self._action(act, _context(live, span.get_span_context()))
        except AuditWriteError as error:
            channel = self._logger.channel()
            if channel is not None:
                channel.provider.exporter.ledger.drops.add(time.time_ns(), error)
            raise

    def _action(self, act: Act, context: Context, phases: Literal["both", "outcome"] = "both") -> AuditAction:
        return self._logger.start_action(
            act.event_name,
            action=act.action,
            target=act.target,
            attributes=act.attributes,
            phases=phases,
            on_failure=self._on_failure,
            context=context,
        )

    def _end(self, span: ReadableSpan) -> None:
        key = _key(span.get_span_context())
        live = None if key is None else live_span.leave(key)
        if (live is None and self._stopped) or not live_span.take(span):
            return
        if live is not None and live.mirrors:
            return
        scope = _scope(span)
        act = act_of(span.name, span.attributes or {}, scope=scope, parent=None if live is None else live.parent_name)
        if live is not None and live.act is not None:
            if live.action is not None and live.act.own():
                _finish(live.action, act, span)
            return
        if act is None:
            return
        if live is None:
            live = LiveSpan(span.name, scope, _key(span.parent), Context(), ())
        mine = UnderWay(act, live.outer, scope)
        if live.is_of_what_began_inside(mine) or live.is_mirror_of_another(mine):
            return
        live_span.tell_spans(mine, live.parent)
        _finish(self._action(act, _context(live, span.get_span_context()), "outcome"), act, span)


def instrument(
    on_failure: Literal["closed", "open"] | None,
    undo: ExitStack,
    on_missing: Callable[[AuditConfigError], None] | None = None,
) -> None:
    """Add a processor to the global tracer provider, also where that is set only later.

    Args:
        on_failure: As of `GenAISpanProcessor`.
        undo: Gets the way back. The SDK cannot remove a processor: it stays, and does nothing.
        on_missing: Told of a provider, set later, that takes no processor; None: setting it raises.

    Raises:
        AuditConfigError: The global provider takes no span processor.
    """
    processor = GenAISpanProcessor(on_failure=on_failure)
    undo.callback(processor.shutdown)
    provider = trace.get_tracer_provider()
    if not isinstance(provider, trace.ProxyTracerProvider):
        _add(processor, provider)
        return

    def wrapper(
        wrapped: Callable[..., None], _instance: object, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> None:
        wrapped(*args, **kwargs)
        if not added:
            added.append(True)
            try:
                _add(processor, trace.get_tracer_provider())
            except AuditConfigError as error:
                if on_missing is None:
                    raise
                on_missing(error)

    added: list[bool] = []
    # What `set_tracer_provider` calls: that itself has been imported by name by many.
    undo.callback(wrap(trace, "_set_tracer_provider", wrapper))


def _add(processor: GenAISpanProcessor, provider: object) -> None:
    add = getattr(provider, "add_span_processor", None)
    if add is None:
        raise AuditConfigError(
            "genai_spans: expected a tracer provider of the OpenTelemetry SDK, "
            f"got {type(provider).__module__}.{type(provider).__qualname__}"
        )
    add(processor)
    sampler = getattr(provider, "sampler", None)
    if sampler is None or isinstance(sampler, AlwaysRecordSampler):
        return
    description = sampler.get_description()
    if description not in _RECORDS_ALL:
        _log.warning("of spans that %s drops not all is audited: set OTEL_TRACES_SAMPLER=audit", description)


def _finish(action: AuditAction, act: Act | None, span: ReadableSpan) -> None:
    attributes = span.attributes or {}
    added = outcome_attributes(attributes)
    if act is not None and act.event_name == action.event_name:
        added = {**act.attributes, **added}
        action.complete(target=act.target)
    seconds = None
    if span.start_time is not None and span.end_time is not None:
        seconds = max(0, span.end_time - span.start_time) / 1e9
    action.complete(attributes=added, duration=seconds)
    failure = _failure(span)
    if failure is not None:
        action.set_outcome("failure", error_type=failure)
    action.end_quietly()


def _failure(span: ReadableSpan) -> str | None:
    """Return the type of the error that a span ended with, None where it ended well.

    An exception that was recorded on a span whose status says that all is well was dealt with.
    """
    code = span.status.status_code
    if code is StatusCode.OK:
        return None
    types = [(event.attributes or {}).get("exception.type") for event in span.events if event.name == "exception"]
    if code is not StatusCode.ERROR and not types:
        return None
    given = (span.attributes or {}).get(ERROR_TYPE)
    return error_type(given if given is not None or not types else types[-1])


def _context(live: LiveSpan, span_context: SpanContext | None) -> Context:
    """Return the context of a span's entries: its own ids, and who acts."""
    context = live.context
    if span_context is not None:
        context = set_span_in_context(NonRecordingSpan(span_context), context)
    return context if live.actors == live.context_actors else with_actors(live.actors, context)


def _key(span_context: SpanContext | None) -> SpanKey | None:
    return None if span_context is None else (span_context.trace_id, span_context.span_id)


def _scope(span: ReadableSpan | Span) -> str:
    scope = span.instrumentation_scope
    return "" if scope is None else scope.name
