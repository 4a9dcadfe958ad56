"""One file of a log, as the verifier sees it: a name, a length, and a way to get its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from otel_audit.line_form import MAX_LINE_BYTES

BLOCK_BYTES: Final = 1 << 16
"""Bytes read at a time: what the processor's second cache holds is split fastest."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment.

    Attributes:
        path: As people know it; findings carry it.
        name: Its base name.
        number: From 1.
        size_bytes: How many of its bytes are judged.
        read: ``read(offset, length)`` returns up to so many bytes; fewer than asked for only at
            the end.
        identity: Device and inode, by which another process can tell that it has opened the same
            file; None: no other can.
    """

    path: str
    name: str
    number: int
    size_bytes: int
    read: Callable[[int, int], bytes]
    identity: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Checksums:
    """``NAME.sha256``: its path, and what it says by base name."""

    path: str
    digests: Mapping[str, str]


class Block(NamedTuple):
    """Bytes that follow one another in a segment.

    Attributes:
        kind: ``lines``: whole lines, the last LF left off. ``piece``: a piece of a line of more
            than 1 MiB, with more to come; ``end``: its last piece, LF left off. ``tail``: what
            stands behind the last LF (or its last piece).
        offset: Of its first byte in the segment.
        data: The bytes.
    """

    kind: Literal["lines", "piece", "end", "tail"]
    offset: int
    data: bytes


def read_blocks(segment: Segment, offset: int = 0, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield a segment's bytes in order; holds about 1 MiB at most, whatever the line's length."""
    rest = b""  # of a line that began in an earlier piece
    endless = False
    while offset < segment.size_bytes:
        data = segment.read(offset, min(size, segment.size_bytes - offset))
        if not data:
            break
        if endless:
            cut = data.find(b"\n")
            yield Block("piece" if cut < 0 else "end", offset, data if cut < 0 else data[:cut])
            endless = cut < 0
            offset += len(data) if cut < 0 else cut + 1
            continue
        cut = data.rfind(b"\n")
        if cut >= 0:
            # What stands behind the last LF is read again: cheaper than to join it.
            start = offset - len(rest)
            yield Block("lines", start, rest + data[:cut] if rest else data[:cut])
            rest = b""
            offset += cut + 1
            continue
        rest += data
        offset += len(data)
        if len(rest) > MAX_LINE_BYTES:
            yield Block("piece", offset - len(rest), rest)
            rest, endless = b"", True
    if rest or endless:
        yield Block("tail", offset - len(rest), rest)


def lines_from(segment: Segment, offset: int, size: int = BLOCK_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the bytes of each whole line that follows, LF left off.

    Only for stretches that are known to hold no line of more than 1 MiB.
    """
    for block in read_blocks(segment, offset, size):
        if block.kind != "lines":
            return
        at = block.offset
        for line in block.data.split(b"\n"):
            yield at, line
            at += len(line) + 1


def line_start(segment: Segment, offset: int) -> int | None:
    """Return where the first line that begins at an offset or behind it begins: at the end if none does.

    None: that cannot be said without reading more than a line's length.
    """
    if offset <= 0 or offset >= segment.size_bytes:
        return max(0, min(offset, segment.size_bytes))
    at = offset - 1
    while at < segment.size_bytes and at < offset + MAX_LINE_BYTES:
        data = segment.read(at, min(BLOCK_BYTES, segment.size_bytes - at))
        if not data:
            return None
        cut = data.find(b"\n")
        if cut >= 0:
            return at + cut + 1
        at += len(data)
    return segment.size_bytes if at >= segment.size_bytes else None


def segment_sha256(segment: Segment) -> str:
    """Return SHA-256 of all bytes that are judged."""
    import hashlib  # here: whoever only searches a log starts without it

    sha256, at = hashlib.sha256(), 0
    while at < segment.size_bytes and (data := segment.read(at, min(1 << 20, segment.size_bytes - at))):
        sha256.update(data)
        at += len(data)
    return sha256.hexdigest()
