"""Checks a log's bytes with hashlib alone: the tests of the writer owe nothing to the package."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

GENESIS = hashlib.sha256(b"").hexdigest()

_START = re.compile(rb'\{"seq":([1-9][0-9]*),"time":"')
_SEAL = re.compile(rb',"hash":"([0-9a-f]{64})"(?:,"hmac":"([0-9a-f]{64})")?\}\Z')
_PREV = re.compile(rb',"prev_hash":"([0-9a-f]{64})"\Z')


class Line(NamedTuple):
    """One entry as it stands in the file; ``end`` is the offset behind its LF."""

    seq: int
    hash: str
    end: int
    members: dict[str, Any]

    @property
    def name(self) -> str:
        """The entry's ``event_name``."""
        return str(self.members["event_name"])

    @property
    def attributes(self) -> dict[str, Any]:
        """The entry's attributes."""
        return dict(self.members["attributes"])


def check(path: str | Path, *, mode: str = "chain", key: bytes | None = None) -> list[Line]:
    """Assert that every byte of a log is an entry in its place or a declared fragment.

    Args:
        mode: The integrity mode that every line must have.
        key: The HMAC key that every line must be sealed with.

    Returns:
        The entries, in order.
    """
    lines = _check_segment(Path(path).read_bytes(), 0, GENESIS, mode, key)
    _check_lifecycle(lines, mode)
    return lines


def check_log(path: str | Path, *, mode: str = "chain", key: bytes | None = None) -> list[Line]:
    """Assert of a log of any number of segments what `check` does of one, and that they follow on.

    Each segment's first entry names the one before with its size and digest, as `sha256sum` has
    them; a last segment may be empty.

    Returns:
        The entries of all segments, in order; ``end`` counts from the beginning of each.
    """
    first = Path(path)
    log: list[Line] = []
    before: bytes | None = None
    for number, file in enumerate(segments(first), 1):
        data = file.read_bytes()
        if before is not None and not data:
            break
        lines = _check_segment(data, len(log), log[-1].hash if log else GENESIS, mode, key)
        opened = lines[0].attributes
        assert lines[0].name == "audit.log.opened"
        assert opened["audit.segment.number"] == number
        if before is not None:
            assert log[-1].name == "audit.log.rotated"
            assert log[-1].attributes["audit.segment.next"] == file.name
            assert opened["audit.segment.previous.name"] == segments(first)[number - 2].name
            assert opened["audit.segment.previous.size"] == len(before)
            assert opened["audit.segment.previous.sha256"] == hashlib.sha256(before).hexdigest()
        assert "audit.log.rotated" not in [line.name for line in lines[:-1]]
        log += lines
        before = data
    _check_lifecycle(log, mode)
    return log


def segments(path: Path) -> list[Path]:
    """Return the files of a log that are there, in order, without a gap."""
    later = (path.with_name(f"{path.stem}.{number:06d}.jsonl") for number in itertools.count(2))
    return [path, *itertools.takewhile(Path.exists, later)]


def _check_segment(data: bytes, count: int, prev: str, mode: str, key: bytes | None) -> list[Line]:
    """Check one file, in front of which ``count`` entries stand."""
    assert data.endswith(b"\n"), f"expected a last LF, got {data[-40:]!r}"
    lines: list[Line] = []
    offset, fragment = 0, -1
    for raw in data[:-1].split(b"\n"):
        end = offset + len(raw) + 1
        members = _entry(raw, count + len(lines) + 1, prev, mode, key)
        if members is None:
            fragment = offset if fragment < 0 else fragment
        else:
            lines.append(Line(members["seq"], members.get("hash", ""), end, members))
            if fragment >= 0:
                _check_declared(data[fragment : offset - 1], fragment, lines[-1])
                fragment = -1
            assert "audit.fragment.offset" not in members["attributes"] or lines[-1].name in _DECLARING
            prev = members.get("hash", "")
        offset = end
    assert fragment < 0, f"expected entries, got undeclared bytes from {fragment} on"
    assert lines, "expected an entry, got none"
    return lines


_DECLARING = ("audit.log.recovered", "audit.log.opened")


def _entry(raw: bytes, seq: int, prev: str, mode: str, key: bytes | None) -> dict[str, Any] | None:
    """Return the members of the entry that must stand next, None where the bytes are no entry."""
    try:
        members = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(members, dict):
        return None
    start = _START.match(raw)
    if start is None:
        return None
    assert int(start[1]) == members["seq"] == seq, f"expected seq {seq}, got {raw[:60]!r}"
    seal = _SEAL.search(raw)
    if mode == "none":
        assert seal is None
        return members
    assert seal is not None, f"seq {seq}: expected a seal, got {raw[-80:]!r}"
    before = raw[: seal.start()]
    digest = hashlib.sha256(before).digest()
    assert seal[1].decode() == digest.hex() == members["hash"], f"seq {seq}: wrong hash"
    named = _PREV.search(before)
    if mode == "chain":
        assert named is not None, f"seq {seq}: expected prev_hash, got none"
        assert named[1].decode() == prev == members["prev_hash"], f"seq {seq}: expected prev_hash {prev}"
    else:
        assert named is None
    if key is None:
        assert seal[2] is None
    else:
        assert seal[2] == hmac.new(key, digest, "sha256").hexdigest().encode(), f"seq {seq}: wrong hmac"
    return members


def _check_declared(fragment: bytes, offset: int, line: Line) -> None:
    declared = line.attributes
    assert line.name in _DECLARING, f"expected a declaration of byte {offset}, got {line.name}"
    assert declared["audit.fragment.offset"] == offset
    assert declared["audit.fragment.length"] == len(fragment)
    assert declared["audit.fragment.sha256"] == hashlib.sha256(fragment).hexdigest()


def _check_lifecycle(lines: list[Line], mode: str) -> None:
    assert lines, "expected an entry, got none"
    assert lines[0].name == "audit.log.opened"
    openings = [line.attributes for line in lines if line.name == "audit.log.opened"]
    assert {opening["audit.integrity.mode"] for opening in openings} == {mode}
    assert len({opening["audit.stream.id"] for opening in openings}) == 1
    ids = [line.attributes["audit.record.id"] for line in lines if line.name.startswith("audit.log.")]
    assert len(set(ids)) == len(ids), "expected lifecycle entries with ids of their own"
