"""Any Python value as text (docs/format.md, "Values"): what is stored where a value has no other form.

Total, and bounded: the text of a small graph of lists that share one another has no end.
"""

from __future__ import annotations

import decimal
import itertools
from collections.abc import Iterator
from typing import Final

from .interrupt import is_interrupt

MAX_TEXT_NODES: Final = 20_000
"""Values that the ``repr`` of containers inside one another may show."""

NODE_CHARACTERS: Final = 16
"""Of a long text, so many count as one value."""

_SMALL_BITS: Final = 2_000
"""``str()`` takes integers of so many bits whatever ``sys.set_int_max_str_digits`` says."""


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


def describe(value: object) -> str:
    """Return the ``repr`` of a value, or ``<unprintable TYPE>`` where that fails or has no end."""
    return text_of(value) if nodes_shown(value, MAX_TEXT_NODES) <= MAX_TEXT_NODES else unprintable(value)


def name_of(key: object) -> str:
    """Return the text of a map's name that is no string, by ``str()``.

    Raises:
        ValueError: It has none.
    """
    try:
        if nodes_shown(key, MAX_TEXT_NODES) <= MAX_TEXT_NODES:
            return str.__str__(str(key))
    except BaseException as error:  # a name's own code may raise anything
        if is_interrupt(error):
            raise
    raise ValueError(f"expected a name, got {unprintable(key)}")


def unprintable(value: object) -> str:
    """Return what stands for a value whose ``repr`` fails or has no end."""
    # past a metaclass: what it says of the name may fail as well
    return f"<unprintable {clean_text(_TYPE_NAME.__get__(type(value)), '', [])}>"


_TYPE_NAME: Final = type.__dict__["__name__"]


def text_of(value: object) -> str:
    """Return the ``repr`` of a value, or where that fails `unprintable`; however long it is."""
    try:
        text = repr(value)
        if type(text) is not str:
            text = str.__str__(text)
        text.encode()
    except UnicodeEncodeError:
        return clean_text(text, "", [])
    except BaseException as error:  # a payload's own code may raise anything, SystemExit too
        if is_interrupt(error):
            raise
        return unprintable(value)
    return text


def nodes_shown(value: object, most: int) -> int:
    """Return how many values the ``repr`` of nested containers shows; more than ``most`` where it has no such end.

    What an object's own ``__repr__`` shows is its own affair, and counts nothing.
    """
    children = children_of(value)
    if children is None:
        return 0
    nodes = 0
    path = [(id(value), children)]
    inside = {id(value)}
    while path:
        try:
            item = next(path[-1][1], path)
        except RuntimeError:  # another thread changes it
            return most + 1
        if item is path:
            inside.discard(path.pop()[0])
            continue
        kind = type(item)
        nodes += 1 + (len(item) // NODE_CHARACTERS if kind is str or kind is bytes else 0)  # type: ignore[arg-type]
        if nodes > most:
            break
        if kind in _LEAVES:
            continue
        children = children_of(item)
        if children is not None and id(item) not in inside:
            inside.add(id(item))
            path.append((id(item), children))
    return nodes


def children_of(value: object) -> Iterator[object] | None:
    """Return what a container holds, past the code of a subclass; None of anything else."""
    kind = type(value)
    for base in (list, tuple, set, frozenset):
        if issubclass(kind, base):
            return base.__iter__(value)  # type: ignore[arg-type]
    if issubclass(kind, dict):
        return itertools.chain(dict.keys(value), dict.values(value))  # type: ignore[arg-type]
    return None


_LEAVES: Final = frozenset({type(None), bool, int, float, str, bytes, bytearray, memoryview})


def decimal_text(value: int) -> str:
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
