"""`otel_audit.query.evidence`: a zip file that is checked with coreutils alone, where there is nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest

from otel_audit.cli import main
from tests import logs, strange

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "tests" / "vectors" / "logs"
KEY = b"0123456789abcdef"
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
COREUTILS = (
    *("cat", "cut", "dirname", "head", "mkdir", "mktemp", "paste", "rm", "seq", "sha256sum", "split", "tail", "tr"),
    *("truncate", "wc"),
)
BESIDE = ("sed", "sh")


def mode_of(name: str) -> str | None:
    """Return the mode that the first entry of a log of the vectors declares; None where it cannot be packed."""
    path = VECTORS / name / "audit.jsonl"
    data = path.read_bytes() if path.exists() else b""
    mode = re.search(rb'"audit.integrity.mode":"(chain|hash)"', data.split(b"\n")[0])
    return mode[1].decode() if mode and b'"audit.format.version":"1"' in data else None


VECTORS_WITH_HASHES = sorted(path.name for path in VECTORS.iterdir() if mode_of(path.name))


def holds(files: dict[str, bytes]) -> bool:
    """Whether hashes, seqs and links hold from line to line; what does not end in a seal is passed over."""
    seq, before = 0, logs.GENESIS
    first = files["audit.jsonl"].split(b"\n")[0]
    seal = rb'(,"hash":"([0-9a-f]{64})"' + rb',"hmac":"[0-9a-f]{64}"' * (b'"audit.key.id":' in first) + rb"})$"
    if chained := b'"audit.integrity.mode":"chain"' in first:
        seal = rb',"prev_hash":"(?P<prev>[0-9a-f]{64})"' + seal
    for name in sorted(files, key=lambda name: name.split(".")[1:-1]):
        for line in files[name].split(b"\n")[:-1]:
            head, tail = re.match(rb'\{"seq":([1-9][0-9]*),', line), re.search(seal, line)
            if tail is None or head is None:
                continue
            *_, end, stored = tail.groups()
            digest = hashlib.sha256(line[: -len(end)]).hexdigest()
            if int(head[1]) != seq + 1 or digest != stored.decode() or (chained and tail["prev"].decode() != before):
                return False
            seq, before = seq + 1, digest
    return seq > 0


class Checked(NamedTuple):
    """What the script said."""

    status: int
    said: str


@pytest.fixture(scope="module")
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with coreutils, sed and sh, and nothing else."""
    folder = tmp_path_factory.mktemp("bin")
    for name in (*COREUTILS, *BESIDE):
        found = shutil.which(name)
        assert found is not None, f"expected {name}"
        (folder / name).symlink_to(found)
    return folder


