"""The best of all that stand further down, in logarithmic time."""

from __future__ import annotations

from collections.abc import Sequence

Key = tuple[int, int]
_NONE: Key = (0, 0)


class SuffixMaximum:
    """A tree over a fixed number of slots; each holds a key or nothing.

    A log whose every line was altered has as many breaks as lines, and each break asks once.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        size = 1
        while size < len(keys):
            size *= 2
        self._size = size
        self._tree: list[Key] = [_NONE] * size + list(keys) + [_NONE] * (size - len(keys))
        for node in range(size - 1, 0, -1):
            self._tree[node] = max(self._tree[2 * node], self._tree[2 * node + 1])

    def set(self, slot: int, key: Key) -> None:
        """Put a key into a slot; ``(0, 0)`` empties it."""
        node = slot + self._size
        self._tree[node] = key
        while node > 1:
            node //= 2
            self._tree[node] = max(self._tree[2 * node], self._tree[2 * node + 1])

    def best(self, start: int) -> int | None:
        """Return the slot of the greatest key at or behind a slot, the first of equals, or None."""
        node = start + self._size
        if start >= self._size:
            return None
        found, key = 0, _NONE
        # Left to right, so that the first of equals wins.
        while True:
            if self._tree[node] > key:
                found, key = node, self._tree[node]
            while node & 1:
                node //= 2
            if node <= 1:
                break
            node += 1
        if key == _NONE:
            return None
        while found < self._size:
            found *= 2
            if self._tree[found] != key:
                found += 1
        return found - self._size
