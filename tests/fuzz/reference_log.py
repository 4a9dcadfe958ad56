"""A second verifier, of one question alone: is this log sound?

Written from docs/format.md, with `tests.fuzz.reference_line` and hashlib. It names no fault and
recovers from none, so it can be plain: one pass, line by line, the whole log in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.fuzz.reference_line import MAX_BYTES, Members, read_line

GENESIS = hashlib.sha256(b"").hexdigest()
STRENGTH = {"none": 0, "hash": 1, "chain": 2}
_REQUIRED = tuple(f"audit.{name}" for name in ("record.id", "actor.id", "actor.type", "action", "outcome"))
_SEAL = re.compile(rb',"hash":"[0-9a-f]{64}"(,"hmac":"[0-9a-f]{64}")?\}')
_LIFECYCLE = ("opened", "closed", "rotated", "recovered", "dropped", "voided")


class Fault(Exception):
    """Why a log is not sound."""


class Given(NamedTuple):
    """A log and what it is to be checked with.

    Attributes:
        files: The segments that there are, by number.
        checksums: What ``NAME.sha256`` holds.
        expected: The weakest mode to accept.
    """

    files: Mapping[int, bytes]
    checksums: bytes = b""
    key: bytes | None = None
    anchors: Sequence[tuple[int, str]] = ()
    expected: str = "chain"


@dataclass
class Sound:
    """What is known of a sound log.

    Attributes:
        lines: The entries' bytes, in order.
        notes: Kind, severity, segment and line of what is worth knowing all the same.
    """

    mode: str
    lines: list[bytes] = field(default_factory=list)
    notes: set[tuple[str, str, int, int]] = field(default_factory=set)


class _Line(NamedTuple):
    segment: int
    number: int
    offset: int
    data: bytes
    members: Members | None

    @property
    def event(self) -> str:
        return str(self.members["event_name"]) if self.members else ""

    @property
    def attributes(self) -> Members:
        return dict(self.members["attributes"]) if self.members else {}


def segment_name(number: int) -> str:
    """Return the name of a segment's file."""
    return "audit.jsonl" if number == 1 else f"audit.{number:06d}.jsonl"


def check(given: Given) -> Sound:
    """Return what a sound log is.

    Raises:
        Fault: It is not sound.
    """
    if not any(given.files.values()):
        raise Fault("nothing there")
    lines = [line for number, data in sorted(given.files.items()) for line in _split(number, data)]
    if _version(lines) not in (None, "1"):
        raise Fault("unknown version")
    if sorted(given.files) != list(range(1, len(given.files) + 1)):
        raise Fault("a segment is missing")
    declared = _declaration(lines)
    mode, key_id = declared["audit.integrity.mode"], declared["audit.key.id"]
    if mode not in STRENGTH or STRENGTH[mode] < STRENGTH[given.expected]:
        raise Fault(f"mode {mode}")
    if given.key is not None and key_id != _key_id(given.key):
        raise Fault("not the log's key")
    sound = Sound(mode)
    judged = [line if _in_mode(line, mode, key_id) else line._replace(members=None) for line in lines]
    for number, data in sorted(given.files.items()):
        if not data.endswith(b"\n") and data:
            raise Fault("bytes behind the last LF")
        _check_segment([line for line in judged if line.segment == number], number, given, sound)
    entries = [line for line in judged if line.members is not None]
    _check_entries(entries, declared, given.key, mode)
    sound.lines = [line.data for line in entries]
    _check_checksums(given, entries, sound)
    hashes = {entry.members["seq"]: entry.members.get("hash") for entry in entries if entry.members}
    if mode != "none" and any(hashes.get(seq) != digits for seq, digits in given.anchors):
        raise Fault("an anchor does not agree")
    _note(judged, sound)
    return sound


def _split(number: int, data: bytes) -> Iterator[_Line]:
    offset = 0
    for index, line in enumerate(data.split(b"\n")[:-1], 1):
        yield _Line(number, index, offset, line, read_line(line))
        offset += len(line) + 1


def _version(lines: Sequence[_Line]) -> object:
    """Return the format version of the first line that is any JSON object, where that is a string."""
    for line in lines:
        members = line.members or _any_object(line.data)
        if members is not None:
            attributes = members.get("attributes")
            version = attributes.get("audit.format.version") if isinstance(attributes, dict) else None
            return version if isinstance(version, str) else None
    return None


