"""Verifying only what is new: from a checkpoint on, or from an entry on."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from otel_audit.checkpoint_file import read_checkpoint, write_checkpoint
from otel_audit.errors import AuditVerifyError
from otel_audit.reader import verify_log
from otel_audit.verify.checkpoint import Checkpoint
from otel_audit.verify.report import VerifyReport
from otel_audit.verify.start import Since
from tests import copies, logs

KEY: Final = b"a key of 16 bytes or more"
COUNTS: Final = (30, 40, 20)
OTHER_STREAM: Final = "00000000-0000-4000-8000-000000000000"


class Log:
    """A log of three segments that grows, and a checkpoint of it.

    Attributes:
        lines: Of each segment, all that it will ever have.
    """

    def __init__(self, folder: Path, **how: Any) -> None:
        self.lines = logs.segments(COUNTS, **how)
        self.path = folder / "audit.jsonl"
        self.file = folder / "audit.checkpoint"

    def grow(self, count: int) -> None:
        """Let it have so many lines; behind a segment that is full the next one is there, empty."""
        for name, lines in zip(logs.names_of(len(COUNTS)), self.lines, strict=True):
            if count >= 0:
                self.path.with_name(name).write_bytes(logs.join(lines[: max(count, 0)]))
            count -= len(lines)

    def segment(self, number: int) -> Path:
        """Return the file of a segment."""
        return self.path.with_name(logs.names_of(len(COUNTS))[number - 1])

    def verify(self, **more: Any) -> VerifyReport:
        """Verify it with the checkpoint."""
        return verify_log(self.path, checkpoint_file=self.file, **more)

    def saved(self) -> Checkpoint:
        """Return the checkpoint."""
        found = read_checkpoint(self.file)
        assert found is not None
        return found


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log that has not begun."""
    return Log(tmp_path)


def kinds(report: VerifyReport) -> list[tuple[str, int | None]]:
    """Return kind and ``seq`` of each finding."""
    return [(finding.kind, finding.seq) for finding in report.findings]


