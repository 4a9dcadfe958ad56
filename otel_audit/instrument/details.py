"""Who acts, upon what, and what else: fixed for all calls of a function, or told from each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from otel_audit.attributes import check_actor, check_text
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.call import Call
from otel_audit.instrument.once import warn_once
from otel_audit.interrupt import is_interrupt
from otel_audit.record import Actor, Target
from otel_audit.semconv import AUDIT_ACTOR_ID, AUDIT_TARGET_ID

T = TypeVar("T")

ActorOf = Actor | str | None | Callable[[Call], Actor | str | None]
TargetOf = Target | str | None | Callable[[Call], Target | str | None]
AttributesOf = Mapping[str, object] | None | Callable[[Call], Mapping[str, object] | None]

_logger = logging.getLogger(__name__)


class Details:
    """The ``actor``, ``target`` and ``attributes`` of a function's calls. Immutable.

    Attributes:
        static: Those that are the same for each call.
        dynamic: Whether any is told from the call.

    Raises:
        AuditRecordError: The format refuses one that is given.
        AuditConfigError: The attributes are no mapping.
    """

    __slots__ = ("_actor", "_attributes", "_target", "dynamic", "static")

    def __init__(self, *, actor: ActorOf, target: TargetOf, attributes: AttributesOf) -> None:
        self.static: dict[str, Any] = {}
        self._actor = self._settle("actor", actor, _checked_actor)
        self._target = self._settle("target", target, _checked_target)
        self._attributes = self._settle("attributes", attributes, _checked_attributes)
        self.dynamic = bool(self._actor or self._target or self._attributes)

    def ask(self, call: Call, parts: dict[str, Any], altered: list[str]) -> None:
        """Put what the callables tell of a call among its parts.

        Args:
            altered: Receives the JSON Pointer of each part whose callable fails.
        """
        if self._actor is not None:
            parts["actor"] = _ask(self._actor, call, _checked_actor, f"/attributes/{AUDIT_ACTOR_ID}", altered)
        if self._target is not None:
            parts["target"] = _ask(self._target, call, _checked_target, f"/attributes/{AUDIT_TARGET_ID}", altered)
        if self._attributes is not None:
            parts["attributes"] = _ask(self._attributes, call, _checked_attributes, "/attributes", altered)

    def _settle(self, name: str, given: Any, check: Callable[[Any], Any]) -> Callable[[Call], Any] | None:
        """Put a value that is the same for each call among the static ones; return a callable."""
        if callable(given):
            return given  # type: ignore[no-any-return]
        if given is not None:
            self.static[name] = check(given)
        return None


def _ask(ask: Callable[[Call], T], call: Call, check: Callable[[T], T], pointer: str, altered: list[str]) -> T | None:
    """Return what a callable says of a call; None where it fails."""
    try:
        answer = ask(call)
        return check(answer)
    except BaseException as error:
        if is_interrupt(error):
            raise
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
