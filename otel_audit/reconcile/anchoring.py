"""Copies as anchors of a verification: what they prove of the log, and what they leave open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from otel_audit.reconcile.seq_set import SeqRange
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.finding import REMEDIES, Finding, Kind
from otel_audit.verify.report import CopiesRead, VerifyReport


@dataclass(frozen=True, slots=True)
class CopyAnchors:
    """What copies prove of a log, as few anchors as say all of it, and what more is to be said.

    Attributes:
        read: What the copies held.
        agreed: The last entry that the log agrees with: in a chain it stands for those before it.
        diverges: The first that it does not agree with.
        beyond: The last that lies beyond its end.
        behind: Entries behind the log's end that no chain leads to, copied from where the log's
            are; None: there are none.
    """

    read: CopiesRead
    agreed: Anchor | None = None
    diverges: Anchor | None = None
    beyond: Anchor | None = None
    behind: SeqRange | None = None

    @property
    def contradicting(self) -> tuple[Anchor, ...]:
        """Those that the log does not agree with."""
        return tuple(anchor for anchor in (self.diverges, self.beyond) if anchor is not None)

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """All of them."""
        return self.contradicting if self.agreed is None else (self.agreed, *self.contradicting)

    def judged(self, report: VerifyReport) -> VerifyReport:
        """Return a report with what the anchors alone do not say.

        ``diverged``: no entry of the copies leads to the log. ``truncated``: what is behind its end.
        """
        findings = report.findings
        found = {finding.kind for finding in report.errors}
        if report.entries and report.supported and self.read.entries and not self.read.placed:
            findings += (
                _finding(
                    report,
                    "diverged",
                    None,
                    f"a log that one of the copy's entries leads to ({self.read.entries:,} of audit logs)",
                    "none of them: the copy is another log's, or another log stands in this one's place",
                ),
            )
        if report.head is not None and self.behind is not None and "truncated" not in found:
            findings += (
                _finding(
                    report,
                    "truncated",
                    report.head.seq + 1,
                    f"what leads to seq {self.behind}, which the copy has from the same file or process",
                    f"the end of the log behind seq {report.head.seq}",
                ),
            )
        return replace(report, findings=findings, copies=self.read)


NO_COPIES: Final = CopyAnchors(CopiesRead(entries=0, placed=0, unplaced=0, unreadable=0, first=None))


def _finding(report: VerifyReport, kind: Kind, seq: int | None, expected: str, got: str) -> Finding:
    return Finding(
        kind=kind,
        severity="error",
        path=report.path,
        line=None,
        offset=None,
        seq=seq,
        expected=expected,
        got=got,
        remedy=REMEDIES[kind],
    )
