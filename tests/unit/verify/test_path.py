"""The best path over links and breaks, against trying all ways."""

from __future__ import annotations

from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from otel_audit.verify import path
from otel_audit.verify.path import Paths
from otel_audit.verify.run import Run

Way = tuple[int, int, int, int]
"""Entries, breaks, and of the first run on it the ``seq`` begun with and the place: less is better."""

drawn = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 1)), max_size=9)


def build(shapes: list[tuple[int, int, int]]) -> list[Run]:
    """Return runs one behind the other in one file, of (count, seq, which hash they name)."""
    runs = []
    for number, (count, seq, named) in enumerate(shapes):
        runs.append(Run(0, 10 * number + 1, 0, count, seq, f"{seq - 1} {named}", (f"{seq + count - 1} {number % 2}",)))
    return runs


def best_behind(runs: list[Run], at: int | None) -> Way:
    """Return the best way on from the run at a slot (None: genesis), by the rule alone."""
    seq, end = (runs[at].last_seq, runs[at].ends[0]) if at is not None else (0, "none")
    linked = [i for i, run in enumerate(runs) if run.seq == seq + 1 and run.prev == end]
    first = 0 if at is None else at + 1
    on = linked or [i for i in range(first, len(runs)) if runs[i].last_seq > seq]
    ways = []
    for i in on:
        lost = max(0, seq + 1 - runs[i].seq)
        entries, breaks, _, _ = best_behind(runs, i)
        ways.append((entries - runs[i].count + lost, breaks + (not linked), runs[i].seq + lost, i))
    return min(ways, default=(0, 0, 0, -1))


@given(drawn)
def test_takes_the_way_that_leaves_the_fewest_over(shapes: list[tuple[int, int, int]]) -> None:
    """Most entries, then fewest breaks, then the lower ``seq``, then the earlier line."""
    runs = build(shapes)
    paths = Paths(runs, chain=True)
    for at, run in enumerate(runs):
        entries, breaks, _, following = best_behind(runs, at)
        assert (run.length, run.breaks) == (run.count - entries, breaks)
        after = run.following or run.onward
        if run.following is None:
            assert (runs.index(after) if after else -1) == following
    first = paths.first
    assert (runs.index(first) if first else -1) == best_behind(runs, None)[3]


def test_many_runs_with_the_same_successors() -> None:
    """Edited lines of one stored hash, and as many that name it: each is looked at a few times, not once for each."""
    count = 300
    edited = [Run(0, 1 + n, 0, 1, 2, "1", ("stored", f"computed {n}"), kind="edited") for n in range(count)]
    behind = [Run(0, 1001 + n, 0, 1, 3, "stored", (f"end {n}",), kind="edited") for n in range(count)]
    with mock.patch.object(path, "_preference", side_effect=path._preference) as asked:
        paths = Paths([*edited, *behind], chain=True)
    assert asked.call_count <= 10 * count
    assert all(run.following is behind[0] for run in edited)
    assert paths.successors(2, ("stored",)) == behind
    seen: set[tuple[int, str | None]] = set()
    assert sum(len(paths.behind(run, seen)) for run in edited) == count


def test_many_edited_lines_of_another_stream() -> None:
    """What follows a foreign ``opened`` is foreign, over any number of edited lines."""
    count = 300
    first = Run(0, 1, 0, 1, 1, "0", ("end",), kind="inserted")
    edited = [Run(0, 2 + n, 0, 1, 2, "end", ("stored", f"computed {n}"), kind="edited") for n in range(count)]
    behind = [Run(0, 1001 + n, 0, 1, 3, "stored", (f"end {n}",)) for n in range(count)]
    paths = Paths([first, *edited, *behind], chain=True)
    assert paths._foreign([first, *edited, *behind]) == {id(run) for run in (first, *edited, *behind)}
    assert paths.first is None
