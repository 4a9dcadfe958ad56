"""Steps 2 and 3: the chain, followed from genesis over every break."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from otel_audit.chain import GENESIS
from otel_audit.verify.copies import cut_at_links, fold_copies
from otel_audit.verify.run import Place, Run, line_hash, run_lines
from otel_audit.verify.segment import Segment
from otel_audit.verify.suffix_tree import SuffixMaximum


class Break(NamedTuple):
    """A place where the chain goes on without a successor.

    Attributes:
        before: The last run before it; None at genesis.
        after: The run that the chain goes on with.
        explained: A faulty line lies between them, or at either end.
    """

    before: Run | None
    after: Run
    explained: bool


@dataclass(slots=True)
class Chain:
    """The runs of a log, put in order.

    Attributes:
        runs: The chain itself.
        breaks: In its order.
        forked: Each begins with a sound entry whose predecessor has another successor.
        others: Sound runs that no link leads to; roots first, each with what hangs on it.
        copies: Runs byte-identical to earlier lines.
        unjudged: All that is not on the chain: forked branches, others, what hangs on either.
    """

    runs: list[Run] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    forked: list[Run] = field(default_factory=list)
    others: list[tuple[Run, ...]] = field(default_factory=list)
    copies: list[Run] = field(default_factory=list)
    unjudged: list[Run] = field(default_factory=list)


def assemble(scanned: Sequence[Run], faulty: Sequence[Place], segments: tuple[Segment, ...], *, chain: bool) -> Chain:
    """Return the chain that the scanned runs make.

    Args:
        scanned: In the order of the files.
        faulty: Places of unreadable regions that no entry declares, ascending.
        segments: To read lines again that are copied, forked or cut.
        chain: Mode ``chain``; else successors are found by ``seq`` alone.
    """
    result = Chain()
    if _is_linear(scanned, chain=chain):
        result.runs = list(scanned)
        return result
    runs = fold_copies(cut_at_links(scanned, segments, chain=chain), segments, chain=chain)
    _place_copies(runs, chain=chain)
    places = [*faulty, *(run.first for run in runs if run.kind is not None)]
    for run in runs:
        result.copies += sorted([run, *run.copies], key=lambda each: each.first)[1:]
    places.extend(copy.first for copy in result.copies)
    runs.sort(key=lambda run: run.first)
    _Walk(runs, sorted(places), segments, chain, result).walk()
    return result


def _is_linear(runs: Sequence[Run], *, chain: bool) -> bool:
    """Return whether each run simply follows the one before: a sound log, or only edited lines."""
    seq = 0
    ends: tuple[str, ...] = (GENESIS,)
    for run in runs:
        if run.seq != seq + 1 or (chain and run.prev not in ends):
            return False
        seq, ends = run.last_seq, run.ends
    return True


def _place_copies(runs: Sequence[Run], *, chain: bool) -> None:
    """Let each entry that stands in several places stand where its neighbours are.

    The later of two equal lines is the duplicate, wherever the entry belongs. But an entry
    copied to an earlier place is not out of order as well: one of its copies is in order. The
    original and the copy trade places, and the finding goes to the later one all the same.
    """
    ends = {(run.last_seq, end): run for run in runs for end in (run.ends if chain else ("",))}
    for run in sorted(runs, key=lambda run: run.seq):
        before = ends.get((run.seq - 1, run.prev or ""))
        if not run.copies or before is None:
            continue
        below = Place(before.segment, before.line + before.count)
        for copy in run.copies:
            if copy.first == below:
                run.segment, copy.segment = copy.segment, run.segment
                run.line, copy.line = copy.line, run.line
                run.offset, copy.offset = copy.offset, run.offset
                break


class _Walk:
    """The walk along the chain."""

    def __init__(
        self,
        runs: list[Run],
        faulty: list[Place],
        segments: tuple[Segment, ...],
        chain: bool,
        result: Chain,
    ) -> None:
        self.runs = runs
        self.faulty = faulty
        self.segments = segments
        self.chain = chain
        self.result = result
        self.slots = {id(run): slot for slot, run in enumerate(runs)}
        self.starts: dict[tuple[int, str | None], list[Run]] = {}
        for run in runs:
            self.starts.setdefault((run.seq, run.prev), []).append(run)
        self.fronts: list[Run] = []  # cut off by `_trim`
        self._measure()
        self.tree = SuffixMaximum([(run.length, -run.seq) for run in runs])
        # By seq: what the head has passed is trimmed, so that each line is looked at once.
        self.waiting = [(run.seq, slot, run) for slot, run in enumerate(runs)]
        heapq.heapify(self.waiting)

    def successors(self, seq: int, ends: tuple[str, ...]) -> list[Run]:
        """Return the runs that follow an entry, the preferred one first."""
        if self.chain:
            found = [run for end in ends for run in self.starts.get((seq + 1, end), ())]
        else:
            found = list(self.starts.get((seq + 1, None), ()))
        found.sort(key=lambda run: (run.kind is not None, -run.length, run.first))
        return found

    def _measure(self) -> None:
        """Set the length of the longest chain behind each run, last ``seq`` first."""
        for run in sorted(self.runs, key=lambda run: -run.last_seq):
            following = self.successors(run.last_seq, run.ends)
            run.following = following[0] if following else None
            run.length = run.count + (following[0].length if following else 0)

    def walk(self) -> None:
        """Follow the chain from genesis to its end."""
        head: Run | None = None
        while True:
            seq, ends = (head.last_seq, head.ends) if head else (0, (GENESIS,))
            following = [run for run in self.successors(seq, ends) if not run.unjudged]
            if following:
                for run in following[1:]:
                    if run.kind is None:
                        self.result.forked.append(run)
                        self._leave(run)
                head = self._take(following[0])
                continue
            after = self._go_on(head)
            if after is None:
                break
            self.result.breaks.append(Break(head, after, self._explained(head, after)))
            head = self._take(after)
        self._sort_others()

    def _take(self, run: Run) -> Run:
        run.used = True
        self._remove(run)
        self.result.runs.append(run)
        return run

    def _remove(self, run: Run) -> None:
        slot = self.slots.get(id(run))
        if slot is not None and self.runs[slot] is run:
            self.tree.set(slot, (0, 0))

    def _leave(self, run: Run) -> None:
        """Take a branch out of what is judged."""
        waiting = [run]
        while waiting:
            branch = waiting.pop()
            if branch.unjudged or branch.used:
                continue
            branch.unjudged = True
            self._remove(branch)
            waiting.extend(self.successors(branch.last_seq, branch.ends))

    def _go_on(self, head: Run | None) -> Run | None:
        """Return the run further down with the longest chain behind it, beyond the head's seq."""
        seq = head.last_seq if head else 0
        while self.waiting and self.waiting[0][0] <= seq:
            run = heapq.heappop(self.waiting)[-1]
            if run.used or run.unjudged:
                continue
            if run.last_seq <= seq:
                self._remove(run)
                continue
            self._trim(run, seq)
        start = bisect_right(self.runs, head.last, key=lambda run: run.first) if head else 0
        slot = self.tree.best(start)
        return None if slot is None else self.runs[slot]

    def _trim(self, run: Run, seq: int) -> None:
        """Cut off what the head has passed; the rest takes its slot."""
        lines = seq - run.seq + 1
        end: str | None = None
        offset = run.offset
        for at, line in islice(run_lines(run, self.segments), lines):
            offset, end = at + len(line) + 1, line_hash(line)
        rest = run.cut(lines, offset, end)
        rest.following, run.following = run.following, rest
        rest.length = run.length - lines
        self.starts.setdefault((rest.seq, rest.prev), []).append(rest)
        slot = self.slots[id(run)]
        self.slots[id(rest)] = slot
        # The part that stays keeps its place among the leftovers.
        self.fronts.append(run)
        self.runs[slot] = rest
        self.tree.set(slot, (rest.length, -rest.seq))
        heapq.heappush(self.waiting, (rest.seq, slot, rest))

    def _explained(self, head: Run | None, after: Run) -> bool:
        if after.kind is not None or (head is not None and head.kind is not None):
            return True
        first = head.last if head else Place(0, 0)
        low = bisect_right(self.faulty, first)
        return low < bisect_left(self.faulty, after.first)

    def _sort_others(self) -> None:
        """Gather what is left over, one group for each linked run."""
        everything = [*self.runs, *self.fronts]
        left = [r for r in everything if not r.used and not r.unjudged and r.kind is None]
        left.sort(key=lambda run: run.seq)
        for run in left:
            if run.unjudged:
                continue
            group = []
            link: Run | None = run
            while link is not None and not link.used and not link.unjudged:
                link.unjudged = True
                if link.kind is None:
                    group.append(link)
                link = link.following
            self.result.others.append(tuple(group))
        self.result.unjudged = [run for run in everything if run.unjudged]
