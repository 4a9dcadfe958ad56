"""The greatest key further down, against looking at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_audit.verify.suffix_tree import SuffixMaximum

keys = st.one_of(st.just(()), st.tuples(st.integers(1, 3), st.integers(-3, -1)))
changes = st.lists(st.tuples(st.integers(0, 19), keys), max_size=40)


@given(st.integers(1, 20), changes)
def test_finds_the_first_of_the_greatest(count: int, changes: list[tuple[int, tuple[int, ...]]]) -> None:
    """From each slot on it finds the greatest key, the first of equals, or none."""
    slots: list[tuple[int, ...]] = [()] * count
    tree = SuffixMaximum(count)
    for slot, key in changes:
        if slot < count:
            tree.set(slot, key)
            slots[slot] = key
    for start in range(count):
        greatest = max(slots[start:])
        expected = None if greatest == () else (slots.index(greatest, start), greatest)
        assert tree.best(start) == expected