class TestCheckpoint:
    """A log that is verified again and again as it grows."""

    @pytest.mark.parametrize("first", [1, 10, 30, 31, 70, 89, 90])
    @pytest.mark.parametrize("then", [0, 1, 35, 60])
    def test_only_what_is_new_is_read(self, log: Log, first: int, then: int) -> None:
        """The second check reads the entries behind the first one, over any number of segments."""
        log.grow(first)
        whole = log.verify()
        assert (whole.entries, whole.since, whole.intact) == (first, None, True)
        before = log.saved()
        last = min(first + then, sum(COUNTS))
        log.grow(last)
        report = log.verify()
        assert report.since == Since(first + 1, before.verified_at, before.in_full_at)
        assert report.entries == last - first
        assert report.intact
        assert not report.findings
        full = verify_log(log.path)
        assert report.head == full.head
        after = log.saved()
        assert (after.seq, after.hash) == full.head
        assert after.in_full_at == before.in_full_at
        assert after.verified_at > before.verified_at
        # What the checks in parts leave behind is what one of the whole would.
        assert report.end == full.end

    def test_is_a_file_of_the_owner(self, log: Log) -> None:
        """The file has mode 0600, nothing is left beside it, and it names seq, hash, stream and place."""
        log.grow(40)
        log.verify()
        assert stat.S_IMODE(log.file.stat().st_mode) == 0o600
        assert sorted(each.name for each in log.path.parent.iterdir()) == [
            "audit.000002.jsonl",
            "audit.checkpoint",
            "audit.jsonl",
        ]
        saved = log.saved()
        assert (saved.seq, saved.segment_number, saved.line) == (40, 2, 10)
        assert saved.hash == logs.hash_of(log.lines[1][9])
        assert saved.offset == log.segment(2).stat().st_size
        assert saved.stream_id == logs.STREAM_ID

    def test_is_a_file(self, log: Log) -> None:
        """What is no file, a FIFO that nobody writes to for example, is refused at once; so is a log's own name."""
        log.grow(10)
        os.mkfifo(log.file)
        with pytest.raises(AuditVerifyError, match="expected a file for the checkpoint"):
            log.verify()
        with pytest.raises(AuditVerifyError, match=r"ending in \.sha256"):
            verify_log(log.path, checkpoint_file=log.path.with_suffix(".sha256"))

    def test_new_faults_are_found_as_by_a_check_of_the_whole(self, log: Log) -> None:
        """Where what is new is not sound the whole log is checked, and the checkpoint stays."""
        log.grow(40)
        log.verify()
        before = log.file.read_bytes()
        log.lines[1][20] = log.lines[1][20].replace(b'"success"', b'"failure"')
        log.grow(60)
        report = log.verify()
        assert report.since is None
        assert report.findings == verify_log(log.path).findings
        assert kinds(report) == [("edited", 51)]
        assert log.file.read_bytes() == before

    def test_a_changed_past_is_found_by_the_whole_alone(self, log: Log) -> None:
        """An edit further up than the last entry passes a check of what is new, which says where it began."""
        log.grow(40)
        log.verify()
        log.lines[0][4] = log.lines[0][4].replace(b'"success"', b'"failure"')
        log.grow(60)
        report = log.verify()
        assert report.since is not None
        assert report.intact
        assert kinds(verify_log(log.path)) == [("edited", 5)]

    def test_a_change_in_the_very_entry_is_found(self, log: Log) -> None:
        """The entry that the checkpoint names is hashed again, whatever its seal says."""
        log.grow(40)
        log.verify()
        log.lines[1][9] = log.lines[1][9].replace(b'"success"', b'"failure"')
        log.grow(60)
        assert kinds(log.verify()) == [("edited", 40)]

    def test_a_segment_that_is_closed_since_is_read_for_its_digest(self, log: Log) -> None:
        """A change in the segment that the checkpoint stands in shows when the next one names its digest."""
        log.grow(40)
        log.verify()
        log.lines[1][4] = log.lines[1][4].replace(b'"success"', b'"failure"')
        log.grow(75)
        assert kinds(log.verify()) == [("edited", 35)]

    def test_a_cut_log_is_truncated(self, log: Log) -> None:
        """A log that ends before the checkpoint is truncated, and not intact."""
        log.grow(40)
        log.verify()
        log.segment(2).write_bytes(logs.join(log.lines[1][:8]))
        report = log.verify()
        assert kinds(report) == [("truncated", 39)]
        assert report.since is None

    def test_a_log_written_anew_is_diverged(self, log: Log) -> None:
        """A log whose end was sealed again, as long as before or longer, is diverged."""
        log.grow(40)
        log.verify()
        head = logs.hash_of(log.lines[1][4])
        again = list(logs.chain((logs.entry(seq, lines=-1) for seq in range(36, 60)), head))
        log.segment(2).write_bytes(logs.join([*log.lines[1][:5], *again]))
        assert kinds(log.verify()) == [("diverged", 40)]

    def test_an_emptied_log_is_empty(self, log: Log) -> None:
        """Of an emptied log is said what a check of the whole says."""
        log.grow(20)
        log.verify()
        log.path.write_bytes(b"")
        assert kinds(log.verify()) == [("empty", None)]
        log.path.unlink()
        assert kinds(log.verify()) == [("missing", None)]

    def test_another_log_is_refused(self, log: Log) -> None:
        """A checkpoint of another stream is an error, and stays as it is."""
        log.grow(20)
        log.verify()
        before = log.file.read_bytes()
        more = {"audit.stream.id": OTHER_STREAM}
        members = logs.opened()
        members["attributes"] |= more
        log.path.write_bytes(logs.join(logs.chain([members, *(logs.entry(seq) for seq in range(2, 30))])))
        with pytest.raises(AuditVerifyError, match=f"expected a checkpoint of this log .*{OTHER_STREAM}"):
            log.verify()
        assert log.file.read_bytes() == before

    def test_weaker_checks_before_are_refused(self, tmp_path: Path) -> None:
        """What was checked without the key, or by links alone, is no ground for a check with more."""
        log = Log(tmp_path, key=KEY)
        (tmp_path / "key").write_bytes(KEY)
        log.grow(20)
        log.verify()
        with pytest.raises(AuditVerifyError, match="made with the key"):
            log.verify(hmac_key_file=tmp_path / "key")
        log.file.unlink()
        assert log.verify(chain_only=True).intact
        with pytest.raises(AuditVerifyError, match="--chain-only"):
            log.verify()
        log.file.unlink()
        log.verify(hmac_key_file=tmp_path / "key")
        log.grow(60)
        report = log.verify(hmac_key_file=tmp_path / "key")
        assert report.macs_checked
        assert report.since is not None

    def test_an_anchor_before_it_is_refused(self, log: Log) -> None:
        """An anchor of an entry that is not read cannot be judged; one of a new entry can."""
        log.grow(40)
        log.verify()
        log.grow(60)
        with pytest.raises(AuditVerifyError, match="check the whole log"):
            log.verify(anchors=[f"20:{logs.hash_of(log.lines[0][19])}"])
        assert log.verify(anchors=[f"50:{logs.hash_of(log.lines[1][19])}"]).anchored
        assert kinds(log.verify(anchors=[f"99:{'0' * 64}"])) == [("truncated", 61)]

    @pytest.mark.parametrize("mode", ["hash", "none"])
    def test_a_mode_that_proves_nothing_leaves_none(self, tmp_path: Path, mode: str) -> None:
        """Only an intact log has a checkpoint: a mode without links never is."""
        log = Log(tmp_path, mode=mode)
        log.grow(20)
        assert not log.verify(expected_integrity=mode).errors
        assert not log.file.exists()

    def test_is_not_counted_as_an_anchor(self, log: Log) -> None:
        """A whole check that holds the log against the checkpoint too does not call it anchored for that."""
        log.grow(40)
        log.verify()
        saved = json.loads(log.file.read_bytes())
        log.file.write_text(json.dumps({**saved, "offset": saved["offset"] - 1}))
        report = log.verify()
        assert report.since is None
        assert report.intact
        assert not report.anchored

    @pytest.mark.parametrize("given", [False, True])
    def test_is_not_counted_of_a_log_that_is_not_intact(self, log: Log, given: bool) -> None:
        """Nor is a log with a fault anchored by the checkpoint; the same anchor from outside counts, once."""
        log.grow(40)
        log.verify()
        saved = json.loads(log.file.read_bytes())
        log.file.write_text(json.dumps({**saved, "offset": saved["offset"] - 1}))
        log.lines[1][20] = log.lines[1][20].replace(b'"success"', b'"failure"')
        log.grow(60)
        report = log.verify(anchors=[f"40:{logs.hash_of(log.lines[1][9])}"] * given)
        assert report.since is None
        assert kinds(report) == [("edited", 51)]
        assert (report.anchors_matched, report.anchored) == (given, given)

    def test_parts_read_by_workers_say_the_same(self, log: Log) -> None:
        """Two processes go on from a checkpoint as one does."""
        log.grow(40)
        log.verify()
        before = log.file.read_bytes()
        log.grow(85)
        one = log.verify(processes=1)
        log.file.write_bytes(before)
        assert log.verify(processes=2) == one
        assert one.since is not None


