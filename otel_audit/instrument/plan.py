"""How one function is audited: all that can be settled before it is called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypeVar

from otel_audit.attributes import check_action, check_actor, check_event_name, check_text, check_word
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.call import Binder, Call
from otel_audit.instrument.capture import capture_arguments, names_to_capture
from otel_audit.instrument.once import warn_once
from otel_audit.instrument.run import Run
from otel_audit.pipeline.configuration import get_audit_logger
from otel_audit.record import Actor, Target
from otel_audit.semconv import AUDIT_ACTOR_ID, AUDIT_TARGET_ID

T = TypeVar("T")

Phases = Literal["both", "outcome", "intent"]
OnFailure = Literal["closed", "open"]
ActorOf = Actor | str | None | Callable[[Call], Actor | str | None]
TargetOf = Target | str | None | Callable[[Call], Target | str | None]
AttributesOf = Mapping[str, object] | None | Callable[[Call], Mapping[str, object] | None]

PHASES = frozenset({"both", "outcome", "intent"})
ON_FAILURE = frozenset({"closed", "open"})

_logger = logging.getLogger(__name__)


class Plan:
    """How the calls of one function are audited. Immutable; serves any number of threads.

    Raises:
        AuditRecordError: The format refuses a name or a value that is given.
        AuditConfigError: A setting is wrong, or names an argument that there is not.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        event_name: str,
        function_name: str,
        *,
        action: str,
        target: TargetOf,
        capture: str | Collection[str],
        capture_result: bool,
        phases: Phases,
        on_failure: OnFailure | None,
        actor: ActorOf,
        attributes: AttributesOf,
        span: bool,
        required: bool,
    ) -> None:
        self.event_name = check_event_name(event_name)
        self.function_name = function_name
        self.logger = get_audit_logger("otel_audit", required=required)
        self.optional = not required
        self.capture = names_to_capture(capture)
        self.span = span
        self.capture_result = capture_result
        self.binder = Binder(function)
        for name in self.capture:
            if name != "*" and not self.binder.has_parameter(name):
                raise AuditConfigError(f"capture: expected parameters of {function_name}, got {name!r}")
        if on_failure is not None and on_failure not in ON_FAILURE:
            raise AuditConfigError(f"on_failure: expected closed or open, got {on_failure!r}")
        self.static: dict[str, Any] = {}
        if check_action(action) != "EXECUTE":
            self.static["action"] = action
        if check_word("phases", phases, PHASES) != "both":
            self.static["phases"] = phases
        if on_failure is not None:
            self.static["on_failure"] = on_failure
        self.actor = _settle(self.static, "actor", actor, _checked_actor)
        self.target = _settle(self.static, "target", target, _checked_target)
        self.attributes = _settle(self.static, "attributes", attributes, _checked_attributes)
        self.dynamic = bool(self.capture or capture_result or self.actor or self.target or self.attributes)

    def begin(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
        """Record the intent of a call. Where that fails, the call must not run."""
        run = Run(self.event_name, self.function_name, span=self.span, capture_result=self.capture_result)
        try:
            run.begin(self.logger.start_action(self.event_name, **self._parts(run, instance, args, kwargs)))
        except BaseException as error:
            run.abandon(error)
            raise
        return run

    async def abegin(self, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
        """Record the intent of a call, waiting for it without holding up the event loop."""
        run = Run(self.event_name, self.function_name, span=self.span, capture_result=self.capture_result)
        try:
            run.begin(await self.logger.astart_action(self.event_name, **self._parts(run, instance, args, kwargs)))
        except BaseException as error:
            run.abandon(error)
            raise
        return run

    def _parts(self, run: Run, instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if not self.dynamic:
            return self.static if run.context is None else {**self.static, "context": run.context}
        channel = self.logger.channel()
        run.redact = None if channel is None else channel.provider.redact
        parts = {**self.static, "context": run.context, "altered": run.altered}
        call = self.binder.call(instance, args, kwargs)
        if self.actor is not None:
            parts["actor"] = _ask(self.actor, call, _checked_actor, f"/attributes/{AUDIT_ACTOR_ID}", run.altered)
        if self.target is not None:
            parts["target"] = _ask(self.target, call, _checked_target, f"/attributes/{AUDIT_TARGET_ID}", run.altered)
        if self.attributes is not None:
            parts["attributes"] = _ask(self.attributes, call, _checked_attributes, "/attributes", run.altered)
        if self.capture:
            parts["arguments"] = capture_arguments(
                self._capturable(call.arguments), self.capture, redact=run.redact, altered=run.altered
            )
        return parts

    def _capturable(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the arguments, those of ``**kwargs`` under their own names."""
        keywords = self.binder.keywords
        if keywords is None or keywords in self.capture or keywords not in arguments:
            return arguments
        named = {name: value for name, value in arguments.items() if name != keywords}
        return {**arguments[keywords], **named}


def _settle(static: dict[str, Any], name: str, given: Any, check: Callable[[Any], Any]) -> Callable[[Call], Any] | None:
    """Put a value that is the same for each call among the static ones; return a callable."""
    if callable(given):
        return given  # type: ignore[no-any-return]
    if given is not None:
        static[name] = check(given)
    return None


def _ask(ask: Callable[[Call], T], call: Call, check: Callable[[T], T], pointer: str, altered: list[str]) -> T | None:
    """Return what a callable says of a call; None where it fails."""
    try:
        answer = ask(call)
        return check(answer)
    except Exception as error:
        warn_once(_logger, "%s raised %s: calls are recorded without what it was to give", ask, error)
        altered.append(pointer)
        return None


def _checked_actor(actor: Actor | str | None) -> Actor | None:
    if actor is None:
        return None
    checked = actor if isinstance(actor, Actor) else Actor(actor)
    check_actor(checked)
    return checked


def _checked_target(target: Any) -> Target | str | None:
    if hasattr(target, "close"):  # a coroutine, which would be stored as its own text
        target.close()
        raise TypeError("expected a plain function, got a coroutine function")
    if isinstance(target, Target):
        check_text(AUDIT_TARGET_ID, target.id, [])
    elif target is not None:
        check_text(AUDIT_TARGET_ID, target, [])
    return target  # type: ignore[no-any-return]


def _checked_attributes(attributes: Mapping[str, object] | None) -> Mapping[str, object] | None:
    if attributes is not None and not isinstance(attributes, Mapping):
        raise AuditConfigError(f"attributes: expected a mapping, got {type(attributes).__name__}")
    return attributes if attributes is None else dict(attributes)
