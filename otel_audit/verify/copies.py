"""Runs cut where others attach to them, and byte-identical lines found.

After it, every link leads from the end of one run to the start of another, and no two runs
that are not copies begin with the same line.
"""

from __future__ import annotations

import hashlib
import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import count

from otel_audit.verify.run import Run, line_hash, run_lines
from otel_audit.verify.segment import Segment

Start = tuple[int, str | None]
"""What a first line says of its predecessor: its own ``seq`` and ``prev_hash``."""


def cut_at_links(runs: Iterable[Run], segments: tuple[Segment, ...], *, chain: bool) -> list[Run]:
    """Return the runs, cut behind each line that the first line of another run names.

    Each run that could hold such a line is read again, once: on a log with one fault that is
    none, or the lines from the one that was copied or forked.
    """
    runs = list(runs)
    wanted = sorted({run.seq - 1 for run in runs})
    named = {(run.seq - 1, run.prev) for run in runs}
    result = []
    for run in runs:
        result.append(run)
        inside = wanted[bisect_left(wanted, run.seq) : bisect_left(wanted, run.last_seq)]
        if not inside:
            continue
        seqs = set(inside)
        rest, end = run, None
        seq = run.seq
        for offset, line in run_lines(run, segments):
            if end is not None:
                rest = rest.cut(seq - rest.seq, offset, end)
                result.append(rest)
                end = None
                if seq > inside[-1]:
                    break
            if seq in seqs:
                digits = line_hash(line) or ""
                if not chain or (seq, digits) in named:
                    end = digits
            seq += 1
    return result


def fold_copies(runs: list[Run], segments: tuple[Segment, ...], *, chain: bool) -> list[Run]:
    """Return the runs with byte-identical lines folded into the first that stands in the files.

    The others become its ``copies``. In the modes without ``prev_hash``, runs that differ are
    cut behind the line that differs, because the next ones may agree again.
    """
    serial = count()
    heap = [(run.seq, run.prev or "", run.first, next(serial), run) for run in runs]
    heapq.heapify(heap)
    result: list[Run] = []

    def push(run: Run) -> None:
        heapq.heappush(heap, (run.seq, run.prev or "", run.first, next(serial), run))

    while heap:
        group = [heapq.heappop(heap)[-1]]
        while heap and heap[0][:2] == (group[0].seq, group[0].prev or ""):
            group.append(heapq.heappop(heap)[-1])
        result.extend(_fold(group, segments, push, chain=chain))
    return result


def _fold(
    group: list[Run],
    segments: tuple[Segment, ...],
    push: Callable[[Run], None],
    *,
    chain: bool,
) -> list[Run]:
    """Return the runs of one start that begin with different lines; push what was cut off."""
    if len(group) == 1:
        return group
    kept: list[Run] = []
    firsts: dict[bytes, Run] = {}
    for run in group:
        if run.kind is not None:
            kept.append(run)
            continue
        offset, line = next(run_lines(run, segments, 1))
        digest = hashlib.sha256(line).digest()
        original = firsts.get(digest)
        if original is not None:
            _cut_alike(original, run, segments, push)
            original.copies.append(run)
            continue
        firsts[digest] = run
        kept.append(run)
        if not chain and run.count > 1:
            push(run.cut(1, offset + len(line) + 1, line_hash(line)))
    return kept


def _cut_alike(original: Run, copy: Run, segments: tuple[Segment, ...], push: Callable[[Run], None]) -> None:
    """Cut two runs that begin with the same line to what they have in common."""
    alike, end = 0, None
    common = min(original.count, copy.count)
    for (_, line), (_, other) in zip(
        run_lines(original, segments, common), run_lines(copy, segments, common), strict=False
    ):
        if line != other:
            break
        alike += 1
        end = line_hash(line)
    # What was folded into the original before is as long as it, and is cut with it. Only then
    # are all copies looked at: a line can have them by the thousand.
    longer = [copy] if copy.count > alike else []
    if original.count > alike:
        longer += [original, *original.copies]
    for run in longer:
        push(run.cut(alike, _offset_of(run, alike, segments), end))


def _offset_of(run: Run, index: int, segments: tuple[Segment, ...]) -> int:
    for number, (offset, _) in enumerate(run_lines(run, segments, index + 1)):
        if number == index:
            return offset
    return run.offset
