"""What a writer and a reader of lines share: how long a line is at most, and how it spells a time.

docs/format.md, "The line". Apart from `otel_audit.line`, so that reading a log loads nothing
that makes one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from .errors import AuditRecordError

MAX_LINE_BYTES: Final = 1024 * 1024
"""A line with its LF."""

MAX_SEQ: Final = 2**53 - 1

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_seconds: dict[int, bytes] = {}
"""Recent seconds as text: nearly every time that is formatted lies in the current one."""


def format_time(time_ns: int) -> bytes:
    """Return a time as the line spells it: RFC 3339, UTC, nine fractional digits, ``Z``.

    Raises:
        AuditRecordError: It lies outside the years 1 to 9999.
    """
    second = time_ns // 1_000_000_000
    text = _seconds.get(second) or _format_second(second)
    return b"%b.%09dZ" % (text, time_ns - second * 1_000_000_000)


def parse_time(text: str) -> int:
    """Return nanoseconds since 1970 of a time as the line spells it; 0 where it is none."""
    try:
        second = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC) - _EPOCH
        return (second.days * 86_400 + second.seconds) * 1_000_000_000 + int(text[20:29])
    except ValueError:
        return 0


def _format_second(second: int) -> bytes:
    try:
        text = (_EPOCH + timedelta(seconds=second)).isoformat()[:19].encode()
    except (OverflowError, ValueError):
        raise AuditRecordError(f"timestamp_ns: expected a time in the years 1 to 9999, got {second} s") from None
    if len(_seconds) > 8:
        _seconds.clear()
    _seconds[second] = text
    return text
