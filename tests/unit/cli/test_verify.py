"""``otel-audit verify``."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import subprocess
import sys
from typing import Any, Final

import jsonschema
import pytest

from otel_audit.cli import main
from otel_audit.cli.progress import pace
from tests import logs

ROOT: Final = pathlib.Path(__file__).parents[3]
LOGS: Final = ROOT / "tests" / "vectors" / "logs"
SCHEMA: Final = json.loads((ROOT / "docs" / "verify.schema.json").read_bytes())


def log(case: str) -> str:
    """Return the path of the log of a vector."""
    return str(LOGS / case / "audit.jsonl")


def entry(case: str, line: int) -> dict[str, Any]:
    """Return one line of the log of a vector."""
    members: dict[str, Any] = json.loads(pathlib.Path(log(case)).read_bytes().split(b"\n")[line - 1])
    return members


def anchor(case: str, line: int) -> str:
    """Return the anchor of one line of the log of a vector."""
    return f"{entry(case, line)['seq']}:{entry(case, line)['hash']}"


class Screen:
    """What one run wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def verify(self, *arguments: str) -> int:
        """Run ``otel-audit verify`` and keep what it wrote."""
        exit_status = main(["verify", *arguments])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return exit_status


@pytest.fixture
def screen(capsys: pytest.CaptureFixture[str]) -> Screen:
    """Run ``otel-audit verify`` in this process."""
    return Screen(capsys)


class TestVerdict:
    """The sentence at the end."""

    def test_unanchored(self, screen: Screen) -> None:
        """A sound chain without an anchor is never plain success: the output says what is not proved."""
        assert screen.verify(log("sound")) == 0
        assert f"{log('sound')}: intact, unanchored; 10 entries, head {anchor('sound', 10)}\n" in screen.out
        assert "nothing outside the file proves its tail complete" in screen.out
        assert "--anchor SEQ:HASH" in screen.out
        assert screen.err == ""

    def test_anchored(self, screen: Screen) -> None:
        """With an anchor on the last entry the log is intact and anchored."""
        assert screen.verify(log("sound"), "--anchor", anchor("sound", 10)) == 0
        assert ": intact, anchored; 10 entries" in screen.out
        assert "nothing outside" not in screen.out

    def test_anchored_in_the_middle(self, screen: Screen) -> None:
        """An anchor before the end says how far it proves the log."""
        assert screen.verify(log("sound"), "--anchor", anchor("sound", 5)) == 0
        assert ": intact, anchored up to seq 5;" in screen.out
        assert "nothing outside the file proves it complete behind seq 5" in screen.out

    @pytest.mark.parametrize("mode", ["hash", "none"])
    def test_weaker_mode(self, mode: str, screen: Screen) -> None:
        """A log in mode hash or none is never called intact."""
        assert screen.verify(log(f"{mode}_sound"), "--integrity", mode) == 0
        assert f"no errors, but integrity mode {mode} cannot prove a log intact" in screen.out
        assert ": intact" not in screen.out

    def test_macs_not_checked(self, screen: Screen) -> None:
        """Without its key, the verdict on a keyed log says that its MACs were not checked."""
        assert screen.verify(log("keyed_not_checked")) == 0
        assert "MACs not checked" in screen.out

    def test_macs_checked(self, screen: Screen) -> None:
        """With its key, the verdict on a keyed log says which key it was."""
        assert screen.verify(log("keyed"), "--hmac-key-file", str(LOGS / "keyed" / "hmac.key")) == 0
        assert f"MACs checked with key {entry('keyed', 1)['attributes']['audit.key.id']}" in screen.out

    def test_not_intact(self, screen: Screen) -> None:
        """The verdict on a log with faults counts them by kind."""
        assert screen.verify(log("dropped_twice")) == 1
        assert f"{log('dropped_twice')}: not intact: 2 errors (2 gap); 8 entries" in screen.out

    def test_unsupported(self, screen: Screen) -> None:
        """A log of another version is not judged, and the exit status is not that of tampering."""
        assert screen.verify(log("unsupported_version")) == 2
        assert ": not judged: this program does not know the version of its format" in screen.out

    def test_unknown_lifecycle_events(self, screen: Screen) -> None:
        """Lifecycle events that this version does not know are counted."""
        assert screen.verify(log("sound_unknown_lifecycle_event")) == 0
        assert "1 lifecycle event that this version does not know" in screen.out

    def test_chain_only(self, screen: Screen) -> None:
        """--chain-only says what it left out."""
        assert screen.verify(log("sound"), "--chain-only") == 0
        assert "only seq, hashes and links were checked" in screen.out


