"""Fragments that a crash left in a log, and that the entry behind them declares (docs/format.md, "Append only")."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from otel_audit import semconv
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.verify.seal import split_seal
from otel_audit.verify.segment import Segment, read_blocks

MARK: Final = b'"' + semconv.AUDIT_FRAGMENT_LENGTH.encode() + b'":'
"""What a line that declares one holds."""
MAX_BEGUN: Final = 100_000
"""Entries that were begun and declared; what lies beyond is not known as declared."""
_EVENTS: Final = (semconv.LOG_RECOVERED, semconv.LOG_OPENED)
_LONGEST_SEAL: Final = 149
_READ_BYTES: Final = 1 << 20


@dataclass(slots=True)
class Fragments:
    """Lines in fragments that are what the entry behind them says.

    Attributes:
        strays: Those that do not begin as an entry.
        begun: The others, by the ``seq`` that they begin with.
    """

    strays: int = 0
    begun: dict[int, int] = field(default_factory=dict)

    def add(self, line: bytes, segment: Segment, at: int, head: re.Pattern[bytes]) -> None:
        """Count the lines of the fragment that a line declares, if it declares one and it is there.

        Args:
            line: The line.
            segment: Where it is.
            at: Its offset there.
            head: What the beginning of an entry matches, with its ``seq``.
        """
        length, sha256 = _declaration(line)
        begin = at - 1 - length
        if length <= 0 or begin < 0 or _sha256(segment, begin, length) != sha256:
            return
        if split_seal(segment.read(max(begin, at - 1 - _LONGEST_SEAL), min(length, _LONGEST_SEAL))) is not None:
            return
        for one in _lines(replace(segment, size_bytes=at - 1), begin):
            match = head.match(one)
            if match is None:
                self.strays += 1
            elif (seq := int(match.group(1))) in self.begun or len(self.begun) < MAX_BEGUN:
                self.begun[seq] = self.begun.get(seq, 0) + 1


def _declaration(line: bytes) -> tuple[int, object]:
    try:
        members = parse_line(line)
    except MalformedLineError:
        return 0, None
    attributes = members["attributes"]
    if members["event_name"] not in _EVENTS or not isinstance(attributes, dict):
        return 0, None
    length = attributes.get(semconv.AUDIT_FRAGMENT_LENGTH)
    return length if type(length) is int else 0, attributes.get(semconv.AUDIT_FRAGMENT_SHA256)


def _sha256(segment: Segment, at: int, length: int) -> str:
    sha256, stop = hashlib.sha256(), at + length
    while at < stop and (data := segment.read(at, min(_READ_BYTES, stop - at))):
        sha256.update(data)
        at += len(data)
    return sha256.hexdigest()


def _lines(segment: Segment, begin: int) -> Iterator[bytes]:
    """Yield the lines up to the end; of one that is too long, nothing."""
    endless = False
    for block in read_blocks(segment, begin):
        if block.kind == "lines":
            yield from block.data.split(b"\n")
        elif block.kind == "piece":
            endless = True
        else:
            yield b"" if endless else block.data
            endless = False
