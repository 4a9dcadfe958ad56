"""Every command, whatever stands in a log and whatever it is run under: quiet, inert, with the right exit status."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_audit.cli import COMMANDS, main, status
from tests import copies, logs, strange
from tests.cli_page import STATUS
from tests.cli_world import TRACE_ID, endpoint, environ

ROOT = Path(__file__).parents[3]

RUNS: dict[str, list[list[str]]] = {
    "verify": [
        ["audit.jsonl"],
        ["broken.jsonl", "audit.jsonl", "--format", "json"],
        ["broken.jsonl"],
        ["some.extract"],
        ["broken.extract"],
    ],
    "query": [
        ["audit.jsonl"],
        *(["audit.jsonl", "--format", form] for form in ("json", "csv", "table")),
        *(["audit.jsonl", "--group-by", by] for by in ("actor", "event_name,outcome", "audit.arguments")),
        ["audit.jsonl", "--where", "seq > 1"],
        ["audit.jsonl", "--sql", "select * from entries"],
        ["audit.jsonl", "--sql", "select * from delegations", "--format", "csv"],
    ],
    "tail": [["audit.jsonl", "-n", "99"], ["broken.jsonl", "-n", "99"]],
    "stats": [["audit.jsonl"], ["audit.jsonl", "--format", "json"]],
    "show": [["audit.jsonl"], ["audit.jsonl", "--format", "json"], ["audit.jsonl", "--seq", "3"]],
    "trace": [[TRACE_ID, "audit.jsonl", "--spans", "traces.jsonl"]],
    "export": [["audit.jsonl", "--format", form, "-o", "-"] for form in ("csv", "otlp-json")],
    "report": [["audit.jsonl", "-o", "report.html"]],
    "reconcile": [["audit.jsonl", "logs.jsonl"], ["audit.jsonl", "logs.jsonl", "--format", "json"]],
    "resend": [["audit.jsonl", "--after", "1"]],
    "import": [["bus.tsv", "--to", "new.jsonl"]],
    "doctor": [[], ["--format", "json"]],
}
"""What is run of each command. Not here: exact lines (``--format jsonl``), whose bytes are those of the log."""

EVERY = [pytest.param(name, arguments, id=" ".join([name, *arguments])) for name in RUNS for arguments in RUNS[name]]
ONE_EACH = [pytest.param(name, RUNS[name][0], id=name) for name in RUNS]
EVIL = "".join(strange.EVIL)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with logs, copies, spans and a bus file that hold what could do harm."""
    folder = tmp_path_factory.mktemp("strange")
    lines = strange.lines()
    for entry in (members := [json.loads(line) for line in lines]):
        for name in ("prev_hash", "hash"):
            del entry[name]
        if "trace_id" in entry:
            entry |= {"trace_id": TRACE_ID}
    lines = list(logs.chain(members))
    broken = [line.replace(b"git_log", b"git_lag") if at % 3 else line for at, line in enumerate(lines)]
    (folder / "audit.jsonl").write_bytes(logs.join(lines))
    (folder / "broken.jsonl").write_bytes(logs.join(broken[:-2]) + b'{"seq":\x1b]0;owned\x07\n' + lines[-1])
    (folder / "logs.jsonl").write_bytes(copies.copy(broken) + EVIL.encode() + b"\n" + copies.copy(lines[:4]))
    (folder / "traces.jsonl").write_bytes(logs.dump(spans()) + b"\n")
    (folder / "bus.tsv").write_text(
        f"2026-11-22T09:00:00Z\ta\tb\tSTATUS\t{strange.EVIL[0]}\n{EVIL}\n", encoding="utf-8"
    )
    extract = folder / "some.extract"
    arguments = ["export", str(folder / "audit.jsonl"), "--format", "jsonl", "-o", str(extract), "--until-seq", "9"]
    assert main(arguments) == 0
    (folder / "broken.extract").write_bytes(
        extract.read_bytes().replace(b'"stream_id":"', b'"stream_id":"\\u001b]0;owned', 1).replace(b"git_log", b"g")
    )
    return folder


