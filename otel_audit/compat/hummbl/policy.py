"""What may be posted: the fields of a message, and the bus's policy level."""

from __future__ import annotations

import enum
import functools
import json
from typing import Final

from otel_audit.attributes import MAX_ID_BYTES
from otel_audit.errors import AuditBlockedError, AuditConfigError

MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_PAYLOAD_FIELDS: Final = 64

_SURELY_SHORT: Final = MAX_ID_BYTES // 4
"""Characters: each has at most four bytes."""


@functools.total_ordering
class PolicyLevel(enum.Enum):
    """How strict a bus is. Each level does what the one before does, and more.

    Attributes:
        PERMISSIVE: Takes what ``validate`` lets through, signed or not.
        WARN: Takes the same, and warns: once of a log without a key, and of each message whose
            fields are wrong though ``validate=False`` lets it through; that entry has severity
            WARN and says what is wrong.
        STRICT: Refuses: without a key nothing is posted at all, and ``validate=False`` lets
            nothing through. A refused message is recorded as a decision, without its text.
    """

    PERMISSIVE = 1
    WARN = 2
    STRICT = 3

    def __lt__(self, other: object) -> bool:
        return self.value < other.value if isinstance(other, PolicyLevel) else NotImplemented


class BusPolicyError(AuditBlockedError, ValueError):
    """The bus's policy refused a message. The refusal is in the log; the message is not."""


def policy_level(policy: object) -> PolicyLevel:
    """Return the level; hummbl-governance's own ``PolicyLevel`` is taken by its name.

    Raises:
        AuditConfigError: There is no such level.
    """
    if isinstance(policy, PolicyLevel):
        return policy
    level = PolicyLevel.__members__.get(policy.name) if isinstance(policy, enum.Enum) else None
    if level is not None:
        return level
    expected = ", ".join(level.name for level in PolicyLevel)
    raise AuditConfigError(f"policy: expected a PolicyLevel ({expected}), got {type(policy).__name__}")


def problem_of(from_id: str, to_id: str, msg_type: str, message: str) -> str | None:
    """Return what is wrong with the fields of a message, None where nothing is.

    The limits of the text are those of hummbl-governance, those of the ids the log's own. What a
    field holds is not repeated.
    """
    for value in (from_id, to_id, msg_type, message):
        if not isinstance(value, str) or not value.strip():
            return _problem_of_fields(from_id=from_id, to_id=to_id, msg_type=msg_type, message=message)
    if len(from_id) > _SURELY_SHORT or len(to_id) > _SURELY_SHORT:
        for name, value in (("from_id", from_id), ("to_id", to_id)):
            if _size(value) > MAX_ID_BYTES:
                return f"{name}: expected at most {MAX_ID_BYTES} bytes, got {_size(value)}"
    return _problem_of_text(message)


def _problem_of_fields(**fields: object) -> str | None:
    for name, value in fields.items():
        if not isinstance(value, str):
            return f"{name}: expected a non-empty string, got {type(value).__name__}"
        if not value.strip():
            return f"{name}: expected a non-empty string, got none"
    return None


def _problem_of_text(message: str) -> str | None:
    if len(message) > MAX_MESSAGE_BYTES // 4 and _size(message) > MAX_MESSAGE_BYTES:
        return f"message: expected at most {MAX_MESSAGE_BYTES} bytes, got {_size(message)}"
    if "\0" in message:
        return "message: expected text without NUL, got one"
    if message.lstrip()[:1] == "{":
        fields = _count_fields(message)
        if fields > MAX_PAYLOAD_FIELDS:
            return f"message: expected a JSON object of at most {MAX_PAYLOAD_FIELDS} members, got {fields}"
    return None


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _count_fields(message: str) -> int:
    try:
        payload = json.loads(message)
    except (ValueError, RecursionError):
        return 0
    return len(payload) if isinstance(payload, dict) else 0
