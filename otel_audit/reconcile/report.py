"""What a comparison of a log with its copies found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from otel_audit.chain import Head
from otel_audit.reconcile.log_lines import LogLines
from otel_audit.reconcile.seq_set import SeqRange, SeqSet

CopyKind = Literal["not_in_copy", "truncated", "gap", "diverged", "altered", "unplaced"]

REMEDIES: Final[dict[CopyKind, str]] = {
    "not_in_copy": "send them: otel-audit resend LOG --missing-from COPY; or wait, where a collector is still at work",
    "truncated": "the end of the log is gone: keep the copy, it has what is missing",
    "gap": "the log lacks what the copy has: keep the copy, and verify the log",
    "diverged": "the log is not what was copied: keep both, and do not trust the log from here on",
    "altered": "the copy is not what was sent: look for a processor in the collector that changes records",
    "unplaced": "the log may have been cut or changed: look in a backup for the entries between, and keep the copy",
}
"""What to do, by kind."""

DOUBTFUL: Final = "do not send them before it is known why the log and the copies differ: they may be forged"
"""What to do with entries that no copy has, where copies have others that contradict the log, or may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFinding:
    """Entries that follow one another, of which the same is to be said.

    Attributes:
        kind: ``not_in_copy``: the log has them, no copy does. ``truncated``: copies have them, the
            log ends before. ``gap``: copies have them, the log has others before and behind.
            ``diverged``: the log has other entries in their place, or beside them. ``altered``: a copy is not what
            was written, by its own hash or by the line that it carries. ``unplaced``: copies have
            them, they can be this log's, and no chain leads to them.
        seq: The first.
        last_seq: The last.
        path: Of the log; of what is altered, of the copy. Where it is known of the first.
        line: In it, from 1.
        expected: Of the first.
        got: Likewise.
        changed: Of ``diverged``: those whose content differs; the others differ only by the hashes
            that follow from it. At most 100 stretches.
        doubtful: Of ``not_in_copy``: there are others that diverged, or cannot be placed.
    """

    kind: CopyKind
    seq: int
    last_seq: int
    path: str
    line: int | None
    expected: str
    got: str
    changed: tuple[SeqRange, ...] = ()
    doubtful: bool = False

    @property
    def count(self) -> int:
        """How many entries."""
        return self.last_seq - self.seq + 1

    @property
    def remedy(self) -> str:
        """What to do."""
        return DOUBTFUL if self.doubtful else REMEDIES[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """The result of `reconcile`.

    Attributes:
        path: The log.
        stream_id: Its ``audit.stream.id``.
        entries: Of the log, each ``seq`` counted once.
        log: What else the log holds, and in what order: with anything that is wrong there the copies do not agree.
        head: The highest ``seq`` in the log and the hash there; None where there is no entry.
        findings: By kind, then by ``seq``; at most 1000 of a kind. `totals` has the rest.
        totals: Entries by kind.
        missing: Those that no copy has, for `resend`.
        copied: Entries of the log that a copy has.
        doubles: Copies of an entry beyond the first: at-least-once delivery brings them.
        not_sent: Entries of the log's own (opened, closed, …), which the live OTLP way never sends,
            where no copy has them. No finding.
        records: Log records and lines in the copies, of any kind.
        foreign: Of these, no audit entries.
        others: Of these, entries of other logs.
        unlinked: Of these, entries that no chain leads to: other logs', those of ``unplaced``, some of ``diverged``.
        torn: Beginnings that a killed collector left in the copies.
        unreadable: Lines of the copies that hold nothing that can be read.
        unreadable_first: Where and why the first of them.
    """

    path: str
    stream_id: str | None
    entries: int
    log: LogLines
    head: Head | None
    findings: tuple[CopyFinding, ...]
    totals: dict[CopyKind, int]
    missing: SeqSet
    copied: int
    doubles: int
    not_sent: int
    records: int
    foreign: int
    others: int
    unlinked: int
    torn: int
    unreadable: int
    unreadable_first: str | None

    @property
    def agrees(self) -> bool:
        """The copies have every entry of the log as the log has it, and no line that cannot be read.

        And each line of the log is an entry, stands once, and in order: what a crash left, and what
        stands behind the last LF, left out.
        """
        return not self.findings and not self.unreadable and self.log.in_order
