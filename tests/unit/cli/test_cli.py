"""`otel_audit.cli`: what all commands have in common."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import pathlib
import subprocess
import sys
from typing import Final

import pytest

import otel_audit
from otel_audit import cli
from otel_audit.cli import main, status
from otel_audit.cli.text import ascii_json, path_text, plural, visible, visible_json

ROOT: Final = pathlib.Path(__file__).parents[3]
SOUND: Final = ROOT / "tests" / "vectors" / "logs" / "sound" / "audit.jsonl"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "otel_audit", *arguments],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


class TestMain:
    """`main`: arguments in, exit status out."""

    @pytest.mark.parametrize("arguments", [[], ["no-such-command"], ["verify"], ["verify", "--no-such", "a.jsonl"]])
    def test_wrong_usage(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Wrong usage ends with 2 and a message on stderr, nothing on stdout."""
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "usage: otel-audit" in captured.err

    def test_wrong_usage_is_escaped(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An argument with control characters does not reach the terminal as it is."""
        assert main(["verify", "a.jsonl", "--anchor", "\x1b]0;owned\x07"]) == 2
        assert "\x1b" not in capsys.readouterr().err

    @pytest.mark.parametrize(
        "arguments",
        [
            ["verify", "--integrity=--", "a.jsonl"],
            ["verify", "--since-seq=--", "a.jsonl"],
            ["verify", "--format=--", "a.jsonl"],
            ["show", "--seq=--", "a.jsonl"],
            ["tail", "-n--", "a.jsonl"],
            ["stats", "--top=--", "a.jsonl"],
            ["query", "--since=--", "a.jsonl"],
        ],
        ids=" ".join,
    )
    def test_two_hyphens_that_are_no_value(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """The value ``--`` is held to what an option takes, as any other."""
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "'--'" in captured.err

    def test_two_hyphens_as_a_value(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The value ``--`` is text to look for, or a file's name, as any other."""
        monkeypatch.chdir(tmp_path)
        log = str(SOUND)
        assert main(["query", log, "--text=--", "--count"]) == 1
        assert main(["query", log, "--actor=--", "--format=jsonl"]) == 1
        assert capsys.readouterr().out == "0\n"
        for option in ("--hmac-key-file=--", "--anchor-file=--"):
            assert main(["verify", log, option]) == 2
            assert "--: " in capsys.readouterr().err
        assert main(["export", log, "--format=csv", "--output=--"]) == 0
        assert main(["export", log, "--format=jsonl", "-o--", "--force"]) == 0
        assert main(["verify", "--", "--"]) == 0
        assert "--: sound extract" in capsys.readouterr().out

    def test_two_hyphens_as_an_operand(
        self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Behind the ``--`` that ends the options, each further one is a file's name, wherever it stands."""
        monkeypatch.chdir(tmp_path)
        log = str(SOUND)
        assert main(["reconcile", log, "--", "--"]) == 2
        assert "--: " in capsys.readouterr().err
        (tmp_path / "--").write_bytes(SOUND.read_bytes())
        for arguments in ([log, "--", "--"], ["--", log, "--"], ["--", "--", "--"], ["--", "--", log]):
            assert main(["reconcile", *arguments]) == 0
        assert main(["verify", "--", log, "--", "--"]) == 0
        assert capsys.readouterr().out.count("--: ") >= 2
        assert main(["reconcile", log, "--"]) == 2
        assert "COPY" in capsys.readouterr().err

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """--version names the program and its version."""
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"otel-audit {otel_audit.__version__}\n"

    @pytest.mark.parametrize("command", list(cli.COMMANDS))
    def test_help(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Each command has a help that ends with its exit statuses."""
        assert main([command, "--help"]) == 0
        assert "exit status:" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("raised", "expected"),
        [(KeyboardInterrupt(), status.INTERRUPTED), (OSError(errno.EIO, "disk gone"), status.UNUSABLE)],
    )
    def test_interrupted(
        self,
        raised: BaseException,
        expected: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Ctrl-C is quiet, an error of the system is one sentence; neither is a traceback."""

        def run_and_raise(arguments: argparse.Namespace) -> int:
            raise raised

        monkeypatch.setattr(cli.COMMANDS["show"], "run", run_and_raise)
        monkeypatch.setattr(cli, "_discard_stdout", lambda: None)
        assert main(["show", str(SOUND)]) == expected
        said = capsys.readouterr().err
        assert said.count("\n") == (0 if isinstance(raised, KeyboardInterrupt) else 1)

    def test_result_cannot_be_written(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A full disk behind stdout is an error, not a verdict that nobody got."""

        class Full(io.StringIO):
            def write(self, text: str) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(cli, "_discard_stdout", lambda: None)
        monkeypatch.setattr(sys, "stdout", Full())
        assert main(["verify", str(SOUND)]) == status.UNUSABLE
        assert os.strerror(errno.ENOSPC) in capsys.readouterr().err


class TestProcess:
    """``python -m otel_audit``: what a shell sees."""

    def test_module(self) -> None:
        """The module run as a program is the command line, exit status included."""
        done = run("verify", str(SOUND), "--require-anchor")
        assert done.returncode == 3
        assert b"intact, unanchored" in done.stdout
        assert done.stderr == b""

    def test_imports_neither_sdk_nor_extra(self) -> None:
        """Checking and showing a log imports no OpenTelemetry, no wrapt and no extra."""
        code = (
            "import sys; from otel_audit.cli import main; status = main(sys.argv[1:])\n"
            "names = {name.partition('.')[0] for name in sys.modules}\n"
            "print(sorted(names & {'opentelemetry', 'wrapt', 'rich', 'duckdb', 'google'}), file=sys.stderr)\n"
            "sys.exit(status)"
        )
        for command in ("verify", "show"):
            done = subprocess.run(
                [sys.executable, "-c", code, command, str(SOUND)], cwd=ROOT, capture_output=True, check=True
            )
            assert done.stderr == b"[]\n"

    def test_broken_pipe(self) -> None:
        """A reader that goes away ends the program quietly."""
        command = [sys.executable, "-m", "otel_audit", "show", *["--format", "json"], str(SOUND)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == status.PIPE_CLOSED

    def test_ascii_terminal(self) -> None:
        """A terminal without Unicode gets escapes, not an error."""
        done = run("show", str(SOUND), "--seq", "6", PYTHONIOENCODING="ascii:strict")
        assert done.returncode == 0
        assert rb"\u65e5\u672c" in done.stdout


class TestText:
    """`otel_audit.cli.text`: log content on a terminal."""

    @pytest.mark.parametrize(
        "code",
        [
            *range(0x20),
            *range(0x7F, 0xA0),
            0x061C,
            0x200E,
            0x2028,
            0x2029,
            *range(0x202A, 0x202F),
            *range(0x2066, 0x206A),
            0xFEFF,
            0xE0041,
            0xD800,
            0xDFFF,
        ],
        ids=hex,
    )
    def test_unsafe(self, code: int) -> None:
        """A character that can deceive the eye or the terminal is shown as an escape."""
        for shown in (visible(chr(code)), visible_json({chr(code): [chr(code)]})):
            assert chr(code) not in shown
            assert "\\" in shown
            assert shown.encode()

    def test_safe(self) -> None:
        """Other scripts, emoji and backslashes stay as they are."""
        text = "日本 ☕ é \\ \U0001f600 \u00a0"
        assert visible(text) == text

    def test_short_escapes(self) -> None:
        """Line feed, tab and return have the escapes that everyone knows."""
        assert visible("a\nb\tc\rd\x1be\U000e0041") == "a\\nb\\tc\\rd\\u001be\\u{e0041}"

    def test_json_for_programs(self) -> None:
        """JSON for programs is ASCII without control characters, and reads back equal."""
        value = {"a": "\x7f\x1b\u202e日本\ud800"}
        text = ascii_json(value)
        assert text.isascii()
        assert text.isprintable()
        assert json.loads(text) == value

    def test_path(self) -> None:
        """A path that is not UTF-8 is shown with its bytes."""
        assert path_text(os.fsdecode(b"a\xff.jsonl")) == "a\\xff.jsonl"
        assert path_text("a\ud800.jsonl") == "a\\ud800.jsonl"

    @pytest.mark.parametrize(("count", "text"), [(0, "0 lines"), (1, "1 line"), (12345, "12,345 lines")])
    def test_plural(self, count: int, text: str) -> None:
        """Numbers and nouns agree."""
        assert plural(count, "line") == text


class TestStatus:
    """`otel_audit.cli.status`: one exit status for several logs."""

    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [([0, 0], 0), ([0, 3], 3), ([3, 2], 2), ([2, 1, 3], 1), ([], 0)],
    )
    def test_gravest(self, statuses: list[int], expected: int) -> None:
        """Tampering outweighs what cannot be read, and that a missing anchor."""
        assert status.gravest(statuses) == expected
