"""Byte-identical lines by the thousand cost no more than other lines."""

from __future__ import annotations

from collections.abc import Iterator

from otel_audit.verify.copies import fold_copies
from otel_audit.verify.run import Run
from otel_audit.verify.segment import Segment
from tests import logs

COPIES = 500


class CountedList(list[Run]):
    """A list that counts what is taken out of it."""

    taken = 0

    def __iter__(self) -> Iterator[Run]:
        for run in super().__iter__():
            type(self).taken += 1
            yield run


def test_many_copies_of_a_line() -> None:
    """Each copy is compared with the original alone, and no more is read for it than a page or two."""
    CountedList.taken = 0
    line = logs.log(2)[1]
    data = logs.join([line] * COPIES)
    asked: list[int] = []

    def read(offset: int, length: int) -> bytes:
        asked.append(length)
        return data[offset : offset + length]

    prev, end = logs.hash_of(logs.log(1)[0]), logs.hash_of(line)
    runs = [
        Run(0, 1 + number, number * (len(line) + 1), 1, 2, prev, (end,), copies=CountedList())
        for number in range(COPIES)
    ]
    segment = Segment("audit.jsonl", "audit.jsonl", 1, len(data), read)
    [original] = fold_copies(runs, (segment,), chain=True)
    assert (original.first.line, len(original.copies)) == (1, COPIES - 1)
    assert CountedList.taken <= COPIES
    assert sum(asked) <= COPIES * 3 * 4096


def test_a_copy_that_goes_on_longer_is_cut() -> None:
    """Copies of different lengths are cut to what they have in common, and so are those found before."""
    lines = logs.log(5)
    data = logs.join([*lines, *lines[1:4], *lines[1:3]])
    segment = Segment("audit.jsonl", "audit.jsonl", 1, len(data), lambda at, n: data[at : at + n])
    starts = [0]
    for line in data.split(b"\n")[:-1]:
        starts.append(starts[-1] + len(line) + 1)
    prev = logs.hash_of(lines[0])
    ends = [logs.hash_of(line) for line in lines]
    runs = [
        Run(0, 2, starts[1], 4, 2, prev, (ends[4],)),
        Run(0, 6, starts[5], 3, 2, prev, (ends[3],)),
        Run(0, 9, starts[8], 2, 2, prev, (ends[2],)),
    ]
    folded = sorted(fold_copies(runs, (segment,), chain=True), key=lambda run: run.first)
    assert [(run.line, run.count, run.seq, run.ends) for run in folded] == [
        (2, 2, 2, (ends[2],)),
        (4, 1, 4, (ends[3],)),
        (5, 1, 5, (ends[4],)),
    ]
    assert [sorted((copy.line, copy.count) for copy in run.copies) for run in folded] == [
        [(6, 2), (9, 2)],
        [(8, 1)],
        [],
    ]
