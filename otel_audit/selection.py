"""Which entries are wanted: a `Selection`, and what bytes a line must hold to be one of them.

Pure. `Selection.matches` decides; `Selection.needles` lets a reader pass over most lines
without parsing them. A needle is right for every line that docs/format.md, "Malformed lines",
allows: a character may stand in a line as itself, or as an escape that begins with a
backslash, so each group has both.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otel_audit import semconv
from otel_audit.entry import Entry
from otel_audit.line_form import parse_time

ValuePath = tuple[str, ...]
"""Where a value lies: the name of an attribute, then names and indexes inside of it. Where the
first part is empty and others follow, the way begins at the top of the line: ``("", "body")``."""

_MISSING: Final = object()
_SPECIAL: Final = re.compile('(["\\\\\x00-\x1f])')
"""What never stands in a string as itself."""
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_SHORT_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ANY_ESCAPE: Final = b"\\u"
_MAX_ESCAPES: Final = 32
_MIN_NEEDLE_BYTES: Final = 3
_BY_NAME: Final = (
    ("actors", semconv.AUDIT_ACTOR_ID),
    ("actions", semconv.AUDIT_ACTION),
    ("outcomes", semconv.AUDIT_OUTCOME),
    ("decisions", semconv.AUDIT_DECISION),
    ("targets", semconv.AUDIT_TARGET_ID),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Says which entries are wanted: those that fit every field. Empty: all.

    Attributes:
        event_names: One of these; a ``*`` at the end stands for any ending.
        actors: ``audit.actor.id`` is one of these; likewise ``actions``, ``outcomes``,
            ``decisions`` and ``targets`` (``audit.target.id``).
        trace_id: 32 lower-case hexadecimal digits.
        span_id: 16 lower-case hexadecimal digits.
        min_severity_number: ``severity_number`` is there, and at least this.
        since_ns: ``time`` is this or later, nanoseconds since 1970.
        until_ns: ``time`` is earlier than this.
        since_seq: ``seq`` is this or higher.
        until_seq: ``seq`` is this or lower.
        attributes: Values that must be there: where (`ValuePath`), and the value as text, or None
            where any will do. Text stands for a string, or for what it is as JSON (``3``,
            ``true``, ``null``); of an array one element is enough.
        text: Stands somewhere in the line once escapes are undone, whatever its case.
    """

    event_names: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    trace_id: str | None = None
    span_id: str | None = None
    min_severity_number: int | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    since_seq: int | None = None
    until_seq: int | None = None
    attributes: tuple[tuple[ValuePath, str | None], ...] = ()
    text: str | None = None

    def __bool__(self) -> bool:
        """Return whether it leaves anything out."""
        return self != _EVERYTHING

    def matches(self, entry: Entry) -> bool:
        """Return whether an entry is wanted."""
        return (
            (self.trace_id is None or entry.trace_id == self.trace_id)
            and (self.span_id is None or entry.span_id == self.span_id)
            and (not self.event_names or any(_is_named(entry.event_name, name) for name in self.event_names))
            and all(
                not (wanted := getattr(self, field)) or entry.attributes.get(name) in wanted for field, name in _BY_NAME
            )
            and (self.since_seq is None or entry.seq >= self.since_seq)
            and (self.until_seq is None or entry.seq <= self.until_seq)
            and self._is_in_time(entry)
            and self._is_severe(entry)
            and all(_has(entry, path, value) for path, value in self.attributes)
            and self.is_text_in(entry.raw)
        )

    def is_text_in(self, line: bytes) -> bool:
        """Return whether ``text`` stands in a line; of a line that is none, anything."""
        if not self.text:
            return True
        content = line.decode("utf-8", "replace")
        if "\\" in content:
            content = _unescaped(content)
        return self.text.casefold() in content.casefold()

    def needles(self) -> tuple[tuple[bytes, ...], ...]:
        """Return groups of byte strings: a line that matches holds one or more of each group.

        In each group, what begins with a backslash is an escape that a value could be spelled
        with, and the rest is the value as the writer spells it. No groups: any line may match.
        """
        groups = []
        for member, wanted in (("trace_id", self.trace_id), ("span_id", self.span_id)):
            if wanted is not None:
                # without the quote behind it: that is all over a line, and slows the search by a fifth
                groups.append(_needle((f'"{member}":"', True), (wanted, False)))
        if self.event_names:
            groups.append(_any_of(_event_name_needle(name) for name in self.event_names))
        for field, name in _BY_NAME:
            if values := getattr(self, field):
                groups.append(_any_of(_attribute_needle(name, value) for value in values))
        if self.min_severity_number is not None:
            groups.append((b'"severity_number":',))
        if self.since_seq is not None and self.since_seq == self.until_seq:
            groups.append((b'{"seq":%d,' % self.since_seq,))
        for path, value in self.attributes:
            groups += _path_needles(path, value)
        return tuple(group for group in groups if group)

    def folded_needle(self) -> bytes | None:
        r"""Return lower-case ASCII that a line with ``text`` holds, once it is in lower case.

        It need not where the line holds a byte above 127, ``\/``, or ``\u`` before anything
        but a control character (``\u00``, then 0 or 1). None: nothing can be said.
        """
        if not self.text:
            return None
        parts = re.split(r'["\\\x00-\x1f\x80-\U0010ffff]+', self.text.casefold())
        longest = max(parts, key=len)
        return longest.encode() if len(longest) >= _MIN_NEEDLE_BYTES else None

    def _is_in_time(self, entry: Entry) -> bool:
        if self.since_ns is None and self.until_ns is None:
            return True
        time_ns = parse_time(entry.time)
        return (self.since_ns is None or time_ns >= self.since_ns) and (
            self.until_ns is None or time_ns < self.until_ns
        )

    def _is_severe(self, entry: Entry) -> bool:
        return self.min_severity_number is None or (
            entry.severity_number is not None and entry.severity_number >= self.min_severity_number
        )


