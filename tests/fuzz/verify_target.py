"""The target ``verify``: a whole log, as `tests.fuzz.changed_log` makes it, to the verifier and its views."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import random
import re
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from jsonschema import Draft202012Validator

from otel_audit import reader, verification
from otel_audit.cli import main, verdict
from otel_audit.cli.text import ascii_json
from otel_audit.cli.verify import Checked, as_json, status_of
from otel_audit.log_files import find_log
from otel_audit.verify.anchors import parse_anchor
from otel_audit.verify.finding import Finding
from otel_audit.verify.linked import Links
from otel_audit.verify.report import Integrity, VerifyReport
from otel_audit.verify.segment import Segment
from otel_audit.verify.verifier import verify
from tests.fuzz import reference_log
from tests.fuzz.changed_log import VECTORS, Changed, bases, decode, raw
from tests.fuzz.edits import TOKENS
from tests.fuzz.forgeries import EDITS, forge
from tests.fuzz.reference_line import read_line
from tests.fuzz.reference_log import Fault, Sound, segment_name

MAX_INPUT_BYTES = 1 << 15
NOW = "2026-11-22T12:00:00.000000000Z"
_SCHEMA = Path(__file__).parents[2] / "docs" / "verify.schema.json"
_NOT_OF_LINES = ("gap", "truncated", "diverged", "segment_missing")
_UNSHOWN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NAME = re.compile(r"audit\.(?:([0-9]+)\.)?jsonl")
_HMAC = b',"hmac":"'
_MAX_SHOWN = 10  # findings held against the schema: each costs a millisecond


def check(data: bytes) -> None:
    """Verify a log in every way that there is, and hold the reports against each other and the reference.

    Raises:
        AssertionError: They differ.
        Exception: No log of ordinary files makes the verifier raise.
    """
    changed = decode(data)
    given = changed.given
    path, key_file = _write(changed)
    anchors = [f"{seq}:{digits}" for seq, digits in given.anchors]
    with mock.patch.object(verification, "format_time", return_value=NOW.encode()):
        report = reader.verify_log(
            path, hmac_key_file=key_file, anchors=anchors, expected_integrity=_mode(given.expected)
        )
    _check_ways(report, changed, path)
    _check_places(report, given.files, path)
    _check_soundness(report, changed)
    _check_views(report, anchors, path)
    lines = [line for data in given.files.values() for line in data.split(b"\n")[:-1]]
    if given.files:
        assert len(list(reader.read_log(path))) == sum(read_line(line) is not None for line in lines)
    if changed.command_line:
        _check_command_line(changed, path, key_file, anchors)


def _check_ways(whole: VerifyReport, changed: Changed, path: Path) -> None:
    """Hold the ways over a log against each other: block sizes, the exact way alone, links alone."""
    if not changed.given.files:
        return
    least = sum(map(len, changed.given.files.values())) // 2000  # one byte at a time takes too long for more
    small = _verify(changed, path, max(least, changed.read_bytes))
    assert small == whole, f"differs with the size of reads: {small.findings} and {whole.findings}"
    with mock.patch.object(Links, "follow", return_value=None):
        exactly = _verify(changed, path, 1 << 16)
    assert whole == exactly, f"expected {exactly.findings}, got {whole.findings}"
    links = _verify(changed, path, max(least, changed.read_bytes), chain_only=True)
    assert not (links.errors and not whole.errors), f"only with chain_only: {links.errors}"
    if not whole.errors:
        assert (links.head, links.entries, links.integrity) == (whole.head, whole.entries, whole.integrity)


def _verify(changed: Changed, path: Path, read_bytes: int, *, chain_only: bool = False) -> VerifyReport:
    given = changed.given
    segments = []
    for number, data in sorted(given.files.items()):
        name = segment_name(number)

        def read(at: int, length: int, data: bytes = data) -> bytes:
            return data[at : at + min(length, read_bytes)]

        segments.append(Segment(str(path.with_name(name)), name, number, len(data), read))
    return verify(
        segments,
        path=str(path),
        first_name=path.name,
        key=given.key,
        anchors=[parse_anchor(f"{seq}:{digits}") for seq, digits in given.anchors],
        expected_integrity=_mode(given.expected),
        chain_only=chain_only,
        now=NOW,
        checksums=find_log(path).checksums(),
    )


def _mode(word: str) -> Integrity:
    modes: dict[str, Integrity] = {"chain": "chain", "hash": "hash", "none": "none"}
    return modes[word]


def _check_places(report: VerifyReport, files: Any, path: Path) -> None:
    """Each finding stands within its file, at the beginning of the line that it names, and they are in order."""
    by_path = {str(path.with_name(segment_name(number))): (number, data) for number, data in files.items()}
    places = []
    for finding in report.findings:
        assert finding.count >= 1
        assert finding.seq is None or finding.seq >= 1
        if finding.path not in by_path or finding.line is None:
            assert finding.line is None
            assert finding.offset is None
            continue
        number, data = by_path[finding.path]
        starts = _starts(data)
        places.append((number, finding.line))
        assert 1 <= finding.line <= len(starts), f"{finding}: there are {len(starts)} lines"
        assert finding.offset in (None, starts[finding.line - 1]), f"{finding}: not at byte {finding.offset}"
        if finding.kind not in _NOT_OF_LINES:
            assert finding.line + finding.count - 1 <= len(starts), f"{finding}: {finding.count} lines"
    assert places == sorted(places)
    assert report.entries == sum(segment.entries for segment in report.segments) or not report.segments
    for segment in report.segments:
        assert segment.size_bytes == len(by_path[segment.path][1])


@functools.lru_cache(maxsize=4)
def _starts(data: bytes) -> list[int]:
    starts = [0]
    for line in data.split(b"\n")[:-1]:
        starts.append(starts[-1] + len(line) + 1)
    return starts[:-1] if starts[-1] == len(data) else starts


def _check_soundness(report: VerifyReport, changed: Changed) -> None:
    """No errors just where the reference finds the log sound, and only what no change can hide."""
    given, why = changed.given, ""
    sound: Sound | None
    try:
        sound = reference_log.check(given)
    except Fault as fault:
        why, sound = f"{fault}", None
    if sound is None:
        assert report.errors, f"no errors, and it is not sound: {why}"
        return
    assert not report.errors, f"sound, and yet {report.errors[0]}"
    assert report.intact == (sound.mode == "chain")
    assert report.entries == len(sound.lines)
    assert report.anchors_matched == (len(set(given.anchors)) if sound.mode != "none" else 0)
    assert _notes(report.findings) == sound.notes, f"expected {sound.notes}"
    if changed.base is not None:
        _check_unforged(report, changed, sound)


def _check_unforged(report: VerifyReport, changed: Changed, sound: Sound) -> None:
    """What a key, or an anchor in mode chain, proves is the beginning of the log that it was."""
    base, given = changed.base, changed.given
    assert base is not None
    readable = [line for line in base.lines if read_line(line) is not None]
    if report.macs_checked and not changed.forged:
        assert sound.lines == readable[: len(sound.lines)], "with the key, another log than it was"
    if sound.mode == "chain":
        for seq, digits in given.anchors:
            assert (seq, digits) in base.anchors
            # The hash leaves out the hmac, which nobody can judge without the key.
            one, other = ([line.partition(_HMAC)[0] for line in lines[:seq]] for lines in (sound.lines, readable))
            assert one == other, f"up to anchor {seq} another log than it was"


def _notes(findings: tuple[Finding, ...]) -> set[tuple[str, str, int, int]]:
    """Return what the reference notes, too, for each line by itself."""
    found: set[tuple[str, str, int, int]] = set()
    for finding in findings:
        # A segment that the checksum file does not know is named in the text alone.
        altered = finding.kind == "segment_altered"
        match = _NAME.search(finding.expected if altered else finding.path)
        assert match is not None
        lines = range(1) if altered else range(finding.line or 0, (finding.line or 0) + finding.count)
        if finding.kind != "intent_without_outcome":
            found |= {(finding.kind, finding.severity, int(match[1] or 1), line) for line in lines}
    return found


def _check_views(report: VerifyReport, anchors: list[str], path: Path) -> None:
    """Text shows nothing that moves a terminal, and JSON is as its schema says."""
    for line in verdict.as_text(report, anchors):
        assert _UNSHOWN.search(line) is None, f"unsafe: {line!r}"
    status = status_of(report, require_anchor=bool(anchors))
    assert (status == 0) == (not report.errors and (not anchors or report.anchored))
    text = ascii_json(as_json([Checked(str(path), report, None, status)], len(anchors), status), indent=2)
    assert text.isascii()
    document = json.loads(text)
    for log in document["logs"]:
        assert len(log["findings"]) == len(report.findings)
        del log["findings"][_MAX_SHOWN:]
    _validator().validate(document)


def _check_command_line(changed: Changed, path: Path, key_file: Path | None, anchors: list[str]) -> None:
    """The commands end with a status of their tables, and say only what can be shown."""
    arguments = [str(path), "--integrity", changed.given.expected, *(f"--anchor={anchor}" for anchor in anchors)]
    arguments += [] if key_file is None else ["--hmac-key-file", str(key_file)]
    for command in (["verify", *arguments], ["verify", "--format=json", *arguments], ["show", str(path)]):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            status = main(command)
        assert status in (0, 1, 2), f"{command[0]}: {status}"
        assert _UNSHOWN.search(out.getvalue() + err.getvalue()) is None


@functools.cache
def _validator() -> Any:
    return Draft202012Validator(json.loads(_SCHEMA.read_bytes()))


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="otel-audit-fuzz-")


def _write(changed: Changed) -> tuple[Path, Path | None]:
    """Write a log into the one folder that all inputs share; return its path and the key's."""
    given, folder = changed.given, Path(_folder().name)
    for path in folder.iterdir():
        path.unlink()
    for number, data in given.files.items():
        (folder / segment_name(number)).write_bytes(data)
    if given.checksums:
        (folder / "audit.sha256").write_bytes(given.checksums)
    if given.key is not None:
        (folder / "key").write_bytes(given.key + b"\n")
    return folder / "audit.jsonl", folder / "key" if given.key is not None else None


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Return the logs of the vectors as bytes, each sound log unchanged, each edit, and forgeries."""
    found = []
    for folder in sorted(VECTORS.iterdir()):
        files = [path.read_bytes() for path in sorted(folder.glob("*.jsonl"), key=lambda path: len(path.name))]
        found.append(raw(files))
    unchanged = [bytes([1, number, 0x20, 1, 0]) for number in range(len(bases()))]
    edited = [bytes([1, 0, 0xF0, 2, 1, number, 0, 3]) for number in range(len(EDITS))]
    # All sealed anew behind line 3: with the key, and without it.
    at = EDITS.index(forge)
    forged = [bytes([1, number, 0x20, 0, 1, at, 0, 3, key]) for number in range(len(bases())) for key in (0, 1)]
    found += dict.fromkeys((*unchanged, *edited, *forged))
    return tuple(data for data in found if len(data) <= MAX_INPUT_BYTES)


def mutate(data: bytes, choose: random.Random) -> bytes:
    """Return another input: more often a programme, which comes further than bytes do."""
    kind = choose.randrange(8)
    if kind < 5 or not data:
        # Few edits: behind many, there is always some error, whatever else is wrong.
        head = [1, choose.randrange(len(bases())), choose.randrange(256), choose.randrange(256)]
        return bytes([*head, choose.choice((1, 1, 1, 2, 2, 3, 5))]) + choose.randbytes(60)
    at = choose.randrange(len(data) + 1)
    new = choose.randbytes(choose.randrange(3)) if kind == 5 else choose.choice(TOKENS)
    return data[:at] + new + data[at + choose.randrange(3) :]
