"""What a verification found out about a whole log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from otel_audit.chain import Head
from otel_audit.verify.finding import Finding
from otel_audit.verify.start import Since, Start
from otel_audit.verify.unfinished import UnfinishedAction

Integrity = Literal["chain", "hash", "none"]


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """One file of a log: its path, the bytes that were judged, the readable entries in them."""

    path: str
    size_bytes: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiesRead:
    """What the copies held that were given as anchors.

    Attributes:
        entries: Of audit logs, whichever, each as often as it stands there.
        placed: Of these, those that lead to this log.
        unplaced: Of the others, those that can be this log's, and cannot be held against it: no chain
            leads to them. What they say is not known.
        unreadable: Lines that cannot be read; ``first`` says where and why. What they held is no anchor.
    """

    entries: int
    placed: int
    unplaced: int
    unreadable: int
    first: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """The result of `verify_log`.

    Attributes:
        path: The log, as it was found: the path of its first segment.
        entries: Readable lines, the log's own lifecycle entries among them.
        head: The last entry of the chain; None where there is none.
        findings: In the order of the files; errors, warnings and information.
        integrity: The mode that the log declares; None where nothing declares one.
        stream_id: ``audit.stream.id``; None where nothing declares one.
        key_id: ``audit.key.id``; None where the log has no key.
        segments: The files, in order.
        anchors_matched: Anchors that were given and that the log agrees with.
        macs_checked: True: every ``hmac`` was checked with the key; False: the log has a key,
            which was not given (the report must say *MACs not checked*); None: it has no key.
        unknown_lifecycle_events: Entries ``audit.log.…`` of a kind that this version does not know.
        open_intents: Intents younger than the moment at which the log's length was taken.
        chain_only: Only ``seq``, hashes and links were looked at, as asked.
        unfinished: Actions that began and never ended: of each ``intent_without_outcome`` who,
            upon what, in which trace, and whether its writer closed the log. The first 1000.
        since: What this verification began with; None: it is one of the whole log.
        copies: What the copies held that were given as anchors; None: there were none.
        end: The place behind the head of an intact log, where the next verification can begin.
    """

    path: str
    entries: int
    head: Head | None
    findings: tuple[Finding, ...]
    integrity: Integrity | None
    stream_id: str | None = None
    key_id: str | None = None
    segments: tuple[SegmentSummary, ...] = ()
    anchors_matched: int = 0
    macs_checked: bool | None = None
    unknown_lifecycle_events: int = 0
    open_intents: int = 0
    chain_only: bool = False
    unfinished: tuple[UnfinishedAction, ...] = ()
    since: Since | None = None
    copies: CopiesRead | None = None
    end: Start | None = field(default=None, repr=False)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make a log not intact."""
        return tuple(f for f in self.findings if f.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings of severity ``warning``."""
        return tuple(f for f in self.findings if f.severity == "warning")

    @property
    def intact(self) -> bool:
        """No errors, and a mode that can prove it: ``hash`` and ``none`` are never intact."""
        return self.integrity == "chain" and not self.errors

    @property
    def anchored(self) -> bool:
        """An anchor agrees with the log: something outside the file fixes its entries.

        False where a line of a copy cannot be read, or an entry of one not be placed: it can be one
        that the log has lost, or has otherwise.
        """
        unknown = self.copies is not None and (self.copies.unreadable or self.copies.unplaced)
        return self.anchors_matched > 0 and not unknown

    @property
    def supported(self) -> bool:
        """The format's version is known; if not, nothing else was judged."""
        return all(f.kind != "unsupported" for f in self.findings)
