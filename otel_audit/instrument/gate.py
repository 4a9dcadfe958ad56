"""`gate`: a function that runs only where a policy allows the call, and the decision is recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from otel_audit.environment import OnFailure
from otel_audit.instrument.call import Call
from otel_audit.instrument.details import ActorOf, AttributesOf, TargetOf
from otel_audit.instrument.gatekeeper import Args, Gatekeeper, Kwargs
from otel_audit.instrument.kind import body_of, kind_of, named_like
from otel_audit.instrument.members import as_class_body_makes_it, dotted_name, map_property, public_methods
from otel_audit.pipeline.resume import aresumed, resumed
from otel_audit.pipeline.wrapper import Wrapper

F = TypeVar("F", bound="Callable[..., Any] | property | classmethod[Any, Any, Any]")


def gate(
    check: Callable[[Call], Any],
    event_name: str | None = None,
    /,
    *,
    action: str = "EXECUTE",
    target: TargetOf = None,
    actor: ActorOf = None,
    attributes: AttributesOf = None,
    on_failure: OnFailure | None = None,
) -> Callable[[F], F]:
    """Run a function only where a policy allows the call; record the decision before acting on it.

    ``@gate(policy)``, on every kind of function that `audited` takes, and with it in either
    order: outside `audited` a blocked call leaves the decision alone; inside, it stands between
    the call's intent and its outcome, a failure. Gates over one another are each asked. The policy is
    asked when the function's body is about to run: of a coroutine when it is awaited, of a
    generator at its first step. Result, exception, signature and kind come through unchanged.

    Args:
        check: The policy. Gets the `Call`; a coroutine function is awaited, for coroutine and
            async generator functions only. It answers True, ``"allow"`` or ``"override"``; False
            or ``"block"``; the reason to block as another text; a pair ``(decision, reason)``; or
            an object whose ``allowed`` or ``blocked`` is True or False, perhaps with ``reason`` and
            ``message``. Any other answer, None too, blocks: as an error, like an exception.
        event_name: Of the decision's entry; by default module and qualified name.
        action: An upper-case verb.
        target: What is acted upon, or a callable that tells it from the `Call`.
        actor: Who acts, or a callable; None takes the current actor.
        attributes: Further attributes, or a callable.
        on_failure: ``closed`` blocks where the decision cannot be recorded; ``open`` lets an
            allowed call run; None leaves it to the provider.

    Raises:
        AuditRecordError: The format refuses the event name or another value.
        AuditConfigError: A setting is wrong, or an async policy is to decide of a plain function.

    A call raises `AuditBlockedError` where it is not allowed, `AuditWriteError` where the decision
    could not be recorded, `AuditConfigError` where auditing is not configured. In each case the
    function did not run. Reasons are recorded without what looks like a credential, and nothing
    else of the call or of an exception's text is.
    """
    if not callable(check):
        raise TypeError(f"check: expected a callable, got {check!r}")
    settings = {
        "check": check,
        "action": action,
        "target": target,
        "actor": actor,
        "attributes": attributes,
        "on_failure": on_failure,
    }
    return functools.partial(_gate, event_name=event_name, settings=settings)


def _gate(function: Any, *, event_name: str | None, settings: dict[str, Any]) -> Any:
    """Return what stands in for a function, a class or a property."""
    if isinstance(function, type):
        for name, member in public_methods(function).items():
            method_event = None if event_name is None else f"{event_name}.{name}"
            setattr(function, name, _gate(member, event_name=method_event, settings=settings))
        return function
    if isinstance(function, property):
        return map_property(function, functools.partial(_gate_accessor, event_name=event_name, settings=settings))
    if isinstance(function, functools.cached_property):
        return functools.cached_property(_gate(function.func, event_name=event_name, settings=settings))
    function = as_class_body_makes_it(function)
    if not callable(function) and not hasattr(type(function), "__get__"):
        raise TypeError(f"expected a function, a method or a class, got an object of type {type(function).__name__}")
    name = dotted_name(function)
    keeper = Gatekeeper(function, name if event_name is None else event_name, name, **settings)
    again = functools.partial(_gate, event_name=event_name, settings=settings)
    return Wrapper(function, _wrapper_for(function, keeper), again)


def _gate_accessor(function: Any, action: str, event_name: str | None, settings: dict[str, Any]) -> Any:
    own = {**settings, "action": action} if settings["action"] == "EXECUTE" else settings
    return _gate(function, event_name=event_name, settings=own)


def _wrapper_for(function: Any, keeper: Gatekeeper) -> Callable[..., Any]:
    """Return the wrapper, in wrapt's form, for a function of its kind."""

    def around_call(wrapped: Callable[..., Any], instance: object, args: Args, kwargs: Kwargs) -> Any:
        keeper.ask(instance, args, kwargs)
        return wrapped(*args, **kwargs)

    async def run_gated(wrapped: Callable[..., Any], instance: object, args: Args, kwargs: Kwargs) -> Any:
        await keeper.aask(instance, args, kwargs)
        return await wrapped(*args, **kwargs)

    def around_coroutine(wrapped: Callable[..., Any], instance: object, args: Args, kwargs: Kwargs) -> Any:
        return run_gated(wrapped, instance, args, kwargs)

    def around_generator(wrapped: Callable[..., Any], instance: object, args: Args, kwargs: Kwargs) -> Any:
        inner = wrapped(*args, **kwargs)
        return named_like(resumed(inner, lambda: keeper.ask(instance, args, kwargs)), inner)

    def around_async_generator(wrapped: Callable[..., Any], instance: object, args: Args, kwargs: Kwargs) -> Any:
        inner = wrapped(*args, **kwargs)
        return named_like(aresumed(inner, lambda: keeper.aask(instance, args, kwargs)), inner)

    match kind_of(function):
        case "coroutine":
            named_like(run_gated, body_of(function))
            return around_coroutine
        case "generator":
            return around_generator
        case "async generator":
            return around_async_generator
        case "call":
            return around_call
