"""``otel-audit import``."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import hummbl_governance  # type: ignore[import-untyped]
import pytest

from otel_audit import read_log
from otel_audit.cli import main, status

ROOT = Path(__file__).parents[3]


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bus file of two messages, in the current folder."""
    monkeypatch.chdir(tmp_path)
    bus = hummbl_governance.BusWriter("old.tsv")
    bus.post("agent-1", "all", "STATUS", "first")
    bus.post("agent-1", "all", "STATUS", "second")
    return Path("old.tsv")


class TestImport:
    """The command."""

    def test_all_messages(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A file of messages alone ends with 0 and one line; the log verifies."""
        assert main(["import", "old.tsv", "--to", "new.jsonl"]) == status.OK
        out, err = capsys.readouterr()
        assert out.startswith("new.jsonl: 2 messages of 2 lines of old.tsv (SHA-256 ")
        assert err == ""
        assert main(["verify", "-q", "new.jsonl"]) == status.OK

    def test_some_lines_are_none(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A line that is no message is named with its number, ends with 1, and shows no control characters."""
        with source.open("ab") as file:
            file.write(b"\x1b]0;owned\x07\n")
        assert main(["import", "old.tsv", "--to", "new.jsonl"]) == status.FOUND
        out, _ = capsys.readouterr()
        assert out.splitlines()[0] == "old.tsv:3: expected 5 columns, got 1; kept as it stands"
        assert out.splitlines()[1].startswith("new.jsonl: 2 messages of 3 lines of old.tsv (SHA-256 ")
        assert "\x1b" not in out

    def test_a_name_that_could_do_harm(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The names of both files are shown without their control characters."""
        source.write_bytes(source.read_bytes() + b"none\n")
        source = source.rename("\x1b]0;owned\x07.tsv")
        assert main(["import", str(source), "--to", "\x1b]0;new\x07.jsonl"]) == status.FOUND
        out, _ = capsys.readouterr()
        assert "\x1b" not in out
        assert out.splitlines()[0].startswith("\\u001b]0;owned\\u0007.tsv:3: ")

    def test_json(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """For programs the same in one object."""
        with source.open("ab") as file:
            file.write(b"\n")
        assert main(["import", "old.tsv", "--to", "new.jsonl", "--format", "json"]) == status.FOUND
        result = json.loads(capsys.readouterr().out)
        assert len(result.pop("sha256")) == 64
        assert result == {
            "schema_version": 1,
            "exit_status": 1,
            "path": "old.tsv",
            "lines": 3,
            "messages": 2,
            "log": "new.jsonl",
            "kept": [{"line": 3, "reason": "expected 5 columns, got 1"}],
        }

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["old.tsv"], "required: --to"),
            (["--to", "new.jsonl"], "required: FILE"),
            (["", "--to", "new.jsonl"], "expected a path, got ''"),
            (["missing.tsv", "--to", "new.jsonl"], "missing.tsv: cannot be read: No such file"),
            (["old.tsv", "--to", "new.txt"], "expected a name ending in .jsonl"),
            (["old.tsv", "--to", "nowhere/new.jsonl"], "does not exist"),
            (["old.tsv", "--to", "there.jsonl"], "expected a path where there is no log yet, got one"),
            (["old.tsv", "--to", "new.jsonl", "--hmac-key-file", "none"], "the key file cannot be read"),
        ],
    )
    def test_bad_input(self, arguments: list[str], said: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Wrong usage, and what cannot be read or written, end with 2 and one sentence; no log is made."""
        Path("there.jsonl").touch()
        assert main(["import", *arguments]) == status.UNUSABLE
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert "Traceback" not in err
        assert not Path("new.jsonl").exists()

    def test_signed(self, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """--hmac-key-file signs the new log."""
        Path("key").write_bytes(b"k" * 32)
        assert main(["import", "old.tsv", "--to", "new.jsonl", "--hmac-key-file", "key"]) == status.OK
        assert main(["verify", "-q", "new.jsonl", "--hmac-key-file", "key"]) == status.OK
        assert b'"hmac":"' in Path("new.jsonl").read_bytes()

    @pytest.mark.parametrize("error", [KeyError, OSError])
    def test_a_user_without_a_name(self, error: type[Exception], source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where the system knows no name of the user, the number stands for it."""

        def refuse() -> str:
            raise error

        monkeypatch.setattr(getpass, "getuser", refuse)
        assert main(["import", "old.tsv", "--to", "new.jsonl"]) == status.OK
        actors = {entry.attributes["audit.actor.id"] for entry in read_log("new.jsonl", action="IMPORT")}
        assert all(str(actor).startswith("uid ") for actor in actors)

    def test_nobody_reads_the_result(self, source: Path) -> None:
        """Where the reader of stdout goes away, the file is brought over to its end all the same."""
        with source.open("ab") as file:
            file.write(b"odd\n" * 5000 + b"2026-04-05T00:00:00Z\ta\tb\tc\tlast\n")
        command = [sys.executable, "-m", "otel_audit", "import", "old.tsv", "--to", "new.jsonl"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(60) == status.PIPE_CLOSED
        entries = list(read_log("new.jsonl"))
        assert entries[-2].attributes["audit.outcome"] == "success"
        assert entries[-3].body == "last"

    def test_the_other_commands_stay_light(self) -> None:
        """The command line imports the SDK only when something is brought over."""
        code = "import sys, otel_audit.cli; print([name for name in sys.modules if name.startswith('opentelemetry')])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stdout == "[]\n"
