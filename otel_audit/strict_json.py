"""RFC 8259, read so strictly that two readers cannot see two things in one text.

The exact way, in linear time and without recursion; `otel_audit.entry` tries a faster one
first. The rules are those of docs/format.md, "The line".
"""

from __future__ import annotations

import json
import math
import re
from typing import Final

MAX_DEPTH: Final = 64
"""Objects and arrays open at once, the outermost counted."""

_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: Final[dict[str, tuple[str, object]]] = {
    "t": ("true", True),
    "f": ("false", False),
    "n": ("null", None),
}
_INT_DIGITS: Final = 20  # a sign and the 19 digits of 2**63; int() refuses texts of thousands


class StrictJSONError(ValueError):
    """The text breaks a rule; the message names it."""


def parse_object(text: str) -> dict[str, object]:
    """Return the one object that the text is.

    The names of its own members must be spelled without escapes; deeper names may have them.

    Args:
        text: Decoded from UTF-8, so free of lone surrogates.

    Raises:
        StrictJSONError: It is anything else: white space, a byte too many, a doubled member,
            a lone surrogate, a number out of range, more than 64 levels.
    """
    if not text.startswith("{"):
        raise StrictJSONError("expected one object")
    # One frame a level: the container, and in an object the name that waits for its value.
    top: dict[str, object] = {}
    stack: list[dict[str, object] | list[object]] = [top]
    names: list[str | None] = [None]
    at = 1
    fresh = True  # nothing in the innermost container yet
    while stack:
        inner = stack[-1]
        closing = "}" if type(inner) is dict else "]"
        char = text[at : at + 1]
        if char == closing:
            stack.pop()
            names.pop()
            at += 1
            fresh = False
            continue
        if not fresh:
            if char != ",":
                raise StrictJSONError(f"expected ',' or {closing!r} at character {at}")
            at += 1
        if type(inner) is dict:
            start = at
            name, at = _string(text, at)
            if len(stack) == 1 and "\\" in text[start:at]:
                raise StrictJSONError(f"member name {name!r} spelled with an escape")
            if name in inner:
                raise StrictJSONError(f"member {name[:80]!r} twice")
            if text[at : at + 1] != ":":
                raise StrictJSONError(f"expected ':' at character {at}")
            at += 1
            names[-1] = name
        value, at, opened = _value(text, at)
        if type(inner) is dict:
            inner[str(names[-1])] = value
        else:
            inner.append(value)  # type: ignore[union-attr]
        fresh = opened
        if opened:
            if len(stack) == MAX_DEPTH:
                raise StrictJSONError(f"nested deeper than {MAX_DEPTH}")
            stack.append(value)  # type: ignore[arg-type]
            names.append(None)
    if at != len(text):
        raise StrictJSONError(f"expected the end at character {at}")
    return top


def _value(text: str, at: int) -> tuple[object, int, bool]:
    """Return a value, where it ends, and whether it is a container that was only opened."""
    char = text[at : at + 1]
    if char == '"':
        string, at = _string(text, at)
        return string, at, False
    if char == "{":
        return {}, at + 1, True
    if char == "[":
        return [], at + 1, True
    if char in _WORDS:
        word, value = _WORDS[char]
        if text.startswith(word, at):
            return value, at + len(word), False
    number = _NUMBER.match(text, at)
    if number is None:
        raise StrictJSONError(f"expected a value at character {at}")
    return _number(number), number.end(), False


def _string(text: str, at: int) -> tuple[str, int]:
    match = _STRING.match(text, at)
    if match is None:
        raise StrictJSONError(f"expected a string at character {at}")
    token = match.group()
    if "\\" not in token:
        return token[1:-1], match.end()
    string: str = json.loads(token)
    try:
        string.encode()
    except UnicodeEncodeError:
        raise StrictJSONError(f"lone surrogate in the string at character {at}") from None
    return string, match.end()


def _number(match: re.Match[str]) -> int | float:
    digits = match.group()
    if match.group(1) is None and match.group(2) is None:
        if digits == "-0":
            raise StrictJSONError("integer -0")
        if len(digits) > _INT_DIGITS or not -(2**63) <= (integer := int(digits)) < 2**63:
            raise StrictJSONError(f"integer {digits[:24]} outside 64 bits")
        return integer
    number = float(digits)
    if not math.isfinite(number):
        raise StrictJSONError(f"number {digits[:24]} not finite as a double")
    return number
