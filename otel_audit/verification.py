"""A log's files, opened and verified: in full, or from a place on."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from otel_audit.checkpoint_file import read_checkpoint, write_checkpoint
from otel_audit.errors import AuditVerifyError
from otel_audit.line_form import format_time
from otel_audit.log_files import LogFiles
from otel_audit.reconcile import NO_COPIES, CopyAnchors
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.checkpoint import Checkpoint
from otel_audit.verify.declared import find_declaration
from otel_audit.verify.finding import REMEDIES, Finding
from otel_audit.verify.onlooker import Watch
from otel_audit.verify.report import Integrity, VerifyReport
from otel_audit.verify.segment import Checksums, Segment
from otel_audit.verify.start import Since, Start, holds, start_at
from otel_audit.verify.verifier import verify, verify_since
from otel_audit.workers import reading_apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a log; `otel_audit.reader.verify_log` says what the other members mean.

    Attributes:
        watch: Takes what onlookers say.
    """

    key: bytes | None = field(repr=False)
    anchors: Sequence[Anchor]
    expected_integrity: Integrity
    chain_only: bool
    processes: int | None
    progress: Callable[[int, int], None] | None
    watch: Watch | None = None


def verify_files(
    log: LogFiles,
    question: Question,
    *,
    copied: CopyAnchors | None = None,
    since_seq: int | None = None,
    checkpoint_file: str | os.PathLike[str] | None = None,
) -> VerifyReport:
    """Verify a log; of a part that it cannot judge by itself, the whole.

    Args:
        log: Its files.
        question: What is asked.
        copied: What copies prove of it.
        since_seq: Begin at this entry.
        checkpoint_file: Begin where the checkpoint in it says, in full where there is none yet; the
            next one is put in its place if the log is intact.

    Raises:
        AuditVerifyError: The log or the checkpoint cannot be read or does not fit what is asked.
    """
    saved = None if checkpoint_file is None else read_checkpoint(checkpoint_file)
    with contextlib.ExitStack() as stack:
        now = format_time(time.time_ns()).decode()
        checksums = log.checksums()
        segments = log.open(stack)
        if not segments:
            missing = _missing(log.path)
            return missing if copied is None else copied.judged(missing)
        asked = _Asked(log, tuple(segments), checksums, question, now, copied or NO_COPIES)
        report = None
        if since_seq is not None and since_seq > 1:
            report = asked.since(start_at(segments, since_seq), Since(since_seq))
        elif saved is not None:
            report = _from_checkpoint(asked, saved, str(checkpoint_file))
        if report is None:
            report = asked.in_full(saved)
        if copied is not None:
            report = copied.judged(report)
        if checkpoint_file is not None and report.intact:
            write_checkpoint(checkpoint_file, _checkpoint(report, segments, question, now))
        return report


@dataclass(frozen=True, slots=True)
class _Asked:
    """A log that is open, and what is asked of it."""

    log: LogFiles
    segments: Sequence[Segment]
    checksums: Checksums
    question: Question
    now: str
    copied: CopyAnchors

    def in_full(self, saved: Checkpoint | None) -> VerifyReport:
        """Verify the whole log, and hold it against a checkpoint that did not help."""
        own = () if saved is None else (saved.anchor,)
        return verify(self.segments, own_anchors=own, **self._how(Start(), self.copied.anchors))

    def since(self, start: Start, since: Since) -> VerifyReport | None:
        """Verify from a place on, if that can be judged by itself.

        What a copy has otherwise before the place needs the whole. The last entry that a copy agrees
        upon proves what is new only if it is new, or the one right before the place.
        """
        early = [anchor.seq for anchor in self.question.anchors if anchor.seq < start.seq]
        if early:
            raise AuditVerifyError(
                f"{self.log.path}: expected anchors from seq {start.seq} on, where this check begins, "
                f"got one of seq {min(early)}; check the whole log for that"
            )
        agreed = self.copied.agreed
        at_place = agreed is not None and agreed.seq == start.seq - 1
        if agreed is not None and at_place and start.ends and agreed.hash not in start.ends:
            return None
        if any(anchor.seq < start.seq for anchor in self.copied.contradicting):
            return None
        anchors = [anchor for anchor in self.copied.anchors if anchor.seq >= start.seq]
        report = verify_since(self.segments, start, since, **self._how(start, anchors))
        return replace(report, anchors_matched=report.anchors_matched + 1) if report and at_place else report

    def _how(self, start: Start, copied: Sequence[Anchor]) -> dict[str, Any]:
        question = self.question
        total = sum(segment.size_bytes for segment in self.segments[start.segment :]) - start.offset
        return {
            "path": self.log.path,
            "first_name": self.log.first_name,
            "key": question.key,
            "anchors": (*question.anchors, *copied),
            "expected_integrity": question.expected_integrity,
            "chain_only": question.chain_only,
            "now": self.now,
            "checksums": self.checksums,
            "read_apart": reading_apart(
                self.segments,
                self.checksums.digests,
                total,
                question.processes,
                _counted(question.progress, total),
                question.watch,
            ),
            "progress": _counted(question.progress, total),
        }


def _from_checkpoint(asked: _Asked, saved: Checkpoint, name: str) -> VerifyReport | None:
    """Verify from a checkpoint on; None: what it says of the log is not so, or what is new needs the whole."""
    _, declared = find_declaration(asked.segments)
    question = asked.question
    if declared.place is None:
        return None
    refusal = saved.refusal(declared, keyed=question.key is not None, chain_only=question.chain_only)
    if refusal is not None:
        raise AuditVerifyError(f"{name}: {refusal}")
    start = saved.start(asked.segments)
    return asked.since(start, saved.since) if start is not None and holds(asked.segments, start) else None


def _checkpoint(report: VerifyReport, segments: Sequence[Segment], question: Question, now: str) -> Checkpoint:
    end, since = report.end, report.since
    assert end is not None
    return Checkpoint(
        stream_id=report.stream_id or "",
        key_id=report.key_id,
        macs_checked=bool(report.macs_checked),
        chain_only=question.chain_only,
        seq=end.seq - 1,
        hash=end.ends[0],
        segment_number=segments[end.segment].number,
        offset=end.offset,
        line=end.line - 1,
        observed_time=end.observed,
        verified_at=now,
        in_full_at=now if since is None or since.in_full_at is None else since.in_full_at,
    )


def _counted(progress: Callable[[int, int], None] | None, total: int) -> Callable[[int], None] | None:
    """Return what counts bytes together, and tells of them."""
    if progress is None:
        return None
    done, tell = 0, progress

    def add(count: int) -> None:
        nonlocal done
        done += count
        tell(min(done, total), total)

    return add


def _missing(path: str) -> VerifyReport:
    finding = Finding(
        kind="missing",
        severity="error",
        path=path,
        line=None,
        offset=None,
        seq=None,
        expected="a log",
        got="no such file",
        remedy=REMEDIES["missing"],
    )
    return VerifyReport(path=path, entries=0, head=None, findings=(finding,), integrity=None)
