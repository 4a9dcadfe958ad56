"""`audited`: a function, each call of which is an audited action."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar, overload

from otel_audit.environment import OnFailure
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.call import Binder, Call
from otel_audit.instrument.capture import names_to_capture
from otel_audit.instrument.details import ActorOf, AttributesOf, TargetOf
from otel_audit.instrument.kinds import wrapper_for
from otel_audit.instrument.members import as_class_body_makes_it, dotted_name, map_property, public_methods
from otel_audit.instrument.plan import Phases, Plan
from otel_audit.pipeline.wrapper import BoundWrapper, Wrapper

__all__ = ["Call", "audited", "is_audited"]

F = TypeVar("F", bound="Callable[..., Any] | property | classmethod[Any, Any, Any]")

_MAX_WRAPPERS = 100

Enabled = Callable[[], bool]


class AuditedMethod(BoundWrapper):
    """An audited function, bound to its instance or class."""


class AuditedFunction(Wrapper):
    """A function that is audited: what `audited` leaves as it is."""

    __bound_function_wrapper__ = AuditedMethod


@overload
def audited(function: F, /) -> F: ...
@overload
def audited(
    event_name: str | None = None,
    /,
    *,
    action: str = "EXECUTE",
    target: TargetOf = None,
    capture: str | Collection[str] = (),
    capture_result: bool = False,
    phases: Phases = "both",
    on_failure: OnFailure | None = None,
    actor: ActorOf = None,
    attributes: AttributesOf = None,
    span: bool = True,
    required: bool = True,
) -> Callable[[F], F]: ...
def audited(
    function: Any = None,
    /,
    *,
    action: str = "EXECUTE",
    target: TargetOf = None,
    capture: str | Collection[str] = (),
    capture_result: bool = False,
    phases: Phases = "both",
    on_failure: OnFailure | None = None,
    actor: ActorOf = None,
    attributes: AttributesOf = None,
    span: bool = True,
    required: bool = True,
) -> Any:
    """Record each call of a function: its intent before it runs, its outcome after.

    ``@audited``, or ``@audited("order.refund", …)`` with an event name and options. On functions,
    coroutine functions, generators, async generators, methods, class and static methods,
    properties, partials, callable instances, and on a class: on the public methods that its own
    body defines. What is audited already stays as it is.

    The result, the exception (the same object), signature, docstring and kind come through
    unchanged. A generator's action begins with its first step; that of a plain function which
    returns a fresh coroutine or generator ends with it (docs/audited.md has a table). Coroutines and async generators
    wait for the intent and a normal outcome without holding up the event loop; the outcome
    after an exception, a cancellation or an early close is written blocking.

    Args:
        function: The function; or the event name, by default module and qualified name.
        action: An upper-case verb.
        target: What is acted upon, or a callable that tells it from the `Call`.
        capture: Names of arguments to record; ``"*"`` for all but those that look secret.
        capture_result: Whether to record what is returned.
        phases: ``both``, or only the ``outcome`` or the ``intent``.
        on_failure: ``closed`` keeps the function from running where its intent cannot be
            recorded, ``open`` lets it run; None leaves it to the provider.
        actor: Who acts, or a callable; None takes the current actor.
        attributes: Further attributes, or a callable.
        span: Whether to open an OpenTelemetry span around the call, where tracing is set up.
        required: Whether a call with no auditing configured is an error; libraries say False,
            and the function is then called straight through.

    Raises:
        AuditRecordError: The format refuses the event name or another value.
        AuditConfigError: A setting is wrong, or ``capture`` names an argument that there is not.

    A call raises `AuditWriteError` where its intent could not be recorded: it did not run. Once
    it ran, its own result or exception goes on, whatever becomes of the outcome entry: one that
    could not be written is logged, counted, and missed by `otel-audit verify`, as its intent
    stands in the log.
    """
    settings = {
        "action": action,
        "target": target,
        "capture": names_to_capture(capture),
        "capture_result": capture_result,
        "phases": phases,
        "on_failure": on_failure,
        "actor": actor,
        "attributes": attributes,
        "span": span,
        "required": required,
    }
    if function is None or isinstance(function, str):
        return functools.partial(_audit, event_name=function, settings=settings)
    return _audit(function, event_name=None, settings=settings)


def is_audited(function: Any) -> bool:
    """Return whether calls of this are recorded already, whatever else is wrapped around it."""
    for _ in range(_MAX_WRAPPERS):
        if issubclass(type(function), (AuditedFunction, AuditedMethod)):
            return True
        function = getattr(function, "__wrapped__", None)
        if function is None:
            break
    return False


def audited_while(enabled: Enabled, member: Any, **options: Any) -> Any:
    """Return what stands in for a function or a property, and audits as long as that is wanted.

    Args:
        enabled: Asked at each call; False lets it straight through.
        options: As `audited` takes them.
    """
    audit: Any = audited(None, **options)
    return audit(member, enabled=enabled)


def _audit(function: Any, *, event_name: str | None, settings: dict[str, Any], enabled: Enabled | None = None) -> Any:
    """Return what stands in for a function, a class or a property."""
    if isinstance(function, type):
        return _audit_class(function, event_name, settings)
    if isinstance(function, property):
        accessor = functools.partial(_audit_accessor, event_name=event_name, settings=settings, enabled=enabled)
        return map_property(function, accessor)
    if isinstance(function, functools.cached_property):
        own = _audit(function.func, event_name=event_name, settings=settings, enabled=enabled)
        return functools.cached_property(own)
    if is_audited(function):
        return function
    function = as_class_body_makes_it(function)
    if not callable(function) and not hasattr(type(function), "__get__"):
        raise TypeError(f"expected a function, a method or a class, got an object of type {type(function).__name__}")
    name = dotted_name(function)
    plan = Plan(function, name if event_name is None else event_name, name, **settings)
    again = functools.partial(_audit, event_name=event_name, settings=settings, enabled=enabled)
    return AuditedFunction(function, wrapper_for(function, plan), again, enabled)


def _audit_class(cls: type, event_name: str | None, settings: dict[str, Any]) -> type:
    """Audit the public methods in a class's own body, and its being called; return the class."""
    methods = public_methods(cls)
    binders = {name: Binder(member) for name, member in methods.items()}
    for wanted in settings["capture"]:
        if wanted != "*" and not any(binder.has_parameter(wanted) for binder in binders.values()):
            raise AuditConfigError(f"capture: expected parameters of methods of {cls.__qualname__}, got {wanted!r}")
    for name, member in methods.items():
        capture = tuple(
            wanted for wanted in settings["capture"] if wanted == "*" or binders[name].has_parameter(wanted)
        )
        method_event = None if event_name is None else f"{event_name}.{name}"
        setattr(cls, name, _audit(member, event_name=method_event, settings={**settings, "capture": capture}))
    return cls


def _audit_accessor(
    function: Any, action: str, event_name: str | None, settings: dict[str, Any], enabled: Enabled | None
) -> Any:
    own = {**settings, "action": action} if settings["action"] == "EXECUTE" else settings
    return _audit(function, event_name=event_name, settings=own, enabled=enabled)
