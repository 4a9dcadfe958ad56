"""Sets of seqs."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit import AuditVerifyError
from otel_audit.reconcile.seq_set import BLOCK, SeqRange, SeqSet, shared, subtract

SEQS = st.sets(st.integers(1, 3 * BLOCK) | st.sampled_from([BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK]), max_size=300)


def made(seqs: set[int] | range) -> SeqSet:
    """Return the set of these."""
    found = SeqSet()
    for seq in seqs:
        found.add(seq)
    return found


def flat(ranges: list[SeqRange]) -> list[int]:
    """Return every seq of stretches."""
    return [seq for one in ranges for seq in range(one.first, one.last + 1)]


@given(SEQS, st.integers(1, 3 * BLOCK))
def test_is_a_set(seqs: set[int], other: int) -> None:
    """It holds what was added, once, and nothing else."""
    found = made(seqs)
    assert len(found) == len(seqs)
    assert bool(found) == bool(seqs)
    assert (other in found) == (other in seqs)
    assert found.add(other) == (other not in seqs)
    assert not found.add(other)


@given(SEQS)
def test_ranges(seqs: set[int]) -> None:
    """Its stretches ascend, do not touch, and are what is in it."""
    ranges = list(made(seqs).ranges())
    assert flat(ranges) == sorted(seqs)
    assert all(one.last + 1 < two.first for one, two in itertools.pairwise(ranges))


def test_whole_blocks() -> None:
    """Blocks that are whole are joined with what stands beside them, and keep no bits."""
    found = made(range(5, 4 * BLOCK + 10))
    assert list(found.ranges()) == [SeqRange(5, 4 * BLOCK + 9)]
    assert len(found._part) == 2
    assert not found.add(BLOCK)
    assert BLOCK in found


@given(SEQS, SEQS)
def test_subtract(seqs: set[int], others: set[int]) -> None:
    """What is left is in the one and not in the other, in order."""
    assert flat(list(subtract(made(seqs).ranges(), made(others).ranges()))) == sorted(seqs - others)


def test_bounded() -> None:
    """Seqs that nothing bounds cannot fill the memory: too scattered, they are refused."""
    found = SeqSet(max_blocks=3)
    for block in range(3):
        found.add(block * BLOCK + 1)
    with pytest.raises(AuditVerifyError, match="expected copies of one log, got seqs in more than 3 stretches"):
        found.add(9 * BLOCK)
    assert found.add(2)


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), max_size=12))
def test_shared(made: list[tuple[int, int]]) -> None:
    """What several stretches have in common is found, each seq of it once."""
    stretches = [SeqRange(first, first + more) for first, more in sorted(made)]
    counted = Counter(seq for one in stretches for seq in range(one.first, one.last + 1))
    found = list(shared(stretches))
    assert flat(found) == sorted(seq for seq, count in counted.items() if count > 1)
