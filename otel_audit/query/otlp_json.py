"""Entries as OTLP JSON: requests that a collector takes, one a line.

OpenTelemetry protocol 1.x, "JSON Protobuf Encoding". The records are those that a collector makes of
the log's files itself (docs/collector.md, "What arrives"): every member, the stamps, the exact line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from otel_audit import semconv
from otel_audit.entry import Entry
from otel_audit.inert import visible_in_json
from otel_audit.line_form import parse_time
from otel_audit.reconcile.compare import MAX_COPY_DEPTH

MAX_BATCH: Final = 512
MAX_BATCH_BYTES: Final = 1 << 20
"""Of lines in one request: receivers take 4 MiB by default, and a record is up to three times its line."""

_OWN_SCOPE: Final = {"name": "otel_audit"}
_TIMES: Final = range(2**64)
_SEVERITIES: Final = range(-(2**31), 2**31)


def otlp_requests(entries: Iterable[tuple[Entry, str | None]]) -> Iterator[bytes]:
    """Yield requests, each with its LF; nothing in them can move a terminal's cursor.

    Args:
        entries: Each with the ``audit.stream.id`` of its log.
    """
    batch: list[tuple[Entry, str | None]] = []
    size = 0
    for entry, stream_id in entries:
        if batch and (len(batch) >= MAX_BATCH or size + len(entry.raw) > MAX_BATCH_BYTES):
            yield _request(batch)
            batch, size = [], 0
        batch.append((entry, stream_id))
        size += len(entry.raw)
    if batch:
        yield _request(batch)


def _request(batch: list[tuple[Entry, str | None]]) -> bytes:
    """Return one request: the records in order, those in a row with one resource and scope together."""
    groups: list[dict[str, Any]] = []
    last: tuple[bytes, bytes] | None = None
    for entry, stream_id in batch:
        scope = entry.scope or _OWN_SCOPE
        key = orjson.dumps(entry.resource), orjson.dumps(scope)
        if key != last:
            resource = {"attributes": _pairs(entry.resource, 0)} if entry.resource else {}
            groups.append({"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": []}]})
            last = key
        groups[-1]["scopeLogs"][0]["logRecords"].append(_record(entry, stream_id))
    encoded = orjson.dumps({"resourceLogs": groups})
    return visible_in_json(encoded.decode()).encode() + b"\n"


def _record(entry: Entry, stream_id: str | None) -> dict[str, object]:
    attributes = dict(entry.attributes)
    attributes[semconv.AUDIT_SEQUENCE_NUMBER] = entry.seq
    stamps = {
        semconv.AUDIT_STREAM_ID: stream_id,
        semconv.AUDIT_INTEGRITY_HASH: entry.hash,
        semconv.AUDIT_SEQUENCE_PREV_HASH: entry.prev_hash,
        semconv.LOG_RECORD_ORIGINAL: entry.raw.decode(),
    }
    attributes.update({name: stamp for name, stamp in stamps.items() if stamp is not None})
    record: dict[str, object] = {
        "timeUnixNano": _time(entry.time),
        "observedTimeUnixNano": _time(entry.observed_time),
        "eventName": entry.event_name,
        "attributes": _pairs(attributes, 0),
    }
    if entry.body is not None:
        record["body"] = _value(entry.body, 0)
    if entry.severity_text is not None:
        record["severityText"] = entry.severity_text
    if entry.severity_number is not None and entry.severity_number in _SEVERITIES:
        record["severityNumber"] = entry.severity_number
    if entry.trace_id is not None:
        record |= {
            "flags": int(entry.trace_flags or "0", 16),
            "traceId": entry.trace_id,
            "spanId": entry.span_id,
        }
    return record


def _time(text: str) -> str:
    time_ns = parse_time(text)
    return str(time_ns if time_ns in _TIMES else 0)  # 0: not known; the line has it


def _pairs(members: dict[str, object], depth: int) -> list[dict[str, object]]:
    return [{"key": name, "value": _value(value, depth)} for name, value in members.items()]


def _value(value: object, depth: int) -> dict[str, object]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if depth >= MAX_COPY_DEPTH:
        return {"stringValue": orjson.dumps(value).decode()}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item, depth + 1) for item in value]}}
    assert isinstance(value, dict)  # all that JSON has
    return {"kvlistValue": {"values": _pairs(value, depth + 1)}}