_EVERYTHING: Final = Selection()


def parse_path(text: str) -> ValuePath:
    """Return where a value lies, from its text.

    ``audit.arguments/order_id`` is ``order_id`` inside of an attribute; ``/resource/host.name``
    begins at the top of the line. In a name ``/`` is spelled ``~1`` and ``~`` is ``~0``, as in a
    JSON Pointer (RFC 6901).
    """
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/"))


def value_at(entry: Entry, path: ValuePath) -> object:
    """Return the value that lies there, None where nothing does (or null)."""
    found = _value_at(entry, path)
    return None if found is _MISSING else found


def _value_at(entry: Entry, path: ValuePath) -> object:
    value: object
    if len(path) > 1 and not path[0]:
        member, *rest = path[1:]
        value = getattr(entry, member) if member in _MEMBERS else _MISSING
        # A member that is not there reads as None, or as an empty resource: neither stands in a line.
        value = _MISSING if value is None or (member == "resource" and not value) else value
    else:
        member, *rest = path
        value = entry.attributes.get(member, _MISSING)
    for part in rest:
        if isinstance(value, Mapping):
            value = value.get(part, _MISSING)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and len(part) <= 7:
            index = int(part)
            value = value[index] if index < len(value) else _MISSING
        else:
            return _MISSING
    return value


_MEMBERS: Final = frozenset(Entry.__annotations__) - {"raw"}


def _has(entry: Entry, path: ValuePath, wanted: str | None) -> bool:
    value = _value_at(entry, path)
    if value is _MISSING or wanted is None:
        return value is not _MISSING
    return _is_value(value, wanted) or (isinstance(value, list) and any(_is_value(one, wanted) for one in value))


def _is_value(value: object, wanted: str) -> bool:
    if isinstance(value, str):
        return value == wanted
    parsed = _parsed(wanted)
    return parsed is not _MISSING and isinstance(value, bool) == isinstance(parsed, bool) and value == parsed


def _parsed(text: str) -> object:
    """Return what a text is as JSON, but for a string."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return _MISSING
    return _MISSING if isinstance(value, str) else value


def _is_named(event_name: str, wanted: str) -> bool:
    return event_name.startswith(wanted[:-1]) if wanted.endswith("*") else event_name == wanted


def _unescaped(content: str) -> str:
    text = _ESCAPE.sub(_character, content)
    # an escaped character beyond U+FFFF is two escapes
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _character(match: re.Match[str]) -> str:
    escape = match.group(1)
    return chr(int(escape[1:], 16)) if len(escape) > 1 else _SHORT_ESCAPES.get(escape, escape)


def _event_name_needle(wanted: str) -> tuple[bytes, ...]:
    if wanted.endswith("*"):
        return _needle(('"event_name":"', True), (wanted[:-1], False))
    return _needle(('"event_name":"', True), (wanted, False), ('"', True))


def _attribute_needle(name: str, value: str) -> tuple[bytes, ...]:
    return _needle(('"', True), (name, False), ('":"', True), (value, False), ('"', True))


def _path_needles(path: ValuePath, value: str | None) -> Iterator[tuple[bytes, ...]]:
    names = path[1:] if len(path) > 1 and not path[0] else path
    # an index has no name in the line
    named = [name for name in names if not name.isdigit()]
    if named:
        yield _needle(('"', True), (named[-1], False), ('":', True))
    if value is not None and _parsed(value) is _MISSING:
        yield _needle(('"', True), (value, False), ('"', True))


def _any_of(needles: Iterator[tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """Return one group of several; nothing can be said of them where it cannot of one."""
    groups = list(needles)
    return tuple(dict.fromkeys(itertools.chain.from_iterable(groups))) if all(groups) else ()


def _needle(*parts: tuple[str, bool]) -> tuple[bytes, ...]:
    """Return a needle and the escapes it could be spelled with; nothing where it would be too short.

    Args:
        parts: What stands in the line one behind the other, and whether it is spelled just so.
    """
    pieces: list[list[tuple[str, bool]]] = [[]]
    for text, fixed in parts:
        for index, part in enumerate([text] if fixed else _SPECIAL.split(text)):
            if index % 2:
                pieces.append([])
            else:
                pieces[-1].append((part, fixed))
    longest = max(pieces, key=lambda piece: sum(len(part) for part, _ in piece))
    spelled = "".join(part for part, _ in longest).encode("utf-8", "surrogatepass")
    if len(spelled) < _MIN_NEEDLE_BYTES:
        return ()
    free = "".join(part for part, fixed in longest if not fixed)
    return (spelled, *_escapes(free))


def _escapes(characters: str) -> Sequence[bytes]:
    found: dict[bytes, None] = {}
    for character in dict.fromkeys(characters):
        if character == "/":
            found[b"\\/"] = None
        digits = character.encode("utf-16-be", "surrogatepass")[:2].hex()[:3]
        for spelled in itertools.product(*((digit, digit.upper()) for digit in digits)):
            found["\\u{}".format("".join(spelled)).encode()] = None
    if len(found) <= _MAX_ESCAPES:
        return tuple(found)
    return tuple(dict.fromkeys(_ANY_ESCAPE if escape.startswith(_ANY_ESCAPE) else escape for escape in found))
