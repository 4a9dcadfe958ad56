from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_audit.report.choice import choose


def test_what_matters_comes_first_then_neighbours_then_the_end() -> None:
    """Failures are carried first, then what stands beside them, then the latest entries."""
    latest = list(range(1, 101))
    assert choose([10, 50], latest, 2, neighbours=True) == {10, 50}
    assert choose([10, 50], latest, 6, neighbours=True) == {9, 10, 11, 49, 50, 51}
    assert choose([10, 50], latest, 8, neighbours=True) == {9, 10, 11, 49, 50, 51, 99, 100}
    assert choose([10, 50], latest, 4, neighbours=False) == {10, 50, 99, 100}


@given(st.sets(st.integers(1, 200)), st.integers(1, 300), st.booleans())
def test_never_more_than_asked_for(important: set[int], most: int, neighbours: bool) -> None:
    """Never more than asked for, never what there is not, and as many as there are."""
    latest = list(range(1, 201))[-most:]
    chosen = choose(important, latest, most, neighbours=neighbours)
    assert len(chosen) <= most
    assert chosen <= set(range(1, 201))
    assert len(chosen) >= min(most, len(latest))
    assert important <= chosen or len(important) > most


def test_of_too_many_the_latest() -> None:
    """Of more failures than there is room for, the latest are carried."""
    assert choose(range(1, 50), list(range(1, 101)), 3, neighbours=True) == {47, 48, 49}