def spans() -> dict[str, Any]:
    """Return a request with spans whose names could do harm."""
    made = [
        {
            "traceId": TRACE_ID,
            "spanId": f"{number:016x}",
            "parentSpanId": f"{number - 1:016x}" if number > 1 else "",
            "name": text,
            "startTimeUnixNano": "1795305600000000000",
            "endTimeUnixNano": "1795305601000000000",
        }
        for number, text in enumerate(strange.EVIL, 1)
    ]
    resource = {"attributes": copies.key_values({"service.name": EVIL})}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {}, "spans": made}]}]}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Return the address of an OTLP endpoint."""
    with endpoint() as found:
        yield found


@pytest.fixture
def folder(prepared: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Be in the prepared folder, with an endpoint for what sends."""
    (prepared / "report.html").unlink(missing_ok=True)
    for left in prepared.glob("new.*"):
        left.unlink()
    monkeypatch.chdir(prepared)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return prepared


def documented(name: str) -> set[int]:
    """Return the exit statuses in the help of a command."""
    return {int(digits) for digits, _ in STATUS.findall(COMMANDS[name].EPILOG)}


def run(
    name: str, arguments: list[str], folder: Path, redirect: str = "", **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, as a shell does."""
    quoted = " ".join(f"'{argument}'" for argument in arguments)
    return subprocess.run(
        ["sh", "-c", f"otel-audit {name} {quoted} {redirect}"],
        env=environ(folder, **more),
        capture_output=True,
        timeout=60,
    )


def test_all_commands() -> None:
    """No command is left out here."""
    assert RUNS.keys() == COMMANDS.keys()


class TestInert:
    """Escape sequences, BEL, NUL, bidirectional overrides and line ends in every field of an entry."""

    @pytest.mark.parametrize(("name", "arguments"), EVERY)
    def test_log_content(
        self,
        name: str,
        arguments: list[str],
        folder: Path,
        capfdbinary: pytest.CaptureFixture[bytes],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Nothing that stands in a log, a copy, a span or a setting reaches the terminal as it is."""
        if name == "doctor":
            for variable in ("OTEL_AUDIT_FRAMEWORKS", "OTEL_AUDIT_FUNCTIONS", "OTEL_AUDIT_FILE"):
                monkeypatch.setenv(variable, strange.EVIL[0])
        exit_status = main([name, *arguments])
        out, err = capfdbinary.readouterr()
        assert exit_status in documented(name), err
        assert out or err
        for shown in (out.decode(), err.decode()):
            assert strange.is_inert(shown), ascii(shown[-2000:])
        forged = [line for line in out.decode().split("\n") if line.startswith(("feed", "and", "\ttab"))]
        assert not forged

    @pytest.mark.parametrize("name", RUNS)
    def test_arguments(
        self, name: str, folder: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A path or an option that is wrong is named without its control characters, and ends with 2 or a finding."""
        evil = strange.EVIL[0] + strange.EVIL[2] + ".jsonl"
        for arguments in ([evil], ["--no-such", evil], ["audit.jsonl", f"--format={evil}"], ["audit.jsonl", evil]):
            exit_status = main([name, *arguments])
            out, err = capfdbinary.readouterr()
            assert exit_status in {1, 2}
            for shown in (out.decode(), err.decode()):
                assert strange.is_inert(shown), ascii(shown[-2000:])

    def test_the_log_holds_it(self, prepared: Path) -> None:
        """The log of these tests does hold what must not be shown."""
        text = (prepared / "audit.jsonl").read_text(encoding="utf-8")
        assert "\u202e" in text
        assert "\x7f" in text
        assert r"\u001b" in text
        assert r"\u0000" in text


class TestOutput:
    """What becomes of stdout and stderr."""

    @pytest.mark.parametrize(("name", "arguments"), ONE_EACH)
    def test_broken_pipe(self, name: str, arguments: list[str], folder: Path) -> None:
        """A reader that goes away ends a command quietly, with 141 where it still had something to say."""
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "otel_audit", name, *arguments],
                env=environ(folder),
                stdout=writing,
                stderr=subprocess.PIPE,
                timeout=60,
            )
        finally:
            os.close(writing)
        assert b"Traceback" not in done.stderr
        assert b"BrokenPipe" not in done.stderr
        assert done.returncode == status.PIPE_CLOSED, done.stderr

    @pytest.mark.parametrize(("name", "arguments"), ONE_EACH)
    def test_closed(self, name: str, arguments: list[str], folder: Path) -> None:
        """With stdout closed from the start, what would be printed is one sentence and 2, also with stderr closed."""
        for redirect in (">&-", ">&- 2>&-"):
            for left in folder.glob("new.*"):
                left.unlink()
            (folder / "report.html").unlink(missing_ok=True)
            done = run(name, arguments, folder, redirect)
            assert b"Traceback" not in done.stderr
            assert b"Exception ignored" not in done.stderr
            assert done.returncode == status.UNUSABLE, done.stderr
            if redirect == ">&-":
                assert done.stderr.endswith(b"otel-audit: expected stdout, got none: it was closed\n")

    @pytest.mark.parametrize(
        ("name", "arguments", "expected"),
        [
            ("verify", ["-q", "audit.jsonl"], 0),
            ("verify", ["-q", "broken.jsonl"], 1),
            ("reconcile", ["-q", "audit.jsonl", "logs.jsonl"], 1),
            ("query", ["audit.jsonl", "--actor", "nobody"], 1),
            ("query", ["audit.jsonl", "--actor", "nobody", "--format", "jsonl"], 1),
            ("show", ["audit.jsonl", "--seq", "999"], 1),
            ("export", ["audit.jsonl", "--format", "jsonl", "-o", "-"], 2),
        ],
        ids=str,
    )
    def test_closed_and_nothing_to_print(self, name: str, arguments: list[str], expected: int, folder: Path) -> None:
        """With stdout closed, what prints nothing ends as it does elsewhere."""
        assert run(name, arguments, folder, ">&-").returncode == expected

    def test_version_that_goes_nowhere(self, folder: Path) -> None:
        """A version that cannot be written is one sentence and 2 as well."""
        done = run("--version", [], folder, ">&-")
        assert (done.returncode, done.stderr.count(b"\n")) == (status.UNUSABLE, 1)

    def test_error_behind_what_cannot_be_written(self, folder: Path) -> None:
        """What cannot be written does not change the status of an error that came before it was to be."""
        done = run("query", ["audit.jsonl", "no.jsonl", "--until-seq", "2"], folder, ">&-")
        assert done.returncode == status.UNUSABLE
        assert b"no.jsonl: expected a log" in done.stderr
        assert b"Exception ignored" not in done.stderr

    def test_import_goes_on(self, tmp_path: Path, folder: Path) -> None:
        """Where nothing can be printed, an import is brought to its end all the same."""
        (tmp_path / "bus.tsv").write_text("2026-11-22T09:00:00Z\ta\tb\tSTATUS\tgo\n" + "no message\n" * 1000)
        for number, redirect in enumerate((">&-", ">/dev/full")):
            new = tmp_path / f"new{number}.jsonl"
            done = run("import", [str(tmp_path / "bus.tsv"), "--to", str(new)], folder, redirect)
            assert done.returncode == status.UNUSABLE
            assert main(["verify", "-q", str(new)]) == 0
            assert new.read_bytes().count(b"no message") >= 1000

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("query", ["audit.jsonl", "--actor", "nobody"]),
            ("query", ["no.jsonl"]),
            ("query", ["audit.jsonl", "--format", "none"]),
            ("show", ["audit.jsonl", "--seq", "999"]),
            ("tail", ["broken.jsonl", "-n", "99"]),
            ("export", ["audit.jsonl", "--format", "csv", "-o", "-", "--actor", "nobody"]),
            ("trace", ["f" * 32, "audit.jsonl", "--spans", "traces.jsonl"]),
            ("verify", ["audit.jsonl", "--hmac-key-file", "no.key"]),
            ("resend", ["audit.jsonl"]),
            ("resend", ["broken.jsonl", "--after", "1"]),
        ],
        ids=str,
    )
    def test_stderr_closed(self, name: str, arguments: list[str], folder: Path) -> None:
        """What is meant for stderr goes nowhere where that is closed, and never in among the results."""
        both, closed = run(name, arguments, folder), run(name, arguments, folder, "2>&-")
        assert both.stderr
        assert closed.stdout == both.stdout
        assert closed.returncode == both.returncode

    @pytest.mark.parametrize(("name", "arguments"), ONE_EACH)
    def test_full(self, name: str, arguments: list[str], folder: Path) -> None:
        """Where stdout cannot take the result, that is one sentence and 2, not a verdict that nobody got."""
        done = run(name, arguments, folder, ">/dev/full")
        assert b"Traceback" not in done.stderr
        assert done.returncode == status.UNUSABLE
        assert b"No space left on device" in done.stderr

    @pytest.mark.parametrize(("name", "arguments"), ONE_EACH)
    def test_another_locale(self, name: str, arguments: list[str], folder: Path) -> None:
        """In a locale without Unicode a command ends as it does elsewhere, and writes what can be read there."""
        more = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        done = run(name, arguments, folder, "", **more)
        assert b"Traceback" not in done.stderr
        assert b"Error" not in done.stderr.replace(b"ModuleNotFoundError", b"")
        assert done.returncode in documented(name) - {2}, done.stderr
        if name != "export":  # CSV is UTF-8 wherever it goes
            assert (done.stdout + done.stderr).isascii()

    @pytest.mark.parametrize(("name", "arguments"), ONE_EACH)
    def test_no_terminal(self, name: str, arguments: list[str], folder: Path) -> None:
        """Without a terminal there is no progress, no colour, no escape sequence at all."""
        done = run(name, arguments, folder)
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"\r" not in (done.stdout + done.stderr).replace(b"\r\n", b"")

    @pytest.mark.parametrize(("name", "arguments"), ONE_EACH)
    def test_no_colour(self, name: str, arguments: list[str], folder: Path) -> None:
        """On a terminal with NO_COLOR nothing is coloured."""
        parent, child = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "otel_audit", name, *arguments],
            env=environ(folder, NO_COLOR="1", TERM="xterm-256color"),
            stdin=child,
            stdout=child,
            stderr=child,
        )
        os.close(child)
        shown = b"".join(iter(lambda: _read(parent), b""))
        os.close(parent)
        assert process.wait(60) in documented(name)
        assert shown
        assert re.search(rb"\x1b\[[0-9;]*m", shown) is None


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # the other end is closed
        return b""


class TestInterrupted:
    """Ctrl-C."""

    @pytest.mark.parametrize(("name", "arguments"), ONE_EACH)
    def test_while_it_reads(self, name: str, arguments: list[str], folder: Path, tmp_path: Path) -> None:
        """Ctrl-C at the moment a command opens its file ends it with 130, quietly, and nothing is left behind."""
        before = set(os.listdir(folder)) | {"bin"}
        moment = f"event == 'open' and str(arguments[0]).endswith({'bus.tsv' if name == 'import' else 'audit.jsonl'!r})"
        if name == "doctor":  # opens no file: when it begins to look
            moment = "event == 'subprocess.Popen'"
        hook = f"""
import os, signal, sys

def interrupt(event, arguments):
    if {moment} and os.getpid() == first:
        os.kill(first, signal.SIGINT)

first = os.getpid()
sys.addaudithook(interrupt)
"""
        (tmp_path / "sitecustomize.py").write_text(hook)
        more = environ(folder)
        done = subprocess.run(
            [sys.executable, "-m", "otel_audit", name, *arguments],
            env={**more, "PYTHONPATH": f"{tmp_path}{os.pathsep}{more['PYTHONPATH']}"},
            capture_output=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (status.INTERRUPTED, b"")
        assert set(os.listdir(folder)) <= before


@pytest.mark.parametrize(
    "command",
    [
        ["query", "-", "-"],
        ["stats", "-", "-"],
        ["export", "-", "-", "--format", "csv", "-o", "-"],
        ["trace", "0" * 32, "-", "--spans", "-"],
    ],
)
def test_stdin_twice(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What was read from stdin is gone: naming it twice is an error that says so."""
    assert main(command) == 2
    assert "expected - (stdin) once, got it more often" in capsys.readouterr().err
