"""Copied entries that no chain leads to: what they say of the log, all the same.

A chain that has a hole in the copy, and was sealed anew in the log from there on, leads nowhere. So
what is left over is never silent where it can be this log's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from otel_audit.reconcile.copied import Copied
from otel_audit.reconcile.judge import by_hash, hashes_of
from otel_audit.reconcile.seq_set import SeqRange
from otel_audit.reconcile.sources import Sources, of_line

if TYPE_CHECKING:
    from otel_audit.reconcile.reconciler import Comparison

Standing = Literal["same", "contradicts", "behind", "unknown", "other"]
"""What an entry that no chain leads to is.

``same``: the log has it, meanwhile. ``contradicts``: the log has the same record in its place, and
otherwise: nothing but the hashes differs, or more, under one ``audit.record.id``. ``behind``: of the same
file or process, and behind the log's end. ``unknown``: it can be this log's, or another's: a process can
write two logs, and several services and hosts can write one. ``other``: of another file, and of none of
the log's processes.
"""

_NEAR: Final = ("process", "file")


@dataclass(slots=True)
class Leftover:
    """Entries that can be this log's, and that no chain leads to.

    Attributes:
        seqs: Theirs, each as often as it was found.
        behind: The first and the last of those that are behind the log's end, of the same file or
            process; None: there are none.
    """

    seqs: list[int] = field(default_factory=list)
    behind: SeqRange | None = None

    def add(self, seq: int, *, behind: bool) -> None:
        """Add one."""
        self.seqs.append(seq)
        if behind:
            held = self.behind or SeqRange(seq, seq)
            self.behind = SeqRange(min(held.first, seq), max(held.last, seq))


def take_left(done: Comparison) -> None:
    """Take in what no chain led to, once all copies are read."""
    index, sources = done.index, done.belonging.sources
    for line in (*index.lines(index.first), *index.lines(index.head)):
        sources.add(of_line(line))
    for one in done.belonging.led_nowhere():
        lines = index.lines(one.seq)
        found = standing(one, lines, sources, index.head)
        if found == "same":
            done.take(one)
        elif found == "contradicts":
            done.seen.add(one.seq)
            done.lines_seen = True  # what waits has no stream id: it did not come by the live way
            changed = one.judged is not None and one.judged.changed
            done.take_diverged(one, by_hash(one, lines, changed=changed))
        elif found != "other":
            done.leftover.add(one.seq, behind=found == "behind")


def standing(left: Copied, lines: Sequence[bytes], sources: Sources, head: int) -> Standing:
    """Return what an entry that no chain leads to is.

    Args:
        left: As it was kept.
        lines: Those of the log with its ``seq``.
        sources: Where the log's entries come from.
        head: The log's highest ``seq``.
    """
    if left.hash is not None and left.hash in hashes_of(lines):
        return "same"
    if lines and left.contradicts:
        return "contradicts"
    kinship = sources.kinship(left.source, lines)
    if kinship == "other":
        return "other"
    return "behind" if left.seq > head and kinship in _NEAR else "unknown"
