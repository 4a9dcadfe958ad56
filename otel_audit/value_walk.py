"""One walk through any value: each type to its form in JSON (docs/format.md, "Values").

Total: what fails in its own form is stored as its text, and what is not stored as it was given
is listed. A value that unfolds to more than a few thousand others ends the walk: it is one for
`otel_audit.value_sharing`.
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
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from .interrupt import is_interrupt
from .value_text import NODE_CHARACTERS, clean_text, decimal_text, name_of, nodes_shown, text_of

MAX_DEPTH: Final = 64
"""Containers inside one another, the line's own object counted."""

MAX_NODES: Final = 1_000_000
"""What a value shares may add to it, in values: a small graph of lists can unfold without end."""

QUICK_NODES: Final = 2_000
"""So many values are visited without a look at what they share."""

LONG_CHARACTERS: Final = 1024
"""Shorter texts count as one value."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1


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
        raise Unprintable
    return [(name, item) for name, item in pairs]


class Unprintable(Exception):
    """This value cannot be stored in its own form: take its text."""


class Endless(Exception):
    """This value unfolds to more than the walk goes through."""


class Walk:
    """One walk through one value: knows what it is inside of, and how far it may still go."""

    __slots__ = ("altered", "inside", "left", "text_left")

    def __init__(self, altered: list[str]) -> None:
        self.altered = altered
        self.inside: set[int] = set()
        self.left = self.text_left = QUICK_NODES

    def clean(self, value: object, pointer: str, depth: int) -> object:
        """Return what `otel_audit.value.clean` does; raises `Endless`."""
        self.left -= 1
        if self.left < 0:
            raise Endless
        # the values that most are: as their converters would return them
        kind = type(value)
        if kind is str:
            if value.isascii() and len(value) <= LONG_CHARACTERS:  # type: ignore[attr-defined, arg-type]
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
        except Endless:
            raise
        except Unprintable:
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
            raise Endless

    def weigh_names(self, characters: int) -> None:
        """Count long names of members, which every pointer behind them repeats."""
        self.weigh(characters)

    def as_text(self, value: object) -> str:
        """Return what `describe` does, the texts of one walk bounded together."""
        self.text_left -= nodes_shown(value, self.text_left)
        if self.text_left < 0:
            raise Endless
        text = text_of(value)
        self.weigh(len(text))
        return text

    def plain(self, value: object, pointer: str, depth: int) -> object:
        """Return a value that is JSON as it is."""
        return value

    def integer(self, value: int, pointer: str, depth: int) -> object:
        """Return an integer of 64 bits, or the digits of a larger one."""
        value = int.__index__(value)
        if INT_MIN <= value <= INT_MAX:
            return value
        self.altered.append(pointer)
        self.weigh(value.bit_length() // 4)
        return decimal_text(value)

    def real(self, value: float, pointer: str, depth: int) -> object:
        """Return a finite number, or the name of another."""
        value = float.__float__(value)
        if math.isfinite(value):
            return value
        self.altered.append(pointer)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"

    def text(self, value: str, pointer: str, depth: int) -> object:
        """Return an exact, encodable string."""
        if str.__len__(value) > LONG_CHARACTERS:
            self.weigh(str.__len__(value))
        return clean_text(value, pointer, self.altered)

    def binary(self, value: bytes | bytearray | memoryview, pointer: str, depth: int) -> object:
        """Return bytes as a map of ``$bytes`` to their base64."""
        if depth > MAX_DEPTH:
            raise Unprintable
        # past an overridden __bytes__: what a subclass holds is what is stored
        view = memoryview(value)
        self.weigh(view.nbytes)
        return {"$bytes": base64.b64encode(view.tobytes()).decode()}

    def array(self, value: list[object] | tuple[object, ...], pointer: str, depth: int) -> object:
        """Return a list of what a list or tuple holds."""
        # past an overridden __iter__: what a subclass holds is what is stored
        items = list.__iter__(value) if issubclass(type(value), list) else tuple.__iter__(value)  # type: ignore[arg-type]
        if len(pointer) > LONG_CHARACTERS:
            self.weigh_names(len(pointer) * operator.length_hint(items))
        with _Inside(self, value, depth):
            return [self.clean(item, f"{pointer}/{i}", depth + 1) for i, item in enumerate(items)]

    def mapping(self, value: Mapping[object, object], pointer: str, depth: int) -> object:
        """Return a map of what a mapping holds, by names that are strings."""
        pairs: list[tuple[object, object]]
        pairs = list(value.items()) if type(value) is dict else self.pairs_of(value)
        cleaned: dict[str, object] = {}
        renamed = False
        if len(pointer) > LONG_CHARACTERS:
            self.weigh_names(len(pointer) * len(pairs))
        with _Inside(self, value, depth):
            for key, item in pairs:
                named = issubclass(type(key), str)
                renamed = renamed or not named
                name = escape_name(str.__str__(key) if named else name_of(key))
                if not name.isascii():
                    name = clean_text(name, pointer_to(pointer, clean_text(name, "", [])), self.altered)
                if name in cleaned:
                    raise Unprintable
                if len(name) > LONG_CHARACTERS:
                    self.weigh_names(len(name))
                cleaned[name] = self.clean(item, pointer_to(pointer, name), depth + 1)
        if renamed:
            self.altered.append(pointer)
        return cleaned

    def group(self, value: set[object] | frozenset[object], pointer: str, depth: int) -> object:
        """Return a list of what a set holds, sorted by its JSON."""
        with _Inside(self, value, depth):
            members = set.__iter__(value) if issubclass(type(value), set) else frozenset.__iter__(value)  # type: ignore[arg-type]
            items = [self._quietly(item, depth + 1) for item in list(members)]
        self.altered.append(pointer)
        return sorted(items, key=orjson.dumps)

    def moment(self, value: datetime.date | datetime.time, pointer: str, depth: int) -> object:
        """Return a date or time as ISO 8601."""
        self.altered.append(pointer)
        return self._shown(value.isoformat())

    def name(self, value: object, pointer: str, depth: int) -> object:
        """Return the text that a value of this type is known by."""
        self.altered.append(pointer)
        return self._shown(str(value))

    def _shown(self, text: str) -> str:
        """Return the text that stands for a value."""
        text = clean_text(text, "", [])
        self.weigh(len(text))
        return text

    def pairs_of(self, value: Mapping[object, object]) -> list[tuple[object, object]]:
        """Return names and values; of a mapping that is no dict, no more than may be visited."""
        try:
            return pairs_of(value, self.left)
        except Unprintable:
            raise Endless from None

    def member(self, value: enum.Enum, pointer: str, depth: int) -> object:
        """Return what an enumeration's member stands for."""
        cleaned = self._quietly(value.value, depth)
        self.altered.append(pointer)
        return cleaned

    def _quietly(self, value: object, depth: int) -> object:
        """Clean a part of a value that is listed as altered as a whole."""
        mark = len(self.altered)
        cleaned = self.clean(value, "", depth)
        del self.altered[mark:]
        return cleaned


