"""Which interpreter runs a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otel_audit.doctor.program import Program, find_program
from otel_audit.errors import AuditConfigError


def script(folder: Path, name: str, text: str) -> str:
    """Return the path of a program."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_no_command() -> None:
    """Without a command it is this interpreter, with no program."""
    assert find_program([]) == Program(sys.executable)
    assert find_program(["opentelemetry-instrument"]) == Program(sys.executable)


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ((), None),
        (("agent.py", "-c"), "agent.py"),
        (("-u", "-W", "ignore", "-Xdev", "agent.py"), "agent.py"),
        (("--check-hash-based-pycs", "never", "agent.py"), "agent.py"),
        (("-W", "--", "agent.py"), "agent.py"),
        (("--", "-c"), "-c"),
        (("-u", "--", "-"), None),
        (("--",), None),
        (("-um", "agent"), None),
        (("-c", "pass"), None),
        (("-", "agent.py"), None),
    ],
)
def test_file(arguments: tuple[str, ...], file: str | None) -> None:
    """The file that is run stands behind the interpreter's own options."""
    assert Program(sys.executable, arguments).script == file


@pytest.mark.parametrize("before", [[], ["opentelemetry-instrument"], ["/usr/local/bin/opentelemetry-instrument"]])
def test_python(before: list[str]) -> None:
    """An interpreter is taken as it is, with what stands behind it."""
    command = [*before, sys.executable, "-m", "agent", "--fast"]
    assert find_program(command) == Program(sys.executable, ("-m", "agent", "--fast"))


@pytest.mark.parametrize(
    "head",
    [
        f"#!{sys.executable}\n",
        f"#! {sys.executable} -u\n",
        f"#!/bin/sh\n'''exec' '{sys.executable}' \"$0\" \"$@\"\n' '''\n",
        "#!/usr/bin/env python3\n",
    ],
)
def test_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    """A script is run by the interpreter that its first lines name."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "python3").symlink_to(sys.executable)
    serve = script(tmp_path, "serve", f"{head}print()\n")
    found = find_program(["serve", "app:app"])
    assert found.arguments == (serve, "app:app")
    assert found.interpreter in (sys.executable, str(tmp_path / "python3"))


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\necho\n",
        "#!\n",
        "",
        "#!/bin/sh\n'''exec' /bin/cat\n",
        "#!/bin/sh\n'''exec' '/usr/bin/python3 \"$0\"\n",
        "\x7fELF\0\0",
    ],
)
def test_another_program(tmp_path: Path, text: str) -> None:
    """What Python does not run is refused."""
    with pytest.raises(AuditConfigError, match="expected a Python program, such as 'python agent.py', got"):
        find_program([script(tmp_path, "run", text)])


def test_no_program() -> None:
    """A command that is not found is refused."""
    with pytest.raises(AuditConfigError, match="expected a program, got 'no-such-program', which is not found"):
        find_program(["no-such-program"])


@pytest.mark.parametrize(
    "arguments",
    [
        *((f"-{flag}", "agent.py") for flag in "bBdEiIOPqsSuvx"),
        ("-u", "-X", "dev", "agent.py"),
        ("-X", "dev", "-I", "agent.py"),
        ("-Xdev", "-E", "agent.py"),
        ("-X", "-I", "agent.py"),
        ("-WI", "agent.py"),
        ("-u", "-sE", "agent.py"),
        ("agent.py", "-I"),
        ("-m", "agent", "-I"),
        ("-magent", "-I"),
        ("-uIm", "agent"),
        ("-Im", "agent"),
        ("-Ic", "pass"),
        ("-E", "-cpass"),
        ("-c", "-I"),
        ("-cI=1",),
        ("-", "-I"),
        ("-S", "-"),
        ("--", "agent.py", "-I"),
        ("-I", "--", "agent.py"),
        ("--check-hash-based-pycs", "never", "agent.py"),
        ("--check-hash-based-pycs", "default", "-I", "agent.py"),
    ],
    ids=" ".join,
)
def test_options(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """An interpreter that does not import ``sitecustomize`` from ``PYTHONPATH`` is known by its own options."""
    (tmp_path / "agent.py").write_text("# of two lines, for -x\n\n")
    (tmp_path / "sitecustomize.py").write_text("print('started')")
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert Program(sys.executable, arguments).ignores_environment is (b"started" not in done.stdout)
