"""The words by which an entry's values are asked for: ``actor``, ``hour``, a member, or where a value lies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from otel_audit import semconv
from otel_audit.entry import Entry
from otel_audit.selection import parse_path, value_at

SHORT_NAMES: Final = {
    "record_id": semconv.AUDIT_RECORD_ID,
    "actor": semconv.AUDIT_ACTOR_ID,
    "actor_type": semconv.AUDIT_ACTOR_TYPE,
    "action": semconv.AUDIT_ACTION,
    "outcome": semconv.AUDIT_OUTCOME,
    "target": semconv.AUDIT_TARGET_ID,
    "target_type": semconv.AUDIT_TARGET_TYPE,
    "source": semconv.AUDIT_SOURCE_ID,
    "source_type": semconv.AUDIT_SOURCE_TYPE,
    "phase": semconv.AUDIT_PHASE,
    "intent_id": semconv.AUDIT_INTENT_ID,
    "decision": semconv.AUDIT_DECISION,
    "reason": semconv.AUDIT_REASON,
    "trail": semconv.AUDIT_TRAIL,
    "delegation": semconv.AUDIT_DELEGATION,
    "duration": semconv.AUDIT_DURATION,
    "error_type": semconv.ERROR_TYPE,
}
"""Attributes that have a name of their own in queries."""

TIMES: Final[dict[str, Callable[[Entry], object]]] = {
    "minute": lambda entry: f"{entry.time[:16]}Z",
    "hour": lambda entry: f"{entry.time[:13]}:00Z",
    "day": lambda entry: entry.time[:10],
}
"""Parts of ``time``, UTC."""

MEMBERS: Final = tuple(name for name in Entry.__annotations__ if name != "raw")


class Field(NamedTuple):
    """A value that can be asked for.

    Attributes:
        name: As it was asked for.
        value: That of an entry; None where it has none.
    """

    name: str
    value: Callable[[Entry], object]


def field(name: str) -> Field:
    """Return the field of a name.

    Args:
        name: One of `TIMES`, `SHORT_NAMES` or `MEMBERS`; anything else says where a value lies
            (`otel_audit.selection.parse_path`).
    """
    if name in TIMES:
        return Field(name, TIMES[name])
    if name in SHORT_NAMES:
        attribute = SHORT_NAMES[name]
        return Field(name, lambda entry: entry.attributes.get(attribute))
    if name in MEMBERS:
        return Field(name, lambda entry: getattr(entry, name))
    path = parse_path(name)
    return Field(name, lambda entry: value_at(entry, path))
