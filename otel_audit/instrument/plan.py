"""How one function is audited: all that can be settled before it is called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal

from otel_audit.attributes import check_action, check_event_name, check_word
from otel_audit.environment import OnFailure, check_on_failure
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.call import Binder
from otel_audit.instrument.capture import capture_arguments, names_to_capture
from otel_audit.instrument.details import ActorOf, AttributesOf, Details, TargetOf
from otel_audit.instrument.run import Run
from otel_audit.pipeline.configuration import get_audit_logger

Phases = Literal["both", "outcome", "intent"]

PHASES = frozenset({"both", "outcome", "intent"})


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
        self.details = Details(actor=actor, target=target, attributes=attributes)
        self.static: dict[str, Any] = dict(self.details.static)
        if check_action(action) != "EXECUTE":
            self.static["action"] = action
        if check_word("phases", phases, PHASES) != "both":
            self.static["phases"] = phases
        if on_failure is not None:
            self.static["on_failure"] = check_on_failure(on_failure)
        self.dynamic = bool(self.capture or capture_result or self.details.dynamic)

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
        self.details.ask(call, parts, run.altered)
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
