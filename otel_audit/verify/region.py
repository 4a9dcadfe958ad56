"""Unreadable lines that follow one another: what a crash left, or what someone spoilt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from otel_audit.verify.run import Place
from otel_audit.verify.seal import split_seal
from otel_audit.verify.segment import Segment

_HEAD_BYTES: Final = 28  # longer than any b'{"seq":N,'
_MAX_HEADS: Final = 64
_SEAL_WINDOW: Final = 150


@dataclass(slots=True)
class Region:
    """Unreadable lines that follow one another in one segment.

    Attributes:
        length: Bytes, the last LF left off.
        heads: How its lines begin (28 bytes, but for lines of only NUL bytes); at most 64 of them.
        many: There were more.
        sealed: It ends in a seal.
        reason: Why its first line is malformed.
        torn: Bytes behind the last LF of the last segment belong to it.
    """

    segment: int
    line: int
    offset: int
    count: int
    length: int
    heads: frozenset[bytes]
    many: bool
    sealed: bool
    reason: str
    torn: bool = False
    declared: bool = False
    declared_by: int = 0
    explained: bool = False

    @property
    def first(self) -> Place:
        """Where it begins."""
        return Place(self.segment, self.line)

    def begins_as(self, seq: int) -> bool:
        """Return whether each line begins as ``{"seq":N,`` would, or is only NUL bytes."""
        start = b'{"seq":%d,' % seq
        return not self.many and all(head.startswith(start) or start.startswith(head) for head in self.heads)


def region_sha256(region: Region, segments: tuple[Segment, ...]) -> str:
    """Return SHA-256 of a region, read again: only one that an entry declares is worth it."""
    sha256 = hashlib.sha256()
    read = segments[region.segment].read
    at, stop = region.offset, region.offset + region.length
    while at < stop and (data := read(at, min(1 << 20, stop - at))):
        sha256.update(data)
        at += len(data)
    return sha256.hexdigest()


@dataclass(slots=True)
class Unreadable:
    """A region under construction; bytes come in pieces."""

    place: Place
    offset: int
    reason: str
    count: int = 0
    length: int = 0
    heads: set[bytes] = field(default_factory=set)
    many: bool = False
    end: bytes = b""
    head: bytes | None = None  # of the line under construction
    nul_only: bool = True

    def add(self, data: bytes, *, whole: bool) -> None:
        """Take more bytes of the current line; ``whole``: its LF follows."""
        if self.head is None:
            if self.length or self.count:
                self.length += 1
            self.head, self.nul_only = data[:_HEAD_BYTES], True
        elif len(self.head) < _HEAD_BYTES:
            self.head = (self.head + data)[:_HEAD_BYTES]
        self.nul_only = self.nul_only and data == bytes(len(data))
        self.length += len(data)
        self.end = (self.end + data[-_SEAL_WINDOW:])[-_SEAL_WINDOW:]
        if whole:
            self.close()

    def close(self) -> None:
        """End the current line."""
        if self.head is None:
            return
        if not (self.nul_only and self.head):
            if len(self.heads) < _MAX_HEADS or self.head in self.heads:
                self.heads.add(self.head)
            else:
                self.many = True
        self.head = None
        self.count += 1

    def region(self, *, torn: bool) -> Region:
        """Return the finished region."""
        self.close()
        return Region(
            segment=self.place.segment,
            line=self.place.line,
            offset=self.offset,
            count=self.count,
            length=self.length,
            heads=frozenset(self.heads),
            many=self.many,
            sealed=split_seal(self.end) is not None,
            reason=self.reason,
            torn=torn,
        )
