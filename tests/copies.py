"""Collectors' copies made without the package: what `reconcile` is tested on owes nothing to it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any

from tests.logs import GENESIS, STREAM_ID, Members, chain, dump, hash_of

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
OWN_SCOPE = {"name": "otel_audit"}


def any_value(value: object) -> Members:
    """Return a JSON value as OTLP JSON spells it."""
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    assert isinstance(value, dict)
    return {"kvlistValue": {"values": key_values(value)}}


def key_values(members: Members) -> list[Members]:
    """Return a map as OTLP JSON spells attributes."""
    return [{"key": name, "value": any_value(value)} for name, value in members.items()]


def nanoseconds(text: str) -> str:
    """Return a time of the line as OTLP JSON spells it."""
    second = int((dt.datetime.fromisoformat(text[:19] + "+00:00") - EPOCH).total_seconds())
    return str(second * 1_000_000_000 + int(text[20:29]))


def log_record(line: bytes, *, original: bool, stream_id: str | None = STREAM_ID) -> Members:
    """Return the record of a line: of a file receiver with the original, else of the application."""
    entry: Members = json.loads(line)
    found = dict(entry["attributes"]) | {"audit.sequence.number": entry["seq"]}
    for name, member in (("audit.sequence.prev_hash", "prev_hash"), ("audit.integrity.hash", "hash")):
        if member in entry:
            found[name] = entry[member]
    if original:
        found["log.record.original"] = line.decode()
    elif stream_id is not None:
        found["audit.stream.id"] = stream_id
    record = {
        "timeUnixNano": nanoseconds(entry["time"]),
        "observedTimeUnixNano": nanoseconds(entry["observed_time"]),
        "body": any_value(entry.get("body")),
        "attributes": key_values(found),
        "eventName": entry["event_name"],
    }
    if "severity_number" in entry:
        record |= {"severityNumber": entry["severity_number"]}
    if "severity_text" in entry:
        record |= {"severityText": entry["severity_text"]}
    if "trace_id" in entry:
        flags = int(entry["trace_flags"], 16)
        record |= {"flags": flags, "traceId": entry["trace_id"], "spanId": entry["span_id"]}
    return record


def request(lines: Iterable[bytes], *, original: bool = True, stream_id: str | None = STREAM_ID) -> Members:
    """Return one request with the records of lines, each under the resource and scope of its own."""
    groups = []
    for line in lines:
        entry = json.loads(line)
        scoped = {
            "scope": entry.get("scope", OWN_SCOPE),
            "logRecords": [log_record(line, original=original, stream_id=stream_id)],
        }
        groups.append({"resource": {"attributes": key_values(entry.get("resource", {}))}, "scopeLogs": [scoped]})
    return {"resourceLogs": groups}


def copy(lines: Iterable[bytes], *, size: int = 7, original: bool = True, stream_id: str | None = STREAM_ID) -> bytes:
    """Return a file exporter's file: requests of so many records, one a line."""
    lines = list(lines)
    batches = [lines[at : at + size] for at in range(0, len(lines), size)]
    return b"".join(dump(request(batch, original=original, stream_id=stream_id)) + b"\n" for batch in batches)


def record_of(made: Members, at: int = 0) -> dict[str, Any]:
    """Return one record of a request, to be changed in place."""
    record: dict[str, Any] = made["resourceLogs"][at]["scopeLogs"][0]["logRecords"][0]
    return record


def set_attribute(record: Members, name: str, value: Members) -> None:
    """Give an attribute of a record another value of the protocol."""
    for pair in record["attributes"]:
        if pair["key"] == name:
            pair["value"] = value
            return
    record["attributes"].append({"key": name, "value": value})


def resealed(lines: list[bytes], seq: int, /, **changed: Any) -> list[bytes]:
    """Return a log in which one entry was changed and all from it on sealed again."""
    members = [json.loads(line) for line in lines[seq - 1 :]]
    for entry in members:
        for name in ("prev_hash", "hash", "hmac"):
            entry.pop(name, None)
    members[0]["attributes"].update(changed)
    prev = GENESIS if seq == 1 else hash_of(lines[seq - 2])
    return [*lines[: seq - 1], *chain(members, prev)]
