"""Copies as anchors of a verification: what they prove of the log, and what they leave open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from otel_audit.reconcile.seq_set import SeqRange
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.finding import REMEDIES, Finding, Kind
from otel_audit.verify.report import CopiesRead, VerifyReport


@dataclass(frozen=True, slots=True)
class CopyAnchors:
    """What copies prove of a log, as few anchors as say all of it, and what more is to be said.

    Attributes:
        anchors: The last entry that the log agrees with, the first that it does not, and the last
            that lies beyond its end: in a chain, each stands for those before it.
        read: What the copies held.
        unplaced: Entries behind the log's end that no chain leads to, copied from where the log's
            are; None: there are none.
    """

    anchors: tuple[Anchor, ...]
    read: CopiesRead
    unplaced: SeqRange | None = None

    def judged(self, report: VerifyReport) -> VerifyReport:
        """Return a report with what the anchors alone do not say.

        ``diverged``: no entry of the copies leads to the log. ``truncated``: what is unplaced.
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
        if report.head is not None and self.unplaced is not None and "truncated" not in found:
            findings += (
                _finding(
                    report,
                    "truncated",
                    report.head.seq + 1,
                    f"what leads to seq {self.unplaced}, which the copy has from the same file or process",
                    f"the end of the log behind seq {report.head.seq}",
                ),
            )
        return replace(report, findings=findings, copies=self.read)


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
