"""Decisions, read off the fuzzer's bytes."""

from __future__ import annotations


class Choices:
    """Bytes that are used up from the front; behind their end, every decision is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether there are bytes left."""
        return self._at < len(self._data)

    def below(self, count: int) -> int:
        """Return a number from 0 to one less than ``count``: of one byte, or as many as it needs."""
        size = max(1, ((count - 1).bit_length() + 7) // 8)
        return int.from_bytes(self.take(size)) % count if count else 0

    def take(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end."""
        data = self._data[self._at : self._at + size]
        self._at += size
        return data

    def text(self) -> bytes:
        """Return up to 31 bytes."""
        return self.take(self.below(32))
