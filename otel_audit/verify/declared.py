"""What a log says of itself: version, stream, mode and key, from its first readable ``opened``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import orjson

from otel_audit import semconv
from otel_audit.chain import entry_hash
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.verify.report import Integrity
from otel_audit.verify.seal import split_seal
from otel_audit.verify.segment import Segment, read_blocks

STRENGTH: Final[dict[str, int]] = {"none": 0, "hash": 1, "chain": 2}
_MODES: Final[dict[str, Integrity]] = {"none": "none", "hash": "hash", "chain": "chain"}
_MARKS: Final = (b'"audit.log.opened"', b"\\u00")
"""What a line that may be an ``opened`` holds: a name in ASCII can be spelt otherwise only by such escapes."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The declaration that all lines are held against.

    Attributes:
        version: ``audit.format.version``; None where no line says it.
        mode: Judged by; ``stated`` is what the log says, None where it says nothing known.
        key_id: None: no line may carry ``hmac``.
        place: Segment (from 0) and offset of the ``opened`` it comes from.
    """

    version: str | None
    mode: Integrity
    stated: Integrity | None
    stream_id: str | None
    key_id: str | None
    place: tuple[int, int] | None
    seq: int | None = None


_UNDECLARED: Final = Declared(None, "chain", None, None, None, None)


@dataclass(frozen=True, slots=True)
class Stated:
    """``audit.format.version`` of the first line that is one JSON object, and where that is."""

    version: str | None
    segment: int
    offset: int


def find_declaration(segments: Iterable[Segment]) -> tuple[Stated | None, Declared]:
    """Return what the first JSON object states, and what the first readable ``opened`` declares.

    The version is read leniently, before anything else, so that a future one is told from
    damage (docs/format.md, "What may come later"); lines before it that are no object are
    fragments. An ``opened`` whose own hash is wrong is believed only if the log has no other:
    else one changed byte in it would put every later ``opened`` in the wrong. Reads no further
    than it must: of a sound log the first lines.
    """
    stated: Stated | None = None
    edited: Declared | None = None
    for number, segment in enumerate(segments):
        for block in read_blocks(segment):
            if block.kind != "lines" or (stated is not None and not any(mark in block.data for mark in _MARKS)):
                continue
            at = block.offset
            for line in block.data.split(b"\n"):
                if stated is None:
                    stated = _stated(line, number, at)
                    if stated is not None and stated.version not in (None, semconv.FORMAT_VERSION):
                        return stated, _UNDECLARED
                if any(mark in line for mark in _MARKS):
                    declared, sound = _declaration(line, (number, at))
                    if declared is not None and sound:
                        return stated, declared
                    edited = edited or declared
                at += len(line) + 1
    return stated, edited or _UNDECLARED


def declared_by(line: bytes, place: tuple[int, int]) -> Declared | None:
    """Return what a line declares, as `find_declaration` takes it; None: it is no ``opened`` of this version.

    Args:
        line: Its bytes without LF.
        place: Segment (from 0) and offset.
    """
    declared = _declaration(line, place)[0]
    return None if declared is None or declared.version not in (None, semconv.FORMAT_VERSION) else declared


def _stated(line: bytes, number: int, offset: int) -> Stated | None:
    try:
        members = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(members, dict):
        return None
    attributes = members.get("attributes")
    version = attributes.get(semconv.AUDIT_FORMAT_VERSION) if isinstance(attributes, dict) else None
    return Stated(version if isinstance(version, str) else None, number, offset)


def _declaration(line: bytes, place: tuple[int, int]) -> tuple[Declared | None, bool]:
    try:
        members = parse_line(line)
    except MalformedLineError:
        return None, False
    if members["event_name"] != semconv.LOG_OPENED:
        return None, False
    attributes = members["attributes"]
    assert isinstance(attributes, dict)  # the parser's promise
    texts = {
        name: value if isinstance(value := attributes.get(name), str) else None
        for name in (
            semconv.AUDIT_FORMAT_VERSION,
            semconv.AUDIT_STREAM_ID,
            semconv.AUDIT_INTEGRITY_MODE,
            semconv.AUDIT_KEY_ID,
        )
    }
    mode = texts[semconv.AUDIT_INTEGRITY_MODE]
    seal = split_seal(line)
    # The mode that the line itself is written in: what an unknown or edited word stands for.
    shape: Integrity = "none" if seal is None else "hash" if "prev_hash" not in members else "chain"
    stated = _MODES.get(mode or "")
    seq = members["seq"]
    assert isinstance(seq, int)
    declared = Declared(
        version=texts[semconv.AUDIT_FORMAT_VERSION],
        mode=stated or shape,
        stated=stated,
        stream_id=texts[semconv.AUDIT_STREAM_ID],
        key_id=texts[semconv.AUDIT_KEY_ID],
        place=place,
        seq=seq,
    )
    if seal is None or entry_hash(line[: seal.start]) == seal.hash:
        return declared, True
    return replace(declared, mode=shape), False
