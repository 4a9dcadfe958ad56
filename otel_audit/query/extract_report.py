"""What an extract is found to be (`otel_audit.query.extract_check`)."""

from __future__ import annotations

from dataclasses import dataclass

from otel_audit.chain import Head
from otel_audit.verify.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractReport:
    """What an extract is, and what is wrong with it.

    Attributes:
        path: Of the extract.
        supported: Its version is one that this program knows; else nothing was judged.
        integrity: Mode of its log, as it says; None where that is no mode.
        stream_id: Of its log, as it says.
        chosen: Entries whose lines it has; ``proven`` of them lead to an anchor that was given.
        left_out: Entries that it names only.
        unlinked: Of these, those over which nothing links.
        first_seq: Of the first entry.
        head: Where it ends.
        anchors_matched: Anchors that are in it.
        macs_checked: None: its lines have none, and its log no key, as it says.
        findings: Errors; none: it is sound.
    """

    path: str
    supported: bool = True
    integrity: str | None = None
    stream_id: str | None = None
    chosen: int = 0
    proven: int = 0
    left_out: int = 0
    unlinked: int = 0
    first_seq: int | None = None
    head: Head | None = None
    anchors_matched: int = 0
    macs_checked: bool | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def anchored(self) -> bool:
        """It is sound, and every entry whose line it has leads to an anchor."""
        return not self.findings and 0 < self.chosen == self.proven