def _any_object(line: bytes) -> Members | None:
    def refuse(word: str) -> object:
        raise ValueError(word)

    try:
        if len(line) + 1 > MAX_BYTES:
            return None
        members: object = json.loads(line.decode(), parse_constant=refuse, parse_int=float)
        json.dumps(members, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def _declaration(lines: Sequence[_Line]) -> dict[str, Any]:
    """Return what the first readable ``opened`` with a right hash, or with none, declares."""
    names = ("audit.format.version", "audit.stream.id", "audit.integrity.mode", "audit.key.id")
    for line in lines:
        if line.event == "audit.log.opened" and _hash_is_right(line):
            values = {name: line.attributes.get(name) for name in names}
            return {name: value if isinstance(value, str) else None for name, value in values.items()}
    raise Fault("nothing is declared")


def _hash_is_right(line: _Line) -> bool:
    assert line.members is not None
    seal = 75 + 74 * ("hmac" in line.members)
    return "hash" not in line.members or hashlib.sha256(line.data[:-seal]).hexdigest() == line.members["hash"]


def _in_mode(line: _Line, mode: str, key_id: str | None) -> bool:
    """Return whether a line can be read, and has no more than its log declares."""
    if line.members is None:
        return False
    allowed = {"prev_hash": mode == "chain", "hash": mode != "none", "hmac": key_id is not None}
    return all(ok or name not in line.members for name, ok in allowed.items())


def _check_entries(entries: Sequence[_Line], declared: Mapping[str, Any], key: bytes | None, mode: str) -> None:
    prev = GENESIS
    for seq, line in enumerate(entries, 1):
        members = line.members
        assert members is not None
        if members["seq"] != seq:
            raise Fault(f"expected seq {seq}, got {members['seq']}")
        needed = {"prev_hash": mode == "chain", "hash": mode != "none", "hmac": declared["audit.key.id"] is not None}
        if any(name not in members for name, need in needed.items() if need):
            raise Fault(f"seq {seq} lacks a proof")
        if mode == "chain" and members["prev_hash"] != prev:
            raise Fault(f"seq {seq} names another predecessor")
        if not _hash_is_right(line):
            raise Fault(f"seq {seq} has a wrong hash")
        prev = members.get("hash", "")
        if key is not None and hmac.digest(key, bytes.fromhex(prev), "sha256").hex() != members["hmac"]:
            raise Fault(f"seq {seq} has a wrong hmac")
        if line.event == "audit.log.opened":
            if any(line.attributes.get(name) != value for name, value in declared.items()) and seq > 1:
                raise Fault(f"seq {seq} declares something else")


def _check_segment(lines: Sequence[_Line], number: int, given: Given, sound: Sound) -> None:
    readable = [line for line in lines if line.members is not None]
    first, last = (readable[0], readable[-1]) if readable else (None, None)
    if first is not None:
        said = first.attributes
        if first.event != "audit.log.opened" or not _is_integer(said.get("audit.segment.number"), number):
            raise Fault(f"segment {number} does not begin as such")
        before = given.files.get(number - 1)
        if before is not None and not (
            said.get("audit.segment.previous.name") == segment_name(number - 1)
            and _is_integer(said.get("audit.segment.previous.size"), len(before))
            and said.get("audit.segment.previous.sha256") == hashlib.sha256(before).hexdigest()
        ):
            raise Fault(f"segment {number - 1} is not the one that the next knows")
    region: list[_Line] = []
    for line in lines:
        if line.members is None:
            region.append(line)
            continue
        _check_declared(region, line, line is first, sound)
        region = []
        if line.event == "audit.log.rotated" and (
            line is not last
            or line.attributes.get("audit.segment.next") != segment_name(number + 1)
            or number + 1 not in given.files
        ):
            raise Fault(f"segment {number} ends otherwise than its rotated says")
    if region:
        raise Fault("unreadable lines that nothing declares")


def _check_declared(region: Sequence[_Line], line: _Line, first: bool, sound: Sound) -> None:
    """Check what stands between two entries against what the second says of it."""
    said = line.attributes
    opened = line.event == "audit.log.opened" and "audit.fragment.offset" in said
    if not region:
        if opened or line.event == "audit.log.recovered":
            raise Fault("a region is declared that is not there")
        return
    data = b"\n".join(each.data for each in region)
    if not (
        (line.event == "audit.log.recovered" or (opened and first))
        and _is_integer(said.get("audit.fragment.offset"), region[0].offset)
        and _is_integer(said.get("audit.fragment.length"), len(data))
        and said.get("audit.fragment.sha256") == hashlib.sha256(data).hexdigest()
        and not any(_SEAL.fullmatch(data[-size:]) for size in (75, 149))
    ):
        raise Fault("unreadable lines that nothing declares")
    start = b'{"seq":%d,' % (line.members or {})["seq"]
    usual = all(
        each.data.startswith(start) or start.startswith(each.data) or each.data == bytes(len(each.data))
        for each in region
    )
    for each in region:
        sound.notes.add(("recovered", "info" if usual else "warning", each.segment, each.number))


def _is_integer(value: object, expected: int) -> bool:
    return type(value) is int and value == expected


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"otel-audit key\n" + key).hexdigest()[:16]


def _check_checksums(given: Given, entries: Sequence[_Line], sound: Sound) -> None:
    said: dict[str, set[str]] = {}
    for line in given.checksums.split(b"\n"):
        if (match := re.fullmatch(rb"([0-9a-f]{64}) [ *]([^/]+)", line)) is not None:
            said.setdefault(match[2].decode("utf-8", "surrogateescape"), set()).add(match[1].decode())
    with_entries = {entry.segment for entry in entries}
    for number, data in given.files.items():
        digest = {hashlib.sha256(data).hexdigest()}
        if said.get(segment_name(number), digest) != digest:
            if number + 1 not in with_entries:
                raise Fault(f"segment {number} is not the one that the checksum file knows")
            sound.notes.add(("segment_altered", "warning", number, 0))


def _note(lines: Sequence[_Line], sound: Sound) -> None:
    """Note the warnings about single entries, but for intents."""
    before: Members | None = None
    for line in lines:
        if line.members is None:
            continue
        kinds = []
        if any(name not in line.attributes for name in (*_REQUIRED, "audit.schema.version")):
            kinds.append("schema")
        if before is not None and line.members["observed_time"] < before["observed_time"]:
            kinds.append("clock_backwards")
        before = line.members
        for kind in kinds:
            sound.notes.add((kind, "warning", line.segment, line.number))
        for name in ("dropped", "voided"):
            if line.event == f"audit.log.{name}":
                sound.notes.add((name, "info", line.segment, line.number))
