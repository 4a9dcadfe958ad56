"""``otel-audit reconcile``, and copies as anchors of ``otel-audit verify``."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from otel_audit import verify_log
from otel_audit.cli import main
from otel_audit.cli.progress import bar
from tests import copies, logs

ROOT: Final = Path(__file__).parents[3]
SCHEMA: Final = json.loads((ROOT / "docs" / "reconcile.schema.json").read_bytes())
VERIFY_SCHEMA: Final = json.loads((ROOT / "docs" / "verify.schema.json").read_bytes())
COUNT: Final = 300
LINES: Final = logs.log(COUNT)


class Screen:
    """A log with a copy, and what a run wrote."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.log = str(folder / "audit.jsonl")
        self.copy = str(folder / "copy.jsonl")
        self.out = ""
        self.err = ""

    def given(self, lines: list[bytes], copied: bytes) -> None:
        """Write the log and the copy."""
        Path(self.log).write_bytes(logs.join(lines))
        Path(self.copy).write_bytes(copied)

    def run(self, *arguments: str) -> int:
        """Run ``otel-audit`` and keep what it wrote."""
        exit_status = main(arguments)
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return exit_status

    def json(self) -> dict[str, object]:
        """Return what ``reconcile --format json`` says, checked against its schema."""
        exit_status = self.run("reconcile", self.log, self.copy, "--format", "json")
        result: dict[str, object] = json.loads(self.out)
        jsonschema.validate(result, SCHEMA)
        assert result["exit_status"] == exit_status
        return result


@pytest.fixture
def screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Screen:
    """Run ``otel-audit`` in this process."""
    return Screen(tmp_path, capsys)


class TestText:
    """What people see."""

    def test_agrees(self, screen: Screen) -> None:
        """A whole copy is one line, and exit status 0."""
        screen.given(LINES, copies.copy(LINES))
        assert screen.run("reconcile", screen.log, screen.copy) == 0
        assert screen.out == f"{screen.log}: the copies agree: all of 300 entries, head seq 300\n"
        assert screen.err == ""

    def test_cut(self, screen: Screen) -> None:
        """A log cut by its last 100 lines is one finding with exactly these, and exit status 1."""
        screen.given(LINES[:-100], copies.copy(LINES))
        assert screen.run("reconcile", screen.log, screen.copy) == 1
        finding, remedy, verdict = screen.out.splitlines()
        assert finding.startswith(f"{screen.log}: truncated: seq 201 to 300, 100 entries: expected seq 201 to 300")
        assert remedy.startswith("  ")
        assert verdict.endswith(": 100 truncated; 200 of 200 entries in the copies, head seq 200")

    def test_edited(self, screen: Screen) -> None:
        """An edited line behind which all is sealed again is one finding that names it."""
        screen.given(copies.resealed(LINES, 42, lines=0), copies.copy(LINES))
        assert screen.run("reconcile", screen.log, screen.copy) == 1
        finding, changed = screen.out.splitlines()[:2]
        assert finding.startswith(f"{screen.log}:42: diverged: seq 42 to 300, 259 entries: expected hash ")
        assert changed == "  the content differs in seq 42; of the others only the hashes that follow from it"

    def test_many(self, screen: Screen) -> None:
        """Of many findings the first 20 are told, with how many entries more there are."""
        screen.given(LINES, copies.copy(LINES[::2]))
        assert screen.run("reconcile", screen.log, screen.copy) == 1
        assert screen.out.count(": not_in_copy: seq ") == 20
        assert "  and 130 entries more not_in_copy" in screen.out

    def test_notes(self, screen: Screen) -> None:
        """What was left out is told."""
        ordinary = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}\nnoise\n'
        copied = copies.copy([*LINES[1:], *LINES[1:4]], original=False)
        screen.given(LINES, copied + ordinary + copies.copy(LINES, size=300)[:999])
        assert screen.run("reconcile", screen.log, screen.copy) == 1
        for note in (
            "1 entry of the log's own (opened, closed, …) in no copy",
            "3 doubles: at-least-once delivery",
            "1 record that is no audit entry, left out",
            "1 torn request",
            "1 line of the copies cannot be read, and may hold what the log has lost; the first: ",
        ):
            assert note in screen.out
        assert ": the copies do not agree: 1 line that cannot be read; 299 of 300 entries in the copies" in screen.out

    def test_lines_of_the_log(self, screen: Screen) -> None:
        """Lines of the log that are compared with nothing are told, with where to go on, and exit status 1."""
        screen.given([LINES[1], LINES[0], b"noise", b"", *LINES[2:], LINES[5]], copies.copy(LINES))
        assert screen.run("reconcile", screen.log, screen.copy) == 1
        assert screen.out.splitlines() == [
            (
                f"{screen.log}: the copies do not agree: 2 lines of the log that are no entries, 1 line of the log "
                "that stands there twice, 1 line of the log out of order; "
                "300 of 300 entries in the copies, head seq 300"
            ),
            "  entries are compared one by one, and such lines of the log are not: run otel-audit verify",
        ]
        assert screen.json()["log"] == {
            "not_entries": 2, "doubles": 1, "out_of_order": 1, "fragments": 0, "torn_bytes": 0,
        }  # fmt: skip

    def test_log_that_is_being_written(self, screen: Screen) -> None:
        """What stands behind the last LF is told, and the exit status is 0."""
        screen.given(LINES, copies.copy(LINES))
        with Path(screen.log).open("ab") as file:
            file.write(b'{"seq":301,')
        assert screen.run("reconcile", screen.log, screen.copy) == 0
        assert screen.out.splitlines() == [
            f"{screen.log}: the copies agree: all of 300 entries, head seq 300",
            "  11 bytes behind the log's last whole line, not compared: an entry that is being written, or was cut",
        ]
        assert screen.json()["agrees"] is True

    def test_quiet(self, screen: Screen) -> None:
        """--quiet prints nothing: the exit status is the answer."""
        screen.given(LINES, b"")
        assert screen.run("reconcile", screen.log, screen.copy, "-q") == 1
        assert (screen.out, screen.err) == ("", "")

    def test_control_characters(self, screen: Screen) -> None:
        """Nothing in a copy can send a control character to the terminal."""
        evil = "\x1b[2J\u202e\n#1"
        made = copies.request(LINES)
        copies.set_attribute(copies.record_of(made, 9), evil, {"stringValue": evil})
        made["resourceLogs"][20]["scopeLogs"][0]["logRecords"][0]["eventName"] = evil
        screen.given(LINES, logs.dump(made))
        for form in ("text", "json"):
            assert screen.run("reconcile", screen.log, screen.copy, "--format", form) == 1
            assert all(character.isprintable() or character == "\n" for character in screen.out)
            assert not any(line.startswith("#1") for line in screen.out.splitlines())


