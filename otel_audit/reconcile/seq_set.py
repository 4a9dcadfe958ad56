"""A set of ``seq``: next to nothing where they follow one another, a bit each where they do not.

Blocks of 8,192 that are whole are kept as their number alone. So what comes in order costs some
ten bytes a thousand entries, and the worst order one bit an entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from otel_audit.errors import AuditVerifyError

BLOCK: Final = 8192


class SeqRange(NamedTuple):
    """Entries that follow one another, both ends counted."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


class SeqSet:
    """A set of ``seq``.

    Args:
        max_blocks: For seqs that no log bounds: at most so many blocks that are neither empty nor
            whole, some 1 KiB each.
    """

    __slots__ = ("_max_blocks", "_part", "_size", "_whole")

    def __init__(self, max_blocks: int | None = None) -> None:
        self._part: dict[int, bytearray] = {}
        self._size: dict[int, int] = {}  # of each part
        self._whole: set[int] = set()
        self._max_blocks = max_blocks

    def add(self, seq: int) -> bool:
        """Add one; return whether it is new.

        Raises:
            AuditVerifyError: They are too scattered to be kept.
        """
        block, at = divmod(seq, BLOCK)
        bits = self._part.get(block)
        if bits is None:
            if block in self._whole:
                return False
            bits = self._begin(block)
        byte, bit = at >> 3, 1 << (at & 7)
        if bits[byte] & bit:
            return False
        bits[byte] |= bit
        self._size[block] += 1
        if self._size[block] == BLOCK:
            del self._part[block], self._size[block]
            self._whole.add(block)
        return True

    def __contains__(self, seq: int) -> bool:
        block, at = divmod(seq, BLOCK)
        bits = self._part.get(block)
        return block in self._whole if bits is None else bool(bits[at >> 3] & 1 << (at & 7))

    def __len__(self) -> int:
        return len(self._whole) * BLOCK + sum(self._size.values())

    def __bool__(self) -> bool:
        return bool(self._part or self._whole)

    def ranges(self) -> Iterator[SeqRange]:
        """Yield the stretches of seqs that follow one another, ascending."""
        held: SeqRange | None = None
        for one in self._stretches():
            if held is not None and one.first == held.last + 1:
                held = SeqRange(held.first, one.last)
                continue
            if held is not None:
                yield held
            held = one
        if held is not None:
            yield held

    def _begin(self, block: int) -> bytearray:
        if self._max_blocks is not None and len(self._part) >= self._max_blocks:
            raise AuditVerifyError(
                f"expected copies of one log, got seqs in more than {self._max_blocks:,} stretches of {BLOCK:,}"
            )
        self._size[block] = 0
        bits = self._part[block] = bytearray(BLOCK // 8)
        return bits

    def _stretches(self) -> Iterator[SeqRange]:
        for block in sorted((*self._whole, *self._part)):
            base = block * BLOCK
            part = self._part.get(block)
            if part is None:
                yield SeqRange(base, base + BLOCK - 1)
            else:
                yield from _of_bits(base, int.from_bytes(part, "little"))


def _of_bits(base: int, bits: int) -> Iterator[SeqRange]:
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        ones = (~bits & (bits + 1)).bit_length() - 1
        bits >>= ones
        yield SeqRange(base + zeros, base + zeros + ones - 1)
        base += zeros + ones


def stretches_of(seqs: Iterable[int]) -> Iterator[SeqRange]:
    """Yield the stretches that ascending seqs make; doubles are left out."""
    held: SeqRange | None = None
    for seq in seqs:
        if held is not None and seq <= held.last + 1:
            held = SeqRange(held.first, max(seq, held.last))
            continue
        if held is not None:
            yield held
        held = SeqRange(seq, seq)
    if held is not None:
        yield held


def shared(stretches: Iterable[SeqRange]) -> Iterator[SeqRange]:
    """Yield what is in more than one of the stretches, which ascend by their first."""
    held, highest = SeqRange(0, -1), 0
    for one in stretches:
        last = min(one.last, highest)
        if one.first <= last:
            if held.size and one.first <= held.last + 1:
                held = SeqRange(held.first, max(held.last, last))
            else:
                if held.size:
                    yield held
                held = SeqRange(one.first, last)
        highest = max(highest, one.last)
    if held.size:
        yield held


def subtract(spans: Iterable[SeqRange], taken: Iterable[SeqRange]) -> Iterator[SeqRange]:
    """Yield what is in the first stretches and not in the second; both ascending, neither overlapping itself."""
    others = iter(taken)
    other = next(others, None)
    for span in spans:
        at = span.first
        while other is not None and other.first <= span.last:
            if other.first > at:
                yield SeqRange(at, other.first - 1)
            at = max(at, other.last + 1)
            if other.last > span.last:
                break
            other = next(others, None)
        if at <= span.last:
            yield SeqRange(at, span.last)
