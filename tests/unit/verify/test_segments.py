"""Logs of several segments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_audit.reader import read_log, verify_log
from tests import logs

NAMES = ("audit.jsonl", "audit.000002.jsonl", "audit.000003.jsonl")


def write(folder: Path) -> list[list[bytes]]:
    """Write a log of three segments, and return their lines."""
    segments: list[list[bytes]] = []
    prev, seq = logs.GENESIS, 1
    for index, name in enumerate(NAMES):
        more: dict[str, Any] = {}
        if index:
            before = logs.join(segments[-1])
            more = {
                "audit.segment.previous.name": NAMES[index - 1],
                "audit.segment.previous.size": len(before),
                "audit.segment.previous.sha256": hashlib.sha256(before).hexdigest(),
            }
        members = [logs.opened(seq, segment=index + 1, **more)]
        members += [logs.entry(seq + step) for step in range(1, 150)]
        if index < 2:
            members.append(logs.log_entry(seq + 150, "audit.log.rotated", **{"audit.segment.next": NAMES[index + 1]}))
        segments.append(list(logs.chain(members, prev)))
        prev, seq = logs.hash_of(segments[-1][-1]), seq + len(members)
        (folder / name).write_bytes(logs.join(segments[-1]))
    sums = (f"{hashlib.sha256(logs.join(s)).hexdigest()}  {n}\n" for s, n in zip(segments, NAMES, strict=True))
    (folder / "audit.sha256").write_text("".join(list(sums)[:2]))
    return segments


def kinds(folder: Path) -> list[tuple[str, str, str, int | None]]:
    """Return kind, severity, file and line of each finding."""
    return [(f.kind, f.severity, Path(f.path).name, f.line) for f in verify_log(folder).findings]


@pytest.mark.parametrize("name", ["", *NAMES])
def test_any_segment_stands_for_the_log(tmp_path: Path, name: str) -> None:
    """A sound log is intact over its segments, whichever is named."""
    segments = write(tmp_path)
    report = verify_log(tmp_path / name)
    assert report.intact
    assert not report.findings
    assert [s.entries for s in report.segments] == [151, 151, 150]
    assert report.head is not None
    assert report.head.hash == logs.hash_of(segments[2][-1])
    assert [entry.seq for entry in read_log(tmp_path)] == list(range(1, 453))


def test_a_size_that_is_no_integer_is_another(tmp_path: Path) -> None:
    """What the next segment says of this one is said in one way only: a size of 9.0 bytes is not one of 9."""
    segments = write(tmp_path)
    size = len(logs.join(segments[1]))
    opened = segments[2][0].replace(b'size":%d' % size, b'size":%d.0' % size)
    members = [json.loads(line) for line in (opened, *segments[2][1:])]
    bare = ({name: value for name, value in each.items() if name not in ("prev_hash", "hash")} for each in members)
    (tmp_path / NAMES[2]).write_bytes(logs.join(logs.chain(bare, logs.hash_of(segments[1][-1]))))
    assert kinds(tmp_path) == [("segment_altered", "error", NAMES[1], None)]


@pytest.mark.parametrize("index", [0, 1])
def test_a_segment_that_is_gone_is_missing(tmp_path: Path, index: int) -> None:
    """A missing segment explains the gap that it leaves."""
    write(tmp_path)
    (tmp_path / NAMES[index]).unlink()
    assert kinds(tmp_path) == [("segment_missing", "error", NAMES[index], None)]


def test_the_last_segment_is_missed_by_the_one_before(tmp_path: Path) -> None:
    """``rotated`` names a next file: without it a segment is missing."""
    write(tmp_path)
    (tmp_path / NAMES[2]).unlink()
    assert kinds(tmp_path) == [("segment_missing", "error", NAMES[2], None)]


def test_an_empty_last_segment_is_no_finding(tmp_path: Path) -> None:
    """Rotation creates the next file first: a crash behind that leaves it empty."""
    write(tmp_path)
    (tmp_path / NAMES[2]).write_bytes(b"")
    assert kinds(tmp_path) == []


def test_the_checksum_file_is_the_only_witness_of_the_last_closed_one(tmp_path: Path) -> None:
    """Without a next ``opened`` a wrong checksum is an error, else a warning on the file."""
    write(tmp_path)
    sums = tmp_path / "audit.sha256"
    lines = sums.read_text().split("\n")
    sums.write_text("\n".join([lines[0], "0" * 64 + lines[1][64:], ""]))
    assert kinds(tmp_path) == [("segment_altered", "warning", "audit.sha256", None)]
    (tmp_path / NAMES[2]).write_bytes(b"")
    assert kinds(tmp_path) == [("segment_altered", "error", NAMES[1], None)]


def test_where_links_alone_are_looked_at_a_digest_counts_where_nothing_is_linked_behind_it(tmp_path: Path) -> None:
    """A next segment's first entry proves the one before as its digest would; without one, the digest is looked at."""
    segments = write(tmp_path)
    sums = tmp_path / "audit.sha256"
    lines = sums.read_text().split("\n")
    sums.write_text("\n".join([lines[0], "0" * 64 + lines[1][64:], ""]))
    assert not verify_log(tmp_path, chain_only=True).findings
    cut = tmp_path / NAMES[1]
    sums.write_text("\n".join(lines))
    cut.write_bytes(logs.join(segments[1][:-1]))
    assert [f.kind for f in verify_log(tmp_path, chain_only=True).findings] == ["gap"]
    (tmp_path / NAMES[2]).write_bytes(b"")
    assert [f.kind for f in verify_log(tmp_path, chain_only=True).findings] == ["segment_altered"]


