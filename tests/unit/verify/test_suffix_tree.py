"""The greatest key further down, against looking at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_audit.verify.suffix_tree import SuffixMaximum

keys = st.one_of(st.just((0, 0)), st.tuples(st.integers(1, 3), st.integers(-3, -1)))


@given(st.lists(keys, min_size=1, max_size=20), st.lists(st.tuples(st.integers(0, 19), keys), max_size=5))
def test_finds_the_first_of_the_greatest(
    slots: list[tuple[int, int]], changes: list[tuple[int, tuple[int, int]]]
) -> None:
    """From each slot on it finds the greatest key, the first of equals, or none."""
    tree = SuffixMaximum(slots)
    for slot, key in changes:
        if slot < len(slots):
            tree.set(slot, key)
            slots[slot] = key
    for start in range(len(slots)):
        greatest = max(slots[start:])
        expected = None if greatest == (0, 0) else slots.index(greatest, start)
        assert tree.best(start) == expected
