"""Writes the two entries of an act, around the act."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context, get_current

from otel_audit.instrument import under_way
from otel_audit.instrument.capture import capture_arguments, capture_result
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import Act, short_name
from otel_audit.instrument.once import warn_once
from otel_audit.instrument.run import CLOSED_EARLY
from otel_audit.instrument.span import current_tracer, in_span, mark_current_span
from otel_audit.interrupt import is_interrupt
from otel_audit.pipeline.assemble import assemble
from otel_audit.pipeline.context import acting_as, current_actors
from otel_audit.pipeline.logger import NOT_RECORDED, in_event_loop
from otel_audit.pipeline.resume import resumed
from otel_audit.record import Actor, AuditReceipt, Decision, Outcome
from otel_audit.semconv import EVENT_TOOL_EXECUTE

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.log_record import AuditLogRecord
    from otel_audit.pipeline.logger import AuditLogger
    from otel_audit.pipeline.provider import Channel

_log = logging.getLogger(__name__)

T = TypeVar("T")
Judge = Callable[["AuditAction", Any], None]
"""Told of what an act returned, before its outcome is written: sets attributes, another outcome or result."""
Excuse = Callable[["AuditAction", BaseException], None]
"""Told of what an act raised, before its outcome is written: sets an outcome where it is no failure."""


@dataclass(frozen=True, slots=True)
class Auditor:
    """What the hooks of one framework write with. Thread-safe.

    An act runs only when its intent is durable; once it ran, its own result or exception goes
    on unchanged, whatever becomes of the outcome (which is then logged, counted and declared).

    Attributes:
        logger: The framework's.
        settings: What is recorded, and what a failure to record does.
    """

    logger: AuditLogger
    settings: FrameworkSettings

    def start(self, act: Act) -> AuditAction:
        """Write the intent; it is durable on return. End it by `AuditAction.end_quietly` or ``fail``.

        Raises:
            AuditError: The intent could not be written. The act must not go on.
        """
        members = self._members(act)
        begun = under_way.begin(act) if under_way.is_listened_to() else None
        action = None if begun is None else under_way.go_on(begun, members)
        if action is None:
            action = self.logger.start_action(act.event_name, **members)
            if begun is not None:
                under_way.bind(begun, action)
        mark_current_span(action.intent)
        return action

    async def astart(self, act: Act) -> AuditAction:
        """Write the intent without holding the event loop; otherwise as `start`."""
        members = self._members(act)
        begun = under_way.begin(act) if under_way.is_listened_to() else None
        action = None if begun is None else under_way.go_on(begun, members)
        if action is None:
            action = await self.logger.astart_action(act.event_name, **members)
            if begun is not None:
                under_way.bind(begun, action)
        mark_current_span(action.intent)
        return action

    def run(
        self,
        act: Act,
        call: Callable[[], T],
        judge: Judge | None = None,
        *,
        agent: object = None,
        excuse: Excuse | None = None,
    ) -> T:
        """Run a call between its two entries.

        Args:
            act: What it is.
            call: Does it.
            judge: Told of what it returned.
            agent: Name of the agent that acts inside of it.
            excuse: Told of what it raised.

        Raises:
            AuditError: The intent could not be written; the call was not made.
        """
        with self.span(act):
            action = self.start(act)
            try:
                with self.acting(agent), under_way.inside(action):
                    result = call()
            except BaseException as raised:
                self.excuse(action, raised, excuse)
                action.fail(raised)
                raise
            self.judge(action, result, judge)
            action.end_quietly()
        return result

    async def arun(
        self,
        act: Act,
        call: Callable[[], Awaitable[T]],
        judge: Judge | None = None,
        *,
        agent: object = None,
        excuse: Excuse | None = None,
    ) -> T:
        """As `run`, for coroutines. Cancelled while the intent waits, the call is not made."""
        with self.span(act):
            action = await self.astart(act)
            try:
                with self.acting(agent), under_way.inside(action):
                    result = await call()
            except BaseException as raised:
                self.excuse(action, raised, excuse)
                action.fail(raised)
                raise
            self.judge(action, result, judge)
            await action.aend_quietly()
        return result

    def stream(self, act: Act, call: Callable[[], Iterable[T]], judge: Judge | None = None) -> Generator[T, Any, Any]:
        """Iterate over what a call gives, between its two entries, each step in a context of its own.

        The intent is written at the first step. What the consumer sends or throws gets to a generator that the
        call gave. Closed before its end, the outcome is ``unknown``, unless the judge can tell.

        Args:
            act: What it is.
            call: Returns what is iterated over.
            judge: Told of the last item, None where there was none.
        """
        action: AuditAction
        items = _Items(call)

        def enter() -> Context:
            nonlocal action
            action = self.start(act)
            with under_way.inside(action):
                return get_current()

        def finish(_result: object) -> None:
            self.judge(action, items.last, judge)
            action.end_quietly()

        def fail(raised: BaseException, closed: bool) -> None:
            if closed:
                action.set_outcome("unknown", reason=CLOSED_EARLY)
                finish(None)
            else:
                action.fail(raised)

        inner: Any = items
        return resumed(inner, enter, finish, fail)

    def decide(self, act: Act, decision: Decision, *, reason: str | None = None) -> AuditReceipt:
        """Write one entry of what a guardrail or an approver decided, durable on return.

        Raises:
            AuditError: It could not be written.
        """
        channel = self.logger.channel()
        if channel is None:
            return NOT_RECORDED
        under_way.note(act)
        record = _decision(channel, act, decision, reason, deferred=False)
        return self.logger.send(channel, record, self.settings.on_failure)

    async def adecide(self, act: Act, decision: Decision, *, reason: str | None = None) -> AuditReceipt:
        """As `decide`, without holding the event loop."""
        channel = self.logger.channel()
        if channel is None:
            return NOT_RECORDED
        under_way.note(act)
        record = _decision(channel, act, decision, reason, deferred=in_event_loop())
        return await self.logger.asend(channel, record, self.settings.on_failure)

    def report(self, act: Act, outcome: Outcome = "success", *, error_type: str | None = None) -> None:
        """Write one entry of what was done elsewhere already, out of reach. Never raises.

        A failure to write is logged, counted and declared.
        """
        under_way.note(act)
        action = self.logger.start_action(act.event_name, **self._members(act), phases="outcome")
        action.set_outcome(outcome, error_type=error_type)
        action.end_quietly()

    def acting(self, agent: object) -> AbstractContextManager[object]:
        """Return the context in which this agent acts, for whoever acts now.

        Args:
            agent: Its name; nothing changes for one without, or one that acts already.
        """
        name = short_name(agent)
        if name is None:
            return nullcontext()
        actor = Actor(name)
        actors = current_actors()
        return nullcontext() if actors and actors[-1] == actor else acting_as(actor)

    def span(self, act: Act) -> AbstractContextManager[object]:
        """Open a span where there is none, so that the entries of what happens inside are of one trace."""
        span = self.start_span(act)
        return nullcontext() if span is None else in_span(span, end=True)

    def start_span(self, act: Act) -> Span | None:
        """Start a span where there is none; not made current, and ended by who asked for it."""
        if trace.get_current_span().get_span_context().is_valid:
            return None
        tracer = current_tracer()
        if tracer is None:
            return None
        return tracer.start_span(act.event_name if act.target is None else f"{act.event_name} {act.target.id}")

    def judge(self, action: AuditAction, result: object, judge: Judge | None) -> None:
        """Let the outcome say what a result tells. Never raises: the result goes on."""
        try:
            if self.settings.capture_result and action.event_name == EVENT_TOOL_EXECUTE:
                action.set_result(capture_result(result, redact=self.logger.redact))
            if judge is not None:
                judge(action, result)
        except BaseException as error:  # what a result's own code raises
            if is_interrupt(error):
                raise
            warn_once(_log, "the outcome of %s lacks what its result tells: %s", action.event_name, error)

    def excuse(self, action: AuditAction, raised: BaseException, excuse: Excuse | None) -> None:
        """Let the outcome say where what was raised is no failure. Never raises: the exception goes on."""
        try:
            if excuse is not None:
                excuse(action, raised)
        except BaseException as error:  # what an exception's own code raises
            if is_interrupt(error):
                raise
            warn_once(_log, "the outcome of %s lacks what its exception tells: %s", action.event_name, error)

    def _members(self, act: Act) -> dict[str, Any]:
        altered: list[str] = []
        captured = None
        if self.settings.capture and act.arguments is not None:
            captured = capture_arguments(
                act.arguments, self.settings.capture, redact=self.logger.redact, altered=altered
            )
        return {
            "action": act.action,
            "target": act.target,
            "attributes": act.attributes,
            "arguments": captured,
            "altered": altered,
            "on_failure": self.settings.on_failure,
        }


class _Items:
    """The items of a call's result: asked for at the first step, and the last one kept."""

    __slots__ = ("_generator", "last")

    def __init__(self, call: Callable[[], Iterable[Any]]) -> None:
        self._generator = _generated(call)
        self.last: Any = None

    def send(self, given: Any) -> Any:
        self.last = self._generator.send(given)
        return self.last

    def throw(self, error: BaseException) -> Any:
        self.last = self._generator.throw(error)
        return self.last


def _generated(call: Callable[[], Iterable[Any]]) -> Generator[Any, Any, Any]:
    return (yield from call())


def _decision(channel: Channel, act: Act, decision: Decision, reason: str | None, *, deferred: bool) -> AuditLogRecord:
    return assemble(
        channel,
        act.event_name,
        None,
        action=act.action,
        target=act.target,
        attributes=act.attributes,
        decision=decision,
        reason=reason,
        deferred=deferred,
    )


def close(action: AuditAction) -> None:
    """Write the outcome of what its consumer closed before it ended. Never raises."""
    action.set_outcome("unknown", reason=CLOSED_EARLY)
    action.end_quietly()
