"""Any Python value to a JSON value, by exact type (docs/format.md, "Values").

Total: no value can make this fail, and none is dropped. What is not stored as it was given is
listed in ``altered`` by its JSON Pointer. This is the only place that cleans; what comes out
is safe for JSON, for the OpenTelemetry SDK and for protobuf alike.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import itertools
import math
import pathlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
"""Containers inside one another, the line's own object counted."""

MAX_NODES: Final = 1_000_000
"""Values visited for one record: a small graph that shares its lists can unfold without end."""

_SMALL_BITS: Final = 2_000
"""``str()`` takes integers of so many bits whatever ``sys.set_int_max_str_digits`` says."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1


def clean(value: object, pointer: str, altered: list[str], depth: int) -> object:
    """Return ``value`` as JSON can hold it, without a change where there need be none.

    Args:
        value: Anything.
        pointer: Its place in the line as a JSON Pointer, such as ``/attributes/x``.
        altered: Receives the pointer of each value that is stored otherwise than it was given.
        depth: How deep in the line it stands: 3 for a container in ``attributes``, 2 for ``body``.

    Returns:
        None, bool, int, float, str, list or dict, nested; no cycle, no lone surrogate.
    """
    # Nearly every value is one of these; the walk below would only repeat this.
    kind = type(value)
    if kind is str:
        if value.isascii():  # type: ignore[attr-defined]
            return value
    elif kind is int:
        if INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
            return value
    elif kind is bool or value is None:
        return value
    return _Walk(altered).clean(value, pointer, depth)


def clean_body(body: object, altered: list[str]) -> object:
    """Return a body as the line holds it: where there is one, never null."""
    cleaned = clean(body, "/body", altered, 2)
    return describe(body) if cleaned is None and body is not None else cleaned


def clean_text(text: str, pointer: str, altered: list[str]) -> str:
    """Return ``text`` as an exact, encodable str: lone surrogates become U+FFFD."""
    if type(text) is str and text.isascii():
        return text
    try:
        text = str.__str__(text)
        text.encode()
    except UnicodeEncodeError:
        altered.append(pointer)
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def pointer_to(parent: str, name: str | int) -> str:
    """Return the JSON Pointer (RFC 6901) of a member or an element of ``parent``."""
    return f"{parent}/{str(name).replace('~', '~0').replace('/', '~1')}"


def escape_name(name: str) -> str:
    """Return the name as a given map writes it: ``$`` is reserved for forms such as ``$bytes``."""
    return f"${name}" if name.startswith("$") else name


def describe(value: object) -> str:
    """Return the ``repr`` of a value, or ``<unprintable TYPE>`` where that fails or has no end."""
    try:
        if not _fits(value, MAX_NODES):
            return f"<unprintable {_type_name(value)}>"
        text = repr(value)
        if type(text) is not str:
            text = str.__str__(text)
        text.encode()
    except UnicodeEncodeError:
        return clean_text(text, "", [])
    except KeyboardInterrupt:
        raise
    except BaseException:  # a payload's own code may raise anything, SystemExit too
        return f"<unprintable {_type_name(value)}>"
    return text


def pairs_of(value: Mapping[Any, object], most: int = MAX_NODES) -> list[tuple[object, object]]:
    """Return names and values of a mapping; raises whatever its own code raises.

    Args:
        most: A mapping may go on without end.
    """
    # past an overridden items(): what a subclass of dict holds is what is stored
    if issubclass(type(value), dict):
        return list(dict.items(value))  # type: ignore[arg-type]
    pairs = list(itertools.islice(value.items(), most + 1))
    if len(pairs) > most:
        raise _Unprintable
    return [(name, item) for name, item in pairs]


def _decimal_text(value: int) -> str:
    """Return the digits of an integer of any size.

    ``str()`` refuses more than 4,300 digits, as it takes quadratic time. Halves, put together by
    the decimal module's fast multiplication, do not.
    """
    if value.bit_length() < _SMALL_BITS:
        return str(value)
    powers: dict[int, decimal.Decimal] = {}

    def exact(part: int, bits: int) -> decimal.Decimal:
        if bits <= _SMALL_BITS:
            return decimal.Decimal(part)
        half = bits >> 1
        if half not in powers:
            powers[half] = decimal.Decimal(2) ** half
        high = part >> half
        return exact(part - (high << half), half) + exact(high, bits - half) * powers[half]

    with decimal.localcontext() as context:
        context.prec, context.Emax, context.Emin = decimal.MAX_PREC, decimal.MAX_EMAX, decimal.MIN_EMIN
        digits = str(exact(abs(value), value.bit_length()))
    return f"-{digits}" if value < 0 else digits


def _type_name(value: object) -> str:
    name = type.__getattribute__(type(value), "__name__")
    return clean_text(name, "", []) if isinstance(name, str) else "object"


class _Unprintable(Exception):
    """This value cannot be stored in its own form: take its text."""


class _Walk:
    """One walk through one value: knows what it is inside of, and how far it has come."""

    __slots__ = ("altered", "inside", "left")

    def __init__(self, altered: list[str]) -> None:
        self.altered = altered
        self.inside: set[int] = set()
        self.left = MAX_NODES

    def clean(self, value: object, pointer: str, depth: int) -> object:
        self.left -= 1
        if self.left < 0:
            self.altered.append(pointer)
            return f"<unprintable {_type_name(value)}>"
        mark = len(self.altered)
        try:
            convert = _BY_TYPE.get(type(value)) or _by_base(value)
            return convert(self, value, pointer, depth)
        except BaseException as error:
            # built-in values have no code of their own: a SystemExit is a signal handler's
            if isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and type(value) in _BY_TYPE):
                raise
            # whatever the value's own code raised: its text is kept
            del self.altered[mark:]
            self.altered.append(pointer)
            return f"<unprintable {_type_name(value)}>" if self.left <= 0 else describe(value)

    def plain(self, value: object, pointer: str, depth: int) -> object:
        return value

    def integer(self, value: int, pointer: str, depth: int) -> object:
        value = int.__index__(value)
        if INT_MIN <= value <= INT_MAX:
            return value
        self.altered.append(pointer)
        return _decimal_text(value)

    def real(self, value: float, pointer: str, depth: int) -> object:
        value = float.__float__(value)
        if math.isfinite(value):
            return value
        self.altered.append(pointer)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def text(self, value: str, pointer: str, depth: int) -> object:
        return clean_text(value, pointer, self.altered)

    def binary(self, value: bytes | bytearray | memoryview, pointer: str, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise _Unprintable
        # past an overridden __bytes__: what a subclass holds is what is stored
        return {"$bytes": base64.b64encode(memoryview(value).tobytes()).decode()}

    def array(self, value: list[object] | tuple[object, ...], pointer: str, depth: int) -> object:
        # past an overridden __iter__: what a subclass holds is what is stored
        items = list.__iter__(value) if issubclass(type(value), list) else tuple.__iter__(value)  # type: ignore[arg-type]
        with _Inside(self, value, depth):
            return [self.clean(item, f"{pointer}/{i}", depth + 1) for i, item in enumerate(items)]

    def mapping(self, value: Mapping[object, object], pointer: str, depth: int) -> object:
        pairs = pairs_of(value, self.left)
        cleaned: dict[str, object] = {}
        renamed = False
        with _Inside(self, value, depth):
            for key, item in pairs:
                named = issubclass(type(key), str)
                renamed = renamed or not named
                name = escape_name(str.__str__(key) if named else _name_of(key))
                if not name.isascii():
                    name = clean_text(name, pointer_to(pointer, clean_text(name, "", [])), self.altered)
                if name in cleaned:
                    raise _Unprintable
                cleaned[name] = self.clean(item, pointer_to(pointer, name), depth + 1)
        if renamed:
            self.altered.append(pointer)
        return cleaned

    def group(self, value: set[object] | frozenset[object], pointer: str, depth: int) -> object:
        with _Inside(self, value, depth):
            members = set.__iter__(value) if issubclass(type(value), set) else frozenset.__iter__(value)  # type: ignore[arg-type]
            items = [self.quietly(item, depth + 1) for item in list(members)]
        self.altered.append(pointer)
        return sorted(items, key=orjson.dumps)

    def moment(self, value: datetime.date | datetime.time, pointer: str, depth: int) -> object:
        self.altered.append(pointer)
        return clean_text(value.isoformat(), "", [])

    def name(self, value: object, pointer: str, depth: int) -> object:
        self.altered.append(pointer)
        return clean_text(str(value), "", [])

    def member(self, value: enum.Enum, pointer: str, depth: int) -> object:
        cleaned = self.quietly(value.value, depth)
        self.altered.append(pointer)
        return cleaned

    def quietly(self, value: object, depth: int) -> object:
        """Clean a part of a value that is listed as altered as a whole."""
        mark = len(self.altered)
        cleaned = self.clean(value, "", depth)
        del self.altered[mark:]
        return cleaned


def _name_of(key: object) -> str:
    try:
        return str.__str__(str(key))
    except KeyboardInterrupt:
        raise
    except BaseException:
        raise _Unprintable from None


class _Inside:
    """Marks a container as being walked, so that a cycle is seen."""

    __slots__ = ("inside", "key")

    def __init__(self, walk: _Walk, value: object, depth: int) -> None:
        if depth > MAX_DEPTH or id(value) in walk.inside:
            if not _fits(value, walk.left):
                walk.left = 0
            raise _Unprintable
        self.inside, self.key = walk.inside, id(value)

    def __enter__(self) -> None:
        self.inside.add(self.key)

    def __exit__(self, *_: object) -> None:
        self.inside.discard(self.key)


def _fits(value: object, nodes: int) -> bool:
    """Whether the ``repr`` of nested built-in containers ends within so many nodes."""
    path: list[tuple[int, Iterator[object]]] = [(id(value), iter((value,)))]
    inside: set[int] = set()
    while path:
        item = next(path[-1][1], path)
        if item is path:
            inside.discard(path.pop()[0])
            continue
        nodes -= 1
        if nodes < 0:
            return False
        if id(item) in inside:
            continue
        if type(item) in (list, tuple, set, frozenset):
            children = iter(item)  # type: ignore[call-overload]
        elif type(item) is dict:
            children = itertools.chain(item.keys(), item.values())
        else:
            continue
        inside.add(id(item))
        path.append((id(item), children))
    return True


_BY_TYPE: Final[dict[type, Callable[..., object]]] = {
    type(None): _Walk.plain,
    bool: _Walk.plain,
    int: _Walk.integer,
    float: _Walk.real,
    str: _Walk.text,
    bytes: _Walk.binary,
    bytearray: _Walk.binary,
    memoryview: _Walk.binary,
    list: _Walk.array,
    tuple: _Walk.array,
    dict: _Walk.mapping,
    set: _Walk.group,
    frozenset: _Walk.group,
}

_BY_BASE: Final[tuple[tuple[type | tuple[type, ...], Callable[..., object]], ...]] = (
    (int, _Walk.integer),
    (float, _Walk.real),
    (str, _Walk.text),
    ((bytes, bytearray), _Walk.binary),
    (enum.Enum, _Walk.member),
    ((list, tuple), _Walk.array),
    ((set, frozenset), _Walk.group),
    ((datetime.date, datetime.time), _Walk.moment),
    ((decimal.Decimal, uuid.UUID, pathlib.PurePath), _Walk.name),
    (Mapping, _Walk.mapping),
)


def _by_base(value: object) -> Callable[..., object]:
    # issubclass on the real type: isinstance would ask the value itself (__class__)
    for base, convert in _BY_BASE:
        if issubclass(type(value), base):
            return convert
    raise _Unprintable
