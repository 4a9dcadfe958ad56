"""``otel-audit export``, and ``otel-audit verify`` of an extract."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from otel_audit.cli import export, main, status
from tests import copies, extracts, logs, strange
from tests.disk import fill

ROOT = Path(__file__).parents[3]
FORMATS = export.FORMATS
TEXTS = ("jsonl", "csv", "otlp-json")
LINES = logs.log(12)
HEAD = f"12:{logs.hash_of(LINES[-1])}"
KEY = b"0123456789abcdef"


class Screen:
    """What runs wrote."""

    def __init__(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self._capfdbinary = capfdbinary
        self.raw = b""
        self.err = ""

    @property
    def out(self) -> str:
        """What it wrote, as text."""
        return self.raw.decode()

    def run(self, *arguments: object) -> int:
        """Run ``otel-audit`` and keep what it wrote."""
        exit_status = main([str(one) for one in arguments])
        self.raw, err = self._capfdbinary.readouterr()
        self.err = err.decode()
        assert "Traceback" not in self.err
        return exit_status


@pytest.fixture
def screen(capfdbinary: pytest.CaptureFixture[bytes]) -> Screen:
    """Run commands in this process."""
    return Screen(capfdbinary)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log of twelve entries."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(LINES))
    return path


def names(folder: Path) -> list[str]:
    """Return what is in a folder, hidden files too."""
    return sorted(os.listdir(folder))


class TestFile:
    """Where an export goes."""

    @pytest.mark.parametrize("form", FORMATS)
    def test_new_file(self, log: Path, screen: Screen, form: str) -> None:
        """Each format writes a file of its own with mode 0600, and says on stdout what is in it."""
        out = log.parent / "out"
        assert screen.run("export", log, "--format", form, "-o", out) == 0
        assert out.stat().st_mode & 0o777 == 0o600
        assert "out: 12 entries" in screen.out
        assert screen.err == ""
        assert names(log.parent) == ["audit.jsonl", "out"]

    @pytest.mark.parametrize("form", FORMATS)
    def test_one_that_is_there(self, log: Path, screen: Screen, form: str) -> None:
        """A file that is there is left as it is, unless --force says otherwise."""
        out = log.parent / "out"
        out.write_bytes(b"old")
        assert screen.run("export", log, "--format", form, "-o", out) == status.UNUSABLE
        assert "--force" in screen.err
        assert out.read_bytes() == b"old"
        assert screen.run("export", log, "--format", form, "-o", out, "--force") == 0
        assert out.read_bytes() != b"old"

    @pytest.mark.parametrize("form", FORMATS)
    def test_full_disk(self, disk: Path, screen: Screen, form: str) -> None:
        """On a full disk the exit status tells, and nothing half-written is left."""
        log = disk / "audit.jsonl"
        log.write_bytes(logs.join(logs.log(300)))
        filler = fill(disk)
        assert screen.run("export", log, "--format", form, "-o", disk / "out") == status.UNUSABLE
        assert os.strerror(errno.ENOSPC) in screen.err
        filler.unlink()
        assert names(disk) == ["audit.jsonl"]

    @pytest.mark.parametrize("form", FORMATS)
    def test_interrupted(self, log: Path, screen: Screen, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ctrl-C in the middle is quiet, and nothing half-written is left."""

        def interrupt(descriptor: int) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", interrupt)  # all is written, and not yet named
            assert screen.run("export", log, "--format", form, "-o", log.parent / "out") == status.INTERRUPTED
        assert (screen.out, screen.err) == ("", "")
        assert names(log.parent) == ["audit.jsonl"]

    def test_interrupted_process(self, tmp_path: Path) -> None:
        """A process that gets SIGINT while it writes leaves nothing behind."""
        command = [sys.executable, "-m", "otel_audit", "export", "-", "--format", "csv", "-o", str(tmp_path / "out")]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(logs.join(logs.log(2000)))
            process.stdin.flush()
            while process.poll() is None and not names(tmp_path):
                pass
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == b""
        assert process.returncode == status.INTERRUPTED
        assert names(tmp_path) == []

    @pytest.mark.parametrize("name", ["audit.jsonl", "audit.000002.jsonl", "audit.sha256"])
    def test_names_of_the_log(self, log: Path, screen: Screen, name: str) -> None:
        """No file of the log itself can be written over, nor one be made that would be taken for a part of it."""
        for out in (log.parent / name, f"{log.parent}/../{log.parent.name}/{name}"):
            assert screen.run("export", log, "--format", "csv", "-o", out, "--force") == status.UNUSABLE
            assert "a file of the log itself" in screen.err
        assert log.read_bytes() == logs.join(LINES)
        assert names(log.parent) == ["audit.jsonl"]

    @pytest.mark.parametrize("form", FORMATS)
    @pytest.mark.parametrize("name", ["some.jsonl", "SOME.JSONL", "some.000002.jsonl", "some.sha256"])
    def test_names_of_another_log(self, log: Path, screen: Screen, form: str, name: str) -> None:
        """Nothing is written under a name that another log's file could have, nor in place of one."""
        out = log.parent / name
        assert screen.run("export", log, "--format", form, "-o", out) == status.UNUSABLE
        assert "expected a name that no log's file has, got one in ." in screen.err
        assert names(log.parent) == ["audit.jsonl"]
        out.write_bytes(b"another")
        assert screen.run("export", log, "--format", form, "-o", out, "--force") == status.UNUSABLE
        assert out.read_bytes() == b"another"

    @pytest.mark.parametrize("form", FORMATS)
    def test_what_it_reads(self, log: Path, screen: Screen, form: str) -> None:
        """What is read is not written over: not by its own name, nor over a link of either kind."""
        source = log.rename(log.parent / "lines")
        (log.parent / "soft").symlink_to("lines")
        (log.parent / "hard").hardlink_to(source)
        for path, out in (("lines", "lines"), ("soft", "lines"), ("lines", "hard"), ("lines", "soft")):
            arguments = ("--format", form, "-o", log.parent / out, "--force")
            assert screen.run("export", log.parent / path, *arguments) == status.UNUSABLE
            assert "expected a new file, got " in screen.err
        assert source.read_bytes() == logs.join(LINES)

    @pytest.mark.parametrize("form", TEXTS)
    def test_stdout(self, log: Path, screen: Screen, form: str) -> None:
        """A text format goes to stdout with -o -, byte for byte as to a file."""
        out = log.parent / "out"
        screen.run("export", log, "--format", form, "-o", out)
        assert screen.run("export", log, "--format", form, "-o", "-") == 0
        assert screen.raw == out.read_bytes()
        assert "stdout: 12 entries" in screen.err

    @pytest.mark.parametrize("form", ["parquet", "evidence"])
    def test_no_text(self, log: Path, screen: Screen, form: str) -> None:
        """What is no text does not go to stdout."""
        assert screen.run("export", log, "--format", form, "-o", "-") == status.UNUSABLE
        assert "expected -o FILE" in screen.err
        assert screen.raw == b""

    @pytest.mark.parametrize("form", FORMATS)
    def test_nothing_matches(self, log: Path, screen: Screen, form: str) -> None:
        """Where no entry matches there is no file, and nothing on stdout."""
        if form != "evidence":
            assert screen.run("export", log, "--format", form, "-o", log.parent / "out", "--actor", "nobody") == 1
            assert "no entries to export" in screen.err
        if form in TEXTS:
            assert screen.run("export", log, "--format", form, "-o", "-", "--actor", "nobody") == 1
        assert screen.raw == b""
        assert names(log.parent) == ["audit.jsonl"]

    @pytest.mark.parametrize("form", FORMATS)
    def test_no_log(self, tmp_path: Path, screen: Screen, form: str) -> None:
        """Where there is no log that is an error, and no file comes of it."""
        assert screen.run("export", tmp_path / "audit.jsonl", "--format", form, "-o", tmp_path / "out") == 2
        assert "expected a log, got no such file" in screen.err
        assert names(tmp_path) == []

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "empty: expected at least one entry, got an empty file"),
            (
                logs.join(LINES).replace(b'"audit.format.version":"1"', b'"audit.format.version":"2"'),
                "unsupported: expected format version 1",
            ),
        ],
        ids=["empty", "version"],
    )
    def test_no_evidence(self, tmp_path: Path, screen: Screen, data: bytes, said: str) -> None:
        """Of what cannot be judged there is no evidence, and it is said what is there."""
        path = tmp_path / "audit.jsonl"
        path.write_bytes(data)
        assert screen.run("export", path, "--format", "evidence", "-o", tmp_path / "out") == 2
        assert said in screen.err
        assert names(tmp_path) == ["audit.jsonl"]