def test_where_links_alone_are_looked_at_a_size_still_counts(tmp_path: Path) -> None:
    """Who seals a segment anew, and all behind it, must also say its new length in the next one."""
    segments = write(tmp_path)
    members = [json.loads(line) for lines in segments for line in lines]
    for each in members:
        del each["prev_hash"], each["hash"]
    members[100]["event_name"] += ".longer"
    sealed, at = list(logs.chain(members)), 0
    for name, lines in zip(NAMES, segments, strict=True):
        (tmp_path / name).write_bytes(logs.join(sealed[at : at + len(lines)]))
        at += len(lines)
    [found] = verify_log(tmp_path, chain_only=True).findings
    size = len(logs.join(segments[0]))
    assert (found.kind, found.expected, found.got) == (
        "segment_altered",
        f"audit.jsonl of {size} bytes",
        f"audit.jsonl of {size + len('.longer')} bytes",
    )
    assert "segment_altered" in {kind for kind, *_ in kinds(tmp_path)}


@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_false_checksum_beside_the_true_one(tmp_path: Path, place: str) -> None:
    """Where ``sha256sum -c`` would fail, the verifier warns, wherever the false line stands."""
    write(tmp_path)
    sums = tmp_path / "audit.sha256"
    false = "0" * 64 + f"  {NAMES[0]}\n"
    sums.write_text(false + sums.read_text() if place == "before" else sums.read_text() + false)
    assert kinds(tmp_path) == [("segment_altered", "warning", "audit.sha256", None)]


def test_an_edited_line_in_a_closed_segment_is_one_finding(tmp_path: Path) -> None:
    """The segment's other SHA-256 is explained by the line."""
    segments = write(tmp_path)
    changed = list(segments[0])
    changed[101] = segments[0][101].replace(b'"lines"', b'"Lines"')
    (tmp_path / NAMES[0]).write_bytes(logs.join(changed))
    assert kinds(tmp_path) == [("edited", "error", NAMES[0], 102)]


def test_a_renamed_segment_is_altered(tmp_path: Path) -> None:
    """A segment whose ``opened`` names another number is not the one it says."""
    segments = write(tmp_path)
    (tmp_path / NAMES[1]).write_bytes(logs.join(segments[1][1:]))
    assert kinds(tmp_path) == [("gap", "error", NAMES[1], 1)]
    lone = tmp_path / "lone"
    lone.mkdir()
    lines = list(logs.chain([logs.opened(segment=2), logs.entry(2)]))
    (lone / NAMES[0]).write_bytes(logs.join(lines))
    assert kinds(lone) == [("segment_altered", "error", NAMES[0], 1)]


def test_an_anchor_reaches_over_segments(tmp_path: Path) -> None:
    """An anchor in the last segment proves the first."""
    segments = write(tmp_path)
    anchor = f"452:{logs.hash_of(segments[2][-1])}"
    assert verify_log(tmp_path, anchors=[anchor]).anchored
    report = verify_log(tmp_path, anchors=["453:" + "a" * 64])
    assert [(f.kind, f.seq) for f in report.findings] == [("truncated", 453)]


FAULTS: dict[str, Callable[[list[bytes], int], None]] = {
    "edited": lambda lines, at: lines.__setitem__(at, lines[at].replace(b'"success"', b'"failure"')),
    "malformed": lambda lines, at: lines.__setitem__(at, lines[at][:-1]),
    "duplicate": lambda lines, at: lines.insert(at, lines[at]),
    "gap": lambda lines, at: lines.__delitem__(at),
    "inserted": lambda lines, at: lines.insert(at, logs.seal(logs.entry(7, lines=-1), "ab" * 32)),
    "reordered": lambda lines, at: lines.insert(at + 1, lines.pop(at)),
}


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 1, 70, -3, -2, -1])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_in_a_segment_is_one_finding(tmp_path: Path, kind: str, at: int, index: int) -> None:
    """Wherever in a segment a line is changed, the line is the only finding."""
    segments = write(tmp_path)
    lines = list(segments[index])
    at %= len(lines)
    if kind == "reordered" and at == len(lines) - 1:
        at -= 1
    FAULTS[kind](lines, at)
    (tmp_path / NAMES[index]).write_bytes(logs.join(lines))
    found = [(f.kind, f.severity) for f in verify_log(tmp_path).findings]
    # A line cut off the very end of a log leaves no trace.
    end = index == 2 and at == len(segments[index]) - 1
    assert found == ([] if kind == "gap" and end else [(kind, "error")])


@pytest.mark.parametrize("source", [0, 1, 2])
@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("at", [0, 75, 149])
def test_a_line_moved_to_another_segment_is_reordered(tmp_path: Path, source: int, target: int, at: int) -> None:
    """The segment that it came from, and the one that it went to, have no finding of their own."""
    segments = [list(lines) for lines in write(tmp_path)]
    line = segments[source].pop(at)
    segments[target].insert(60, line)
    for name, lines in zip(NAMES, segments, strict=True):
        (tmp_path / name).write_bytes(logs.join(lines))
    assert [f.kind for f in verify_log(tmp_path).findings] == ["reordered"]