class TestJson:
    """What programs get."""

    @pytest.mark.parametrize(
        ("lines", "copied"),
        [
            (LINES, copies.copy(LINES)),
            (LINES[:-100], copies.copy(LINES)),
            (copies.resealed(LINES, 42, lines=0), copies.copy(LINES, original=False)),
            ([*LINES, LINES[4].replace(b"git_log", b"git_lag")], copies.copy(LINES)),
            ([*LINES[:50], *LINES[60:]], logs.join(LINES[:-5]) + b"noise\n" + LINES[-1][:99]),
        ],
    )
    def test_schema(self, lines: list[bytes], copied: bytes, screen: Screen) -> None:
        """Every result is what docs/reconcile.schema.json says."""
        screen.given(lines, copied)
        result = screen.json()
        assert result["agrees"] == (not result["findings"])

    def test_findings(self, screen: Screen) -> None:
        """The exact ends of each stretch are there."""
        screen.given([*LINES[:50], *LINES[60:200]], copies.copy([*LINES[:10], *LINES[20:]]))
        result = screen.json()
        assert isinstance(result["findings"], list)
        assert [(one["kind"], one["seq"], one["last_seq"], one["count"]) for one in result["findings"]] == [
            ("not_in_copy", 11, 20, 10),
            ("gap", 51, 60, 10),
            ("truncated", 201, 300, 100),
        ]
        totals = {"not_in_copy": 10, "truncated": 100, "gap": 10, "diverged": 0, "altered": 0, "unplaced": 0}
        assert result["totals"] == totals

    def test_changed(self, screen: Screen) -> None:
        """Of what diverged the edited entry is named."""
        screen.given(copies.resealed(LINES, 42, lines=0), copies.copy(LINES))
        findings = screen.json()["findings"]
        assert isinstance(findings, list)
        assert findings[0]["changed"] == [[42, 42]]