class TestFindings:
    """The lines before the verdict."""

    def test_error(self, screen: Screen) -> None:
        """A finding is one line with path, line and kind, and the remedy below it."""
        assert screen.verify(log("edited_body")) == 1
        finding, remedy, verdict = screen.out.splitlines()[:3]
        assert finding.startswith(f"{log('edited_body')}:6: edited: seq 6: expected ")
        assert ", got " in finding
        assert remedy.startswith("  ")
        assert "not intact" in verdict

    def test_gap(self, screen: Screen) -> None:
        """A gap names the first missing entry and how many are missing."""
        assert screen.verify(log("dropped_two_adjoining")) == 1
        assert screen.out.startswith(f"{log('dropped_two_adjoining')}:2: gap: seq 2, 2 entries: expected ")

    def test_adjoining(self, screen: Screen) -> None:
        """Adjoining lines of one kind are one line with their number."""
        assert screen.verify(log("crlf")) == 1
        assert screen.out.startswith(f"{log('crlf')}:1: malformed: 10 lines: expected ")

    @pytest.mark.parametrize(
        ("case", "severity", "kind"),
        [
            ("clock_set_back", "warning", "clock_backwards"),
            ("dropped_entries", "info", "dropped"),
            ("recovered", "info", "recovered"),
        ],
    )
    def test_not_an_error(self, case: str, severity: str, kind: str, screen: Screen) -> None:
        """Warnings and information are marked as such, and the log is intact."""
        assert screen.verify(log(case)) == 0
        assert f": {severity}: {kind}: " in screen.out
        assert ": intact, unanchored; " in screen.out

    def test_control_characters(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """Neither a path nor a line can send control characters to the terminal."""
        path = tmp_path / "\x1b[31mred.jsonl"
        path.write_bytes(b'{"seq":1,"\x1b]0;owned\x07\xc2\x9b31m":"\\u001b[2J"}\n')
        assert screen.verify(str(path)) == 1
        assert "\\u001b[31mred.jsonl:1: malformed" in screen.out
        assert "\x1b" not in screen.out
        assert "\x9b" not in screen.out

    def test_quiet(self, screen: Screen) -> None:
        """-q prints nothing; the exit status is the answer."""
        assert screen.verify("-q", log("dropped")) == 1
        assert (screen.out, screen.err) == ("", "")
        assert screen.verify("-q", "--format", "json", log("sound")) == 0
        assert (screen.out, screen.err) == ("", "")


class TestAnchors:
    """``--anchor``, ``--anchor-file``, ``--require-anchor``."""

    def test_beyond_the_end(self, screen: Screen) -> None:
        """An anchor beyond the end of the log is truncation."""
        assert screen.verify(log("cut_tail"), "--anchor", anchor("sound", 10)) == 1
        assert f"{log('cut_tail')}:8: truncated: seq 9, 2 entries: expected " in screen.out

    def test_required(self, screen: Screen) -> None:
        """--require-anchor ends with 3 where no anchor matched, with 1 where there are errors as well."""
        assert screen.verify(log("sound"), "--require-anchor") == 3
        assert screen.verify(log("dropped"), "--require-anchor") == 1
        assert screen.verify(log("sound"), "--require-anchor", "--anchor", anchor("sound", 3)) == 0

    def test_file(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """An anchor file has one anchor a line; empty lines and comments are left out."""
        file = tmp_path / "anchors"
        file.write_text(f"# receipts of Monday\n\n{anchor('sound', 4)}\n {anchor('sound', 10)}\r\n")
        assert screen.verify(log("sound"), "--anchor-file", str(file)) == 0
        assert ": intact, anchored; " in screen.out

    @pytest.mark.parametrize(
        "wrong",
        [
            "10",
            "0:" + "0" * 64,
            "01:" + "0" * 64,
            "1:" + "0" * 63,
            "1:" + "F" * 64,
            "-1:" + "0" * 64,
            "\uff11:" + "0" * 64,
            "",
        ],
    )
    def test_not_an_anchor(self, wrong: str, tmp_path: pathlib.Path, screen: Screen) -> None:
        """What is no anchor is wrong usage, on the command line and in a file, with its place."""
        assert screen.verify(log("sound"), f"--anchor={wrong}") == 2
        assert "expected SEQ:HASH" in screen.err
        file = tmp_path / "anchors"
        file.write_text(f"\n{wrong or 'x'}\n", encoding="utf-8")
        assert screen.verify(log("sound"), "--anchor-file", str(file)) == 2
        assert f"{file}:2: expected SEQ:HASH" in screen.err
        assert screen.out == ""

    def test_file_missing(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """An anchor file that cannot be read is wrong usage."""
        assert screen.verify(log("sound"), "--anchor-file", str(tmp_path / "none")) == 2
        assert "cannot be read: No such file or directory" in screen.err

    def test_two_logs(self, screen: Screen) -> None:
        """An anchor belongs to one log: two logs and an anchor are wrong usage."""
        assert screen.verify(log("sound"), log("dropped"), "--anchor", anchor("sound", 10)) == 2
        assert "expected one PATH with anchors, got 2" in screen.err


class TestFiles:
    """Whatever lies at the path: a clear sentence and the right exit status."""

    def test_missing(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A log that is not there is a finding: somebody may have removed it."""
        assert screen.verify(str(tmp_path / "audit.jsonl")) == 1
        assert ": missing: expected " in screen.out

    def test_empty(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """An empty log is a finding."""
        (tmp_path / "audit.jsonl").touch()
        assert screen.verify(str(tmp_path / "audit.jsonl")) == 1
        assert ": empty: expected " in screen.out

    def test_fifo(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A FIFO is refused without waiting for a writer."""
        path = tmp_path / "audit.jsonl"
        os.mkfifo(path)
        assert screen.verify(str(path)) == 2
        assert str(path) in screen.err
        assert screen.out == ""

    def test_folder_without_a_log(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A folder that has no log in it is not silently fine."""
        assert screen.verify(str(tmp_path)) in (1, 2)
        assert str(tmp_path) in screen.out + screen.err

    def test_folder(self, screen: Screen) -> None:
        """A folder stands for the log in it."""
        assert screen.verify(str(LOGS / "sound")) == 0
        assert ": intact, unanchored; 10 entries" in screen.out

    def test_no_way_to_it(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A path that leads through a loop of links cannot be read: no verdict, no traceback."""
        path = tmp_path / "audit.jsonl"
        path.symlink_to(path)
        assert screen.verify(str(path)) == 2
        assert str(path) in screen.err

    def test_device(self, screen: Screen) -> None:
        """A device is no log."""
        assert screen.verify(os.devnull) == 2
        assert os.devnull in screen.err

    @pytest.mark.parametrize("path", ["", "a\0b.jsonl"])
    def test_no_path(self, path: str, screen: Screen) -> None:
        """What cannot be a path is wrong usage."""
        assert screen.verify(path) == 2
        assert "expected a path" in screen.err

    def test_key_file_missing(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A key file that cannot be read stops the check: half a check is none."""
        assert screen.verify(log("keyed"), "--hmac-key-file", str(tmp_path / "none")) == 2
        assert str(tmp_path / "none") in screen.err
        assert screen.out == ""

    def test_several(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """Each log gets its verdict, and tampering outweighs what cannot be read."""
        loop = tmp_path / "loop.jsonl"
        loop.symlink_to(loop)
        assert screen.verify(log("sound"), str(loop), log("dropped")) == 1
        assert f"{log('sound')}: intact, unanchored" in screen.out
        assert f"{log('dropped')}: not intact" in screen.out
        assert str(loop) in screen.err
        assert screen.verify(log("sound"), str(loop)) == 2


class TestJson:
    """``--format json``."""

    def test_schema_is_one(self) -> None:
        """docs/verify.schema.json is a JSON schema."""
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    @pytest.mark.parametrize("case", sorted(path.name for path in LOGS.iterdir()))
    def test_every_vector(self, case: str, screen: Screen) -> None:
        """The result on every log is what docs/verify.schema.json describes."""
        exit_status = screen.verify("--format", "json", log(case))
        result = json.loads(screen.out)
        jsonschema.Draft202012Validator(SCHEMA).validate(result)
        assert result["exit_status"] == exit_status
        assert screen.err == ""

    def test_content(self, screen: Screen) -> None:
        """The object has the head, the segments and the findings of the log."""
        assert screen.verify("--format", "json", log("edited_body"), "--anchor", anchor("sound", 10)) == 1
        [one] = json.loads(screen.out)["logs"]
        assert one["status"] == "not_intact"
        assert one["intact"] is False
        assert one["head"] == {"seq": 10, "hash": entry("sound", 10)["hash"]}
        assert one["stream_id"] == entry("sound", 1)["attributes"]["audit.stream.id"]
        assert one["anchors_given"] == 1
        size_bytes = os.path.getsize(log("edited_body"))
        assert one["segments"] == [{"path": log("edited_body"), "size_bytes": size_bytes, "entries": 10}]
        [finding] = one["findings"]
        assert (finding["kind"], finding["severity"], finding["line"], finding["seq"]) == ("edited", "error", 6, 6)
        before = pathlib.Path(log("edited_body")).read_bytes().split(b"\n")[:5]
        assert finding["offset"] == sum(len(line) + 1 for line in before)

    def test_unreadable(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A path that cannot be read has its place among the logs, and the object is still one."""
        loop = tmp_path / "loop.jsonl"
        loop.symlink_to(loop)
        assert screen.verify("--format", "json", log("sound"), str(loop)) == 2
        result = json.loads(screen.out)
        jsonschema.Draft202012Validator(SCHEMA).validate(result)
        assert [one["status"] for one in result["logs"]] == ["intact", "unreadable"]
        assert str(loop) in result["logs"][1]["error"]


class TestPart:
    """``--checkpoint-file`` and ``--since-seq``."""

    def grown(self, folder: pathlib.Path, count: int) -> str:
        """Return a log that has so many entries now."""
        path = folder / "audit.jsonl"
        path.write_bytes(logs.join(logs.log(count)))
        return str(path)

    def test_says_which_check_it_was(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """The first check says that it was of the whole log, the next where it began and when the rest was checked."""
        options = ("--checkpoint-file", str(tmp_path / "audit.checkpoint"))
        assert screen.verify(self.grown(tmp_path, 10), *options) == 0
        assert ": intact, unanchored; 10 entries" in screen.out
        assert "  the whole log was checked\n" in screen.out
        saved = json.loads((tmp_path / "audit.checkpoint").read_bytes())
        assert screen.verify(self.grown(tmp_path, 15), *options) == 0
        assert ": intact from seq 11 on, unanchored; 5 entries" in screen.out
        assert f"what is before was verified at {saved['verified_at']}" in screen.out
        assert "the whole log was checked" not in screen.out
        assert screen.verify(self.grown(tmp_path, 4), *options) == 1
        assert "truncated: seq 5, 11 entries" in screen.out
        assert "  the whole log was checked\n" in screen.out

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_no_checkpoint_of_a_log_without_a_chain(self, tmp_path: pathlib.Path, screen: Screen, form: str) -> None:
        """That no checkpoint is written of a log whose mode proves nothing is told; not with -q."""
        path = tmp_path / "audit.jsonl"
        path.write_bytes(logs.join(logs.log(9, mode="hash")))
        options = ("--integrity", "hash", "--checkpoint-file", str(tmp_path / "x"), "--format", form)
        assert screen.verify(str(path), *options) == 0
        assert "no checkpoint was written: expected integrity mode chain, got hash" in screen.err
        assert not (tmp_path / "x").exists()
        assert screen.verify(str(path), *options, "-q") == 0
        assert screen.err == ""

    def test_json_says_so_too(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """The member ``since`` is null after a check of the whole, and else says where it began."""
        path, options = self.grown(tmp_path, 10), ("--format", "json", "--since-seq")
        for seq, since in ("1", None), ("7", {"seq": 7, "verified_at": None, "in_full_at": None}):
            assert screen.verify(path, *options, seq) == 0
            result = json.loads(screen.out)
            jsonschema.Draft202012Validator(SCHEMA).validate(result)
            assert result["logs"][0]["since"] == since

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--since-seq", "0"], "expected a whole number from 1, got '0'"),
            (["--since-seq", "99"], "expected an entry with seq 99, got none"),
            (["--since-seq", "2", "--checkpoint-file", "x"], "not allowed with argument"),
            (["--checkpoint-file", log("sound")], "ending in .jsonl"),
            (["--checkpoint-file", "audit.sha256"], "ending in .sha256"),
            (["--since-seq", "2", log("sound")], "expected one PATH, got 2"),
            (["--processes", "0"], "expected a whole number from 1 to 64, got '0'"),
            (["--anchor-copy", "-", "--anchor-copy", "-"], "stdin can be read once: expected one -, got several"),
        ],
        ids=("zero", "beyond", "both", "log", "checksums", "two", "none", "stdin"),
    )
    def test_what_cannot_be_meant(self, options: list[str], said: str, screen: Screen) -> None:
        """Wrong usage, and an entry that is not there, end with 2 and say what was expected."""
        assert screen.verify(*options, log("sound")) == 2
        assert said in screen.err
        assert screen.out == ""


class TestProgress:
    """What is shown on a terminal."""

    def drawn(self, tmp_path: pathlib.Path, *arguments: str) -> tuple[int, bytes, bytes]:
        """Return exit status, stdout, and what a command draws on a terminal that is told of every block."""
        path = tmp_path / "audit.jsonl"
        path.write_bytes(logs.join(logs.log(400)))
        main_end, other_end = pty.openpty()
        code = (
            "import sys; from otel_audit.cli import main, progress\n"
            "progress._EVERY_SECONDS = progress._SETTLED_SECONDS = 0\n"
            "sys.exit(main(sys.argv[1:]))"
        )
        command = [sys.executable, "-c", code, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=other_end, cwd=ROOT) as process:
            os.close(other_end)
            drawn = b""
            try:
                while rest := os.read(main_end, 4096):
                    drawn += rest
            except OSError:  # Linux: the other end is closed
                pass
            os.close(main_end)
            out, _ = process.communicate(timeout=60)
        return process.returncode, out, drawn

    def test_is_taken_away_again(self, tmp_path: pathlib.Path) -> None:
        """Progress is drawn on stderr with a rate, and nothing of it stands there in the end."""
        exit_status, out, drawn = self.drawn(tmp_path, "verify", str(tmp_path / "audit.jsonl"))
        assert exit_status == 0
        assert b"% " in drawn
        assert b"/s, 0:00 left" in drawn
        assert drawn.endswith(b"\r\x1b[K")
        assert b"intact, unanchored; 400 entries" in out

    @pytest.mark.parametrize(
        "options", [("verify",), ("verify", "--anchor-copy", "copy"), ("reconcile", "copy")], ids=str
    )
    def test_quiet(self, options: tuple[str, ...], tmp_path: pathlib.Path) -> None:
        """With -q nothing is drawn either, whatever is read."""
        command, *more = (str(tmp_path / "copy") if option == "copy" else option for option in options)
        log_first = command == "reconcile"
        (tmp_path / "copy").write_bytes(logs.join(logs.log(400)))
        path = str(tmp_path / "audit.jsonl")
        arguments = (command, path, *more) if log_first else (command, *more, path)
        assert self.drawn(tmp_path, *arguments, "-q") == (0, b"", b"")
        assert self.drawn(tmp_path, *arguments)[2] != b""

    @pytest.mark.parametrize(
        ("done", "total", "seconds", "said"),
        [
            (1 << 20, 1 << 30, 0.1, ""),
            (0, 1 << 30, 9.0, ""),
            (1 << 20, 1 << 30, 1.0, "  1.0 MiB/s, 17:03 left"),
            (1 << 20, 1 << 33, 1.0, "  1.0 MiB/s, 2:16:31 left"),
            (1 << 20, 1 << 20, 2.0, "  512.0 KiB/s"),
            (1 << 20, None, 2.0, "  512.0 KiB/s"),
        ],
    )
    def test_pace(self, done: int, total: int | None, seconds: float, said: str) -> None:
        """It says how fast it goes once that has settled, and how long it will take where that can be known."""
        assert pace(done, total, "bytes", seconds) == said