class TestUsage:
    """What can be asked for together."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--format", "evidence", "--actor", "a"], "evidence is the whole log"),
            (["--format", "csv", "--no-links"], "expected neither --anchor nor --no-links"),
            (["--format", "evidence", "--no-links"], "expected neither --anchor nor --no-links"),
            (["--format", "parquet", "--anchor", HEAD], "expected neither --anchor nor --no-links"),
            (["other.jsonl", "--format", "jsonl"], "one log"),
            (["other.jsonl", "--format", "evidence"], "one log"),
            (["--format", "xml"], "invalid choice"),
            ([], "required: --format"),
        ],
        ids=str,
    )
    def test_refused(self, log: Path, screen: Screen, arguments: list[str], said: str) -> None:
        """What makes no sense together is refused with a reason, and no file is made."""
        assert screen.run("export", log, *arguments, "-o", log.parent / "out") == status.UNUSABLE
        assert said in screen.err
        assert names(log.parent) == ["audit.jsonl"]

    def test_stdin(self, log: Path, tmp_path: Path) -> None:
        """Tables take a log from stdin; an extract and evidence do not."""
        for form, expected in (("csv", 0), ("parquet", 0), ("otlp-json", 0), ("jsonl", 2), ("evidence", 2)):
            done = subprocess.run(
                [sys.executable, "-m", "otel_audit", "export", "-", "--format", form, "-o", str(tmp_path / form)],
                cwd=ROOT,
                input=logs.join(LINES),
                capture_output=True,
                timeout=60,
            )
            assert done.returncode == expected, done.stderr

    def test_several_logs(self, log: Path, screen: Screen) -> None:
        """A table can have several logs; the stream id tells them apart."""
        other = log.parent / "other.jsonl"
        other.write_bytes(logs.join(logs.log(3)).replace(logs.STREAM_ID.encode(), b"another"))
        assert screen.run("export", log, other, "--format", "csv", "-o", "-") == 0
        rows = list(csv.DictReader(io.StringIO(screen.out, newline="")))
        assert [row["audit.stream.id"] for row in rows] == [logs.STREAM_ID] * 12 + ["another"] * 3

    @pytest.mark.parametrize("form", ["csv", "otlp-json", "jsonl", "parquet"])
    def test_selection(self, log: Path, screen: Screen, form: str) -> None:
        """Each format but evidence takes the options that choose entries."""
        out = log.parent / "out"
        assert screen.run("export", log, "--format", form, "-o", out, "--since-seq", 4, "--until-seq", 6) == 0
        assert "3 entries" in screen.out


class TestInert:
    """Nothing that stands in a log gets at a terminal."""

    @pytest.mark.parametrize("form", ["csv", "otlp-json"])
    def test_text(self, tmp_path: Path, screen: Screen, form: str) -> None:
        """What goes to stdout as text is inert, whatever stands in the log."""
        (tmp_path / "audit.jsonl").write_bytes(logs.join(strange.lines()))
        assert screen.run("export", tmp_path, "--format", form, "-o", "-") == 0
        assert strange.is_inert(screen.out)

    def test_exact_bytes_on_a_terminal(self, log: Path) -> None:
        """An extract is exact bytes: it does not go to a terminal."""
        parent, child = os.openpty()
        try:
            done = subprocess.run(
                [sys.executable, "-m", "otel_audit", "export", str(log), "--format", "jsonl", "-o", "-"],
                cwd=ROOT,
                stdout=child,
                stderr=subprocess.PIPE,
                timeout=60,
            )
        finally:
            os.close(child)
            os.close(parent)
        assert done.returncode == status.UNUSABLE
        assert b"got a terminal" in done.stderr


class TestExtract:
    """``--format jsonl``, and ``verify`` of it."""

    @pytest.fixture
    def out(self, log: Path, screen: Screen) -> Path:
        """Return an extract: seq 4 to 6."""
        out = log.parent / "some.extract"
        options = ("--since-seq", 4, "--until-seq", 6)
        assert screen.run("export", log, "--format", "jsonl", "-o", out, *options) == 0
        assert f"3 entries, 6 left out, head {HEAD}" in screen.out
        return out

    def test_verify(self, out: Path, screen: Screen) -> None:
        """``verify`` knows an extract, and says what it proves and what not."""
        assert extracts.check(out.read_bytes()) == ([4, 5, 6], HEAD)
        assert screen.run("verify", out) == 0
        assert f"sound extract, unanchored; 3 entries, 6 left out, seq 4 to 12, head {HEAD}\n" in screen.out
        assert "nothing in an extract proves that its head is the log's" in screen.out
        assert "whether one of them belongs here, an extract cannot tell" in screen.out

    def test_anchored(self, out: Path, screen: Screen) -> None:
        """With an anchor the entries up to it are proven."""
        assert screen.run("verify", out, "--anchor", HEAD, "--require-anchor") == 0
        assert "sound extract, anchored; 3 entries" in screen.out
        assert screen.run("verify", out, "--anchor", f"5:{logs.hash_of(LINES[4])}") == 0
        assert "sound extract, 2 of 3 entries anchored;" in screen.out
        assert screen.run("verify", out, "--anchor", f"5:{logs.hash_of(LINES[4])}", "--require-anchor") == 3
        assert screen.run("verify", out, "--anchor", f"2:{logs.hash_of(LINES[1])}", "--require-anchor") == 3
        assert "1 anchor of an entry that the extract does not reach" in screen.out
        assert screen.run("verify", out, "--anchor", f"12:{'0' * 64}") == 1
        assert "diverged: seq 12" in screen.out

    def test_changed(self, out: Path, screen: Screen) -> None:
        """A changed extract is not sound; the finding names the line."""
        out.write_bytes(out.read_bytes().replace(b"git_log", b"git_lag", 1))
        assert screen.run("verify", out) == 1
        assert "some.extract:2: edited: seq 4: expected hash" in screen.out
        assert "not a sound extract" in screen.out

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--until", "9999-12-31"], {"until": "9999-12-31T00:00:00.000000000Z"}),
            (["--since", "1600-01-01"], {"since": "1600-01-01T00:00:00.000000000Z"}),
            (["--since", "0001-01-01T00:00:00+14:00", "--until", "9999-12-31T23:59:59-14:00"], {}),
            (["--actor", "agent", "--actor", b"\xff"], {"actors": ["agent", "\\udcff"]}),
            (["--attribute", "lines=5"], {"attributes": [[["lines"], "5"]]}),
        ],
        ids=["until", "since", "unbounded", "no_text", "attribute"],
    )
    def test_what_was_asked_for(self, log: Path, options: list[str | bytes], said: dict[str, object]) -> None:
        """The first line says what was asked for, whatever it was, as JSON that any reader takes; it is sound."""
        out = log.parent / "some.extract"
        command = [sys.executable, "-m", "otel_audit"]
        made = subprocess.run(
            [*command, "export", str(log), "--format", "jsonl", "-o", str(out), *options],
            cwd=ROOT, capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert (made.returncode, made.stderr) == (0, b"")
        first = json.loads(out.read_bytes().split(b"\n")[0])
        assert first["selection"] == said
        json.dumps(first, ensure_ascii=False).encode()  # no lone surrogate in it
        script = ["sh", str(ROOT / "docs" / "check-extract.sh"), str(out)]
        for check in ([*command, "verify", str(out)], script):
            assert subprocess.run(check, cwd=ROOT, capture_output=True, check=False, timeout=60).returncode == 0

    def test_times_as_numbers(self, out: Path, screen: Screen) -> None:
        """An extract whose first line has times in nanoseconds is sound, too."""
        data = out.read_bytes().replace(b'"selection":{', b'"selection":{"since_ns":1700000000000000000,', 1)
        out.write_bytes(data)
        assert b"since_ns" in data
        assert screen.run("verify", out) == 0

    def test_called_weaker(self, log: Path, screen: Screen) -> None:
        """An extract that calls the mode of its log a weaker one is no sound one, whichever mode is accepted."""
        out = log.parent / "some.extract"
        assert screen.run("export", log, "--format", "jsonl", "-o", out, "--since-seq", 9) == 0
        data = out.read_bytes()
        for mode in (b"hash", b"none", b"foo"):
            out.write_bytes(data.replace(b'"integrity":"chain"', b'"integrity":"%b"' % mode, 1))
            for accepted in ("chain", "hash", "none"):
                given = ("--anchor", HEAD, "--require-anchor", "--integrity", accepted)
                assert screen.run("verify", out, *given, "--format", "json") == 1
                [said] = json.loads(screen.out)["extracts"]
                assert (said["status"], said["anchored"], said["proven"]) == ("not_sound", False, 0)

    @pytest.mark.parametrize("options", [("--since-seq", "4"), ("--checkpoint-file", "x")], ids=str)
    def test_only_whole(self, out: Path, screen: Screen, options: tuple[str, ...]) -> None:
        """An extract is checked whole, and no part of a log is asked of it."""
        assert screen.run("verify", out, *options) == status.UNUSABLE
        assert "an extract is checked whole" in screen.err

    def test_against_a_copy(self, out: Path, log: Path, screen: Screen) -> None:
        """A collector's copy of the log anchors an extract of it."""
        (log.parent / "logs.jsonl").write_bytes(copies.copy(LINES))
        assert screen.run("verify", out, "--anchor-copy", log.parent / "logs.jsonl") == 0
        assert "sound extract, anchored; 3 entries" in screen.out

    def test_in_place_of_its_log(self, out: Path, log: Path, screen: Screen) -> None:
        """What has the name of a log, directly or over a link, is judged as a log: an extract in its place is none."""
        out.replace(log)
        link = log.parent / "current"
        link.symlink_to("audit.jsonl")
        for path in (log, log.parent, link):
            assert screen.run("verify", path, "--anchor", HEAD, "--require-anchor") == 1
            assert "audit.jsonl:1: malformed" in screen.out or "current:1: malformed" in screen.out
            assert "extract, " not in screen.out

    @pytest.mark.parametrize(
        ("name", "beside"), [("audit", "audit.sha256"), ("audit", "audit.000002.jsonl"), ("audit", "audit.jsonl")]
    )
    def test_beside_other_files_of_a_log(self, out: Path, screen: Screen, name: str, beside: str) -> None:
        """A file that has a log's other files beside it is judged as a log; one called .extract never is."""
        path = out.parent / name
        path.write_bytes(out.read_bytes())
        (out.parent / "audit.jsonl").unlink()
        assert screen.run("verify", path) == 0
        (out.parent / beside).write_bytes(b"")
        (out.parent / f"{out.name}.sha256").write_bytes(b"")
        assert screen.run("verify", path) == 1
        assert "audit:1: malformed" in screen.out
        assert screen.run("verify", out) == 0

    def test_quiet(self, out: Path, screen: Screen) -> None:
        """With -q the exit status alone is the answer."""
        assert screen.run("verify", "-q", out) == 0
        assert (screen.out, screen.err) == ("", "")

    def test_another_version(self, out: Path, screen: Screen) -> None:
        """An extract of a later version is not judged."""
        out.write_bytes(out.read_bytes().replace(b'{"extract":1,', b'{"extract":2,', 1))
        assert screen.run("verify", out) == status.UNUSABLE
        assert "not judged" in screen.out

    def test_json(self, out: Path, log: Path, screen: Screen) -> None:
        """The JSON of extracts and logs together fits its schema."""
        schema = json.loads((ROOT / "docs" / "verify.schema.json").read_text())
        bad = out.parent / "bad.extract"
        bad.write_bytes(out.read_bytes()[:-9])
        assert screen.run("verify", out, log, bad, "--format", "json") == 1
        result: dict[str, Any] = json.loads(screen.out)
        jsonschema.validate(result, schema)
        assert [one["path"] for one in result["logs"]] == [str(log)]
        assert [(one["status"], one["entries"], one["left_out"]) for one in result["extracts"]] == [
            ("sound", 3, 6),
            ("not_sound", 3, 6),
        ]
        assert screen.run("verify", out, "--format", "json") == 0
        jsonschema.validate(json.loads(screen.out), schema)
        for seq, proven in ((5, 2), (6, 3), (12, 3)):
            anchor = f"{seq}:{logs.hash_of(LINES[seq - 1])}"
            assert screen.run("verify", out, "--anchor", anchor, "--format", "json") == 0
            [said] = json.loads(screen.out)["extracts"]
            assert (said["proven"], said["entries"], said["anchored"]) == (proven, 3, proven == 3)

    def test_key(self, tmp_path: Path, screen: Screen) -> None:
        """With the key the hmac of each line is checked; without it that is said."""
        (tmp_path / "audit.jsonl").write_bytes(logs.join(logs.log(9, key=KEY)))
        (tmp_path / "key").write_bytes(KEY)
        out = tmp_path / "some.extract"
        assert screen.run("export", tmp_path / "audit.jsonl", "--format", "jsonl", "-o", out, "--since-seq", 7) == 0
        anchored = ("verify", out, "--anchor", f"9:{logs.hash_of(logs.log(9, key=KEY)[-1])}")
        for change in (b'"hmac":"', b'"hmac":"00000000'):  # as it was, and altered
            length = len(change)
            data = out.read_bytes()
            at = data.index(b'"hmac":"')
            out.write_bytes(data[:at] + change + data[at + length :])
            assert screen.run(*anchored) == 0
            assert "MACs not checked" in screen.out
            assert "each at its seq; an anchor proves no hmac" in screen.out
            assert "unaltered" not in screen.out
            assert screen.run(*anchored, "--hmac-key-file", tmp_path / "key") == (0 if out.read_bytes() == data else 1)
        out.write_bytes(data)
        assert screen.run("verify", out, "--hmac-key-file", tmp_path / "key") == 0
        assert "MACs not checked" not in screen.out

    def test_without_links(self, log: Path, screen: Screen) -> None:
        """With --no-links it is small, and that nothing links over what is left out is said."""
        out = log.parent / "some.extract"
        options = ("--no-links", "--attribute", "lines=5")
        assert screen.run("export", log, "--format", "jsonl", "-o", out, *options) == 0
        assert out.read_bytes().count(b"\n") == 4
        assert screen.run("verify", out) == 0
        assert "nothing links over 7 left-out entries: compare with the log" in screen.out

    def test_as_a_copy(self, out: Path, log: Path, screen: Screen) -> None:
        """The entries of an extract are held against a log with --anchor-copy."""
        assert screen.run("verify", log, "--anchor-copy", out) == 0
        assert "intact, anchored up to seq 6" in screen.out

    def test_up_to_an_anchor(self, log: Path, screen: Screen) -> None:
        """With --anchor it ends there."""
        out = log.parent / "some.extract"
        anchor = f"9:{logs.hash_of(LINES[8])}"
        options = ("--attribute", "lines=5", "--anchor", anchor)
        assert screen.run("export", log, "--format", "jsonl", "-o", out, *options) == 0
        assert extracts.check(out.read_bytes()) == ([5], anchor)

    def test_a_broken_chain(self, log: Path, screen: Screen) -> None:
        """Of a log whose chain does not hold there is no extract."""
        log.write_bytes(logs.join([*LINES[:6], *LINES[7:]]))
        out = log.parent / "some.extract"
        assert screen.run("export", log, "--format", "jsonl", "-o", out, "--since-seq", 4) == status.UNUSABLE
        assert "audit.jsonl:7: expected seq 7, got 8" in screen.err
        assert names(log.parent) == ["audit.jsonl"]

    @pytest.mark.parametrize("mode", ["hash", "none"])
    def test_weaker_modes(self, tmp_path: Path, screen: Screen, mode: str) -> None:
        """Of a log without a chain an extract says that it links nothing; it is sound where --integrity takes it."""
        (tmp_path / "audit.jsonl").write_bytes(logs.join(logs.log(9, mode=mode)))
        out = tmp_path / "some.extract"
        assert screen.run("export", tmp_path / "audit.jsonl", "--format", "jsonl", "-o", out, "--since-seq", 7) == 0
        assert screen.run("verify", out) == 1
        assert f"some.extract:1: downgraded: expected integrity mode chain, got integrity mode {mode}" in screen.out
        assert screen.run("verify", out, "--integrity", mode) == 0
        assert f"integrity mode {mode}: nothing links these entries" in screen.out


class TestImports:
    """What an export needs."""

    @pytest.mark.parametrize("form", ["jsonl", "csv", "otlp-json", "evidence"])
    def test_neither_sdk_nor_extra(self, log: Path, form: str) -> None:
        """All formats but Parquet are written without OpenTelemetry, wrapt or an extra."""
        code = (
            "import sys; from otel_audit.cli import main; status = main(sys.argv[1:])\n"
            "names = {name.partition('.')[0] for name in sys.modules}\n"
            "print(sorted(names & {'opentelemetry', 'wrapt', 'rich', 'duckdb', 'pyarrow', 'numpy'}), file=sys.stderr)\n"
            "sys.exit(status)"
        )
        arguments = ["export", str(log), "--format", form, "-o", str(log.parent / "out")]
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"[]\n")
