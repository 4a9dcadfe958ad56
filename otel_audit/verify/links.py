"""Steps 2 and 3: the chain, followed from genesis over every break."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from otel_audit.chain import GENESIS
from otel_audit.verify.copies import Start, cut_at_links, fold_copies
from otel_audit.verify.finding import Kind
from otel_audit.verify.path import Paths
from otel_audit.verify.run import Place, Run, line_hash, run_lines
from otel_audit.verify.segment import Segment

# What is wrong with lines of these kinds is no reason for a break at them.
_SOUND_LINKS: Final[frozenset[Kind | None]] = frozenset({None, "mac_missing", "mac_invalid"})


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
        originals: Those earlier lines.
        disordered: Runs of the chain that stand in the wrong place (`ascending.out_of_order`).
        unjudged: All that is not on the chain: forked branches, others, what hangs on either.
    """

    runs: list[Run] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    forked: list[Run] = field(default_factory=list)
    others: list[tuple[Run, ...]] = field(default_factory=list)
    copies: list[Run] = field(default_factory=list)
    originals: list[Run] = field(default_factory=list)
    disordered: list[Run] = field(default_factory=list)
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
        if run.copies:
            original, *copies = sorted([run, *run.copies], key=lambda each: each.first)
            result.originals.append(original)
            result.copies += copies
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
        if run.first == below:
            continue
        for copy in run.copies:
            if copy.first in (below, Place(before.segment + 1, 1)):
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
        self.result = result
        self.paths = Paths(runs, chain=chain)

    def walk(self) -> None:
        """Follow the chain from genesis to its end."""
        head: Run | None = None
        while True:
            seq, ends = (head.last_seq, head.ends) if head else (0, (GENESIS,))
            following = self.paths.successors(seq, ends)
            if following:
                self.result.forked += [run for run in following[1:] if run.kind is None]
                after = following[0]
            else:
                onward = head.onward if head else self.paths.first
                if onward is None:
                    break
                after = self._beyond(onward, seq)
                self.result.breaks.append(Break(head, after, self._explained(head, after)))
            after.used = True
            self.result.runs.append(after)
            head = after
        self._leave_branches()
        self._sort_others()

    def _leave_branches(self) -> None:
        """Take what hangs on a forked entry out of what is judged."""
        waiting, seen = list(self.result.forked), set[Start]()
        while waiting:
            branch = waiting.pop()
            if not (branch.unjudged or branch.used):
                branch.unjudged = True
                waiting += self.paths.behind(branch, seen)

    def _beyond(self, run: Run, seq: int) -> Run:
        """Return what of a run lies beyond a ``seq``; the rest of it stays among the leftovers."""
        lines = seq - run.seq + 1
        if lines <= 0:
            return run
        end: str | None = None
        offset = run.offset
        for at, line in islice(run_lines(run, self.segments), lines):
            offset, end = at + len(line) + 1, line_hash(line)
        rest = run.cut(lines, offset, end)
        rest.following, rest.onward, run.following = run.following, run.onward, rest
        return rest

    def _explained(self, head: Run | None, after: Run) -> bool:
        if any(run is not None and run.kind not in _SOUND_LINKS for run in (head, after)):
            return True
        first = head.last if head else Place(0, 0)
        low = bisect_right(self.faulty, first)
        return low < bisect_left(self.faulty, after.first)

    def _sort_others(self) -> None:
        """Gather what is left over, one group for each linked run."""
        left = [r for r in self.runs if not r.used and not r.unjudged and r.kind is None]
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
        self.result.unjudged = [run for run in self.runs if run.unjudged]