class Evidence:
    """One zip file, unpacked."""

    def __init__(self, folder: Path, bare_path: Path) -> None:
        self._folder = folder
        self._bare_path = bare_path
        self.zip = folder / "x.zip"
        self.status = 0

    def make(self, files: dict[str, bytes], *options: str) -> Path:
        """Pack a log, and return the folder that is in the zip file."""
        log = self._folder / "from"
        log.mkdir()
        for name, data in files.items():
            (log / name).write_bytes(data)
        self.status = main(["export", str(log), "--format", "evidence", "-o", str(self.zip), *options])
        with zipfile.ZipFile(self.zip) as packed:
            assert packed.testzip() is None
            packed.extractall(self._folder / "to")
        [found] = (self._folder / "to").iterdir()
        return found

    def check(self, folder: Path, *arguments: str) -> Checked:
        """Run the script in an empty environment."""
        done = subprocess.run(
            ["sh", str(folder / "check.sh"), *arguments],
            env={"PATH": str(self._bare_path), "TMPDIR": MEMORY},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.stderr == "" or done.returncode == 2
        return Checked(done.returncode, done.stdout)

    def reseal(self, folder: Path, change: Callable[[bytes], bytes], name: str = "audit.jsonl") -> None:
        """Change a segment, and SHA256SUMS with it."""
        path, sums = folder / "log" / name, folder / "SHA256SUMS"
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        path.write_bytes(change(path.read_bytes()))
        after = hashlib.sha256(path.read_bytes()).hexdigest()
        assert before != after
        sums.write_text(sums.read_text().replace(before, after))


@pytest.fixture
def evidence(tmp_path: Path, bare_path: Path) -> Evidence:
    """Make and check evidence."""
    return Evidence(tmp_path, bare_path)


class TestScript:
    """``check.sh``."""

    def test_sound(self, evidence: Evidence) -> None:
        """A sound log passes, and its head is told."""
        lines = logs.log(12)
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        done = evidence.check(folder)
        assert done.status == 0
        assert (
            f"chain: 12 entries, each with the hash of the one before, head 12:{logs.hash_of(lines[-1])}" in done.said
        )
        assert evidence.status == 0

    def test_segments(self, evidence: Evidence) -> None:
        """The chain is followed over segments, in their order."""
        made = logs.segments([5, 6, 7])
        files = {name: logs.join(lines) for name, lines in zip(logs.names_of(3), made, strict=True)}
        done = evidence.check(evidence.make(files))
        assert done.status == 0
        assert f"head 18:{logs.hash_of(made[2][-1])}" in done.said

    def test_more_lines_than_are_taken_at_once(self, evidence: Evidence) -> None:
        """A log of thousands of lines is checked to its end."""
        lines = logs.log(2100)
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        assert f"head 2100:{logs.hash_of(lines[-1])}" in evidence.check(folder).said
        evidence.reseal(folder, lambda data: data.replace(lines[2060], lines[2060].replace(b"git_log", b"git_lag")))
        assert "seq 2061" in evidence.check(folder).said

    def test_strange_content(self, evidence: Evidence) -> None:
        """Whatever stands in the lines, escapes and other scripts too, their hashes are found right."""
        lines = strange.lines()
        done = evidence.check(evidence.make({"audit.jsonl": logs.join(lines)}))
        assert done.status == 0
        assert f"head {len(lines)}:" in done.said

    def test_a_key(self, evidence: Evidence) -> None:
        """A log with a key passes, and that its hmac were not checked is told."""
        done = evidence.check(evidence.make({"audit.jsonl": logs.join(logs.log(9, key=KEY))}))
        assert done.status == 0
        assert "the hmac of each line was not checked" in done.said

    @pytest.mark.parametrize(("mode", "said"), [("hash", "9 entries, each with its own hash"), ("none", "no hashes")])
    def test_weaker_modes(self, evidence: Evidence, mode: str, said: str) -> None:
        """Of a log without a chain it says what it can check."""
        done = evidence.check(evidence.make({"audit.jsonl": logs.join(logs.log(9, mode=mode))}))
        assert (done.status, said in done.said) == (0, True)

    @pytest.mark.parametrize("mode", ["chain", "hash"])
    @pytest.mark.parametrize(
        ("change", "seq"),
        [
            (lambda lines: [*lines[:6], lines[6].replace(b"git_log", b"git_lag"), *lines[7:]], "7"),
            (lambda lines: [*lines[:6], *lines[7:]], "8"),
            (lambda lines: lines[1:], "2"),
            (lambda lines: [*lines[:6], lines[7], lines[6], *lines[8:]], "8"),
            (lambda lines: [*lines[:7], lines[6], *lines[7:]], "7"),
        ],
        ids=["edited", "removed", "first_removed", "swapped", "doubled"],
    )
    def test_tampered(
        self, evidence: Evidence, mode: str, change: Callable[[list[bytes]], list[bytes]], seq: str
    ) -> None:
        """A line that was changed, taken away, moved or doubled is found, and the place named."""
        lines = logs.log(12, mode=mode)
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        evidence.reseal(folder, lambda _: logs.join(change(lines)))
        done = evidence.check(folder)
        if seq == "2" and mode == "hash":  # without its first entry nothing says what the log is
            assert (done.status, "no entry says what the log is" in done.said) == (1, True)
        else:
            assert (done.status, f"has seq {seq}" in done.said) == (1, True), done.said

    @pytest.mark.parametrize("sealed", [False, True])
    @pytest.mark.parametrize("said", ["hash", "none"])
    def test_a_line_that_makes_the_log_weaker(self, evidence: Evidence, said: str, *, sealed: bool) -> None:
        """A log of which any line has a link is a chain, whatever a line in front of it calls it."""
        lines = logs.log(12)
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        junk = b'{"seq":0,"event_name":"audit.log.opened","audit.integrity.mode":"%b"}' % said.encode()
        front = logs.seal(logs.opened(mode=said), mode="hash") if sealed else junk
        edited = logs.seal(logs.entry(4, forged=True), logs.hash_of(lines[2]))
        evidence.reseal(folder, lambda _: logs.join([front, *lines[:3], edited, *lines[4:]]))
        done = evidence.check(folder)
        assert (done.status, "has seq 5" in done.said) == (1, True), done.said

    @pytest.mark.parametrize("mode", ["hash", "none"])
    def test_a_line_without_a_seal_opens_nothing(self, evidence: Evidence, mode: str) -> None:
        """Of a log with hashes a line without one is not asked what the log is."""
        lines = logs.log(9, mode="hash")
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        front = logs.dump(logs.opened(mode=mode))
        evidence.reseal(folder, lambda _: logs.join([front, *lines]))
        assert "9 entries, each with its own hash" in evidence.check(folder).said
        evidence.reseal(folder, lambda _: logs.join([front, *lines[1:]]))
        done = evidence.check(folder)
        assert (done.status, "no entry says what the log is" in done.said) == (1, True), done.said

    def test_a_sealed_line_that_says_none(self, evidence: Evidence) -> None:
        """A log cannot have hashes and say that it has none."""
        lines = logs.log(9, mode="hash")
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        front = logs.seal(logs.opened(mode="none"), mode="hash")
        evidence.reseal(folder, lambda _: logs.join([front, *lines[1:]]))
        done = evidence.check(folder)
        assert (done.status, "have no hashes, and some have" in done.said) == (1, True), done.said

    def test_a_line_that_takes_the_key_away(self, evidence: Evidence) -> None:
        """A log of which any line has an hmac has a key: one entry without, in front, does not stand for all."""
        lines = logs.log(9, key=KEY)
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        evidence.reseal(folder, lambda _: logs.join([logs.seal(logs.opened()), *lines[1:]]))
        done = evidence.check(folder)
        assert (done.status, "has seq 2" in done.said) == (1, True), done.said

    def test_an_anchor_of_a_log_without_hashes(self, evidence: Evidence) -> None:
        """With an anchor, a log that says it has no hashes is not passed."""
        folder = evidence.make({"audit.jsonl": logs.join(logs.log(9, mode="none"))})
        assert evidence.check(folder).status == 0
        done = evidence.check(folder, f"9:{'0' * 64}")
        assert (done.status, "the anchor 9:" in done.said) == (1, True), done.said

    def test_inserted(self, evidence: Evidence) -> None:
        """A line that was made with a right hash of its own does not fit the next one."""
        lines = logs.log(12)
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        forged = logs.seal(logs.entry(7, forged=True), logs.hash_of(lines[5]))
        evidence.reseal(folder, lambda data: data.replace(lines[6], forged))
        assert "has seq 8" in evidence.check(folder).said

    def test_a_line_without_its_seal(self, evidence: Evidence) -> None:
        """An entry whose hash was taken away is missed."""
        lines = logs.log(12)
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        evidence.reseal(folder, lambda data: data.replace(lines[6], lines[6][:-75] + b"}"))
        assert evidence.check(folder).status == 1

    def test_a_changed_file(self, evidence: Evidence) -> None:
        """A file that is not the one that was packed is named."""
        folder = evidence.make({"audit.jsonl": logs.join(logs.log(3))})
        (folder / "verify.txt").write_text("all is well\n")
        done = evidence.check(folder)
        assert (done.status, "verify.txt: FAILED" in done.said) == (1, True)

    def test_anchor(self, evidence: Evidence) -> None:
        """An anchor is looked for: the head, any entry, one of another log, one behind the end."""
        lines = logs.log(12)
        folder = evidence.make({"audit.jsonl": logs.join(lines)})
        for seq in (1, 7, 12):
            done = evidence.check(folder, f"{seq}:{logs.hash_of(lines[seq - 1])}")
            assert (done.status, "is in the log" in done.said) == (0, True)
        for anchor in (f"7:{logs.hash_of(lines[7])}", f"13:{'0' * 64}"):
            assert evidence.check(folder, anchor).status == 1
        assert evidence.check(folder, "7").status == 2

    def test_fragments(self, evidence: Evidence) -> None:
        """What a crash left behind is counted, and breaks no chain."""
        lines = logs.log(12)
        data = logs.join([*lines[:6], b'{"seq":7,"ti\x00\x1b\xff', *lines[6:]])
        done = evidence.check(evidence.make({"audit.jsonl": data + b'{"seq":13'}))
        assert done.status == 0
        assert "lines that are no entries, what a crash left behind for example: 1" in done.said
        assert "the last line of log/audit.jsonl has no end" in done.said

    @pytest.mark.parametrize("name", VECTORS_WITH_HASHES)
    def test_vectors(self, evidence: Evidence, name: str) -> None:
        """Of every log of the vectors it says what an ordinary program finds that goes through the lines in order."""
        files = {path.name: path.read_bytes() for path in (VECTORS / name).iterdir() if ".jsonl" in path.name}
        folder = evidence.make(files)
        done = evidence.check(folder)
        assert done.status == (not holds(files)), done.said
        if json.loads((folder / "verify.json").read_text())["logs"][0]["status"] == "intact":
            assert done.status == 0


class TestContent:
    """What is in the zip file."""

    def test_files(self, evidence: Evidence) -> None:
        """Segments byte for byte, checksums of every file, the verdict for people and programs, and how to check."""
        made = logs.segments([5, 6])
        files = {name: logs.join(lines) for name, lines in zip(logs.names_of(2), made, strict=True)}
        files["audit.sha256"] = f"{hashlib.sha256(files['audit.jsonl']).hexdigest()}  audit.jsonl\n".encode()
        folder = evidence.make(files)
        assert folder.name == "audit-evidence"
        assert {name: (folder / "log" / name).read_bytes() for name in logs.names_of(2)} == {
            name: files[name] for name in logs.names_of(2)
        }
        assert (folder / "audit.sha256").read_bytes() == files["audit.sha256"]
        sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
        found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        assert set(sums) == set(found) - {"SHA256SUMS"}
        assert all(hashlib.sha256(found[name].read_bytes()).hexdigest() == digest for name, digest in sums.items())
        assert "intact, unanchored; 11 entries, 2 segments" in (folder / "verify.txt").read_text()
        schema = json.loads((ROOT / "docs" / "verify.schema.json").read_text())
        jsonschema.validate(json.loads((folder / "verify.json").read_text()), schema)

    def test_manifest(self, evidence: Evidence) -> None:
        """The manifest has the head, the stream and every segment with size and digest."""
        lines = logs.log(12)
        data = logs.join(lines)
        manifest = json.loads((evidence.make({"audit.jsonl": data}) / "manifest.json").read_text())
        assert manifest["head"] == {"seq": 12, "hash": logs.hash_of(lines[-1])}
        assert (manifest["stream_id"], manifest["integrity"], manifest["errors"]) == (logs.STREAM_ID, "chain", 0)
        assert manifest["segments"] == [
            {
                "name": "audit.jsonl",
                "size_bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "entries": 12,
            }
        ]

    def test_schema(self, evidence: Evidence) -> None:
        """The schema of a line fits the lines of a log, and not what is none."""
        folder = evidence.make({"audit.jsonl": logs.join(logs.log(9, key=KEY))})
        schema = json.loads((folder / "entry.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        for line in (*(folder / "log" / "audit.jsonl").read_bytes().splitlines(), logs.log(2, mode="none")[1]):
            jsonschema.validate(json.loads(line), schema)
        for change in ({"seq": 0}, {"time": "yesterday"}, {"more": 1}, {"span_id": "x"}):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(logs.entry(2) | change, schema)

    def test_same_bytes(self, evidence: Evidence, tmp_path: Path) -> None:
        """The same log gives the same bytes, whenever it is packed."""
        evidence.make({"audit.jsonl": logs.join(logs.log(12))})
        again = tmp_path / "again.zip"
        os.utime(tmp_path / "from" / "audit.jsonl", (0, 0))
        assert main(["export", str(tmp_path / "from"), "--format", "evidence", "-o", str(again)]) == 0
        assert again.read_bytes() == evidence.zip.read_bytes()

    def test_not_intact(self, evidence: Evidence, capsys: pytest.CaptureFixture[str]) -> None:
        """A log that is not intact is packed as it is, and that is told: by the exit status, too."""
        data = logs.join(logs.log(9)).replace(b"git_log", b"git_lag", 1)
        folder = evidence.make({"audit.jsonl": data})
        assert evidence.status == 1
        assert "the log in it is not intact" in capsys.readouterr().out
        assert (folder / "log" / "audit.jsonl").read_bytes() == data
        assert "not intact: 1 error" in (folder / "verify.txt").read_text()

    def test_a_line_end_in_the_name(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A log whose name has a line end is refused: the list of checksums has a name a line."""
        log = tmp_path / "au\ndit.jsonl"
        log.write_bytes(logs.join(logs.log(3)))
        assert main(["export", str(log), "--format", "evidence", "-o", str(tmp_path / "x.zip")]) == 2
        assert "whose name has no line end" in capsys.readouterr().err
        assert not (tmp_path / "x.zip").exists()

    def test_anchored(self, evidence: Evidence) -> None:
        """With an anchor the verdict in it is anchored."""
        lines = logs.log(9)
        folder = evidence.make({"audit.jsonl": logs.join(lines)}, "--anchor", f"9:{logs.hash_of(lines[-1])}")
        assert "intact, anchored; 9 entries" in (folder / "verify.txt").read_text()

    def test_only_what_was_judged(self, evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is appended while the evidence is made is not in it."""
        from otel_audit.query import evidence as module

        lines = logs.log(12)
        original = module.write_evidence

        def grow(file: io.BytesIO, path: str, *rest: object) -> None:
            with (Path(path) / "audit.jsonl").open("ab") as log:
                log.write(logs.join(lines[9:]))
            original(file, path, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(module, "write_evidence", grow)
        folder = evidence.make({"audit.jsonl": logs.join(lines[:9])})
        assert (folder / "log" / "audit.jsonl").read_bytes() == logs.join(lines[:9])
        assert "head 9:" in evidence.check(folder).said
