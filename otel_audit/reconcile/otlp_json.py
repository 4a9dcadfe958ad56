"""OTLP JSON: one request a line, as the collector's file exporter writes it.

OpenTelemetry protocol 1.x, "JSON Protobuf Encoding": 64-bit integers are strings, ids are
hexadecimal. Whatever a line holds, reading it ends in values or in `UnreadableError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

MAX_ATTEMPTS: Final = 16
"""Requests that are looked for in a line that begins with a torn one."""

MAX_NESTED: Final = 300
"""Levels that are read: an entry's 64 are 264 at most. What lies deeper is cut out where it would be in the way."""

_EMPTY: Final[dict[str, Any]] = {}
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)
_CUT: Final = b'{"":0}'


class UnreadableError(ValueError):
    """A line holds nothing that can be read; the message says why."""


class Telemetry(NamedTuple):
    """One log record or span, with what it belongs to.

    Attributes:
        record: Members as in the protocol.
        resource: Attributes of the resource by name; None: they cannot be read.
        scope: ``name`` and ``version``.
    """

    record: dict[str, Any]
    resource: dict[str, Any] | None
    scope: dict[str, Any]


def load(line: bytes) -> dict[str, Any]:
    """Return the object that a line is.

    Where it nests deeper than can be read, a value that is none of the protocol stands for what
    lies below 300 levels: one deep record must not hide those that were sent with it.

    Raises:
        UnreadableError: It is none, or has a member twice: another reader would see something
            else in it.
    """
    try:
        value = _parse(line)
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnreadableError):
            raise
        shallow = _shallow(line)
        if shallow is None:
            raise UnreadableError("not JSON") from None
        try:
            value = _parse(shallow)
        except (ValueError, RecursionError) as second:
            raise UnreadableError(str(second) if isinstance(second, UnreadableError) else "not JSON") from None
    if not isinstance(value, dict):
        raise UnreadableError("not an object")
    return value


def telemetry(request: Mapping[str, Any], signal: str) -> Iterator[Telemetry]:
    """Yield what a request carries, in order.

    Args:
        request: Of `load`.
        signal: ``Logs`` or ``Spans``.

    Raises:
        UnreadableError: A member is not of the protocol's type.
    """
    items = "logRecords" if signal == "Logs" else "spans"
    for group in _objects(request, f"resource{signal}"):
        resource = _resource(group)
        for scoped in _objects(group, f"scope{signal}"):
            scope = _object(scoped, "scope")
            for record in _objects(scoped, items):
                yield Telemetry(record, resource, scope)


def attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    """Return attributes by name, their values as in the protocol.

    Raises:
        UnreadableError: One is none, or has the name of another.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        if type(pair) is not dict:
            raise UnreadableError("an attribute is not an object")
        name = pair.get("key", "")
        if type(name) is not str or name in found:
            raise UnreadableError("an attribute twice, or without a name")
        found[name] = pair.get("value", _EMPTY)
    return found


def text(value: object) -> str | None:
    """Return the string that a value of the protocol is, else None."""
    found = value.get("stringValue") if type(value) is dict and len(value) == 1 else None
    return found if type(found) is str else None


def integer(value: object) -> int | None:
    """Return the integer that a value of the protocol is, else None."""
    if type(value) is not dict or len(value) != 1:
        return None
    return parse_integer(value.get("intValue"))


def parse_integer(found: object) -> int | None:
    """Return a 64-bit integer as the protocol spells it: a number, or its decimal text."""
    if type(found) is int:
        return found
    if type(found) is str and len(found) <= 20 and found.isascii() and found.removeprefix("-").isdigit():
        return int(found)
    return None


def requests_in(line: bytes, begins: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where a whole request may begin inside a line whose beginning is torn, and the rest from there.

    A collector that was killed leaves the beginning of a request without LF; started again, it
    appends behind it. Inside of strings the quotes are escaped, so that none is taken for one.
    """
    at = 0
    for _ in range(MAX_ATTEMPTS):
        at = line.find(begins, at + 1)
        if at < 0:
            return
        yield at, line[at:]


def _parse(line: bytes) -> object:
    value = orjson.loads(line)
    return value if _is_canonical(value, line) else json.loads(line, object_pairs_hook=_unique)


def _shallow(line: bytes) -> bytes | None:
    """Return a line with what is nested too deep cut out; None where nothing is."""
    kept: list[bytes] = []
    depth, begin = 0, 0
    for token in _TOKEN.finditer(line):
        first = line[token.start()]
        if first in b"[{":
            depth += 1
            if depth == MAX_NESTED + 1:
                kept += (line[begin : token.start()], _CUT)
        elif first in b"]}":
            if depth == MAX_NESTED + 1:
                begin = token.end()
            depth -= 1
            if depth == 0 and token.end() < len(line):
                return None  # one value, and more behind it: nothing that can be read as it is
    return b"".join((*kept, line[begin:])) if kept and depth <= MAX_NESTED else None


def _is_canonical(value: object, line: bytes) -> bool:
    # What orjson gives back byte for byte has no member twice; it writes 254 levels at most.
    try:
        return orjson.dumps(value) == line
    except orjson.JSONEncodeError:
        return False


def _resource(group: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return attributes(_list(_object(group, "resource"), "attributes"))
    except UnreadableError:
        return None


def _object(parent: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise UnreadableError(f"{name} is not an object")
    return value


def _list(parent: Mapping[str, Any], name: str) -> list[Any]:
    value = parent.get(name)
    if value is None:
        return []
    if type(value) is not list:
        raise UnreadableError(f"{name} is not an array")
    return value


def _objects(parent: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    for value in _list(parent, name):
        if type(value) is not dict:
            raise UnreadableError(f"{name} holds something that is not an object")
        yield value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise UnreadableError("a member twice")
    return made
