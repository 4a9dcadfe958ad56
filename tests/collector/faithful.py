"""Compares a line of the log with the OpenTelemetry record that reached the far end, field by field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.chain import check_log, segments
from tests.collector.copies import CopiedRecord, otlp_value, records, sorted_value

Way = Literal["tail", "otlp"]


class Comparison(NamedTuple):
    """What a copy has of a log.

    Attributes:
        missing: Entries of the log that are not in the copy.
        foreign: Entries of the copy that are not in the log.
        doubles: Records beyond the first of each entry.
        differing: Entries of which a record is not what stands in the log, with what differs.
    """

    missing: set[int]
    foreign: set[int]
    doubles: int
    differing: dict[int, list[str]]


def compare(lines: Mapping[int, bytes], copy: Path, way: Way) -> Comparison:
    """Compare a log with its copy, every double, too.

    Args:
        lines: Of the log, without LF, by ``seq``.
    """
    seen: set[int] = set()
    doubles = 0
    differing: dict[int, list[str]] = {}
    for record in records(copy):
        if not record.is_entry:
            continue
        doubles += record.seq in seen
        seen.add(record.seq)
        found = differences(lines[record.seq], record, way) if record.seq in lines else []
        if found:
            differing[record.seq] = found
    return Comparison(lines.keys() - seen, seen - lines.keys(), doubles, differing)


def lines_of(path: Path) -> dict[int, bytes]:
    """Return the lines of a log that is sound, without LF, by ``seq``."""
    entries = check_log(path)
    raw = [line for segment in segments(path) for line in segment.read_bytes().split(b"\n")[:-1]]
    return {entry.seq: line for entry, line in zip(entries, raw, strict=True)}


def ranges(seqs: set[int]) -> str:
    """Return numbers as people write them: ``1, 5-8``."""
    pieces: list[list[int]] = []
    for seq in sorted(seqs):
        if pieces and pieces[-1][1] == seq - 1:
            pieces[-1][1] = seq
        else:
            pieces.append([seq, seq])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in pieces)


def differences(line: bytes, copied: CopiedRecord, way: Way) -> list[str]:
    """Return the fields in which they differ.

    Args:
        line: Without its LF.
        way: By ``tail`` the record has the exact line and its file's path besides; by ``otlp`` the stream's id and the
            whole resource, of which a line has a part.
    """
    members = json.loads(line)
    expected = _fields(members)
    got = _copied_fields(copied)
    attributes = {name: sorted_value(value) for name, value in copied.attributes.items()}
    wanted = {name: sorted_value(otlp_value(value)) for name, value in members["attributes"].items()}
    wanted["audit.sequence.number"] = otlp_value(members["seq"])
    for member, stamp in (("prev_hash", "audit.sequence.prev_hash"), ("hash", "audit.integrity.hash")):
        if member in members:
            wanted[stamp] = otlp_value(members[member])
    resource = {name: sorted_value(value) for name, value in copied.resource.items()}
    if way == "tail":
        wanted["log.record.original"] = otlp_value(line.decode())
        attributes.setdefault("log.file.path", None)
        wanted.setdefault("log.file.path", attributes["log.file.path"])
        if hashlib.sha256(copied.original.encode()[:-75]).hexdigest() != members["hash"]:
            return ["hash of log.record.original"]
    else:
        wanted["audit.stream.id"] = attributes.get("audit.stream.id")
        resource = {name: value for name, value in resource.items() if name in members.get("resource", {})}
    expected["resource"] = {
        name: sorted_value(otlp_value(value)) for name, value in members.get("resource", {}).items()
    }
    got["resource"] = resource
    if "scope" not in members:  # this package's own: its version stands in audit.log.opened alone
        got["scope"] = (got["scope"][0], "")
    found = [
        f"{name}: expected {expected[name]!r}, got {got[name]!r}" for name in expected if expected[name] != got[name]
    ]
    for name in sorted({*wanted, *attributes}):
        if wanted.get(name) != attributes.get(name) or (name in wanted) != (name in attributes):
            found.append(f"attribute {name}: expected {wanted.get(name)!r}, got {attributes.get(name)!r}")
    return found


def _fields(members: dict[str, Any]) -> dict[str, Any]:
    scope = members.get("scope", {"name": "otel_audit"})
    return {
        "time": _nanoseconds(members["time"]),
        "observed_time": _nanoseconds(members["observed_time"]),
        "event_name": members["event_name"],
        "severity_text": members.get("severity_text", ""),
        "severity_number": members.get("severity_number", 0),
        "body": sorted_value(otlp_value(members.get("body"))),
        "trace_id": members.get("trace_id", ""),
        "span_id": members.get("span_id", ""),
        "trace_flags": int(members.get("trace_flags", "0"), 16),
        "scope": (scope["name"], scope.get("version", "")),
    }


def _copied_fields(copied: CopiedRecord) -> dict[str, Any]:
    record = copied.record
    return {
        "time": int(record.get("timeUnixNano", 0)),
        "observed_time": int(record["observedTimeUnixNano"]),
        "event_name": record.get("eventName", ""),
        "severity_text": record.get("severityText", ""),
        "severity_number": record.get("severityNumber", 0),
        "body": sorted_value(record.get("body", {})),
        "trace_id": record.get("traceId", ""),
        "span_id": record.get("spanId", ""),
        "trace_flags": record.get("flags", 0),
        "scope": (copied.scope.get("name", ""), copied.scope.get("version", "")),
    }


def _nanoseconds(time: str) -> int:
    return round(datetime.fromisoformat(time[:19] + "+00:00").timestamp()) * 1_000_000_000 + int(time[20:29])
