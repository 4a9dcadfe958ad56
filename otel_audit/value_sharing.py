"""A walk through a large value, in which the same lists and maps may be met again and again."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from .value_text import MAX_TEXT_NODES, NODE_CHARACTERS, children_of, unprintable
from .value_walk import LONG_CHARACTERS, MAX_NODES, Endless, Unprintable, Walk, pairs_of

_DEPTH_BITS: Final = 7
_POINTER_NODES: Final = 8
"""What is altered each time that it is met counts more: each has its pointer."""


class SharingWalk(Walk):
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
        """Return a value in the form that its type has, as it was returned before if it is met again."""
        if type(value) is str and len(value) <= LONG_CHARACTERS:
            return Walk.convert(self, value, pointer, depth)
        # what is too deep depends on the depth; the value is held, lest another get its id
        key = id(value) << _DEPTH_BITS | depth
        known = self.known.get(key)
        if known is not None:
            _, cleaned, altered, nodes = known
            self.left -= nodes
            self.again_left -= nodes
            if self.again_left < 0:
                raise Endless
            self.altered.extend([pointer + inner for inner in altered])
            return cleaned
        mark, left = len(self.altered), self.left
        cleaned = Walk.convert(self, value, pointer, depth)
        if type(cleaned) is str and children_of(value) is not None:
            return cleaned  # too deep, or a cycle: such texts have a bound of their own
        altered = [inner[len(pointer) :] for inner in self.altered[mark:]] if len(self.altered) > mark else ()
        self.known[key] = value, cleaned, altered, 1 + left - self.left + len(altered) * _POINTER_NODES
        return cleaned

    def weigh_names(self, characters: int) -> None:
        """Count what pointers repeat; the names themselves are as long as they were given."""
        self.again_left -= characters // NODE_CHARACTERS
        if self.again_left < 0:
            raise Endless

    def as_text(self, value: object) -> str:
        """Return a text for any value, once too many were shown its type alone."""
        try:
            return super().as_text(value)
        except Endless:
            self.text_left = 0
            return unprintable(value)

    def pairs_of(self, value: Mapping[object, object]) -> list[tuple[object, object]]:
        """Return names and values; a mapping that makes new ones at each visit counts as shared."""
        try:
            pairs = pairs_of(value, self.again_left)
        except Unprintable:
            self.again_left //= 2
            raise
        if not issubclass(type(value), dict):
            self.again_left -= len(pairs)  # its own code may make new ones each time
        return pairs
