"""The longest ascending part of a chain, against trying all parts."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from otel_audit.verify.ascending import out_of_order
from otel_audit.verify.run import Run


@given(st.permutations(range(7)), st.lists(st.integers(1, 3), min_size=7, max_size=7))
def test_keeps_the_longest_part_of_lowest_seq(places: list[int], counts: list[int]) -> None:
    """What is kept has the most entries, and of equals the lowest ``seq``."""
    chain = [Run(0, 10 * p + 1, 0, n, 0, None, ()) for p, n in zip(places, counts, strict=True)]
    parts = (
        part
        for size in range(1, 8)
        for part in combinations(range(7), size)
        if all(places[a] < places[b] for a, b in pairwise(part))
    )
    best = max(parts, key=lambda part: (sum(counts[i] for i in part), [-i for i in part]))
    assert out_of_order(chain) == [run for i, run in enumerate(chain) if i not in best]
