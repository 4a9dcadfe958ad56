"""An audit entry, and the times that it keeps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from otel_audit.line import format_time
from otel_audit.semconv import SCHEMA_VERSION

from .frozen import FrozenDict, freeze
from .policy import Severity, Trail, Verdict

_seconds: dict[int, str] = {}
"""Recent seconds as text."""


@dataclass(frozen=True)
class AuditEntry:
    """One decision of a gate, or how the action that it let through ended. Immutable, detail and all.

    Attributes:
        ts: When it was recorded, seconds of the monotonic clock.
        wall_ts: The same moment: ISO 8601, UTC.
        recorded_by: Who recorded it, as the engine was told.
        detail: A copy, in the form in which a log stores it; see `freeze`.
        entry_hash: In a log: ``hash`` of its line; else `compute_hash` of this entry.
        prev_hash: In a log: ``hash`` of the line before, of whatever trail; else that of the
            trail's entry before.
        sequence: In a log: ``seq`` of its line, over all trails and processes; else the trail's
            own, from 0.
        log_path: The log in which it stands; None elsewhere.
    """

    trail: Trail
    ts: float
    wall_ts: str
    verdict: Verdict
    severity: Severity
    gate_type: str
    gate_identity: str
    recorded_by: str = ""
    reason: str | None = None
    detail: Mapping[str, Any] = field(default_factory=FrozenDict)
    entry_hash: str | None = None
    prev_hash: str | None = None
    sequence: int = 0
    log_path: str | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if type(self.detail) is not FrozenDict:
            object.__setattr__(self, "detail", freeze(self.detail, [])[0])

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain values, a new dict each time."""
        return {**self.content(), "detail": _opened(self.detail)}

    def content(self) -> dict[str, Any]:
        """Return what `to_dict` gives, with the very detail of the entry."""
        return {
            "schema_version": SCHEMA_VERSION,
            "trail": self.trail.text,
            "ts": self.ts,
            "wall_ts": self.wall_ts,
            "verdict": self.verdict.name,
            "severity": self.severity.name,
            "gate_type": self.gate_type,
            "gate_identity": self.gate_identity,
            "recorded_by": self.recorded_by,
            "reason": self.reason,
            "detail": self.detail,
            "entry_hash": self.entry_hash,
            "prev_hash": self.prev_hash,
            "sequence": self.sequence,
        }


def entry_of(members: dict[str, Any]) -> AuditEntry:
    """Return the entry with these members, all of them; a frozen dataclass sets them one by one."""
    entry = object.__new__(AuditEntry)
    object.__setattr__(entry, "__dict__", members)
    return entry


def wall_clock() -> str:
    """Return the time of day: ISO 8601, UTC, microseconds."""
    return wall_text(time.time_ns())


def wall_text(time_ns: int) -> str:
    """Return nanoseconds since 1970 as ``wall_ts`` has them."""
    second, rest_ns = divmod(time_ns, 1_000_000_000)
    text = _seconds.get(second)
    if text is None:
        if len(_seconds) > 8:
            _seconds.clear()
        text = _seconds[second] = format_time(time_ns)[:19].decode()
    return f"{text}.{rest_ns // 1000:06d}+00:00"


def time_ns_of(wall_ts: str) -> int:
    """Return nanoseconds since 1970 of a ``wall_ts``; now, where it is no time."""
    try:
        moment = datetime.fromisoformat(wall_ts)
    except ValueError:
        return time.time_ns()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _opened(value: object) -> Any:
    if isinstance(value, dict):
        return {name: _opened(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_opened(item) for item in value]
    return value
