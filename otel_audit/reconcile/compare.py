"""A copied record against the line that it should be: the first member that differs.

The mapping is that of docs/opentelemetry.md: what stands in the line stands in the record.
A resource may have more than the line, which carries a part of it; attributes may not, but for
the stamps and what a file receiver adds (``log.*``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from otel_audit import semconv
from otel_audit.line_form import parse_time
from otel_audit.reconcile.otlp_json import Telemetry, UnreadableError, attributes, integer, parse_integer, text

MAX_COPY_DEPTH: Final = 28
"""What lies deeper in a copy may be JSON text: protobuf's readers stop at 100 messages inside one another."""
MAX_NAME: Final = 200
"""Characters of a name that are told: a copy can hold any."""
_MAX_TIME_NS: Final = 2**64 - 1
_STAMPS: Final = frozenset(
    {
        semconv.AUDIT_SEQUENCE_NUMBER,
        semconv.AUDIT_SEQUENCE_PREV_HASH,
        semconv.AUDIT_STREAM_ID,
        semconv.AUDIT_INTEGRITY_HASH,
    }
)
_OWN_SCOPE: Final = ("", "otel_audit")


def difference(
    copied: Telemetry, found: Mapping[str, Any], line: Mapping[str, Any], *, carried: bool = False
) -> str | None:
    """Return the name of the first member in which a record is not its line; None where it is.

    Args:
        copied: The record.
        found: Its attributes by name.
        line: The members of the line.
        carried: The record's ``log.record.original`` is the line itself, in the place of an
            attribute of that name.
    """
    record = copied.record
    for name, member in (("timeUnixNano", "time"), ("observedTimeUnixNano", "observed_time")):
        time_ns = parse_time(line[member])
        if 0 <= time_ns <= _MAX_TIME_NS and _number(record.get(name)) != time_ns:
            return member
    if _text(record.get("eventName")) != line["event_name"]:
        return "event_name"
    if _text(record.get("severityText")) != line.get("severity_text", ""):
        return "severity_text"
    if _number(record.get("severityNumber")) != line.get("severity_number", 0):
        return "severity_number"
    if not same(record.get("body", {}), line.get("body"), 0):
        return "body"
    for name, value in line["attributes"].items():
        if not same(found.get(name), value, 0) and not (carried and name == semconv.LOG_RECORD_ORIGINAL):
            return f"attributes.{name[:MAX_NAME]}"
    if len(found) > len(line["attributes"]):
        for name in found:
            if name in line["attributes"] or name in _STAMPS:
                continue
            if not name.startswith("log.") or (name == semconv.LOG_RECORD_ORIGINAL and not carried):
                return f"attributes.{name[:MAX_NAME]}"
    return _context(copied, line)


def stamps_differ(found: Mapping[str, Any], seq: int, prev_hash: str | None, digits: str | None) -> str | None:
    """Return the name of the first stamp that is there and says something else than the line."""
    stamp = found.get(semconv.AUDIT_SEQUENCE_NUMBER)
    if stamp is not None and integer(stamp) != seq:
        return semconv.AUDIT_SEQUENCE_NUMBER
    for name, right in ((semconv.AUDIT_SEQUENCE_PREV_HASH, prev_hash), (semconv.AUDIT_INTEGRITY_HASH, digits)):
        stamp = found.get(name)
        if stamp is not None and text(stamp) != right:
            return name
    return None


def same(copied: object, value: object, depth: int) -> bool:
    """Whether a value of the protocol is a value of the line: of the same type, and equal."""
    if type(copied) is not dict:
        return False
    if not copied:
        return value is None
    if len(copied) != 1:
        return False
    ((kind, inner),) = copied.items()
    if type(value) is str:
        return bool(kind == "stringValue" and inner == value)
    if type(value) is bool:
        return kind == "boolValue" and inner is value
    if type(value) is int:
        return kind == "intValue" and parse_integer(inner) == value
    if type(value) is float:
        return kind == "doubleValue" and type(inner) in (int, float) and float(inner) == value
    if kind == "stringValue" and depth >= MAX_COPY_DEPTH:
        return _is_json_of(inner, value)
    if type(value) is list:
        items = _values(inner) if kind == "arrayValue" else None
        return (
            items is not None
            and len(items) == len(value)
            and all(same(item, one, depth + 1) for item, one in zip(items, value, strict=True))
        )
    if type(value) is dict and kind == "kvlistValue":
        pairs = _values(inner)
        if pairs is None or len(pairs) != len(value):
            return False
        try:
            named = attributes(pairs)
        except UnreadableError:
            return False
        return all(same(named.get(name), one, depth + 1) for name, one in value.items())
    return False


def _context(copied: Telemetry, line: Mapping[str, Any]) -> str | None:
    record = copied.record
    if _text(record.get("traceId")) != line.get("trace_id", ""):
        return "trace_id"
    if _text(record.get("spanId")) != line.get("span_id", ""):
        return "span_id"
    if "trace_id" in line:
        flags = _number(record.get("flags"))
        if flags is None or flags & 0xFF != int(line["trace_flags"], 16):
            return "trace_flags"
    resource = line.get("resource")
    if resource:
        if copied.resource is None:
            return "resource"
        for name, value in resource.items():
            if not same(copied.resource.get(name), value, 0):
                return f"resource.{name[:MAX_NAME]}"
    scope = line.get("scope")
    name = copied.scope.get("name", "")
    if name not in _OWN_SCOPE if scope is None else name != scope["name"]:
        return "scope"
    if scope is not None and copied.scope.get("version", "") != scope.get("version", ""):
        return "scope.version"
    return None


def _text(value: object) -> object:
    return "" if value is None else value


def _number(value: object) -> int | None:
    return 0 if value is None else parse_integer(value)


def _values(inner: object) -> list[Any] | None:
    values = inner.get("values", []) if type(inner) is dict else None
    return values if type(values) is list else None


def _is_json_of(inner: object, value: object) -> bool:
    try:
        return type(inner) is str and _sorted(orjson.loads(inner)) == _sorted(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return False


def _sorted(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
