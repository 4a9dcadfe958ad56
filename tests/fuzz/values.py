"""Names and values that somebody who forges a line may put into it."""

from __future__ import annotations

from typing import Any

NAMES = (
    *("seq", "time", "event_name", "severity_text", "severity_number", "body", "attributes", "trace_id", "span_id"),
    *("trace_flags", "observed_time", "resource", "scope", "prev_hash", "hash", "hmac", "x", ""),
    *(f"audit.{name}" for name in ("record.id", "actor.id", "actor.type", "action", "outcome", "schema.version")),
    *(f"audit.{name}" for name in ("phase", "intent.id", "delegation", "duration", "arguments", "altered")),
    *(f"audit.{name}" for name in ("stream.id", "format.version", "integrity.mode", "key.id", "segment.number")),
    *(f"audit.segment.{name}" for name in ("next", "previous.name", "previous.size", "previous.sha256")),
    *(f"audit.fragment.{name}" for name in ("offset", "length", "sha256")),
    *(f"audit.dropped.{name}" for name in ("count", "first_time", "last_time")),
    *("audit.voided.first", "audit.voided.last", "error.type", "$bytes", "\u00e9", "\u202e"),
)


def _nested(depth: int) -> Any:
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, 3, -1, 2**53, 2**63 - 1, -(2**63), 2**63, 2**64, 1.0, 0.0, -0.0, 0.1, 1e308, 5e-324),
    *("", "1", "2", "chain", "hash", "none", "intent", "outcome", "success", "audit.log.opened", "audit.log.rotated"),
    *("audit.log.recovered", "audit.log.closed", "audit.log.dropped", "audit.log.voided", "audit.log.new", "x"),
    *("audit.jsonl", "audit.000002.jsonl", "audit.000003.jsonl", "0" * 64, "f" * 64, "0" * 32, "0" * 16, "00"),
    *("9999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00.000000000Z", "2024-02-30T00:00:00.000000000Z"),
    *("2026-11-22T06:00:00.000000000Z", "\u00e9", "\u2028", "\x00", "\x1b[31m", "\u202e", "\U0001f600", "\ud800"),
    *(
        [],
        {},
        [[]],
        {"": None},
        {"$bytes": "AAE="},
        {"$bytes": "\u00e9"},
        {"$bytes": 1},
        {"$$a": 1},
        {"$a": 1},
        [1, 2.0, None],
    ),
    *({"name": "x"}, {"name": "x", "version": "1"}, {"version": "1", "name": "x"}, {"audit.actor.id": "b"}),
    *(_nested(50), _nested(61), _nested(62), _nested(63), _nested(70), "x" * 1024, "x" * 1025, "\u00e9" * 600),
)
