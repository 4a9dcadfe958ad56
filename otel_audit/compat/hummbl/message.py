"""One message of the bus, and the time in it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from otel_audit import semconv
from otel_audit.entry import Entry
from otel_audit.errors import AuditRecordError
from otel_audit.line import parse_time

RECIPIENT: Final = "recipient"
"""``audit.target.type`` of a message: whom it is for."""

BROADCAST: Final = "all"

_NAMES: Final = {"from_id": "from", "to_id": "to", "msg_type": "type"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BEYOND_MICROSECONDS: Final = re.compile(r"[.,][0-9]{6}([0-9]{1,3})")


class Message(dict[str, str]):
    """A message that was read: ``message.from_id``, ``message["from_id"]`` and ``message["from"]``.

    A dict with the keys ``timestamp``, ``from``, ``to``, ``type`` and ``message``, as
    hummbl-governance returns it, that also has the names which its page uses.

    Attributes:
        seq: Its place in the log, for ``otel-audit show --seq``; 0 in a bus file of
            hummbl-governance.
        time_ns: When it happened, nanoseconds since 1970; ``timestamp`` shows the second.
    """

    __slots__ = ("seq", "time_ns")

    def __init__(
        self,
        timestamp: str,
        from_id: str,
        to_id: str,
        msg_type: str,
        message: str,
        *,
        time_ns: int = 0,
        seq: int = 0,
    ) -> None:
        super().__init__({"timestamp": timestamp, "from": from_id, "to": to_id, "type": msg_type, "message": message})
        self.time_ns = time_ns
        self.seq = seq

    @property
    def timestamp(self) -> str:
        """When it happened: UTC, as ``2026-04-05T00:00:00Z``."""
        return self["timestamp"]

    @property
    def from_id(self) -> str:
        """Who sent it."""
        return self["from"]

    @property
    def to_id(self) -> str:
        """Whom it is for; ``all`` for everybody."""
        return self["to"]

    @property
    def msg_type(self) -> str:
        """What kind of message: ``STATUS``, ``SITREP``, ``DECISION`` and others."""
        return self["type"]

    @property
    def message(self) -> str:
        """What it says."""
        return self["message"]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, under any of its names."""
        return super().get(_NAMES.get(key, key), default)

    def __missing__(self, key: str) -> str:
        name = _NAMES.get(key)
        if name is None:
            raise KeyError(key)
        return self[name]

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={self[name]!r}" for name in ("timestamp", "from_id", "to_id", "msg_type", "message"))
        return f"Message({parts})"


def message_of(entry: Entry) -> Message | None:
    """Return the message that an entry of a log holds; None where it is no message.

    Entries of an audited primitive (a kill switch, a circuit breaker, a delegation token) are
    messages to all.
    """
    attributes = entry.attributes
    if semconv.HUMMBL_MESSAGE_TYPE not in attributes:
        return None
    to_id = attributes.get(semconv.AUDIT_TARGET_ID)
    if attributes.get(semconv.AUDIT_TARGET_TYPE) != RECIPIENT:
        to_id = BROADCAST
    return Message(
        f"{entry.time[:19]}Z",
        _text(attributes.get(semconv.AUDIT_ACTOR_ID)),
        _text(to_id),
        _text(attributes[semconv.HUMMBL_MESSAGE_TYPE]),
        _text(entry.body),
        time_ns=parse_time(entry.time),
        seq=entry.seq,
    )


def time_of(timestamp: str) -> int:
    """Return nanoseconds since 1970 of a time in ISO 8601; one without a zone is UTC.

    Raises:
        AuditRecordError: It is no such time. This is a `ValueError`, too.
    """
    try:
        moment = datetime.fromisoformat(timestamp.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        time_ns = (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND * 1000
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise AuditRecordError("timestamp: expected a time such as 2026-04-05T00:00:00Z, got another text") from None
    beyond = _BEYOND_MICROSECONDS.search(timestamp)
    return time_ns if beyond is None else time_ns + int(beyond[1].ljust(3, "0"))


def _text(value: object) -> str:
    """Return a value of an entry as text: a log can hold anything there."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
