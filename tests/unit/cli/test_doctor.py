"""``otel-audit doctor``: what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.instrumentation", reason="needs the extra 'instrument'")

from otel_audit.cli import main

NAMES = {"topic", "state", "subject", "text", "details"}


@pytest.fixture(autouse=True)
def nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of the test's own, without exporters, with no framework unless asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_AUDIT_FRAMEWORKS", "none")
    for name in ("TRACES", "METRICS", "LOGS"):
        monkeypatch.setenv(f"OTEL_{name}_EXPORTER", "none")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit status and the checks."""
    status = main(["doctor", "--format", "json", *arguments])
    return status, json.loads(capsys.readouterr().out)


def test_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All well is status 0; for programs each check is an object with the same names."""
    monkeypatch.setenv("OTEL_AUDIT_FILE", str(tmp_path / "audit.jsonl"))
    (tmp_path / "agent.py").touch()
    status, checks = told(capsys, "--", sys.executable, "agent.py", "--not-ours")
    assert status == 0
    assert {check["topic"] for check in checks} >= {"environment", "log"}
    assert all(check.keys() == NAMES and check["state"] in ("ok", "note") for check in checks)
    assert list(tmp_path.iterdir()) == [tmp_path / "agent.py"]


def test_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """For people it is a line for each check, and what is not safe on a terminal is escaped; a problem is status 1."""
    folder = tmp_path / "a\x1b[2Jb"
    folder.mkdir()
    monkeypatch.setenv("OTEL_AUDIT_FILE", str(folder / "absent" / "audit.jsonl"))
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "  problem  " in shown
    assert "a\\u001b[2Jb/absent: the folder does not exist; make it first, mode 0700" in shown
    assert shown.splitlines()[-1] == "1 problem"
    monkeypatch.setenv("OTEL_AUDIT_HMAC_KEY_FILE", str(folder / "key"))
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "a\\u001b[2Jb/key: the key file cannot be read" in shown


def test_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Functions or a program without a log are a problem."""
    status, checks = told(capsys, "--", sys.executable, "agent.py")
    assert status == 1
    assert ("log", "problem") in {(check["topic"], check["state"]) for check in checks}


def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A program whose file is not there is a problem."""
    monkeypatch.setenv("OTEL_AUDIT_FILE", str(tmp_path / "audit.jsonl"))
    status, checks = told(capsys, "--", sys.executable, "nofile.py")
    assert status == 1
    assert [check["subject"] for check in checks if check["state"] == "problem"] == ["nofile.py"]


@pytest.mark.parametrize("options", [["-c"], ["-Z", "agent.py"]])
def test_options_that_python_refuses(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that Python cannot start for its options is a problem."""
    monkeypatch.setenv("OTEL_AUDIT_FILE", str(tmp_path / "audit.jsonl"))
    (tmp_path / "agent.py").touch()
    status, checks = told(capsys, "--", sys.executable, *options)
    assert status == 1
    assert [check["subject"] for check in checks if check["state"] == "problem"] == [(sys.executable, *options[1:])[-1]]


def test_ends_with_its_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is killed while a framework is imported, the process that imports it ends, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        (tmp_path / "mcp").mkdir()
        (tmp_path / "mcp" / "__init__.py").write_text(
            f"import socket, sys\nline = socket.create_connection({server.getsockname()})\n"
            "line.sendall(b'%d' % len(sys.stdin.read()))\nline.recv(1)\n"
        )
        monkeypatch.setenv("OTEL_AUDIT_FRAMEWORKS", "mcp")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        command = [sys.executable, "-m", "otel_audit", "doctor"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                line, _ = server.accept()
                with line:
                    line.settimeout(60)
                    assert line.recv(1) == b"0"
                    process.kill()
                    assert line.recv(1) == b""
            finally:
                process.kill()


def test_shebang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A script whose first line keeps the audit from being started is a problem."""
    monkeypatch.setenv("OTEL_AUDIT_FILE", str(tmp_path / "audit.jsonl"))
    (tmp_path / "se").write_text(f"#!{sys.executable} -E\n")
    (tmp_path / "se").chmod(0o755)
    status, checks = told(capsys, "--", "./se")
    assert status == 1
    assert [check["subject"] for check in checks if check["state"] == "problem"] == ["opentelemetry-instrument"]


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        (["--traces_exporter", "none"], []),
        (["--sdk_disabled=true"], ["opentelemetry-instrument"]),
        (["--exporter_otlp_endpoint", "http://", "--"], []),
    ],
)
def test_starter_options(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    problems: list[str],
) -> None:
    """Options of ``opentelemetry-instrument`` stand before the program, and count as their variables."""
    monkeypatch.setenv("OTEL_AUDIT_FILE", str(tmp_path / "audit.jsonl"))
    (tmp_path / "agent.py").touch()
    _, checks = told(capsys, "--", "opentelemetry-instrument", *options, sys.executable, "agent.py")
    assert [check["subject"] for check in checks if check["state"] == "problem"] == problems
    assert ("otlp" in {check["topic"] for check in checks}) is ("http://" in options)


def test_unknown_variables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable with our prefix that is no setting is noted, with the nearest one; the collector's as what it is."""
    for name in [name for name in os.environ if name.startswith("OTEL_AUDIT_")]:
        monkeypatch.delenv(name)
    for name in (
        "OTEL_AUDIT_FILES",
        "OTEL_AUDIT_FLE",
        "OTEL_AUDIT_GATEWY",
        "OTEL_AUDIT_TEST_FULL",
        "OTEL_AUDIT_TRACE_URL",
    ):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("OTEL_AUDIT_FRAMEWORKS", "")
    status, checks = told(capsys)
    said = {check["subject"]: check["text"] for check in checks if check["subject"].startswith("OTEL_AUDIT_")}
    assert (status, said) == (
        0,
        {
            "OTEL_AUDIT_FILES": "is a setting of the collector, and no program's",
            "OTEL_AUDIT_FLE": "is no setting of otel-audit, and nothing reads it; is OTEL_AUDIT_FILE meant?",
            "OTEL_AUDIT_GATEWY": "is no setting of otel-audit, and nothing reads it; is OTEL_AUDIT_GATEWAY meant?",
            "OTEL_AUDIT_TEST_FULL": "is no setting of otel-audit, and nothing reads it",
        },
    )


def test_nothing_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is asked for, nothing is wrong."""
    monkeypatch.setenv("OTEL_AUDIT_FRAMEWORKS", "")
    status, checks = told(capsys)
    assert status == 0
    assert [check["text"] for check in checks if check["topic"] == "log"] == ["OTEL_AUDIT_FILE is not set"]
    assert "mcp" in {check["subject"] for check in checks if check["topic"] == "frameworks"}


@pytest.mark.parametrize("command", [["no-such-program"], ["/bin/sh", "-c", "true"]])
def test_usage(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What is not Python's is wrong usage."""
    assert main(["doctor", "--", *command]) == 2
    assert capsys.readouterr().err.startswith("otel-audit: expected a ")


def test_imports_nothing_before_it_is_asked() -> None:
    """The command's module imports neither OpenTelemetry nor the instrumentation."""
    code = "import sys, otel_audit.cli.doctor; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert not {name.partition(".")[0] for name in done.stdout.split()} & {"opentelemetry", "wrapt"}
