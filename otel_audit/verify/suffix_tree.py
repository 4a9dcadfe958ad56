"""The best of all that stand further down, in logarithmic time."""

from __future__ import annotations

from typing import Final

Key = tuple[int, ...]
_NONE: Final[Key] = ()  # less than any other


class SuffixMaximum:
    """A tree over a fixed number of slots; each holds a key or nothing.

    A log of which every second line is gone has as many breaks as lines, and each asks once.
    """

    def __init__(self, slots: int) -> None:
        size = 1
        while size < slots:
            size *= 2
        self._size = size
        self._tree: list[Key] = [_NONE] * (2 * size)

    def set(self, slot: int, key: Key) -> None:
        """Put a key into a slot; ``()`` empties it."""
        tree = self._tree
        node = slot + self._size
        tree[node] = key
        while node > 1:
            node //= 2
            greater = max(tree[2 * node], tree[2 * node + 1])
            if tree[node] == greater:
                break
            tree[node] = greater

    def best(self, start: int) -> tuple[int, Key] | None:
        """Return slot and key of the greatest at or behind a slot, the first of equals, or None."""
        if start >= self._size:
            return None
        tree = self._tree
        node = start + self._size
        found, key = 0, _NONE
        # Left to right, so that the first of equals wins.
        while True:
            if tree[node] > key:
                found, key = node, tree[node]
            while node & 1:
                node //= 2
            if node <= 1:
                break
            node += 1
        if key == _NONE:
            return None
        while found < self._size:
            found *= 2
            if tree[found] != key:
                found += 1
        return found - self._size, key
