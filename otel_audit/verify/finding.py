"""One thing that a verifier has to say about a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "info"]

Kind = Literal[
    "edited",
    "gap",
    "reordered",
    "inserted",
    "forked",
    "duplicate",
    "malformed",
    "torn",
    "recovered",
    "truncated",
    "diverged",
    "segment_missing",
    "segment_altered",
    "mac_missing",
    "mac_invalid",
    "downgraded",
    "unsupported",
    "empty",
    "missing",
    "clock_backwards",
    "intent_without_outcome",
    "schema",
    "voided",
    "dropped",
]

REMEDIES: Final[dict[Kind, str]] = {
    "edited": "do not trust this entry; compare it with a copy at the collector or in a backup",
    "gap": "look for the missing entries in a copy at the collector or in a backup",
    "reordered": "the entry is genuine but stands in the wrong place; keep the file as evidence",
    "inserted": "do not trust these entries: nothing in the chain leads to them",
    "forked": "find out which of the two entries a receipt or the collector knows",
    "duplicate": "ignore the second copy; find out what copied the line",
    "malformed": "compare the bytes with a copy at the collector or in a backup",
    "torn": "nothing, if a writer is at work or was killed: the next writer declares it",
    "recovered": "nothing, if the fragment is what a crash left behind",
    "truncated": "look for the lost entries in a copy at the collector or in a backup",
    "diverged": "the log is not the one that the anchor saw; compare it with the collector's copy",
    "segment_missing": "put the segment back from a backup",
    "segment_altered": "compare the segment with a backup",
    "mac_missing": "do not trust these entries: whoever wrote them did not have the key",
    "mac_invalid": "do not trust these entries; check that this is the key of this log",
    "downgraded": "do not trust what the weaker mode no longer proves; ask who changed it",
    "unsupported": "verify with a version of otel-audit that knows this format",
    "empty": "find out whether a writer ever opened this log, and who emptied it",
    "missing": "check the path; if it is right, the log was removed",
    "clock_backwards": "check the clock of the machine at that time",
    "intent_without_outcome": "find out whether the action ran: the log does not say how it ended",
    "schema": "ask the writer of this entry to set the attribute",
    "voided": "these entries' callers were told of a failure: the actions did not run",
    "dropped": "records were lost in fail-open mode; look at the cause given",
}
"""What to do, by kind."""

WARNINGS: Final[frozenset[Kind]] = frozenset({"clock_backwards", "intent_without_outcome", "schema"})
INFORMATION: Final[frozenset[Kind]] = frozenset({"voided", "dropped"})


def severity_of(kind: Kind) -> Severity:
    """Return the severity that a kind has by itself (``recovered`` and checksums differ)."""
    if kind in WARNINGS:
        return "warning"
    return "info" if kind in INFORMATION else "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault, or one thing worth knowing (docs/format.md, "What verification tells apart").

    Attributes:
        kind: What it is.
        severity: ``error``, ``warning`` or ``info``; only errors make a log not intact.
        path: The file it stands in.
        line: Line in that file, from 1; None where the file as a whole is meant.
        offset: Byte offset of that line in the file; None likewise.
        seq: The entry's ``seq``; of a gap the first one missing; None where there is none.
        expected: What should be there.
        got: What is there.
        remedy: What to do.
        count: Adjoining lines that this finding stands for; of a gap the entries missing.
    """

    kind: Kind
    severity: Severity
    path: str
    line: int | None
    offset: int | None
    seq: int | None
    expected: str
    got: str
    remedy: str
    count: int = 1

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        where = "" if self.seq is None else f" seq {self.seq}:"
        return f"{place}:{where} {self.kind}: expected {self.expected}, got {self.got}"
