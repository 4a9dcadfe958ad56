"""Which entries a page carries, when the log has more than it may."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def choose(important: Iterable[int], latest: Sequence[int], most: int, *, neighbours: bool) -> frozenset[int]:
    """Return the ``seq`` of the entries to carry: at most so many.

    First those that matter, the latest of them where they are too many; then their neighbours;
    then the latest of all.

    Args:
        important: Failures, blocks, open intents, losses, what a finding names.
        latest: Of the entries that are wanted, at least the last ``most``, ascending.
        most: How many there may be.
        neighbours: Whether what stands beside an entry is wanted with it.
    """
    chosen = set(sorted(set(important))[-most:])
    if neighbours and latest:
        for seq in sorted(chosen):
            for neighbour in (seq - 1, seq + 1):
                if len(chosen) < most and 1 <= neighbour <= latest[-1]:
                    chosen.add(neighbour)
    for seq in reversed(latest):
        if len(chosen) >= most:
            break
        chosen.add(seq)
    return frozenset(chosen)
