"""Step 4: the longest run of the chain that ascends in the files."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from otel_audit.verify.run import Run


def out_of_order(chain: Sequence[Run]) -> list[Run]:
    """Return the runs of a chain that stand outside the longest part that ascends in the files.

    Length counts entries. Of several parts equally long the one with the lowest ``seq`` stays:
    of two neighbours that were swapped it is the one that now stands first that is out of order,
    where a reader of the file first stumbles.
    """
    if all(a.first < b.first for a, b in pairwise(chain)):
        return []
    places = sorted(run.first for run in chain)
    # From the back: best[i] is the most entries in an ascending part that begins at run i. A
    # Fenwick tree over the places gives the best among those that stand further down.
    size = len(places)
    tree: list[tuple[int, int]] = [(0, 0)] * (size + 1)
    following: list[int] = [-1] * size
    best: list[int] = [0] * size
    for index in range(size - 1, -1, -1):
        slot = bisect_left(places, chain[index].first)
        node, found = size - slot - 1, (0, 0)
        while node > 0:
            found = max(found, tree[node])
            node -= node & -node
        best[index] = chain[index].count + found[0]
        # Negative, so that of equals the lower index, that is the lower seq, is the greater.
        following[index] = -found[1] - 1 if found[0] else -1
        node = size - slot
        while node <= size:
            tree[node] = max(tree[node], (best[index], -index - 1))
            node += node & -node
    index = max(range(size), key=lambda i: (best[i], -i))
    kept = set()
    while index >= 0:
        kept.add(index)
        index = following[index]
    return [run for i, run in enumerate(chain) if i not in kept]
