"""The fuzzing targets, by chance and for a short time each; README.md beside this file has the long way."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.fuzz import reference_log, target
from tests.fuzz.engine import Figures, search
from tests.fuzz.reference_line import exact, read_line
from tests.fuzz.reference_log import Fault, Given
from tests.fuzz.target import Target, TooSlow

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
SECONDS = 15
SEED = 1


@pytest.mark.parametrize("name", ["line", "verify"])
def test_nothing_is_found(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No input that this seed leads to breaks a promise of the parser, or of the verifier."""
    command = [sys.executable, "-m", f"tests.fuzz.fuzz_{name}", "--engine=random"]
    command += [f"--seconds={SECONDS}", f"--seed={SEED}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{' '.join(command[1:])}\n{done.stdout}{done.stderr}"
    assert f"{name}: " in done.stdout
    with capsys.disabled():
        sys.stdout.write(f"\n{done.stdout}")


BROKEN: tuple[tuple[str, str, Any], ...] = (
    ("line", "otel_audit.entry.check_optional", lambda members: None),
    ("line", "otel_audit.entry.MAX_DEPTH", 65),
    ("line", "otel_audit.strict_json.MAX_DEPTH", 65),
    ("line", "otel_audit.entry.MAX_EVENT_NAME_BYTES", 1025),
    ("verify", "otel_audit.verify.judge.entry_hash", lambda prefix: reference_log.GENESIS),
    ("verify", "otel_audit.verify.judge.entry_hmac", lambda key, digits: "0" * 64),
    ("verify", "otel_audit.verify.verifier.check_segments", lambda *arguments: None),
    ("verify", "otel_audit.verify.verifier.check_anchors", lambda anchors, *more: frozenset(anchors)),
    ("verify", "otel_audit.verify.fragments.region_sha256", lambda region, segments: mock.ANY),
    ("verify", "otel_audit.verify.judge.Judge._disagreement", lambda *arguments: None),
    ("verify", "otel_audit.verify.contents.brackets", lambda *arguments: 0),
)


@pytest.mark.parametrize(("name", "place", "instead"), BROKEN, ids=[place for _, place, _ in BROKEN])
def test_what_is_broken_is_found(name: str, place: str, instead: object) -> None:
    """A target fails within a few thousand inputs where a part of what it judges is broken."""
    broken, figures = Target(f"tests.fuzz.{name}_target"), Figures()
    with mock.patch(place, instead):
        found = search(broken, SEED, figures, inputs=4000)
    sys.stdout.write(f"{figures}")
    assert found is not None
    assert broken.failure(found) is None


class TestReference:
    """The second reader and the second verifier are right themselves, as far as the vectors tell."""

    def test_lines(self) -> None:
        """It takes the legal lines of ``lines.json`` and refuses the others."""
        for case in json.loads((VECTORS / "lines.json").read_bytes()):
            line = b"".join(
                (part["text"].encode() if "text" in part else base64.b64decode(part["base64"])) * part.get("times", 1)
                for part in case["line"]
            )
            members = read_line(line)
            assert (members is not None) == case["legal"], case["name"]
            if members is not None and "body" in case:
                assert exact(members["body"]) == exact(case["body"])

    @pytest.mark.parametrize("folder", sorted((VECTORS / "logs").iterdir()), ids=lambda folder: folder.name)
    def test_logs(self, folder: Path) -> None:
        """It finds a log sound just where the vector has no error."""
        case = json.loads((folder / "case.json").read_bytes())
        options, sums = case["options"], folder / "audit.sha256"
        files = {int(path.name.split(".")[1].replace("jsonl", "1")): path for path in folder.glob("*.jsonl")}
        given = Given(
            files={number: path.read_bytes() for number, path in files.items()},
            checksums=sums.read_bytes() if sums.exists() else b"",
            key=(folder / "hmac.key").read_bytes().removesuffix(b"\n") if "hmac_key_file" in options else None,
            anchors=[(int(seq), digits) for seq, _, digits in (a.partition(":") for a in options.get("anchors", ()))],
            expected=options.get("integrity", "chain"),
        )
        try:
            reference_log.check(given)
            sound = True
        except Fault:
            sound = False
        assert sound == all(finding["severity"] != "error" for finding in case["expected"]["findings"])


class TestTarget:
    """`Target`."""

    def test_tells_a_short_input(self) -> None:
        """What is told of a failure replays the shortest input that fails in the same way."""
        line = Target("tests.fuzz.line_target")

        def check(data: bytes) -> None:
            assert b"\0" not in data

        line.check = check
        told = line.told(b"abc\0def" * 10)
        assert "found by 1 bytes (at first 70): b'\\x00'" in told
        assert told.endswith("python -m tests.fuzz.fuzz_line --replay AA==")

    def test_stops_what_takes_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An input that takes longer than the limit fails, whatever handles exceptions meanwhile."""
        monkeypatch.setattr(target, "MAX_SECONDS", 0.05)
        line = Target("tests.fuzz.line_target")

        def check(data: bytes) -> None:
            while True:
                try:
                    sum(range(1000))
                except Exception:
                    continue

        line.check = check
        assert isinstance(line.failure(b""), TooSlow)

    @pytest.mark.parametrize("name", ["line", "verify"])
    def test_replays(self, name: str) -> None:
        """``--replay`` runs one input, and nothing is printed of a sound one."""
        command = [sys.executable, "-m", f"tests.fuzz.fuzz_{name}", "--replay", "AQA="]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
