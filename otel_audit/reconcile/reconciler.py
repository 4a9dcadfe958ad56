"""The comparison itself, entry by entry."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from otel_audit.errors import AuditVerifyError
from otel_audit.log_files import find_log
from otel_audit.reconcile.anchoring import NO_COPIES, CopyAnchors
from otel_audit.reconcile.belonging import Belonging
from otel_audit.reconcile.copied import Copied, CopyCounts, Judgement, is_sound, read_copied
from otel_audit.reconcile.copy_file import CopyFile, open_copies
from otel_audit.reconcile.findings import make_report
from otel_audit.reconcile.judge import SAME, by_hash, judge, wrong_hash
from otel_audit.reconcile.leftover import Leftover, take_left
from otel_audit.reconcile.log_index import LogIndex
from otel_audit.reconcile.log_lines import Rivals
from otel_audit.reconcile.report import ReconcileReport
from otel_audit.reconcile.seq_set import SeqSet
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.report import CopiesRead

_BESIDE: Final = Judgement("diverged", True, "one entry, as the copy has it", "several that differ, this one of them")
_WAITING: Final = (Judgement("diverged", False), Judgement("diverged", True))

Progress = Callable[[int, int | None], None]
"""Told how many bytes of the copies were read, and of how many; None: nobody knows."""

MAX_NOTES: Final = 10_000
"""Entries of which it is kept what differs."""
MAX_SCATTERED: Final = 16_384
"""Blocks of seqs that no log bounds, 1 KiB each."""


def reconcile(
    path: str | os.PathLike[str],
    copies: Iterable[str | os.PathLike[str]],
    *,
    progress: Progress | None = None,
) -> ReconcileReport:
    """Compare a log with what collectors have of it.

    The copies together are held against the log: OTLP JSON as the collector's file exporter
    writes it, or exact lines. What is appended to a copy meanwhile is left out; of a pipe all is
    read. Memory: the largest line of a copy (64 MiB at most), some 10 bytes for each 1,000 entries
    that come in order, and at worst a bit for each entry.

    Args:
        path: The log's file, any segment of it, a folder that holds one log, or a pattern.
        copies: Files; ``-`` is stdin.
        progress: Told how far it is.

    Raises:
        AuditVerifyError: There is no log, or no entry in it, something cannot be read, or a copy is none.
    """
    with contextlib.ExitStack() as stack:
        # First the copies: what they have now, the log must have had before.
        opened = open_copies(copies, stack)
        comparison = Comparison(LogIndex(find_log(path), stack), opened)
        comparison.run(progress)
        if not comparison.index.entries:
            raise AuditVerifyError(f"{comparison.index.path}: expected a log, got no line that begins as an entry")
        return make_report(comparison)


def copy_anchors(
    path: str | os.PathLike[str], copies: Iterable[str | os.PathLike[str]], progress: Progress | None = None
) -> CopyAnchors:
    """Return what copies prove of a log.

    Args:
        path: The log, as `reconcile` takes it.
        copies: Likewise.
        progress: Likewise.

    Raises:
        AuditVerifyError: As `reconcile`.
    """
    with contextlib.ExitStack() as stack:
        opened = open_copies(copies, stack)
        log = find_log(path)
        if not log.numbers():
            return NO_COPIES  # `verify` says it
        comparison = Comparison(LogIndex(log, stack), opened, hashes_only=True)
        comparison.run(progress)
        return comparison.anchors()


class Comparison:
    """One run.

    Args:
        index: The log.
        copies: Opened.
        hashes_only: Leave the members of records aside.

    Attributes:
        seen: Entries of the log that a copy has.
        diverged: Of these, those that the log has otherwise.
        changed: Of these, those whose content differs.
        altered: Entries of which a copy is not what was written.
        lost: Entries that a copy has, and the log does not.
        lines_seen: A copy has exact lines: it is not of the live OTLP way alone.
        agreed: The last entry that the log and a copy agree upon.
        diverges: The first that they do not.
        beyond: The last that the log does not reach.
        placed: How many copied entries are this log's.
        leftover: Those that can be, and that no chain leads to.
        notes: What differs, by kind and seq, with the place in the copy.
    """

    def __init__(self, index: LogIndex, copies: Sequence[CopyFile], *, hashes_only: bool = False) -> None:
        self.index = index
        self.copies = copies
        self.counts = CopyCounts()
        self.belonging = Belonging(index, self._judge_at_once)
        self.seen = SeqSet()
        self.diverged = SeqSet()
        self.changed = SeqSet()
        self.altered = SeqSet(MAX_SCATTERED)
        self.lost = SeqSet(MAX_SCATTERED)
        self.doubles = 0
        self.lines_seen = False
        self.agreed: Anchor | None = None
        self.diverges: Anchor | None = None
        self.beyond: Anchor | None = None
        self.placed = 0
        self.leftover = Leftover()
        self.notes: OrderedDict[tuple[str, int], tuple[Judgement, str, int]] = OrderedDict()
        self._hashes_only = hashes_only
        self._growing = False

    def run(self, progress: Progress | None) -> None:
        """Read all copies.

        Raises:
            AuditVerifyError: One cannot be read, or is none.
        """
        sizes = [copy.size_bytes for copy in self.copies]
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        for copy in self.copies:
            self._growing = copy.size_bytes is None  # it may have what the log got meanwhile
            counts = CopyCounts(bytes=self.counts.bytes)
            for copied in read_copied(copy, counts, None if progress is None else partial(_tell, progress, total)):
                for ours in self.belonging.ours(copied):
                    self.take(ours)
            if counts.unreadable and not counts.records and not counts.foreign:
                raise AuditVerifyError(f"expected OTLP JSON or lines of an audit log: {counts.first}")
            self.counts.add(counts)
        take_left(self)

    def take(self, copied: Copied) -> None:
        """Compare one entry of this log."""
        seq = copied.seq
        self.placed += 1
        self.lines_seen = self.lines_seen or copied.line is not None or copied.judged is not None
        lines = self.index.lines(seq)
        if not lines and self._growing and seq > self.index.head and self.index.grow():
            lines = self.index.lines(seq)
        if not lines:
            self._take_lost(copied)
            return
        self.doubles += not self.seen.add(seq)
        judgement = self._judge(copied, lines)
        if judgement.kind == "same":
            if copied.hash is not None and (self.agreed is None or seq > self.agreed.seq):
                self.agreed = Anchor(seq, copied.hash)
        elif judgement.kind == "altered":
            self._note(copied, judgement, self.altered)
        else:
            self.take_diverged(copied, judgement)

    def take_diverged(self, copied: Copied, judgement: Judgement) -> None:
        """Take in an entry that the log has otherwise."""
        self._note(copied, judgement, self.diverged)
        if judgement.changed:
            self.changed.add(copied.seq)
        if copied.hash is not None and (self.diverges is None or copied.seq < self.diverges.seq):
            self.diverges = Anchor(copied.seq, copied.hash)

    def take_rivals(self, rivals: Rivals) -> None:
        """Take in which entries have others beside them in the log: a copy is of one of them at most."""
        for stretch in rivals.seqs.ranges():
            for seq in range(stretch.first, stretch.last + 1):
                if seq not in self.seen:
                    continue  # none of them is in a copy
                self.diverged.add(seq)
                if seq in rivals.changed:
                    self.changed.add(seq)
                if len(self.notes) < MAX_NOTES:
                    self.notes.setdefault(("diverged", seq), (_BESIDE, "", 0))

    def anchors(self) -> CopyAnchors:
        """Return what was found, as anchors."""
        counts, left = self.counts, self.leftover
        read = CopiesRead(
            entries=self.placed + self.belonging.others + self.belonging.left(),
            placed=self.placed,
            unplaced=len(left.seqs),
            unreadable=counts.unreadable,
            first=counts.first,
        )
        if not self.placed:  # that is what there is to say
            return CopyAnchors(read)
        return CopyAnchors(read, self.agreed, self.diverges, self.beyond, left.behind)

    def _take_lost(self, copied: Copied) -> None:
        judgement = copied.judged or _judge_lost(copied)
        if judgement.kind == "altered":
            self._note(copied, judgement, self.altered)
            return
        self.doubles += not self.lost.add(copied.seq)
        if copied.hash is not None and copied.seq > max(self.index.head, self.beyond.seq if self.beyond else 0):
            self.beyond = Anchor(copied.seq, copied.hash)

    def _judge(self, copied: Copied, lines: Sequence[bytes]) -> Judgement:
        if copied.judged is not None:
            altered = copied.judged.kind == "altered"
            return copied.judged if altered else by_hash(copied, lines, changed=copied.judged.changed)
        if not self._hashes_only:
            return judge(copied, lines, self.index.declared.stream_id)
        judgement = by_hash(copied, lines)
        if judgement.kind == "diverged" and copied.line is not None and not is_sound(copied.line):
            return wrong_hash(copied)
        return judgement

    def _judge_at_once(self, copied: Copied) -> Judgement:
        lines = self.index.lines(copied.seq)
        stream_id = self.index.declared.stream_id
        judgement = judge(copied, lines, stream_id) if lines else _judge_lost(copied)
        # one of a few, not one each: what differs is found again when it is needed
        return _WAITING[judgement.changed] if judgement.kind == "diverged" else judgement

    def _note(self, copied: Copied, judgement: Judgement, into: SeqSet) -> None:
        into.add(copied.seq)
        if len(self.notes) < MAX_NOTES:
            self.notes.setdefault((judgement.kind, copied.seq), (judgement, copied.path, copied.number))


def _judge_lost(copied: Copied) -> Judgement:
    return wrong_hash(copied) if copied.line is not None and not is_sound(copied.line) else SAME


def _tell(progress: Progress, total: int | None, done: int) -> None:
    progress(done, total)