class TestStatus:
    """Usage, and what cannot be read."""

    def test_emptied(self, screen: Screen) -> None:
        """A log in which no entry is left is exit status 2, whatever the copy holds."""
        screen.given([], copies.copy(LINES))
        assert screen.run("reconcile", screen.log, screen.copy) == 2
        assert f"{screen.log}: expected a log, got no line that begins as an entry" in screen.err

    @pytest.mark.parametrize("missing", ["log", "copy"])
    def test_absent(self, missing: str, screen: Screen) -> None:
        """A log or a copy that is not there is exit status 2, and named."""
        screen.given(LINES, b"")
        path = screen.log if missing == "log" else screen.copy
        Path(path).unlink()
        assert screen.run("reconcile", screen.log, screen.copy) == 2
        assert path in screen.err

    def test_no_copy(self, screen: Screen) -> None:
        """What is no copy at all is exit status 2."""
        screen.given(LINES, b"hello\n")
        assert screen.run("reconcile", screen.log, screen.copy) == 2
        assert "expected OTLP JSON or lines of an audit log" in screen.err

    def test_usage(self, screen: Screen) -> None:
        """Without a copy, or with stdin twice, the usage is wrong."""
        screen.given(LINES, b"")
        assert screen.run("reconcile", screen.log) == 2
        assert screen.run("reconcile", screen.log, "-", "-") == 2
        assert "stdin can be read once" in screen.err

    def test_stdin(self, screen: Screen) -> None:
        """- is stdin."""
        screen.given(LINES, copies.copy(LINES))
        with open(screen.copy, "rb") as stdin:
            done = subprocess.run(
                [sys.executable, "-m", "otel_audit", "reconcile", screen.log, "-"],
                stdin=stdin,
                capture_output=True,
                timeout=60,
                check=True,
            )
        assert b"the copies agree: all of 300 entries" in done.stdout

    def test_needs_no_sdk(self, screen: Screen) -> None:
        """It imports neither the SDK nor an extra."""
        screen.given(LINES, copies.copy(LINES))
        code = (
            "import sys; from otel_audit.cli import main\n"
            f"assert main(['reconcile', {screen.log!r}, {screen.copy!r}]) == 0\n"
            "assert not {'opentelemetry', 'rich', 'wrapt', 'duckdb'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)


class TestTerminal:
    """Progress, and Ctrl-C."""

    def test_progress_and_ctrl_c(self, screen: Screen) -> None:
        """On a terminal progress is drawn on stderr; after Ctrl-C nothing of it is left, and the status is 130."""
        screen.given(LINES, b"")
        main_end, other_end = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "otel_audit", "reconcile", screen.log, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=other_end,
        )
        os.close(other_end)
        assert process.stdin is not None
        assert process.stdout is not None
        drawn = b""
        os.set_blocking(main_end, False)
        deadline = time.monotonic() + 60
        while b"KiB" not in drawn and time.monotonic() < deadline:
            process.stdin.write(copies.copy(LINES[:50]))
            process.stdin.flush()
            try:
                drawn += os.read(main_end, 4096)
            except BlockingIOError:
                time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        os.set_blocking(main_end, True)
        try:
            while rest := os.read(main_end, 4096):
                drawn += rest
        except OSError:  # Linux: the other end is closed
            pass
        finally:
            os.close(main_end)
        assert b"KiB" in drawn
        assert drawn.endswith(b"\r\x1b[K")
        assert b"Traceback" not in drawn
        assert process.stdout.read() == b""
        process.stdin.close()
        process.stdout.close()

    def test_nothing_elsewhere(self, screen: Screen) -> None:
        """Where stderr is no terminal, no progress is drawn."""
        screen.given(LINES, copies.copy(LINES))
        assert isinstance(sys.stderr, io.TextIOBase)
        screen.run("reconcile", screen.log, screen.copy)
        assert screen.err == ""

    @pytest.mark.parametrize(
        ("done", "total", "unit", "shown"),
        [
            (512, 1024, "bytes", "[" + "#" * 15 + "." * 15 + "]  50%  512 B of 1.0 KiB"),
            (5 << 30, None, "bytes", "5.0 GiB"),
            (1, 3, "entries", "[" + "#" * 10 + "." * 20 + "]  33%  1 of 3 entries"),
            (7, 0, "entries", "7 entries"),
            (9, 3, "entries", "[" + "#" * 30 + "] 100%  9 of 3 entries"),
        ],
    )
    def test_bar(self, done: int, total: int | None, unit: str, shown: str) -> None:
        """A bar says how far of how much, or how much where nobody knows of what."""
        assert bar(done, total, unit) == shown


