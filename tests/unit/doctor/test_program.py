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
    assert found.arguments == (*(["-u"] if "-u" in head else []), serve, "app:app")
    assert found.interpreter in (sys.executable, str(tmp_path / "python3"))


BESIDE = "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'{name}' \"$0\" \"$@\"\n' '''\n"


@pytest.mark.parametrize("way", ["path", "link", "name", "relative"])
def test_script_of_a_relocatable_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A script that looks for its interpreter beside itself is run by that one, by whatever way it is called."""
    folder = tmp_path / "it's $HOME" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    path = script(folder, "serve", BESIDE.format(name="python") + "import sys\nprint(sys.executable, sys.argv[0])\n")
    (tmp_path / "link").symlink_to(path)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    called = {"path": path, "link": str(tmp_path / "link"), "name": "serve", "relative": "it's $HOME/bin/serve"}[way]
    done = subprocess.run([called], capture_output=True, text=True, check=True, timeout=60)
    found = find_program([called, "app:app"])
    assert found.arguments[1:] == ("app:app",)
    assert f"{found.interpreter} {found.script}\n" == done.stdout
    assert found.interpreter == str(folder / "python")


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\necho\n",
        "#!\n",
        "",
        "#!/bin/sh\n'''exec' /bin/cat\n",
        "#!/bin/sh\n'''exec' '/usr/bin/python3 \"$0\"\n",
        BESIDE.format(name="perl"),
        "#!/usr/bin/env\n",
        "#!/usr/bin/env -S\n",
        "#!/usr/bin/env --no-such-option python3\n",
        "#!/usr/bin/env -S python3 '\n",
        pytest.param("#!/usr/bin/env python3 -E\n", marks=pytest.mark.skipif(sys.platform == "darwin", reason="runs")),
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
    ("command", "why"),
    [
        ("./folder", "is a folder"),
        ("./agent.py", "is a file that may not be executed"),
        ("serve", "is a file that may not be executed"),
        ("agent.py", "is a file, and no command on the path"),
        ("./no.py", "is not found"),
    ],
)
def test_what_is_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, why: str) -> None:
    """What is there and cannot be started is refused as what it is."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "agent.py").touch(0o644)
    (tmp_path / "folder" / "serve").touch(0o644)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "folder"))
    with pytest.raises(AuditConfigError) as raised:
        find_program([command])
    assert str(raised.value) == f"expected a program, got {command!r}, which {why}"


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


@pytest.mark.parametrize(
    "head",
    [
        *(f"#!{{python}}{rest}" for rest in ("", " -u", " -E", " -I", " -S", "\t -Es ", " -sB", " -Xdev", " -WI")),
        "#!{python} -W ignore",
        "#!{python} -u -E",
        "#!/usr/bin/env python3",
        "#!/usr/bin/env -S python3",
        "#!/usr/bin/env -S python3 -u",
        "#!/usr/bin/env -S python3 -u -E",
        "#!/usr/bin/env -S VAR=1 python3",
        "#!/usr/bin/env -S VAR=1 python3 -I",
        "#!/usr/bin/env -S -u VAR python3 -X dev -I",
        "#!/usr/bin/env -S -u VAR python3 -X dev",
        "#!/usr/bin/env -S -i {python}",
        "#!/usr/bin/env -S - {python}",
        "#!/usr/bin/env -S -u PYTHONPATH python3",
        "#!/usr/bin/env -S PYTHONPATH=/no/such/folder python3",
        "#!/bin/sh\n'''exec' '{python}' \"$0\" \"$@\"\n' '''",
        "#!/bin/sh\n'''exec' '{python}' -E \"$0\" \"$@\"\n' '''",
    ],
)
@pytest.mark.parametrize("on_path", [False, True])
def test_options_of_the_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, on_path: bool) -> None:
    """Options in the first line of a script, which may be found on the path, count as those of a command line do."""
    (tmp_path / "sitecustomize.py").write_text("print('started')")
    (tmp_path / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = script(tmp_path, "se", head.format(python=sys.executable) + "\n# with a second line\n")
    done = subprocess.run([path], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    found = find_program(["se" if on_path else path, "--not-ours"])
    assert found.ignores_environment is (b"started" not in done.stdout)
    assert (found.script, found.arguments[-1]) == (path, "--not-ours")


@pytest.mark.parametrize("end", [[], ["--"]])
def test_options_of_the_starter(end: list[str]) -> None:
    """The options of ``opentelemetry-instrument`` are none of the program, and stand for variables."""
    options = ["--traces_exporter", "console", "--resource_attributes=a=b"]
    found = find_program(["opentelemetry-instrument", *options, *end, sys.executable, "a.py", "--sdk_disabled", "x"])
    settings = (("traces_exporter", "console"), ("resource_attributes", "a=b"))
    assert found == Program(sys.executable, ("a.py", "--sdk_disabled", "x"), settings)
    assert found.variables == {"OTEL_TRACES_EXPORTER": "console", "OTEL_RESOURCE_ATTRIBUTES": "a=b"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--version"], "expected a program behind opentelemetry-instrument, got '--version'"),
        (["-h"], "expected a program behind opentelemetry-instrument, got '-h'"),
        (["--propagators"], "expected a value behind the option '--propagators' of opentelemetry-instrument"),
        (["--propagators", "--context=x"], "expected a value behind the option '--propagators' of opentelemetry"),
    ],
)
def test_starter_without_a_program(options: list[str], text: str) -> None:
    """Options with which ``opentelemetry-instrument`` runs nothing are refused."""
    with pytest.raises(AuditConfigError, match=text):
        find_program(["opentelemetry-instrument", *options])
