"""docs/export.md: its commands run as they are shown, its columns are those that are written, its script checks."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Callable
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
SOUND = (DOCS.parent / "tests/vectors/logs/sound/audit.jsonl").read_bytes()
TOOLS = ("cut", "fold", "head", "od", "sed", "sh", "sha256sum", "tail", "tr")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that the page is about, and be in it."""
    (tmp_path / "audit.jsonl").write_bytes(logs.join(LINES))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sound(folder: Path) -> Path:
    """Return the folder with the log that the examples are about, and be in it."""
    (folder / "audit.jsonl").write_bytes(SOUND)
    return folder


@pytest.mark.parametrize("session", SESSIONS, ids=lambda text: text.split("\n")[0])
def test_sessions(session: str, sound: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What commands print is what the page shows."""
    if "check.sh" in session:
        assert main(["export", "audit.jsonl", "--format", "evidence", "-o", "x.zip"]) == 0
        with zipfile.ZipFile("x.zip") as packed:
            packed.extractall(sound)
    assert "{hash}" not in session
    for command, shown in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", session, re.MULTILINE):
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


def test_one_line_by_hand(sound: Path) -> None:
    """The hash of one line of the page's extract is taken with the page's own command."""
    [command] = re.findall(r"^\$ otel-audit (export .*some\.extract)$", PAGE, re.MULTILINE)
    assert main(shlex.split(command)) == 0
    [command] = re.findall(r"^grep .*some\.extract.*$", PAGE, re.MULTILINE)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[0] == logs.hash_of(SOUND.split(b"\n")[4])


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
        leads = (0, f"all of it leads to 6:{logs.hash_of(lines[-1])}\n")
        assert self.check(folder / "x", environ) == leads
        data = (folder / "x").read_bytes()
        said = b'"key_id":"%b",' % logs.key_id(b"0123456789abcdef").encode()
        hmac = re.compile(rb',"hmac":"[0-9a-f]{64}"')
        for altered, refused in (
            (data.replace(said, b""), None),
            (hmac.sub(b"", data.replace(said, b"")), None),
            (hmac.sub(b"", data), "line 2: expected hmac: yes, got no\n"),
            (data.replace(said, b'"key_id":null,'), "line 2: expected hmac: no, got yes\n"),
            (hmac.sub(b"", data.replace(said, b""), count=1), "line 3: expected hmac: no, got yes\n"),
        ):
            assert altered != data
            (folder / "x").write_bytes(altered)
            assert main(["verify", "-q", "x"]) == (0 if refused is None else 1)
            assert self.check(folder / "x", environ) == (leads if refused is None else (1, refused))

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

    @pytest.mark.parametrize("shell", ["sh", "bash"])
    @pytest.mark.parametrize(
        "line",
        [
            b'{"left_out":3,"hash":"","length":700,"state":"%(zeros)b","rest":""}$(id>PP)',
            b'{"left_out":3,"hash":"%(zeros)b","length":x[$(id>PP)],"state":"%(zeros)b","rest":""}',
            b'{"left_out":x[$(id>PP)],"hash":"%(zeros)b","length":700,"state":"%(zeros)b","rest":""}',
            b'{"left_out":3,"hash":"%(zeros)b","length":700,"state":"x[$(id>PP)]","rest":""}',
            b'{"left_out":3,"hash":"%(zeros)b","length":700,"state":"%(zeros)b","rest":"$(id>PP)"}',
            b'$(id>PP){"left_out":3,"hash":"%(zeros)b","length":700,"state":"%(zeros)b","rest":""}',
            b'{"seq":x[$(id>PP)],"prev_hash":"%(zeros)b","hash":"%(zeros)b"}',
            b'{"head":{"seq":x[$(id>PP)],"hash":"%(zeros)b"},"chosen":1,"left_out":0}',
        ],
    )
    def test_hostile(self, folder: Path, environ: dict[str, str], shell: str, line: bytes) -> None:
        """Nothing that stands in an extract is run as a command."""
        found = shutil.which(shell)
        if found is None:
            pytest.skip(f"no {shell}")
        begin = self.extract(folder).split(b"\n")[:2]
        (folder / "x").write_bytes(logs.join([*begin, line % {b"zeros": b"0" * 64}]))
        done = subprocess.run(
            [found, str(DOCS / "check-extract.sh"), "x"], env=environ, capture_output=True, cwd=folder, timeout=120
        )
        assert (done.returncode, done.stdout.partition(b":")[0], done.stderr) == (1, b"line 3", b"")
        assert not (folder / "PP").exists()

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda lines: [*lines, lines[-1]], "line 11: expected nothing behind the head"),
            (lambda lines: [*lines, lines[1]], "line 11: expected nothing behind the head"),
            (lambda lines: [*lines, b""], "line 11: expected nothing behind the head"),
            (lambda lines: [*lines[:4], lines[0], *lines[4:]], "line 5: expected an entry, or one that is left out"),
            (lambda lines: lines[1:], "line 1: expected the first line"),
            (lambda lines: [lines[0], *lines[2:]], "line 2: expected an entry first"),
            (lambda lines: lines[2:], "line 1: expected the first line"),
            (lambda lines: lines[:-1], "line 9: expected the head"),
            (lambda lines: lines[:1], "line 1: expected the head"),
            (lambda lines: [lines[0], b'{"head":{"seq":,"hash":""},"chosen":0,"left_out":0}'], "line 2: expected head"),
            (lambda lines: [*lines[:-1], lines[-1].replace(b'"chosen":1', b'"chosen":2')], "line 10: expected head"),
            (
                lambda lines: [lines[0].replace(b'"extract":1', b'"extract":2'), *lines[1:]],
                "line 1: expected the first",
            ),
            (lambda lines: [lines[0].replace(b'"chain"', b'"hash"'), *lines[1:]], "line 1: expected the first line"),
            (lambda lines: [lines[0], b'{"head":null,"chosen":0,"left_out":0}'], "line 2: expected head"),
            (
                lambda lines: [lines[0].replace(b'"key_id":null', b'"key_id":"ab"'), *lines[1:]],
                "line 2: expected hmac: yes, got no",
            ),
            (lambda lines: [lines[0].replace(b'"key_id":null', b'"key_id":5'), *lines[1:]], "line 1: expected the"),
            (
                lambda lines: [*lines[:2], lines[2].replace(b',"state', b'\0,"state'), *lines[3:]],
                "line 0: expected text",
            ),
        ],
        ids=[
            *("head_twice", "entry_behind", "empty_line_behind", "first_line_again", "no_first_line", "no_entry"),
            *("begins_left_out", "no_head", "only_the_first", "no_entries", "count", "version", "mode", "nothing"),
            *("key", "no_key_id", "nul"),
        ],
    )
    def test_altered(
        self, folder: Path, environ: dict[str, str], change: Callable[[list[bytes]], list[bytes]], said: str
    ) -> None:
        """What ``otel-audit verify`` refuses, the script refuses: lines too many, too few, or of another form."""
        altered = logs.join(change(self.extract(folder).removesuffix(b"\n").split(b"\n")))
        (folder / "x").write_bytes(altered)
        assert main(["verify", "x"]) != 0
        status, told = self.check(folder / "x", environ)
        assert (status, told.startswith(said)) == (1, True), told

    def test_torn(self, folder: Path, environ: dict[str, str]) -> None:
        """A last line without its LF is refused, and so are bytes behind the head."""
        data = self.extract(folder)
        for altered in (data[:-1], data + b"{", b""):
            (folder / "x").write_bytes(altered)
            assert self.check(folder / "x", environ) == (1, "line 0: expected LF at the end of the extract\n")

    def test_rest(self, folder: Path, environ: dict[str, str]) -> None:
        """A rest has at most 63 bytes, with whole blocks before it, and leads to ``prev_hash``."""
        lines = self.extract(folder).split(b"\n")
        said = json.loads(lines[2])
        for change in (
            {"rest": "00" * 64 + said["rest"]},
            {"rest": said["rest"][:-2] + "23"},
            {"length": said["length"] + 1},
            {"length": 65 + len(said["rest"]) // 2},
        ):
            changed = json.dumps(said | change, separators=(",", ":")).encode()
            (folder / "x").write_bytes(logs.join([*lines[:2], changed, *lines[3:-1]]))
            assert main(["verify", "x"]) == 1
            status, told = self.check(folder / "x", environ)
            assert (status, told.startswith("line 3: expected ")) == (1, True)
            assert "expected hash" not in told

    def extract(self, folder: Path) -> bytes:
        """Return an extract: one entry, and what links it to the head."""
        assert main(["export", "audit.jsonl", "--format", "jsonl", "-o", "x", "--attribute", "lines=5"]) == 0
        return (folder / "x").read_bytes()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)", PAGE))))
def test_links_lead_to_files(path: str) -> None:
    """Each relative link leads to a file."""
    assert os.path.exists(DOCS / path)
