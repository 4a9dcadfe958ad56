"""Which way the chain goes: links, and where there is none the heaviest path over breaks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Sequence

from otel_audit.verify.copies import Start
from otel_audit.verify.run import Place, Run
from otel_audit.verify.suffix_tree import SuffixMaximum


class Paths:
    """The best path from each run to the end of the log (docs/format.md, "Verification").

    A path follows links, and at a break goes on at an entry further down and beyond the last
    one's ``seq``. The best is the one with the most entries; of equals the one with fewer
    breaks, then the one that goes on at the lower ``seq``, then at a sound line rather than at
    a faulty one, then at the earlier line. It never goes on at what another stream's ``opened``
    leads to.

    Attributes:
        first: Where the log goes on if nothing follows from genesis; None: nowhere.
    """

    def __init__(self, runs: Sequence[Run], *, chain: bool) -> None:
        """Set ``length``, ``breaks``, ``following`` and ``onward`` of each run.

        Args:
            runs: In the order of the files; no two share a line, and links lead from ends to
                starts only.
            chain: Mode ``chain``; else successors are found by ``seq`` alone.
        """
        self._chain = chain
        self._starts: dict[Start, list[Run]] = {}
        self._preferred: dict[Start, Run] = {}
        for run in runs:
            self._starts.setdefault((run.seq, run.prev), []).append(run)
        foreign = self._foreign(runs) if chain else set()
        breaks = _Breaks(runs, [run.last_seq for run in runs if not self._followed(run)], foreign)
        slots = {id(run): slot for slot, run in enumerate(runs)}
        # The highest seq first: what follows a run is measured before it.
        for run in sorted(runs, key=lambda run: -run.last_seq):
            run.following = self._following(run)
            after, broken = run.following, 0
            beyond = 0
            if after is None:
                after, broken = breaks.best(slots[id(run)] + 1, run.last_seq), 1
                run.onward = after
                if after is not None:
                    beyond = max(0, run.last_seq + 1 - after.seq)
            run.length, run.breaks = run.count, 0
            if after is not None:
                run.length += after.length - beyond
                run.breaks = after.breaks + broken
        self.first = breaks.best(0, 0)

    def successors(self, seq: int, ends: tuple[str, ...]) -> list[Run]:
        """Return the runs that follow an entry, the preferred one first."""
        found = [run for start in self._named(seq, ends) for run in self._starts.get(start, ())]
        if len(found) > 1:
            found.sort(key=_preference)
        return found

    def behind(self, run: Run, seen: set[Start]) -> list[Run]:
        """Return the runs that follow one, but for those that have been returned before.

        For a walk over all of them: edited lines by the thousand can have one end and the same
        successors.

        Args:
            seen: What they named; grows.
        """
        found: list[Run] = []
        for start in self._named(run.last_seq, run.ends):
            if start not in seen:
                seen.add(start)
                found += self._starts.get(start, ())
        return found

    def _named(self, seq: int, ends: tuple[str, ...]) -> Iterable[Start]:
        """Return what a successor of an entry may say of its predecessor."""
        return ((seq + 1, end) for end in (ends if self._chain else (None,)))

    def _following(self, run: Run) -> Run | None:
        """Return the preferred successor of a run; those behind it are measured already."""
        found = []
        for start in self._named(run.last_seq, run.ends):
            if start in self._starts:
                if start not in self._preferred:
                    self._preferred[start] = min(self._starts[start], key=_preference)
                found.append(self._preferred[start])
        return min(found, key=_preference, default=None)

    def _foreign(self, runs: Sequence[Run]) -> set[int]:
        """Return the ids of the runs that begin with another stream's ``opened``, or follow one."""
        foreign: set[int] = set()
        seen: set[Start] = set()
        waiting = [run for run in runs if run.kind == "inserted"]
        while waiting:
            run = waiting.pop()
            foreign.add(id(run))
            waiting += self.behind(run, seen)
        return foreign

    def _followed(self, run: Run) -> bool:
        return any(start in self._starts for start in self._named(run.last_seq, run.ends))


def _preference(run: Run) -> tuple[bool, int, int, Place]:
    return run.kind is not None, -run.length, run.breaks, run.first


class _Breaks:
    """Answers where to go on, for one ``seq`` after the other, the highest first.

    Two trees over the places in the files: of runs that begin beyond the ``seq``, and of those
    in which it lies, which would be entered in their middle.
    """

    def __init__(self, runs: Sequence[Run], asked: Sequence[int], foreign: Container[int]) -> None:
        self._runs = runs
        self._whole = SuffixMaximum(len(runs))
        self._cut = SuffixMaximum(len(runs))
        asked = sorted(asked)
        # Ascending, so that the highest is popped first.
        own = [slot for slot, run in enumerate(runs) if id(run) not in foreign]
        self._by_seq = sorted(own, key=lambda slot: runs[slot].seq)
        self._by_last = [slot for slot in own if _holds_any(runs[slot], asked)]
        self._by_last.sort(key=lambda slot: runs[slot].last_seq)
        self._in_cut: set[int] = set()

    def best(self, start: int, seq: int) -> Run | None:
        """Return the run to go on with from a slot on, beyond a ``seq``; None: there is none."""
        runs = self._runs
        while self._by_last and runs[self._by_last[-1]].last_seq > seq:
            slot = self._by_last.pop()
            run = runs[slot]
            self._cut.set(slot, (run.length + run.seq, -run.breaks))
            self._in_cut.add(slot)
        while self._by_seq and runs[self._by_seq[-1]].seq > seq:
            slot = self._by_seq.pop()
            run = runs[slot]
            self._whole.set(slot, (run.length, -run.breaks, -run.seq, run.kind is None))
            if slot in self._in_cut:
                self._cut.set(slot, ())
        candidates = []
        if (whole := self._whole.best(start)) is not None:
            slot, key = whole
            candidates.append(((*key, -slot), runs[slot]))
        if (cut := self._cut.best(start)) is not None:
            slot, (reach, breaks) = cut
            candidates.append(((reach - seq - 1, breaks, -seq - 1, runs[slot].kind is None, -slot), runs[slot]))
        return max(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _holds_any(run: Run, asked: Sequence[int]) -> bool:
    """Return whether the path may go on behind an entry in the run but its last."""
    return bisect_left(asked, run.seq) < bisect_left(asked, run.last_seq)
