"""Circuit breakers: each trip, probe and recovery.

A breaker tells of its changes while it holds its lock. They are noted there and written once
`call` or `reset` has given the lock back, each with the time at which it happened.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit import semconv
from otel_audit.errors import AuditError
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of
from otel_audit.record import Target

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.hummbl import Recorder

_log = logging.getLogger(__name__)

_EVENTS: Final = {
    "OPEN": (semconv.EVENT_HUMMBL_CIRCUIT_BREAKER_TRIP, "TRIP"),
    "HALF_OPEN": (semconv.EVENT_HUMMBL_CIRCUIT_BREAKER_PROBE, "PROBE"),
    "CLOSED": (semconv.EVENT_HUMMBL_CIRCUIT_BREAKER_RECOVER, "RECOVER"),
}
"""By the state that a breaker comes into: the event's name, and the action."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A breaker that went from one state to another."""

    before: str
    after: str
    time_ns: int


_changes: ContextVar[list[_Change] | None] = ContextVar("otel_audit_circuit_breaker_changes", default=None)
"""Of the call under way; a breaker inside of another has a list of its own."""


def instrument(recorder: Recorder, undo: ExitStack) -> None:
    """Audit the circuit breakers that are made from now on.

    Raises:
        AuditConfigError: This version of hummbl-governance lacks a function that is wrapped.
    """
    breaker = import_module("hummbl_governance.circuit_breaker").CircuitBreaker
    undo.callback(wrap(breaker, "__init__", _listen))
    undo.callback(wrap(breaker, "call", _write_changes(recorder)))
    undo.callback(wrap(breaker, "reset", _write_changes(recorder)))


def _listen(wrapped: Callable[..., None], _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Make a breaker that tells us of its changes, then whom it was to tell."""
    theirs = args[2] if len(args) > 2 else kwargs.get("on_state_change")

    def on_state_change(before: Any, after: Any) -> None:
        changes = _changes.get()
        if changes is not None:
            changes.append(_Change(before.name, after.name, time.time_ns()))
        if theirs is not None:
            theirs(before, after)

    if len(args) > 2:
        wrapped(*args[:2], on_state_change, *args[3:], **kwargs)
    else:
        wrapped(*args, **{**kwargs, "on_state_change": on_state_change})


def _write_changes(recorder: Recorder) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function = args[0] if args else kwargs.get("fn")  # None: a reset
        with _noted() as changes:
            try:
                result = wrapped(*args, **kwargs)
            except BaseException as error:
                _write_quietly(recorder, instance, changes, function, error)
                raise
        for change in changes:
            _write(recorder, instance, change, function, None)
        return result

    return wrapper


@contextmanager
def _noted() -> Iterator[list[_Change]]:
    changes: list[_Change] = []
    token = _changes.set(changes)
    try:
        yield changes
    finally:
        _changes.reset(token)


def _write_quietly(
    recorder: Recorder, breaker: Any, changes: list[_Change], function: Any, error: BaseException
) -> None:
    """Write what happened in a call that raised: its own exception goes on, whatever becomes of the entry."""
    for change in changes:
        try:
            _write(recorder, breaker, change, function, error)
        except AuditError as failure:
            _log.error("a circuit breaker's change to %s is not in the audit log: %s", change.after, failure)
            recorder.lost(change.time_ns, failure)


def _write(recorder: Recorder, breaker: Any, change: _Change, function: Any, error: BaseException | None) -> None:
    event_name, action = _EVENTS[change.after]
    failures = breaker.failure_count
    recorder.record(
        event_name,
        "CIRCUIT_BREAKER",
        f"{change.before} to {change.after}" + (f", {failures} failures" if failures else ""),
        {
            semconv.HUMMBL_CIRCUIT_BREAKER_STATE: change.after,
            semconv.HUMMBL_CIRCUIT_BREAKER_PREVIOUS_STATE: change.before,
            semconv.HUMMBL_CIRCUIT_BREAKER_FAILURE_COUNT: failures,
        },
        action=action,
        target=None if function is None else Target(_name_of(function), "function"),
        error_type=error_type_of(error) if error is not None and change.after == "OPEN" else None,
        reason="reset" if function is None else None,
        timestamp_ns=change.time_ns,
    )


def _name_of(function: Any) -> str:
    """Return the name of what was called; of a callable without one, of its class. Nothing of its text."""
    named = function if isinstance(getattr(function, "__qualname__", None), str) else type(function)
    return f"{named.__module__}.{named.__qualname__}"[:1000]