class TestFile:
    """The file that a checkpoint is in."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda members: b"",
            lambda members: b"[]",
            lambda members: b'{"seq":1}',
            lambda members: b"[" * 100_000,
            lambda members: json.dumps({**members, "otel_audit_checkpoint": 2}).encode(),
            lambda members: json.dumps({**members, "more": 1}).encode(),
            lambda members: json.dumps({**members, "seq": "1"}).encode(),
            lambda members: json.dumps({**members, "seq": True}).encode(),
            lambda members: json.dumps({**members, "hash": "f" * 63}).encode(),
            lambda members: json.dumps({**members, "offset": 0}).encode(),
            lambda members: json.dumps({**members, "verified_at": "today"}).encode(),
        ],
        ids=("empty", "array", "other", "deep", "version", "more", "text", "bool", "hash", "offset", "time"),
    )
    def test_anything_else_is_refused(self, log: Log, change: Callable[[dict[str, Any]], bytes]) -> None:
        """What is no whole checkpoint is an error that names the file, and is not overwritten."""
        log.grow(20)
        log.verify()
        data = change(json.loads(log.file.read_bytes()))
        log.file.write_bytes(data)
        with pytest.raises(AuditVerifyError, match=r"audit\.checkpoint: .*remove it to begin anew"):
            log.verify()
        assert log.file.read_bytes() == data

    def test_a_log_is_not_taken_for_one(self, log: Log) -> None:
        """A name that a log could have is refused before anything is read."""
        with pytest.raises(AuditVerifyError, match="ending in .jsonl"):
            verify_log(log.path, checkpoint_file=log.path)

    def test_where_it_cannot_be_written(self, log: Log) -> None:
        """A folder that is not there is an error that names the file."""
        log.grow(20)
        with pytest.raises(AuditVerifyError, match="cannot be written"):
            verify_log(log.path, checkpoint_file=log.path.parent / "none" / "checkpoint")

    def test_a_failed_write_leaves_the_one_before(self, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the file system fails, the checkpoint before is still there, and nothing else."""
        log.grow(20)
        log.verify()
        before = log.file.read_bytes()
        saved = log.saved()

        def fail(descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(AuditVerifyError, match="Input/output error"):
            write_checkpoint(log.file, saved)
        assert log.file.read_bytes() == before
        assert len(list(log.path.parent.iterdir())) == 2


class TestSinceSeq:
    """From an entry on."""

    @pytest.mark.parametrize("seq", [2, 30, 31, 32, 70, 71, 90])
    @pytest.mark.parametrize("mode", ["chain", "hash", "none"])
    def test_only_what_follows_is_read(self, tmp_path: Path, seq: int, mode: str) -> None:
        """The entries from that one on are read, and the head is that of the log."""
        log = Log(tmp_path, mode=mode)
        log.grow(sum(COUNTS))
        report = verify_log(log.path, since_seq=seq, expected_integrity=mode)  # type: ignore[arg-type]
        assert report.since == Since(seq)
        assert report.entries == sum(COUNTS) - seq + 1
        assert not report.findings
        assert report.head == verify_log(log.path, expected_integrity=mode).head  # type: ignore[arg-type]

    def test_places_are_those_of_the_files(self, tmp_path: Path) -> None:
        """Lines of warnings are counted from the beginning of the file."""
        members = [logs.opened(), *(logs.entry(seq) for seq in range(2, 40))]
        del members[30]["attributes"]["audit.action"]
        members.append(logs.entry(40, **{"audit.phase": "intent"}))
        path = tmp_path / "audit.jsonl"
        path.write_bytes(logs.join(logs.chain(members)))
        report = verify_log(path, since_seq=20)
        assert report.since == Since(20)
        assert report.findings == verify_log(path).findings
        assert [(f.kind, f.line) for f in report.findings] == [("schema", 31), ("intent_without_outcome", 40)]
        # Whether its writer closed the log cannot be known: that may have been opened before.
        assert [action.writer_closed for action in report.unfinished] == [None]

    def test_the_first_entry_is_the_whole(self, log: Log) -> None:
        """From 1 on is a check of the whole log."""
        log.grow(50)
        assert verify_log(log.path, since_seq=1) == verify_log(log.path)

    def test_a_fault_behind_it_needs_the_whole(self, log: Log) -> None:
        """A fault from there on is found as by a check of the whole; one before it is not looked at."""
        log.lines[0][9] = log.lines[0][9].replace(b'"success"', b'"failure"')
        log.grow(60)
        assert verify_log(log.path, since_seq=40).intact
        report = verify_log(log.path, since_seq=10)
        assert report == verify_log(log.path)
        assert kinds(report) == [("edited", 10)]

    def test_an_entry_that_is_not_there(self, log: Log) -> None:
        """Where no entry has that number, that is an error."""
        log.grow(60)
        with pytest.raises(AuditVerifyError, match="expected an entry with seq 61, got none"):
            verify_log(log.path, since_seq=61)

    def test_not_with_a_checkpoint(self, log: Log) -> None:
        """There is one place to begin at."""
        log.grow(60)
        with pytest.raises(AuditVerifyError, match="expected one place"):
            verify_log(log.path, since_seq=2, checkpoint_file=log.file)

    def test_what_is_before_is_believed(self, log: Log) -> None:
        """The first entry's predecessor is taken from it: an entry that nothing leads to passes there."""
        digest = hashlib.sha256(b"another").hexdigest()
        lines = [*log.lines[0][:10], *logs.chain((logs.entry(seq) for seq in range(11, 20)), digest)]
        log.path.write_bytes(logs.join(lines))
        assert verify_log(log.path, since_seq=11).intact
        assert not verify_log(log.path).intact


class TestCopies:
    """A checkpoint together with a collector's copy."""

    def verify(self, log: Log, copied: list[bytes], **more: Any) -> VerifyReport:
        """Verify with a copy that holds these lines."""
        copy = log.path.with_name("copy")
        copy.write_bytes(logs.join(copied))
        return log.verify(anchor_copies=[copy], **more)

    def begun(self, log: Log, count: int = 50) -> list[bytes]:
        """Return all lines of a log that was verified when it had so many of them."""
        log.grow(count)
        assert log.verify().intact
        return [line for part in log.lines for line in part]

    def test_nothing_new(self, log: Log) -> None:
        """A whole copy anchors a log of which nothing is new, as often as it is asked."""
        lines = self.begun(log)
        for _ in range(2):
            report = self.verify(log, lines[:50])
            assert (report.intact, report.anchored, report.anchors_matched, report.entries) == (True, True, 1, 0)
            assert report.since is not None
            assert report.head is not None
            assert report.head.seq == 50

    def test_copy_that_ends_at_the_checkpoint(self, log: Log) -> None:
        """A copy that ends with the checkpoint's entry anchors the log up to there."""
        lines = self.begun(log)
        log.grow(60)
        report = self.verify(log, lines[:50])
        assert (report.intact, report.anchored, report.entries) == (True, True, 10)
        assert report.since is not None

    def test_copy_that_ends_before(self, log: Log) -> None:
        """A copy that ends before the checkpoint proves nothing of what is new, and is no error."""
        lines = self.begun(log)
        for count in (50, 60):
            log.grow(count)
            report = self.verify(log, lines[:40])
            assert (report.intact, report.anchored, report.anchors_matched) == (True, False, 0)
            assert report.since is not None

    def test_copy_with_what_is_new(self, log: Log) -> None:
        """A copy that reaches what is new anchors it."""
        lines = self.begun(log)
        log.grow(60)
        report = self.verify(log, lines[:55])
        assert (report.intact, report.anchored, report.anchors_matched) == (True, True, 1)
        assert report.since is not None

    @pytest.mark.parametrize("seq", [20, 50])
    def test_contradicted_before(self, log: Log, seq: int) -> None:
        """What a copy has otherwise up to the checkpoint needs the whole log, and is diverged."""
        lines = self.begun(log)
        log.grow(60)
        forged = copies.resealed(lines[:60], seq, extra=1)
        before = log.saved()
        report = self.verify(log, forged)
        assert kinds(report) == [("diverged", seq)]
        assert report.since is None
        assert log.saved() == before

    def test_no_checkpoint_where_copies_find_a_fault(self, log: Log) -> None:
        """Where only the copies show that the end is gone, the checkpoint stays as it is."""
        lines = self.begun(log)
        before = log.saved()
        log.grow(60)
        report = self.verify(log, [*lines[:60], *lines[61:70]])
        assert kinds(report) == [("truncated", 61)]
        assert log.saved() == before

    def test_since_seq(self, log: Log) -> None:
        """From an entry on the same holds; what it names as its predecessor is what the copy must have."""
        lines = self.begun(log)
        copy = log.path.with_name("copy")
        for count, anchored in ((48, False), (49, True), (50, True)):
            copy.write_bytes(logs.join(lines[:count]))
            report = verify_log(log.path, anchor_copies=[copy], since_seq=50)
            assert (report.intact, report.anchored, report.since) == (True, anchored, Since(50))

    def test_anchors_that_are_given(self, log: Log) -> None:
        """An anchor that is given must be of what is checked, with a copy, too."""
        lines = self.begun(log)
        with pytest.raises(AuditVerifyError, match="expected anchors from seq 51 on"):
            self.verify(log, lines, anchors=[f"50:{logs.hash_of(lines[49])}"])
