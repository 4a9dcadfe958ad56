"""Whether a program can be started, told without importing any of it."""

from __future__ import annotations

import string
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("wrapt", reason="needs the extra 'instrument'")

from otel_audit.instrument.command_line import read_command_line

NO_MAIN = "a package without a __main__.py"
ASK = """
import sys
from otel_audit.doctor.startable import start_error
before = set(sys.modules)
sys.orig_argv[1:] = sys.argv[1:]
print(start_error(sys.argv[1:]))
print([name for name in set(sys.modules) - before if name.partition(".")[0] in ("pkg", "agent", "ns")])
"""
FILES = {
    "agent.py": "",
    "folder/__main__.py": "",
    "empty/other.py": "",
    "main_package/__main__/__init__.py": "",
    "pkg/__init__.py": "import os\nopen('ran', 'a').write('x')\n",
    "pkg/sub.py": "",
    "pkg/whole/__init__.py": "open('ran', 'a').write('x')\n",
    "pkg/whole/__main__.py": "",
    "pkg/part/__init__.py": "",
    "pkg/loose/tool.py": "",
    "pkg/loose/looser/tool.py": "",
    "pkg/other.xyz": "",
    "ns/tool.py": "",
    "ns/sub/__main__.py": "",
    "moved/__init__.py": "import os\n__path__.append(os.path.join(os.path.dirname(__file__), '..', 'ns'))\n",
    "hooked/__init__.py": "import sys\nimport agent\nsys.modules['hooked.agent'] = agent\n",
    "broken/__init__.py": "def (",
    "broken/sub.py": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Programs of many kinds."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, member in (("good.pyz", "__main__.py"), ("bad.pyz", "other.py")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, "")
    (tmp_path / f"native{sysconfig.get_config_var('EXT_SUFFIX')}").touch()
    return tmp_path


def asked(folder: Path, *arguments: str) -> tuple[str, str]:
    """Return what is said of a program, and what was imported of it."""
    script = [sys.executable, "-c", ASK, *arguments]
    done = subprocess.run(script, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    said, imported = done.stdout.splitlines()
    return said, imported


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("empty",), "expected a program, got a folder without a __main__.py"),
        (("main_package",), "expected a program, got a folder without a __main__.py"),
        (("bad.pyz",), "expected a program, got an archive without a __main__.py"),
        (("-m", "empty"), NO_MAIN),
        (("-m", "pkg"), NO_MAIN),
        (("-m", "pkg.part"), NO_MAIN),
        (("-m", "pkg.loose"), NO_MAIN),
        (("-m", "pkg.nope"), "got a name that the package 'pkg' does not have"),
        (("-m", "pkg.nope.more"), "got a name that the package 'pkg' does not have"),
        (("-m", "pkg.whole.nope"), "got a name that the package 'pkg.whole' does not have"),
        (("-m", "pkg.loose.nope"), "got a name that the package 'pkg.loose' does not have"),
        (("-m", "pkg.sub.nope"), "got a name in 'pkg.sub', which is no package"),
        (("-m", "agent.py"), "got a name in 'agent', which is no package"),
        (("-m", "nope"), "got a name that is found nowhere"),
        (("-m", "nope.more"), "got a name that is found nowhere"),
        (("-m", "native"), "got one that is not written in Python"),
        (("-m", "sys"), "got one that is not written in Python"),
    ],
    ids=" ".join,
)
def test_not_startable(folder: Path, arguments: tuple[str, ...], error: str) -> None:
    """What Python does not start is told, and nothing of the program is imported for that."""
    said, imported = asked(folder, *arguments)
    assert said.endswith(error)
    assert imported == "[]"
    assert not (folder / "ran").exists()
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("agent.py",),
        ("folder",),
        ("good.pyz",),
        ("-m", "agent"),
        ("-m", "folder"),
        ("-m", "pkg.sub"),
        ("-m", "pkg.whole"),
        ("-m", "pkg.whole.__main__"),
        ("-m", "pkg.loose.tool"),
        ("-m", "pkg.loose.looser.tool"),
        ("-m", "ns.tool"),
        ("-m", "ns.sub"),
        ("-m", "moved.tool"),
        ("-m", "moved.sub"),
        ("-m", "this"),
        ("-m", "os.path"),
        ("-c", ""),
        ("--check-hash-based-pycs", "never", "-X", "dev", "-Wignore", "--", "agent.py"),
    ],
    ids=" ".join,
)
def test_startable(folder: Path, arguments: tuple[str, ...]) -> None:
    """What Python starts is not called in question; nothing of it is imported, or run."""
    assert asked(folder, *arguments) == ("None", "[]")
    assert not (folder / "ran").exists()
    subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        *(((f"-{letter}",), f"behind Python's option '-{letter}', got none") for letter in "cmWX"),
        (("-um",), "behind Python's option '-m', got none"),
        (("-Z", "agent.py"), "expected an option of Python's, got '-Z'"),
        (("-uJ", "-c", ""), "expected an option of Python's, got '-J'"),
        (("--verbose", "agent.py"), "expected an option of Python's, got '--verbose'"),
        (("--check-hash-based-pycs",), "behind Python's option '--check-hash-based-pycs', got none"),
    ],
    ids=" ".join,
)
def test_wrong_options(folder: Path, arguments: tuple[str, ...], error: str) -> None:
    """An option that Python does not know, or that lacks its value, keeps it from starting, and is told."""
    assert asked(folder, "-u", *arguments)[0].endswith(error)
    done = subprocess.run([sys.executable, "-u", *arguments], cwd=folder, capture_output=True, check=False, timeout=60)
    assert done.returncode == 2


def test_options(folder: Path) -> None:
    """Of one letter, what Python takes is not called in question, and what it refuses is told."""
    # -h, -V and -? end it, and so do those that want a value
    for letter in set(string.ascii_letters + string.digits) - set("hVcmWX"):
        command = [sys.executable, f"-{letter}", "agent.py"]
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60
        )
        assert (read_command_line(command[1:]).fault is None) is (done.returncode == 0), letter


@pytest.mark.parametrize("name", ["pkg.other", "moved.nope", "moved", "hooked.agent", "broken.nope", "sys.nope"])
def test_not_told(folder: Path, name: str) -> None:
    """Where only an import would tell, nothing is said."""
    assert asked(folder, "-m", name) == ("None", "[]")
