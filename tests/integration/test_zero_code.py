"""A program that never heard of this package, under ``opentelemetry-instrument``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_audit.reader import read_log, verify_log

pytest.importorskip("opentelemetry.distro", reason="needs opentelemetry-distro")

AGENT = """
import multiprocessing, sys
import desk.keys
from desk.tools import refund

if __name__ == "__main__":
    refund(7)
    if "spawn" in sys.argv:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.apply(refund, (8,)))
    print("otel_audit" in sys.modules, "mcp" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program and a package beside it."""
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "__init__.py").touch()
    (tmp_path / "desk" / "tools.py").write_text("def refund(order): return order\n")
    (tmp_path / "desk" / "keys.py").write_text("API_KEY = 's3cr3t-value-123'\n")
    (tmp_path / "agent.py").write_text(AGENT)
    return tmp_path


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",  # others import what they instrument
        "OTEL_SERVICE_NAME": "agent",
        **variables,
    }
    command = os.path.join(os.path.dirname(sys.executable), "opentelemetry-instrument")
    return subprocess.run(
        [command, sys.executable, str(folder / "agent.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_functions_are_audited(folder: Path) -> None:
    """Three variables audit a function, in the process and in those that it spawns, in one chain."""
    path = folder / "audit.jsonl"
    done = run(folder, "spawn", OTEL_AUDIT_FILE=str(path), OTEL_AUDIT_FUNCTIONS="desk.tools:refund")
    assert (done.returncode, done.stdout) == (0, "8\nTrue False\n"), done.stderr
    assert done.stderr == ""
    entries = [entry for entry in read_log(path) if entry.event_name == "desk.tools.refund"]
    assert [entry.attributes["audit.phase"] for entry in entries] == ["intent", "outcome"] * 2
    assert len({entry.resource["process.pid"] for entry in entries}) == 2
    assert all(entry.trace_id for entry in entries)
    assert verify_log(path).intact


def test_other_programs_that_it_starts(folder: Path) -> None:
    """A Python process that the program starts, and that has none of its modules, runs on."""
    path = folder / "audit.jsonl"
    (folder / "agent.py").write_text(
        "import subprocess, sys, desk.tools\n"
        "print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], cwd='/', capture_output=True, check=True).stdout)"
    )
    done = run(folder, OTEL_AUDIT_FILE=str(path), OTEL_AUDIT_FUNCTIONS="desk.tools:refund")
    assert (done.returncode, done.stdout, done.stderr) == (0, "b'42\\n'\n", "")
    assert verify_log(path).intact


def test_nothing_happens_unasked(folder: Path) -> None:
    """A program that sets no variable of ours runs as ever, and no log is made."""
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(folder.glob("*.jsonl"))


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"OTEL_AUDIT_FUNCTIONS": "desk.tools:refnd"}, "the module 'desk.tools' has no 'refnd'"),
        ({"OTEL_AUDIT_FUNCTIONS": "desk.tool:refund"}, "there is no module 'desk.tool'"),
        (
            {"OTEL_AUDIT_FUNCTIONS": "desk.keys:API_KEY"},
            "desk.keys:API_KEY: expected a function, got an object of type str",
        ),
        ({"OTEL_AUDIT_FRAMEWORKS": "nothing"}, "unknown framework"),
        ({"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED=true switches the audit log off"),
        ({"OTEL_AUDIT_FILE": "/absent/audit.jsonl"}, "the folder /absent does not exist"),
        ({"OTEL_AUDIT_FILE": "", "OTEL_AUDIT_FUNCTIONS": "desk.tools:refund"}, "set OTEL_AUDIT_FILE"),
        ({"OTEL_AUDIT_DURABILITY": "sometimes"}, "OTEL_AUDIT_DURABILITY"),
        ({"OTEL_AUDIT_HMAC_KEY_FILE": "/absent/key"}, "/absent/key"),
    ],
)
def test_a_broken_set_up(folder: Path, variables: dict[str, str], sentence: str) -> None:
    """The program does not start, and one sentence says why; with failures open it starts and says so."""
    settings = {"OTEL_AUDIT_FILE": str(folder / "audit.jsonl"), **variables}
    done = run(folder, **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert "s3cr3t" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = run(folder, OTEL_AUDIT_ON_FAILURE="open", **settings)
    assert (done.returncode, done.stdout) == (0, "True False\n")
    assert sentence in done.stderr


def test_the_key_of_another_log(folder: Path) -> None:
    """A log that exists with another key is not carried on, and the program does not start."""
    path, key = folder / "audit.jsonl", folder / "key"
    assert run(folder, OTEL_AUDIT_FILE=str(path)).returncode == 0
    key.write_text("ab" * 32)
    key.chmod(0o600)
    done = run(folder, OTEL_AUDIT_FILE=str(path), OTEL_AUDIT_HMAC_KEY_FILE=str(key))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no HMAC key" in done.stderr
    assert verify_log(path).intact
