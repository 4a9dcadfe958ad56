"""docs/export.md: its commands run as they are shown, its columns are those that are written, its script checks."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from otel_audit.cli import main
from otel_audit.query.columns import COLUMNS, STREAM_COLUMN
from otel_audit.query.parquet import schema
from tests import logs

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "export.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^otel-audit (export .*)$", PAGE, re.MULTILINE)
LINES = logs.log(12)
HEAD = logs.hash_of(LINES[-1])
TOOLS = ("cut", "fold", "head", "od", "sed", "sh", "sha256sum", "tail", "tr")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the page is about, and be in it."""
    (tmp_path / "audit.jsonl").write_bytes(logs.join(LINES))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("session", SESSIONS, ids=lambda text: text.split("\n")[0])
def test_sessions(session: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What commands print is what the page shows."""
    if "check.sh" in session:
        assert main(["export", "audit.jsonl", "--format", "evidence", "-o", "x.zip"]) == 0
        with zipfile.ZipFile("x.zip") as packed:
            packed.extractall(folder)
    for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", session.replace("{hash}", HEAD), re.MULTILINE):
        capfd.readouterr()
        if command.startswith("otel-audit "):
            assert main(shlex.split(command)[1:]) == 0
        else:
            subprocess.run(["sh", "-c", command], check=True, timeout=60)
        assert capfd.readouterr().out == shown


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: str, folder: Path) -> None:
    """Each command of the page is one that the program takes: the file is written, or nothing matches."""
    assert main(shlex.split(command)) in (0, 1)
    assert command.count(" -o ") == 1


def test_one_line_by_hand(folder: Path) -> None:
    """The hash of one line of an extract is taken with the page's own command."""
    assert main(["export", "audit.jsonl", "--format", "jsonl", "--attribute", "lines=5", "-o", "some.extract"]) == 0
    [command] = re.findall(r"^grep .*some\.extract.*$", PAGE, re.MULTILINE)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[0] == logs.hash_of(LINES[4])


def test_columns() -> None:
    """The table of the page has every column, in order, with its type."""
    import pyarrow

    types = {
        "string": "string", "int64": "int64", "double": "double", "list of strings": "list<item: string>",
        "timestamp, nanoseconds, UTC": "timestamp[ns, tz=UTC]", "string, JSON": "string",
    }  # fmt: skip
    table = PAGE.partition("| column | type in Parquet |\n|---|---|\n")[2].partition("\n\n")[0]
    told = [
        (name, types[kind.strip()])
        for names, kind in (row.strip("| ").split(" | ") for row in table.splitlines())
        for name in re.findall(r"`([^`]+)`", names)
    ]
    assert told == [(field.name, str(field.type)) for field in schema(pyarrow)]
    assert [name for name, _ in told] == [STREAM_COLUMN, *(column.name for column in COLUMNS)]


class TestScript:
    """``docs/check-extract.sh``."""

    @pytest.fixture
    def environ(self, tmp_path: Path) -> dict[str, str]:
        """Return an environment with coreutils, sed and sh, and nothing else."""
        bare = tmp_path / "bin"
        bare.mkdir()
        for name in TOOLS:
            found = shutil.which(name)
            assert found is not None
            (bare / name).symlink_to(found)
        return {"PATH": str(bare)}

    def check(self, extract: Path, environ: dict[str, str]) -> tuple[int, str]:
        """Run the script."""
        done = subprocess.run(
            ["sh", str(DOCS / "check-extract.sh"), str(extract)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout

    @pytest.mark.parametrize(
        "options", [["--attribute", "lines=5"], ["--since-seq", "3", "--until-seq", "6"], []], ids=str
    )
    def test_sound(self, folder: Path, environ: dict[str, str], options: list[str]) -> None:
        """A sound extract leads to the log's head, without this program, in an empty environment."""
        assert main(["export", "audit.jsonl", "--format", "jsonl", "-o", "x", *options]) == 0
        assert self.check(folder / "x", environ) == (0, f"all of it leads to 12:{HEAD}\n")

    def test_key(self, folder: Path, environ: dict[str, str]) -> None:
        """An extract of a log with a key is checked, too."""
        lines = logs.log(6, key=b"0123456789abcdef")
        (folder / "audit.jsonl").write_bytes(logs.join(lines))
        assert (
            main(["export", "audit.jsonl", "--format", "jsonl", "-o", "x", "--since-seq", "3", "--until-seq", "4"]) == 0
        )
        assert self.check(folder / "x", environ) == (0, f"all of it leads to 6:{logs.hash_of(lines[-1])}\n")

    @pytest.mark.parametrize(
        ("old", "new", "line"),
        [
            (b'"git_log"', b'"git_lag"', 2),
            (b'"state":"', b'"state":"0', 3),
            (b',"length":67', b',"length":66', 3),
            (b'{"left_out":7,', b'{"left_out":8,', 4),
            (b'{"head":{"seq":12,', b'{"head":{"seq":13,', 10),
            (b'"rest":"', b'"rest":"00', 3),
        ],
    )
    def test_changed(self, folder: Path, environ: dict[str, str], old: bytes, new: bytes, line: int) -> None:
        """A changed line is found and named."""
        assert main(["export", "audit.jsonl", "--format", "jsonl", "-o", "x", "--attribute", "lines=5"]) == 0
        data = (folder / "x").read_bytes()
        assert old in data
        (folder / "x").write_bytes(data.replace(old, new, 1))
        status, said = self.check(folder / "x", environ)
        assert (status, said.partition(":")[0]) == (1, f"line {line}")


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)", PAGE))))
def test_links_lead_to_files(path: str) -> None:
    """Each relative link leads to a file."""
    assert os.path.exists(DOCS / path)
