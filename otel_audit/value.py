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
import operator
import pathlib
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from .interrupt import is_interrupt
from .value_text import (
    MAX_TEXT_NODES,
    NODE_CHARACTERS,
    children_of,
    clean_text,
    describe,
    name_of,
    nodes_shown,
    text_of,
    unprintable,
)

__all__ = [
    "INT_MAX",
    "INT_MIN",
    "MAX_DEPTH",
    "MAX_NODES",
    "clean",
    "clean_body",
    "clean_text",
    "describe",
    "escape_name",
    "name_of",
    "pairs_of",
    "pointer_to",
]

MAX_DEPTH: Final = 64
"""Containers inside one another, the line's own object counted."""

MAX_NODES: Final = 1_000_000
"""What a value shares may add to it, in values: a small graph of lists can unfold without end."""

_QUICK_NODES: Final = 2_000
"""So many values are visited without a look at what they share."""

_LONG_CHARACTERS: Final = 1024

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
        None, bool, int, float, str, list or dict, nested; no cycle, no lone surrogate. What is
        shared in it may be shared in what is returned: for reading only.
    """
    # Nearly every value is one of these; the walk below would only repeat this.
    kind = type(value)
    if kind is str:
        return value if value.isascii() else clean_text(value, pointer, altered)  # type: ignore[attr-defined, arg-type]
    if kind is int:
        if INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
            return value
    elif kind is bool or value is None:
        return value
    mark = len(altered)
    try:
        return _Walk(altered).clean(value, pointer, depth)
    except _Endless:
        del altered[mark:]
    try:
        return _SharingWalk(altered).clean(value, pointer, depth)
    except _Endless:
        altered[mark:] = [pointer]
    return unprintable(value)


def clean_body(body: object, altered: list[str]) -> object:
    """Return a body as the line holds it: where there is one, never null."""
    cleaned = clean(body, "/body", altered, 2)
    return describe(body) if cleaned is None and body is not None else cleaned


def pointer_to(parent: str, name: str | int) -> str:
    """Return the JSON Pointer (RFC 6901) of a member or an element of ``parent``."""
    return f"{parent}/{str(name).replace('~', '~0').replace('/', '~1')}"


def escape_name(name: str) -> str:
    """Return the name as a given map writes it: ``$`` is reserved for forms such as ``$bytes``."""
    return f"${name}" if name.startswith("$") else name


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


class _Unprintable(Exception):
    """This value cannot be stored in its own form: take its text."""


class _Endless(Exception):
    """This value unfolds to more than the walk goes through."""


class _Walk:
    """One walk through one value: knows what it is inside of, and how far it may still go."""

    __slots__ = ("altered", "inside", "left", "text_left")

    def __init__(self, altered: list[str]) -> None:
        self.altered = altered
        self.inside: set[int] = set()
        self.left = self.text_left = _QUICK_NODES

    def clean(self, value: object, pointer: str, depth: int) -> object:
        self.left -= 1
        if self.left < 0:
            raise _Endless
        # the values that most are: as their converters would return them
        kind = type(value)
        if kind is str:
            if value.isascii() and len(value) <= _LONG_CHARACTERS:  # type: ignore[attr-defined, arg-type]
                return value
        elif kind is int:
            if INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
                return value
        elif kind is float:
            return self.real(value, pointer, depth)  # type: ignore[arg-type]
        elif kind is bool or value is None:
            return value
        return self.convert(value, pointer, depth)

    def convert(self, value: object, pointer: str, depth: int) -> object:
        """Return a value in the form that its type has, or where that fails its text."""
        mark = len(self.altered)
        try:
            convert = _BY_TYPE.get(type(value)) or _by_base(value)
            return convert(self, value, pointer, depth)
        except _Endless:
            raise
        except _Unprintable:
            pass
        except BaseException as error:
            # built-in values have no code of their own: a SystemExit is not theirs
            if is_interrupt(error) or (isinstance(error, SystemExit) and type(value) in _BY_TYPE):
                raise
        del self.altered[mark:]
        self.altered.append(pointer)
        return self.as_text(value)

    def weigh(self, characters: int) -> None:
        """Count a long text, before it is copied."""
        self.left -= characters // NODE_CHARACTERS
        if self.left < 0:
            raise _Endless

    def weigh_names(self, characters: int) -> None:
        """Count long names of members, which every pointer behind them repeats."""
        self.weigh(characters)

    def as_text(self, value: object) -> str:
        """Return what `describe` does, the texts of one walk bounded together."""
        self.text_left -= nodes_shown(value, self.text_left)
        if self.text_left < 0:
            raise _Endless
        text = text_of(value)
        self.weigh(len(text))
        return text

    def plain(self, value: object, pointer: str, depth: int) -> object:
        return value

    def integer(self, value: int, pointer: str, depth: int) -> object:
        value = int.__index__(value)
        if INT_MIN <= value <= INT_MAX:
            return value
        self.altered.append(pointer)
        self.weigh(value.bit_length() // 4)
        return _decimal_text(value)

    def real(self, value: float, pointer: str, depth: int) -> object:
        value = float.__float__(value)
        if math.isfinite(value):
            return value
        self.altered.append(pointer)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def text(self, value: str, pointer: str, depth: int) -> object:
        if str.__len__(value) > _LONG_CHARACTERS:
            self.weigh(str.__len__(value))
        return clean_text(value, pointer, self.altered)

    def binary(self, value: bytes | bytearray | memoryview, pointer: str, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise _Unprintable
        # past an overridden __bytes__: what a subclass holds is what is stored
        view = memoryview(value)
        self.weigh(view.nbytes)
        return {"$bytes": base64.b64encode(view.tobytes()).decode()}

    def array(self, value: list[object] | tuple[object, ...], pointer: str, depth: int) -> object:
        # past an overridden __iter__: what a subclass holds is what is stored
        items = list.__iter__(value) if issubclass(type(value), list) else tuple.__iter__(value)  # type: ignore[arg-type]
        if len(pointer) > _LONG_CHARACTERS:
            self.weigh_names(len(pointer) * operator.length_hint(items))
        with _Inside(self, value, depth):
            return [self.clean(item, f"{pointer}/{i}", depth + 1) for i, item in enumerate(items)]

    def mapping(self, value: Mapping[object, object], pointer: str, depth: int) -> object:
        pairs: list[tuple[object, object]]
        pairs = list(value.items()) if type(value) is dict else self.pairs_of(value)
        cleaned: dict[str, object] = {}
        renamed = False
        if len(pointer) > _LONG_CHARACTERS:
            self.weigh_names(len(pointer) * len(pairs))
        with _Inside(self, value, depth):
            for key, item in pairs:
                named = issubclass(type(key), str)
                renamed = renamed or not named
                name = escape_name(str.__str__(key) if named else name_of(key))
                if not name.isascii():
                    name = clean_text(name, pointer_to(pointer, clean_text(name, "", [])), self.altered)
                if name in cleaned:
                    raise _Unprintable
                if len(name) > _LONG_CHARACTERS:
                    self.weigh_names(len(name))
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
        return self.shown(value.isoformat())

    def name(self, value: object, pointer: str, depth: int) -> object:
        self.altered.append(pointer)
        return self.shown(str(value))

    def shown(self, text: str) -> str:
        """Return the text that stands for a value."""
        text = clean_text(text, "", [])
        self.weigh(len(text))
        return text

    def pairs_of(self, value: Mapping[object, object]) -> list[tuple[object, object]]:
        """Return names and values; of a mapping that is no dict, no more than may be visited."""
        try:
            return pairs_of(value, self.left)
        except _Unprintable:
            raise _Endless from None

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


class _SharingWalk(_Walk):
    """A walk through a large value: what is met again is not cleaned again, but counted.

    What is met once is as large as was given, and has no bound.
    """

    __slots__ = ("again_left", "known")

    def __init__(self, altered: list[str]) -> None:
        super().__init__(altered)
        self.left = sys.maxsize
        self.again_left = MAX_NODES
        self.text_left = MAX_TEXT_NODES
        self.known: dict[int, tuple[object, object, Sequence[str], int]] = {}

    def convert(self, value: object, pointer: str, depth: int) -> object:
        if type(value) is str and len(value) <= _LONG_CHARACTERS:
            return _Walk.convert(self, value, pointer, depth)
        # what is too deep depends on the depth; the value is held, lest another get its id
        key = id(value) << _DEPTH_BITS | depth
        known = self.known.get(key)
        if known is not None:
            _, cleaned, altered, nodes = known
            self.left -= nodes
            self.again_left -= nodes
            if self.again_left < 0:
                raise _Endless
            self.altered.extend([pointer + inner for inner in altered])
            return cleaned
        mark, left = len(self.altered), self.left
        cleaned = _Walk.convert(self, value, pointer, depth)
        if type(cleaned) is str and children_of(value) is not None:
            return cleaned  # too deep, or a cycle: such texts have a bound of their own
        altered = [inner[len(pointer) :] for inner in self.altered[mark:]] if len(self.altered) > mark else ()
        self.known[key] = value, cleaned, altered, 1 + left - self.left + len(altered) * _POINTER_NODES
        return cleaned

    def weigh_names(self, characters: int) -> None:
        self.again_left -= characters // NODE_CHARACTERS
        if self.again_left < 0:
            raise _Endless

    def as_text(self, value: object) -> str:
        try:
            return super().as_text(value)
        except _Endless:
            self.text_left = 0
            return unprintable(value)

    def pairs_of(self, value: Mapping[object, object]) -> list[tuple[object, object]]:
        try:
            pairs = pairs_of(value, self.again_left)
        except _Unprintable:
            self.again_left //= 2
            raise
        if not issubclass(type(value), dict):
            self.again_left -= len(pairs)  # its own code may make new ones each time
        return pairs


_DEPTH_BITS: Final = 7
_POINTER_NODES: Final = 8
"""What is altered each time that it is met counts more: each has its pointer."""


class _Inside:
    """Marks a container as being walked, so that a cycle is seen."""

    __slots__ = ("inside", "key")

    def __init__(self, walk: _Walk, value: object, depth: int) -> None:
        if depth > MAX_DEPTH or id(value) in walk.inside:
            raise _Unprintable
        self.inside, self.key = walk.inside, id(value)

    def __enter__(self) -> None:
        self.inside.add(self.key)

    def __exit__(self, *_: object) -> None:
        self.inside.discard(self.key)


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
