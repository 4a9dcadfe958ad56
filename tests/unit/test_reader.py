"""`verify_log` and `read_log`: files, folders, and what is neither."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from otel_audit.errors import AuditVerifyError
from otel_audit.reader import read_log, verify_log
from otel_audit.record import AuditReceipt
from tests import logs

KEY = b"0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sound log of 300 entries: long enough for the quick way."""
    file = tmp_path / "audit.jsonl"
    file.write_bytes(logs.join(logs.log(300)))
    return file


class TestVerifyLog:
    """`verify_log`."""

    def test_takes_a_file_or_its_folder(self, path: Path) -> None:
        """A folder stands for the one log in it, other files beside it notwithstanding."""
        path.with_suffix(".txt").write_text("x")
        for given in (path, str(path), path.parent):
            report = verify_log(given)
            assert report.intact
            assert (report.entries, report.path) == (300, str(path))

    def test_takes_a_receipt_as_an_anchor(self, path: Path) -> None:
        """A receipt and its text are the same anchor."""
        digits = logs.hash_of(logs.log(300)[99])
        receipt = AuditReceipt("id", 100, digits, 0, logs.STREAM_ID)
        for anchor in (receipt, str(receipt)):
            assert verify_log(path, anchors=[anchor]).anchored

    @pytest.mark.parametrize("anchor", ["", "1", "1:ab", f"0:{'a' * 64}", AuditReceipt("id", 0, "", 0, "")])
    def test_refuses_what_is_no_anchor(self, path: Path, anchor: str | AuditReceipt) -> None:
        """An anchor that fixes nothing is an error, not silently none."""
        with pytest.raises(AuditVerifyError, match="expected SEQ:HASH"):
            verify_log(path, anchors=[anchor])

    def test_missing_and_empty_are_findings(self, tmp_path: Path) -> None:
        """No file and no bytes are findings: OK is not what they are."""
        path = tmp_path / "audit.jsonl"
        assert [f.kind for f in verify_log(path).findings] == ["missing"]
        path.touch()
        report = verify_log(path)
        assert [f.kind for f in report.findings] == ["empty"]
        assert not report.intact

    def test_refuses_what_cannot_be_a_log(self, tmp_path: Path) -> None:
        """A FIFO, a device and a folder without a log are errors with a sentence."""
        fifo = tmp_path / "fifo.jsonl"
        os.mkfifo(fifo)
        with pytest.raises(AuditVerifyError, match="expected a file, got a FIFO"):
            verify_log(fifo)
        with pytest.raises(AuditVerifyError, match="expected a file, got a device"):
            verify_log("/dev/null")
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(AuditVerifyError, match="expected a folder with one log"):
            verify_log(empty)

    def test_refuses_what_it_may_not_read(self, ordinary_user: Path) -> None:
        """A file without permission is an error with the system's words."""
        path = ordinary_user / "audit.jsonl"
        path.write_bytes(logs.join(logs.log(3)))
        path.chmod(0)
        with pytest.raises(AuditVerifyError, match="Permission denied"):
            verify_log(path)

    def test_checks_macs_with_the_key_only(self, tmp_path: Path) -> None:
        """Without the key the report says that MACs were not checked."""
        path, key_file = tmp_path / "audit.jsonl", tmp_path / "key"
        path.write_bytes(logs.join(logs.log(20, key=KEY)))
        key_file.write_bytes(KEY + b"\n")
        report = verify_log(path)
        assert (report.intact, report.macs_checked) == (True, False)
        report = verify_log(path, hmac_key_file=key_file)
        assert (report.intact, report.macs_checked, report.key_id) == (True, True, logs.key_id(KEY))

    def test_chain_only_passes_over_contents(self, path: Path) -> None:
        """chain_only sees a broken link, and not that a line is no line of the format."""
        lines = logs.log(300)
        broken = [*lines[:150], *lines[151:]]
        path.write_bytes(logs.join(broken))
        assert [f.kind for f in verify_log(path, chain_only=True).findings] == ["gap"]
        bad = logs.seal({**logs.entry(300), "time": "never"}, logs.hash_of(lines[298]))
        path.write_bytes(logs.join([*lines[:299], bad]))
        assert verify_log(path, chain_only=True).intact
        assert [f.kind for f in verify_log(path).findings] == ["malformed"]

    def test_waits_for_the_writer_and_judges_what_was_there(self, path: Path) -> None:
        """It takes the length when no writer is in the middle of a line."""
        whole = path.read_bytes()
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b'{"seq":301,')
            file.flush()

            def finish() -> None:
                time.sleep(0.3)
                os.truncate(path, len(whole))
                fcntl.flock(file, fcntl.LOCK_UN)

            thread = threading.Thread(target=finish)
            thread.start()
            report = verify_log(path)
            thread.join()
        assert report.intact

    def test_goes_on_where_a_writer_is_stopped(self, path: Path) -> None:
        """A lock that is held for good keeps nobody from reading what is there."""
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert verify_log(path).entries == 300
            file.write(b'{"seq":301,')
            file.flush()
            assert [f.kind for f in verify_log(path).findings if f.severity == "error"] == ["torn"]

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_memory_is_bounded_by_faults_not_lines(self, tmp_path: Path) -> None:
        """A line of 100 MB, and a log with one change in the middle, fit into 64 MiB."""
        path = tmp_path / "audit.jsonl"
        lines = logs.log(30_000)
        lines[15_000] = lines[15_000].replace(b'"success"', b'"failure"')
        path.write_bytes(logs.join(lines))
        with path.open("ab") as file:
            file.truncate(path.stat().st_size + 100_000_000)
        # ru_maxrss would count what this process held when it started the other.
        code = (
            "import sys; from otel_audit.reader import verify_log;"
            "print(*(f.kind for f in verify_log(sys.argv[1]).findings));"
            "print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        kinds, peak = done.stdout.splitlines()[:2]
        assert kinds == "edited torn"
        assert int(peak.split()[1]) < 64 << 10


class TestReadLog:
    """`read_log`."""

    def test_yields_entries_lazily(self, path: Path) -> None:
        """Entries come one by one, in the order of the file."""
        entries = read_log(path)
        assert [next(entries).seq for _ in range(3)] == [1, 2, 3]
        assert sum(1 for _ in entries) == 297

    def test_filters(self, path: Path) -> None:
        """Each filter leaves out what does not fit."""
        trace_id = str(logs.entry(8)["trace_id"])
        assert [e.seq for e in read_log(path, trace_id=trace_id)] == [8, 9, 10, 11]
        assert [e.seq for e in read_log(path, event_name="audit.log.opened")] == [1]
        assert [e.seq for e in read_log(path, actor="x", action="EXECUTE")] == [1]
        assert [e.seq for e in read_log(path, since_seq=299, outcome="success")] == [299, 300]
        assert not list(read_log(path, outcome="failure"))

    def test_passes_over_fragments(self, path: Path) -> None:
        """What is no line is not an entry, and stops nothing."""
        lines = logs.log(3)
        path.write_bytes(logs.join([lines[0], b'{"seq":2,"ti', b"\0" * 100, *lines[1:]]) + b'{"se')
        assert [e.seq for e in read_log(path)] == [1, 2, 3]

    def test_needs_a_log(self, tmp_path: Path) -> None:
        """Without a file there is nothing to read: an error, not an empty log."""
        with pytest.raises(AuditVerifyError, match="no such file"):
            next(read_log(tmp_path / "audit.jsonl"))
