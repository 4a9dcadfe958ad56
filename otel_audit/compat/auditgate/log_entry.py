"""An audit entry as a line of the log has it: read back."""

from __future__ import annotations

import functools
import time
from collections.abc import Collection
from typing import Any, Final

from otel_audit import semconv
from otel_audit.entry import Entry, unescape
from otel_audit.line import parse_time
from otel_audit.reader import read_log

from .entry import AuditEntry, entry_of
from .frozen import freeze_plain
from .policy import IntegrityMode, Severity, Trail, Verdict

_VERDICTS: Final = {verdict.word: verdict for verdict in Verdict}
_SEVERITIES: Final = {severity.name: severity for severity in Severity}
_INTEGRITY: Final = {mode.word: mode for mode in IntegrityMode}


def trail_of(attributes: dict[str, Any]) -> Trail:
    """Return the trail that an entry names, by its text or, where that is ambiguous, by its parts."""
    parts = attributes.get(semconv.GATE_TRAIL)
    if isinstance(parts, list) and len(parts) == 3:
        return Trail(*parts)
    return _trail_of_text(str(attributes.get(semconv.AUDIT_TRAIL, "")))


@functools.lru_cache(maxsize=1024)
def _trail_of_text(text: str) -> Trail:
    namespace, _, rest = text.partition(":")
    source, _, principal = rest.partition("@")
    return Trail(namespace, source, principal)


def audit_entry(entry: Entry, path: str) -> AuditEntry:
    """Return the audit entry that an entry of the log is."""
    attributes = entry.attributes
    integrity = _INTEGRITY.get(str(attributes.get(semconv.GATE_INTEGRITY)), IntegrityMode.HASH)
    reason = attributes.get(semconv.GATE_REASON, attributes.get(semconv.AUDIT_REASON))
    members: dict[str, Any] = {
        "trail": trail_of(attributes),
        "ts": ts_of(entry),
        "wall_ts": str(attributes.get(semconv.GATE_WALL_TIME) or f"{entry.time[:26]}+00:00"),
        "verdict": _VERDICTS.get(str(attributes.get(semconv.AUDIT_DECISION)), Verdict.ERROR),
        "severity": _SEVERITIES.get(str(entry.severity_text)) or _severity(entry.severity_number or 0),
        "gate_type": str(attributes.get(semconv.AUDIT_TARGET_TYPE, "")),
        "gate_identity": str(attributes.get(semconv.AUDIT_TARGET_ID, "")),
        "recorded_by": str(attributes.get(semconv.GATE_RECORDED_BY, "")),
        "reason": None if reason is None else str(reason),
        "detail": freeze_plain(unescape(attributes.get(semconv.GATE_DETAIL, {}))),
        "entry_hash": entry.hash if integrity is not IntegrityMode.NONE else None,
        "prev_hash": entry.prev_hash if integrity is IntegrityMode.CHAIN else None,
        "sequence": entry.seq,
        "log_path": path,
    }
    return entry_of(members)


def entries_at(path: str, places: Collection[int]) -> dict[int, AuditEntry]:
    """Return the audit entries that stand at these places (``seq``) of a log."""
    return {
        entry.seq: audit_entry(entry, path)
        for entry in read_log(path, event_name=semconv.EVENT_GATE_DECISION)
        if entry.seq in places
    }


def ts_of(entry: Entry) -> float:
    """Return ``ts``; of an entry without one, it is told from its wall time."""
    for name in (semconv.GATE_MONOTONIC_TIME, semconv.GATE_CLOCK_TIME):
        ts = entry.attributes.get(name)
        if isinstance(ts, int | float):
            return ts
    return time.monotonic() - (time.time_ns() - parse_time(entry.time)) / 1e9


def clock_of(entry: Entry) -> str | None:
    """Return the wall time at which the machine's clock read ``ts``; None for a clock of the program's own."""
    return None if semconv.GATE_CLOCK_TIME in entry.attributes else entry.time


def zero_ns(ts: float, wall_time: str | None) -> int | None:
    """Return when a clock stood at zero, nanoseconds since 1970; None for a clock that can be anything.

    Args:
        wall_time: As `clock_of` returns it.
    """
    return None if wall_time is None else parse_time(wall_time) - int(ts * 1e9)


def _severity(number: int) -> Severity:
    return max((s for s in Severity if s.number.value <= number), key=lambda s: s.value, default=Severity.DEBUG)