class TestVerify:
    """``verify --anchor-copy``."""

    def verify(self, screen: Screen, *arguments: str) -> int:
        """Verify the log against the copy."""
        return screen.run("verify", screen.log, "--anchor-copy", screen.copy, *arguments)

    @pytest.mark.parametrize("copied", [copies.copy(LINES), copies.copy(LINES, original=False), logs.join(LINES)])
    def test_anchored(self, copied: bytes, screen: Screen) -> None:
        """A whole copy anchors the log up to its end."""
        screen.given(LINES, copied)
        assert self.verify(screen, "--require-anchor") == 0
        assert ": intact, anchored; 300 entries" in screen.out

    def test_up_to(self, screen: Screen) -> None:
        """A copy that ends earlier anchors it up to there."""
        screen.given(LINES, copies.copy(LINES[:120]))
        assert self.verify(screen) == 0
        assert ": intact, anchored up to seq 120;" in screen.out

    def test_cut(self, screen: Screen) -> None:
        """Without the copy a cut leaves no trace; with it the finding names exactly what is missing."""
        screen.given(LINES[:-100], copies.copy(LINES))
        assert screen.run("verify", screen.log) == 0
        assert self.verify(screen) == 1
        assert ": truncated: seq 201, 100 entries: expected entries up to seq 300" in screen.out
        assert "1 error (1 truncated)" in screen.out

    @pytest.mark.parametrize("original", [True, False])
    def test_edited(self, original: bool, screen: Screen) -> None:
        """An edit sealed again is found at its line."""
        screen.given(copies.resealed(LINES, 42, lines=0), copies.copy(LINES, original=original))
        assert screen.run("verify", screen.log) == 0
        assert self.verify(screen) == 1
        assert screen.out.startswith(f"{screen.log}:42: diverged: seq 42: expected hash ")
        assert "1 error (1 diverged)" in screen.out

    def test_nothing_of_this_log(self, screen: Screen) -> None:
        """A copy with nothing of this log in it anchors nothing."""
        screen.given(LINES, b'{"resourceSpans":[]}\n')
        assert self.verify(screen, "--require-anchor") == 3
        assert ": intact, unanchored;" in screen.out

    @pytest.mark.parametrize("original", [True, False])
    def test_copy_that_leads_nowhere(self, original: bool, screen: Screen) -> None:
        """A copy that has entries, none of which leads to the log, is a finding, and in the JSON."""
        other = [logs.opened(), *(logs.entry(seq, "other") for seq in range(2, 31))]
        other[0]["attributes"]["audit.stream.id"] = "another"
        screen.given(list(logs.chain(other)), copies.copy(LINES[3:50], original=original))
        assert self.verify(screen) == 1
        assert ": diverged: expected a log that one of the copy's entries leads to (47 of audit logs)" in screen.out
        assert self.verify(screen, "--format", "json") == 1
        [log] = json.loads(screen.out)["logs"]
        jsonschema.validate(json.loads(screen.out), VERIFY_SCHEMA)
        unplaced = 20 if original else 0  # behind its end; what is before contradicts it, or is stamped as another's
        counts = {"entries": 47, "placed": 0, "unplaced": unplaced, "unreadable": 0, "unreadable_first": None}
        assert log["copies"] == counts
        assert (log["status"], log["anchored"], log["anchors_given"]) == ("not_intact", False, 0)
        report = verify_log(screen.log, anchor_copies=[screen.copy])
        assert [one.kind for one in report.errors] == ["diverged"]

    def test_cut_right_before_a_hole(self, screen: Screen) -> None:
        """Entries of the same process behind the end are a finding, though no chain leads to them."""
        screen.given(LINES[:8], logs.join([*LINES[:8], *LINES[9:]]))
        assert self.verify(screen) == 1
        assert ": truncated: seq 9: expected what leads to seq 10 to 300, which the copy has" in screen.out

    def test_edited_where_the_copy_has_a_hole(self, screen: Screen) -> None:
        """An entry edited and sealed again where the copy lacks it is found by what is behind it."""
        screen.given(copies.resealed(LINES, 42, lines=0), logs.join([*LINES[:41], *LINES[42:]]))
        assert self.verify(screen, "--require-anchor") == 1
        assert screen.out.startswith(f"{screen.log}:43: diverged: seq 43: expected hash ")
        assert screen.run("reconcile", screen.log, screen.copy) == 1
        assert "resend" not in screen.out
        assert ": the copies do not agree: 1 not_in_copy, 258 diverged; 299 of 300 entries" in screen.out

    def test_entries_that_cannot_be_placed(self, screen: Screen) -> None:
        """Entries of another process of the service that no chain leads to keep the copy from anchoring the log."""
        second = [json.loads(line) for line in LINES[200:]]
        for entry in second:
            del entry["prev_hash"], entry["hash"]
            entry["resource"]["process.pid"] = 2
        lines = [*LINES[:200], *logs.chain(second, logs.hash_of(LINES[199]))]
        screen.given(lines[:200], logs.join([*lines[:200], *lines[201:]]))
        assert self.verify(screen) == 0
        assert ": intact, unanchored;" in screen.out
        assert "  99 entries of the copies may be this log's, and no chain leads to them, so they anchor" in screen.out
        assert self.verify(screen, "--require-anchor") == 3
        assert self.verify(screen, "--format", "json") == 0
        [log] = json.loads(screen.out)["logs"]
        jsonschema.validate(json.loads(screen.out), VERIFY_SCHEMA)
        assert (log["anchored"], log["copies"]["unplaced"], log["copies"]["placed"]) == (False, 99, 200)
        assert screen.run("reconcile", screen.log, screen.copy) == 1
        assert f"{screen.log}: unplaced: seq 202 to 300, 99 entries: expected a log that leads to" in screen.out
        assert screen.json()["totals"]["unplaced"] == 99  # type: ignore[index]

    def test_checkpoint(self, screen: Screen, tmp_path: Path) -> None:
        """With a checkpoint a copy may end where the last check did, or before: the text says what it proves."""
        screen.given(LINES[:250], logs.join(LINES[:250]))
        options = ("--checkpoint-file", str(tmp_path / "checkpoint"))
        for _ in range(2):
            assert self.verify(screen, *options, "--require-anchor") == 0
        assert ": intact from seq 251 on, anchored; 0 entries, head 250:" in screen.out
        screen.given(LINES, logs.join(LINES[:250]))
        assert self.verify(screen, "--since-seq", "251", "--require-anchor") == 0
        assert ": intact from seq 251 on, anchored up to seq 250; 50 entries" in screen.out
        Path(screen.copy).write_bytes(logs.join(LINES[:240]))
        assert self.verify(screen, *options, "--require-anchor") == 3
        assert ": intact from seq 251 on, unanchored;" in screen.out
        assert "  the copies reach seq 240, which is before: they prove nothing of what is new" in screen.out

    def test_line_that_cannot_be_read(self, screen: Screen) -> None:
        """A copy with a line that cannot be read anchors nothing: the line can hold what the log has lost."""
        screen.given(LINES, copies.copy(LINES) + b'{"resourceLogs":[{"scopeLogs":1}]}\n')
        assert self.verify(screen) == 0
        assert ": intact, unanchored;" in screen.out
        assert (
            f"  1 line of the copies cannot be read, so they anchor nothing; the first: {screen.copy}:44: "
            in screen.out
        )
        assert self.verify(screen, "--require-anchor") == 3
        assert self.verify(screen, "--format", "json") == 0
        [log] = json.loads(screen.out)["logs"]
        jsonschema.validate(json.loads(screen.out), VERIFY_SCHEMA)
        assert (log["anchored"], log["copies"]["unreadable"], log["copies"]["placed"]) == (False, 1, 300)
        assert not verify_log(screen.log, anchor_copies=[screen.copy]).anchored

    def test_deep_record_hides_nothing(self, screen: Screen) -> None:
        """Nor can a record that nests too deep hide those that were sent with it."""
        deep = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b"[" * 5000 + b"]" * 5000 + b"}]}]},"
        copied = b"".join(deep + line[len('{"resourceLogs":[') :] for line in copies.copy(LINES).splitlines(True))
        screen.given(LINES[:-100], copied)
        assert self.verify(screen, "--require-anchor") == 1
        assert ": truncated: seq 201, 100 entries: " in screen.out
        assert screen.run("reconcile", screen.log, screen.copy) == 1

    def test_one_log(self, screen: Screen) -> None:
        """A copy belongs to one log."""
        screen.given(LINES, b"")
        assert screen.run("verify", screen.log, screen.log, "--anchor-copy", screen.copy) == 2
        assert "an anchor belongs to one log" in screen.err

    def test_absent(self, screen: Screen) -> None:
        """A log that is gone is a finding; a copy that is gone cannot be read."""
        screen.given(LINES, copies.copy(LINES))
        Path(screen.log).unlink()
        assert self.verify(screen) == 1
        assert ": missing: " in screen.out
        Path(screen.copy).unlink()
        assert self.verify(screen) == 2

    def test_function(self, screen: Screen) -> None:
        """`verify_log` takes copies, too."""
        screen.given(LINES[:-100], copies.copy(LINES))
        report = verify_log(screen.log, anchor_copies=[screen.copy])
        assert [(one.kind, one.seq, one.count) for one in report.errors] == [("truncated", 201, 100)]
        assert report.anchored
