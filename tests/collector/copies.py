"""Reads a collector's copy: OTLP JSON, one request a line, with what a killed writer leaves in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_SEQ = re.compile(rb'"key":"audit\.sequence\.number","value":\{"intValue":"([0-9]+)"')
_START = b'{"resourceLogs":'
"""Nowhere inside a request: in a string its quotes are escaped, and no message nests another of these."""


class CopiedRecord(NamedTuple):
    """One log record, as it reached the far end; attribute maps as OTLP JSON has them, ``key`` to ``value``."""

    resource: dict[str, Any]
    scope: dict[str, Any]
    record: dict[str, Any]
    attributes: dict[str, Any]

    @property
    def seq(self) -> int:
        """The stamp ``audit.sequence.number``."""
        return int(self.attributes["audit.sequence.number"]["intValue"])

    @property
    def original(self) -> str:
        """The exact line, by the tail way."""
        return str(self.attributes["log.record.original"]["stringValue"])

    @property
    def is_entry(self) -> bool:
        """False: a fragment, or a record of somebody else."""
        return "audit.sequence.number" in self.attributes


class Arrivals:
    """Which entries have reached a copy so far; each look reads what is new, without parsing it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._seqs: set[int] = set()

    def look(self) -> set[int]:
        """Return the ``seq`` of each entry in a finished request."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            whole = data.rfind(b"\n") + 1
            self._offset += whole
            self._seqs.update(map(int, _SEQ.findall(data, 0, whole)))
        return self._seqs


def requests(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the requests of a copy, leaving out those that a killed gateway did not finish.

    The fragment of one has no LF: the next request follows it on the same line.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            for piece in line.split(_START)[1:]:
                try:
                    request = json.loads(_START + piece)
                except ValueError:
                    continue
                yield request


def records(path: Path) -> Iterator[CopiedRecord]:
    """Yield the log records of a copy, in its order."""
    for request in requests(path):
        for resource_logs in request["resourceLogs"]:
            resource = _map(resource_logs.get("resource", {}).get("attributes", ()))
            for scope_logs in resource_logs["scopeLogs"]:
                for record in scope_logs["logRecords"]:
                    yield CopiedRecord(
                        resource, scope_logs.get("scope", {}), record, _map(record.get("attributes", ()))
                    )


def entries(path: Path) -> dict[int, list[CopiedRecord]]:
    """Return the records of a copy that are entries of a log, by ``seq``, doubles together."""
    found: dict[int, list[CopiedRecord]] = {}
    for record in records(path):
        if record.is_entry:
            found.setdefault(record.seq, []).append(record)
    return found


def _map(pairs: Any) -> dict[str, Any]:
    return {pair.get("key", ""): pair.get("value", {}) for pair in pairs}


def otlp_value(value: object) -> dict[str, Any]:
    """Return a JSON value of a line as OTLP JSON has it."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case list():
            return {"arrayValue": {"values": [otlp_value(item) for item in value]} if value else {}}
        case dict():
            return {"kvlistValue": {"values": _pairs(value)} if value else {}}
    raise AssertionError(f"expected a JSON value, got {value!r}")


def sorted_value(value: Any) -> Any:
    """Return an OTLP JSON value with the members of its maps in order: a map has none."""
    if not isinstance(value, dict):
        return value
    if "arrayValue" in value:
        return {"arrayValue": {"values": [sorted_value(item) for item in value["arrayValue"].get("values", ())]}}
    if "kvlistValue" in value:
        pairs = [
            (pair.get("key", ""), sorted_value(pair.get("value", {})))
            for pair in value["kvlistValue"].get("values", ())
        ]
        return {"kvlistValue": sorted(pairs, key=lambda pair: pair[0])}
    if "doubleValue" in value:  # JSON writes 1.0 as 1
        return {"doubleValue": float(value["doubleValue"])}
    return value


def _pairs(value: dict[str, object]) -> list[dict[str, Any]]:
    return [{"key": name, "value": otlp_value(item)} for name, item in value.items()]
