"""The strict parser: the bytes of one line to its members, or the reason why they are none.

docs/format.md, "The line", says what is malformed. What depends on the log's mode (a missing
``prev_hash``, ``hash`` or ``hmac``) is not judged here but in `otel_audit.verify`.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from otel_audit.errors import AuditVerifyError
from otel_audit.line_form import MAX_LINE_BYTES, MAX_SEQ
from otel_audit.strict_json import MAX_DEPTH, StrictJSONError, parse_object

MAX_EVENT_NAME_BYTES: Final = 1024

_ORDER: Final = {
    name: place
    for place, name in enumerate(
        (
            "seq",
            "time",
            "event_name",
            "severity_text",
            "severity_number",
            "body",
            "attributes",
            "trace_id",
            "span_id",
            "trace_flags",
            "observed_time",
            "resource",
            "scope",
            "prev_hash",
            "hash",
            "hmac",
        )
    )
}
_SHOWN_CHARACTERS: Final = 80  # of a name that is none of the format's
_REQUIRED: Final = ("seq", "time", "event_name", "attributes", "observed_time")
_SPAN_CONTEXT: Final = (("trace_id", 32), ("span_id", 16), ("trace_flags", 2))
_DIGESTS: Final = ("prev_hash", "hash", "hmac")
_SCOPES: Final = (("name",), ("name", "version"))
_HEX: Final = b"0123456789abcdef"
_TIME: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{9}Z")


def _shapes() -> Iterator[tuple[str, ...]]:
    contexts = ((), tuple(name for name, _ in _SPAN_CONTEXT))
    seals = ((), ("hash",), ("prev_hash", "hash"), ("hash", "hmac"), ("prev_hash", "hash", "hmac"))
    free = ("severity_text", "severity_number", "body", "resource", "scope")
    for more in itertools.product(*(((), (name,)) for name in free), contexts, seals):
        yield tuple(sorted((*_REQUIRED, *itertools.chain.from_iterable(more)), key=_ORDER.__getitem__))


_SHAPES: Final = frozenset(_shapes())
"""Names of members as nearly every line has them: in order, none missing."""


class MalformedLineError(AuditVerifyError):
    """The bytes are not a line of the format.

    Attributes:
        reason: The rule that they break.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"malformed line: {reason}")
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line, read. Values are as stored; `unescape` undoes the ``$`` forms.

    What a line does not have is None, of ``resource`` an empty object.

    Attributes:
        time: When it happened: RFC 3339, UTC, nine fractional digits.
        observed_time: When it was appended, in the same form.
        raw: The line's bytes without its LF.
    """

    seq: int
    time: str
    event_name: str
    severity_text: str | None = None
    severity_number: int | None = None
    body: object = None
    attributes: dict[str, object]
    trace_id: str | None = None
    span_id: str | None = None
    trace_flags: str | None = None
    observed_time: str
    resource: dict[str, object] = field(default_factory=dict)
    scope: dict[str, object] | None = None
    prev_hash: str | None = None
    hash: str | None = None
    hmac: str | None = None
    raw: bytes

    def value(self, name: str) -> object:
        """Return an attribute as it was given (`unescape`), or None."""
        return unescape(self.attributes.get(name))


def parse_entry(line: bytes) -> Entry:
    """Return the entry that a line is.

    Args:
        line: Its bytes without LF.

    Raises:
        MalformedLineError: It breaks a rule of the format.
    """
    members = parse_line(line)
    if "resource" not in members:
        members["resource"] = {}
    members["raw"] = line
    # The members become the entry: to hand them over one by one takes as long as to read their JSON.
    entry = object.__new__(Entry)
    object.__setattr__(entry, "__dict__", members)
    return entry


def parse_line(line: bytes) -> dict[str, object]:
    """Return the members of a line, in its order.

    Args:
        line: Its bytes without LF.

    Raises:
        MalformedLineError: It breaks a rule of the format.
    """
    if len(line) >= MAX_LINE_BYTES:
        raise MalformedLineError("longer than 1 MiB")
    members = _parse_canonical(line)
    if members is None:
        members = _parse_exactly(line)
    _check_members(members, line)
    return members


def unescape(value: object) -> object:
    """Return a stored value as it was given: ``$bytes`` to bytes, one ``$`` off ``$$`` names.

    What was altered when it was written (``audit.altered``) stays as stored.
    """
    if type(value) is list:
        return [unescape(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1 and type(encoded := value.get("$bytes")) is str:
        try:
            return base64.b64decode(encoded, validate=True)
        except ValueError:  # of binascii, and of text that is not ASCII
            return value
    return {name[1:] if name.startswith("$$") else name: unescape(item) for name, item in value.items()}


def _parse_canonical(line: bytes) -> dict[str, object] | None:
    # If orjson gives back the very bytes, there is no doubled member, white space, -0 or lone
    # surrogate in them; STRICT_INTEGER sends integers past 53 bits to the exact way, because
    # orjson also takes those between 2**63 and 2**64. The brackets bound the depth.
    try:
        members = orjson.loads(line)
        if orjson.dumps(members, option=orjson.OPT_STRICT_INTEGER) != line:
            return None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    # A quarter of the time that `count` takes.
    if type(members) is not dict or len(line) - len(line.replace(b"{", b"").replace(b"[", b"")) > MAX_DEPTH:
        return None
    return members


def _parse_exactly(line: bytes) -> dict[str, object]:
    if line.startswith(b"\xef\xbb\xbf"):
        raise MalformedLineError("byte order mark")
    try:
        return parse_object(line.decode())
    except UnicodeDecodeError as error:
        raise MalformedLineError(f"not UTF-8 at byte {error.start}") from None
    except StrictJSONError as error:
        raise MalformedLineError(str(error)) from None


def _check_members(members: dict[str, Any], line: bytes) -> None:
    if tuple(members) not in _SHAPES:
        _check_names(members)
    seq = members["seq"]
    if type(seq) is not int or not 1 <= seq <= MAX_SEQ:
        raise MalformedLineError("seq is not an integer from 1 to 2**53-1")
    if not is_time(members["time"]):
        raise MalformedLineError("time is not a time of the format")
    if not is_time(members["observed_time"]):
        raise MalformedLineError("observed_time is not a time of the format")
    event_name = members["event_name"]
    if type(event_name) is not str or not 0 < len(event_name.encode()) <= MAX_EVENT_NAME_BYTES:
        raise MalformedLineError("event_name is not a string of 1 to 1024 bytes")
    if type(members["attributes"]) is not dict:
        raise MalformedLineError("attributes is not an object")
    check_optional(members)
    _check_seal(members, line)


def _check_names(members: dict[str, Any]) -> None:
    last = -1
    for name in members:
        place = _ORDER.get(name)
        if place is None:
            raise MalformedLineError(f"unknown member {name[:_SHOWN_CHARACTERS]!r}")
        if place < last:
            raise MalformedLineError(f"member {name!r} out of order")
        last = place
    for name in _REQUIRED:
        if name not in members:
            raise MalformedLineError(f"no member {name!r}")


def check_optional(members: dict[str, Any]) -> None:
    """Check type and form of the optional members but the digests (MalformedLineError)."""
    if "severity_text" in members and type(members["severity_text"]) is not str:
        raise MalformedLineError("severity_text is not a string")
    if "severity_number" in members and type(members["severity_number"]) is not int:
        raise MalformedLineError("severity_number is not an integer")
    # The format has one spelling for "no body" and "no resource": the member is not there.
    if "body" in members and members["body"] is None:
        raise MalformedLineError("body is null")
    if "resource" in members and (type(resource := members["resource"]) is not dict or not resource):
        raise MalformedLineError("resource is not an object with members")
    if "trace_id" in members or "span_id" in members or "trace_flags" in members:
        for name, digits in _SPAN_CONTEXT:
            if not _is_hex(members.get(name), digits):
                raise MalformedLineError(f"{name} is not {digits} lower-case hexadecimal digits")
    if "scope" in members:
        scope = members["scope"]
        if type(scope) is not dict or tuple(scope) not in _SCOPES:
            raise MalformedLineError("scope is not an object of name and version")
        if set(map(type, scope.values())) != {str}:
            raise MalformedLineError("scope has a name or version that is not a string")


def _check_seal(members: dict[str, Any], line: bytes) -> None:
    for name in _DIGESTS:
        if name in members and not _is_hex(members[name], 64):
            raise MalformedLineError(f"{name} is not 64 lower-case hexadecimal digits")
    if "hash" in members:
        # Spelled with an escape, the value would be right and the tail not the fixed one.
        hmac = f',"hmac":"{members["hmac"]}"' if "hmac" in members else ""
        if not line.endswith(f',"hash":"{members["hash"]}"{hmac}}}'.encode()):
            raise MalformedLineError("the seal is not the fixed tail of the line")
    elif "hmac" in members:
        raise MalformedLineError("hmac without hash")


def _is_hex(value: object, digits: int) -> bool:
    return type(value) is str and len(value) == digits and not value.encode().translate(None, _HEX)


def is_time(value: object) -> bool:
    """Return whether a value is a time as the format writes it, on a real date."""
    if type(value) is not str or (match := _TIME.fullmatch(value)) is None:
        return False
    return _is_date(match.group(1))


@functools.lru_cache(maxsize=256)
def _is_date(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True
