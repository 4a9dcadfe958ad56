"""Audit records from other loggers: what is missing is filled in, what is wrong is moved aside.

The schema refuses; a record that has left its caller cannot be refused any more without being
lost. So here nothing raises but an event name that is the log's own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from opentelemetry._logs import LogRecord

from otel_audit import semconv
from otel_audit.attributes import (
    MAX_EVENT_NAME_BYTES,
    add_given,
    check_action,
    check_event_name,
    check_text,
    check_word,
    with_altered,
)
from otel_audit.errors import AuditRecordError
from otel_audit.line import format_time
from otel_audit.value import clean, clean_text, pointer_to

from .context import current_actors
from .record_ids import new_record_id

_DEFAULT_EVENT_NAME: Final = "audit.event"

_TEXTS: Final = (
    semconv.AUDIT_TARGET_ID,
    semconv.AUDIT_TARGET_TYPE,
    semconv.AUDIT_SOURCE_ID,
    semconv.AUDIT_SOURCE_TYPE,
    semconv.AUDIT_INTENT_ID,
    semconv.AUDIT_REASON,
    semconv.AUDIT_TRAIL,
    semconv.ERROR_TYPE,
)
_WORDS: Final = {
    semconv.AUDIT_ACTOR_TYPE: semconv.ACTOR_TYPES,
    semconv.AUDIT_OUTCOME: semconv.OUTCOMES,
    semconv.AUDIT_PHASE: semconv.PHASES,
    semconv.AUDIT_DECISION: semconv.DECISIONS,
}
_VALUES: Final = (
    semconv.AUDIT_DELEGATION,
    semconv.AUDIT_DURATION,
    semconv.AUDIT_ARGUMENTS,
    semconv.AUDIT_RESULT,
)
_ORDER: Final = (
    semconv.AUDIT_RECORD_ID,
    semconv.AUDIT_ACTOR_ID,
    semconv.AUDIT_ACTOR_TYPE,
    semconv.AUDIT_ACTION,
    semconv.AUDIT_OUTCOME,
    semconv.AUDIT_TARGET_ID,
    semconv.AUDIT_TARGET_TYPE,
    semconv.AUDIT_SOURCE_ID,
    semconv.AUDIT_SOURCE_TYPE,
    semconv.AUDIT_SCHEMA_VERSION,
    semconv.AUDIT_PHASE,
    semconv.AUDIT_INTENT_ID,
    semconv.AUDIT_DECISION,
    semconv.AUDIT_REASON,
    semconv.AUDIT_TRAIL,
    semconv.AUDIT_DELEGATION,
    semconv.AUDIT_DURATION,
    semconv.AUDIT_ARGUMENTS,
    semconv.AUDIT_RESULT,
    semconv.ERROR_TYPE,
)


def complete_event_name(log: LogRecord) -> str:
    """Return the record's event name, or a general one where it has none that a line can hold.

    Raises:
        AuditRecordError: The name is one of the log's own: it would forge a lifecycle entry.
    """
    name = log.event_name
    if not isinstance(name, str) or not name:
        return _DEFAULT_EVENT_NAME
    return check_event_name(clean_text(name, "", []).encode()[:MAX_EVENT_NAME_BYTES].decode(errors="ignore"))


def complete_time(log: LogRecord) -> int:
    """Return when it happened, nanoseconds since 1970: now, where the record tells no real time."""
    for time_ns in (log.timestamp, log.observed_timestamp):
        if type(time_ns) is int and time_ns:
            try:
                format_time(time_ns)
            except AuditRecordError:
                continue
            return time_ns
    return time.time_ns()


def complete_attributes(log: LogRecord, service: str, altered: list[str]) -> dict[str, object]:
    """Return the whole attribute map of an entry, required attributes filled in."""
    given: Mapping[str, object] = dict(log.attributes or {})
    known: dict[str, object] = {}
    rest: dict[str, object] = {}
    for name, value in given.items():
        mark = len(altered)
        try:
            known[name] = _member(name, value, altered)
        except AuditRecordError:
            del altered[mark:]
            rest[name] = value
    actors = current_actors(log.context)
    known.setdefault(semconv.AUDIT_RECORD_ID, new_record_id())
    if semconv.AUDIT_ACTOR_ID not in known:
        known[semconv.AUDIT_ACTOR_ID] = actors[-1].id if actors else service
        known[semconv.AUDIT_ACTOR_TYPE] = actors[-1].type if actors else "service"
    known.setdefault(semconv.AUDIT_ACTOR_TYPE, "service")
    known.setdefault(semconv.AUDIT_ACTION, "EXECUTE")
    known.setdefault(semconv.AUDIT_OUTCOME, _outcome(known))
    known[semconv.AUDIT_SCHEMA_VERSION] = semconv.SCHEMA_VERSION
    if len(actors) > 1:
        known.setdefault(semconv.AUDIT_DELEGATION, [actor.id for actor in actors])
    whole: dict[str, object] = {name: known[name] for name in _ORDER if name in known}
    add_given(whole, rest, altered)
    return with_altered(whole, altered) if altered else whole


def _member(name: str, value: object, altered: list[str]) -> object:
    """Return the value of a member of the schema.

    Raises:
        AuditRecordError: It is none, or not one that the schema allows: it belongs to the rest.
    """
    if name in (semconv.AUDIT_RECORD_ID, semconv.AUDIT_ACTOR_ID) and (not isinstance(value, str) or not value):
        raise AuditRecordError(name)
    if name in (semconv.AUDIT_RECORD_ID, semconv.AUDIT_ACTOR_ID) or name in _TEXTS:
        return check_text(name, value, altered)
    if name == semconv.AUDIT_ACTION:
        return check_action(value.upper() if isinstance(value, str) else value)  # type: ignore[arg-type]
    if name in _WORDS:
        return check_word(name, value, _WORDS[name])  # type: ignore[arg-type]
    if name in _VALUES:
        return clean(value, pointer_to("/attributes", name), altered, 3)
    if name == semconv.AUDIT_SCHEMA_VERSION and value == semconv.SCHEMA_VERSION:
        return value
    raise AuditRecordError(name)


def _outcome(known: Mapping[str, object]) -> str:
    if semconv.AUDIT_DECISION in known and semconv.AUDIT_PHASE not in known:
        return "failure" if known[semconv.AUDIT_DECISION] == "error" else "success"
    return "unknown"