class _Inside:
    """Marks a container as being walked, so that a cycle is seen."""

    __slots__ = ("inside", "key")

    def __init__(self, walk: Walk, value: object, depth: int) -> None:
        if depth > MAX_DEPTH or id(value) in walk.inside:
            raise Unprintable
        self.inside, self.key = walk.inside, id(value)

    def __enter__(self) -> None:
        self.inside.add(self.key)

    def __exit__(self, *_: object) -> None:
        self.inside.discard(self.key)


_BY_TYPE: Final[dict[type, Callable[..., object]]] = {
    type(None): Walk.plain,
    bool: Walk.plain,
    int: Walk.integer,
    float: Walk.real,
    str: Walk.text,
    bytes: Walk.binary,
    bytearray: Walk.binary,
    memoryview: Walk.binary,
    list: Walk.array,
    tuple: Walk.array,
    dict: Walk.mapping,
    set: Walk.group,
    frozenset: Walk.group,
}

_BY_BASE: Final[tuple[tuple[type | tuple[type, ...], Callable[..., object]], ...]] = (
    (int, Walk.integer),
    (float, Walk.real),
    (str, Walk.text),
    ((bytes, bytearray), Walk.binary),
    (enum.Enum, Walk.member),
    ((list, tuple), Walk.array),
    ((set, frozenset), Walk.group),
    ((datetime.date, datetime.time), Walk.moment),
    ((decimal.Decimal, uuid.UUID, pathlib.PurePath), Walk.name),
    (Mapping, Walk.mapping),
)


def _by_base(value: object) -> Callable[..., object]:
    # issubclass on the real type: isinstance would ask the value itself (__class__)
    for base, convert in _BY_BASE:
        if issubclass(type(value), base):
            return convert
    raise Unprintable
