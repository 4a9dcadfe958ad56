"""An entry as a row of a table: the columns of ``csv`` and ``parquet``, the same in both.

An attribute has its own name here, too. What a column cannot hold (a forged entry can have anything
anywhere) is empty there, and stands in ``attributes``, which has all of them as the line has them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import orjson

from otel_audit import semconv
from otel_audit.entry import Entry

Kind = Literal["integer", "number", "text", "texts", "time", "json"]
"""``texts``: an array of strings; ``time``: as the line spells it; ``json``: bytes of compact JSON."""

Value = int | float | str | bytes | list[str] | None


class Column(NamedTuple):
    """One column.

    Attributes:
        name: As in docs/export.md.
        kind: What its values are; None is always possible.
        value: That of an entry.
    """

    name: str
    kind: Kind
    value: Callable[[Entry], Value]


def _member(name: str, kind: Kind) -> Column:
    return Column(name, kind, lambda entry: getattr(entry, name))


def _attribute(name: str, kind: Kind) -> Column:
    if kind == "json":
        return Column(name, kind, lambda entry: _json(entry.attributes.get(name)))

    def value(entry: Entry) -> Value:
        found = entry.attributes.get(name)
        if kind == "text":
            return found if isinstance(found, str) else None
        if kind == "number":
            return found if isinstance(found, int | float) and not isinstance(found, bool) else None
        return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None

    return Column(name, kind, value)


def _json(value: object) -> bytes | None:
    return None if value is None else orjson.dumps(value)


def _scope(part: str) -> Column:
    def value(entry: Entry) -> Value:
        return None if entry.scope is None or part not in entry.scope else str(entry.scope[part])

    return Column(f"scope.{part}", "text", value)


_TEXTS: Final = (
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
)

COLUMNS: Final[tuple[Column, ...]] = (
    _member("seq", "integer"),
    _member("time", "time"),
    _member("event_name", "text"),
    _member("severity_text", "text"),
    _member("severity_number", "integer"),
    *(_attribute(name, "text") for name in _TEXTS),
    _attribute(semconv.AUDIT_DELEGATION, "texts"),
    _attribute(semconv.AUDIT_DURATION, "number"),
    _attribute(semconv.AUDIT_ARGUMENTS, "json"),
    _attribute(semconv.AUDIT_RESULT, "json"),
    _attribute(semconv.AUDIT_ALTERED, "texts"),
    _attribute(semconv.ERROR_TYPE, "text"),
    _member("trace_id", "text"),
    _member("span_id", "text"),
    _member("trace_flags", "text"),
    _member("observed_time", "time"),
    Column("body", "json", lambda entry: _json(entry.body)),
    Column("attributes", "json", lambda entry: orjson.dumps(entry.attributes)),
    Column("resource", "json", lambda entry: orjson.dumps(entry.resource) if entry.resource else None),
    _scope("name"),
    _scope("version"),
    _member("prev_hash", "text"),
    _member("hash", "text"),
    _member("hmac", "text"),
)
"""In this order. In front of them each table has ``audit.stream.id``, the log that an entry is of."""

STREAM_COLUMN: Final = semconv.AUDIT_STREAM_ID

_TEXT_NAMES: Final = (*_TEXTS, semconv.ERROR_TYPE)
_TEXT_OR_NONE: Final = frozenset((str, type(None)))
_BY_NAME: Final = {column.name: column for column in COLUMNS}
_DELEGATION, _DURATION, _ARGUMENTS, _RESULT, _ALTERED = (
    _BY_NAME[name].value
    for name in (
        semconv.AUDIT_DELEGATION,
        semconv.AUDIT_DURATION,
        semconv.AUDIT_ARGUMENTS,
        semconv.AUDIT_RESULT,
        semconv.AUDIT_ALTERED,
    )
)


def row(entry: Entry) -> list[Value]:
    """Return the values of all `COLUMNS`, sooner than each by itself gives its own."""
    attributes = entry.attributes
    get = attributes.get
    texts: list[Any] = [get(name) for name in _TEXT_NAMES]
    if not _TEXT_OR_NONE.issuperset(map(type, texts)):
        texts = [text if isinstance(text, str) else None for text in texts]
    error_type = texts.pop()
    scope: dict[str, Any] = entry.scope or {}
    return [
        entry.seq,
        entry.time,
        entry.event_name,
        entry.severity_text,
        entry.severity_number,
        *texts,
        _DELEGATION(entry) if semconv.AUDIT_DELEGATION in attributes else None,
        _DURATION(entry) if semconv.AUDIT_DURATION in attributes else None,
        _ARGUMENTS(entry) if semconv.AUDIT_ARGUMENTS in attributes else None,
        _RESULT(entry) if semconv.AUDIT_RESULT in attributes else None,
        _ALTERED(entry) if semconv.AUDIT_ALTERED in attributes else None,
        error_type,
        entry.trace_id,
        entry.span_id,
        entry.trace_flags,
        entry.observed_time,
        None if entry.body is None else orjson.dumps(entry.body),
        orjson.dumps(attributes),
        orjson.dumps(entry.resource) if entry.resource else None,
        scope.get("name"),
        scope.get("version"),
        entry.prev_hash,
        entry.hash,
        entry.hmac,
    ]
