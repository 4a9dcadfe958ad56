"""The quick way over lines that follow soundly: their links and seals, a block at a time.

What was measured, per line of 750 bytes: reading it and SHA-256 of it 1.1 µs, HMAC of that 1.5 µs;
comparing seals one by one 0.6 µs, block by block 0.3 µs; splitting a block into lines 0.4 µs,
cutting them one at a time 0.1 µs.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from dataclasses import dataclass
from typing import NamedTuple

from otel_audit.line_form import MAX_SEQ
from otel_audit.verify.report import Integrity

_PREV = ',"prev_hash":"%s"'
_HASH = ',"hash":"%s"'
_HMAC = ',"hmac":"%s"'
_NEXT = '}\n{"seq":%s,'
_DIGITS = 64


class Linked(NamedTuple):
    """Whole lines of which each follows from the one before, under right hashes.

    Attributes:
        data: Their bytes, the last LF left off.
        hashes: One for each; empty texts in mode ``none``.
        bounds: Where each begins in ``data``, and where one more would.
    """

    data: bytes
    hashes: list[str]
    bounds: list[int]

    def line(self, index: int) -> bytes:
        """Return one of them, LF left off."""
        return self.data[self.bounds[index] : self.bounds[index + 1] - 1]


@dataclass(frozen=True, slots=True)
class Links:
    """Compares the ends of lines with what they must be.

    Attributes:
        mode: That the log declares.
        keyed: It declares a key.
        key: None: any 64 digits are an ``hmac``.
    """

    mode: Integrity
    keyed: bool
    key: bytes | None

    @property
    def seal_bytes(self) -> int:
        """Length of a line's seal."""
        if self.mode == "none":
            return 0
        return 1 + _length(_HASH) + (_length(_HMAC) if self.keyed else 0)

    @property
    def tail_bytes(self) -> int:
        """Length of all at the end of a line that `follow` compares."""
        return (self.seal_bytes or 1) + (_length(_PREV) if self.mode == "chain" else 0)

    def follow(self, data: bytes, seq: int, prev: str) -> Linked | None:
        """Return the lines of a block, if each follows from the one before and is sealed rightly.

        None: one of them does not or is not (or their ``seq`` have not all as many digits, so
        that a comparison in one piece does not fit, or pass the greatest there is).

        Args:
            data: Whole lines, the last LF left off.
            seq: That the first must have.
            prev: What it must name; unused but in mode ``chain``.
        """
        head = b'{"seq":%d,' % seq
        if not data.startswith(head):
            return None
        bounds, stop = [0], 0
        index = data.index
        with contextlib.suppress(ValueError):
            while True:
                stop = index(b"\n", stop) + 1
                bounds.append(stop)
        bounds.append(len(data) + 1)
        stops = bounds[1:]
        if seq + len(stops) - 1 > MAX_SEQ:
            return None
        columns: list[list[str] | range] = []
        joint = ""
        hashes = [""] * len(stops)
        if self.mode != "none":
            view, sha256, behind = memoryview(data), hashlib.sha256, self.seal_bytes + 1
            sealed = [view[at : stop - behind] for at, stop in zip(bounds, stops, strict=False)]
            if self.keyed:
                digests = [sha256(each).digest() for each in sealed]
                hashes = [digest.hex() for digest in digests]
            else:
                hashes = [sha256(each).hexdigest() for each in sealed]
            if self.mode == "chain":
                joint += _PREV
                columns.append([prev, *hashes[:-1]])
            joint += _HASH
            columns.append(hashes)
            if self.keyed:
                macs = self._macs(digests, data, stops)
                if macs is None:
                    return None
                joint += _HMAC
                columns.append(macs)
        joint += _NEXT
        columns.append(range(seq + 1, seq + len(stops) + 1))
        # The tail of each line with the head of the next, and all of them compared at once: a
        # third of what it costs to compare them one by one.
        width, tail = len(head), self.tail_bytes + 1
        joints = b"".join([data[stop - tail : stop + width] for stop in stops])
        values: list[object] = [None] * (len(columns) * len(stops))
        for place, column in enumerate(columns):
            values[place :: len(columns)] = column
        expected = joint * len(stops) % tuple(values)
        if expected[: expected.rindex("\n")].encode() != joints:
            return None
        return Linked(data, hashes, bounds)

    def _macs(self, digests: list[bytes], data: bytes, stops: list[int]) -> list[str] | None:
        """Return what each ``hmac`` must be: without the key what it is, if that is digits."""
        if self.key is not None:
            key, digest = self.key, hmac.digest
            return [digest(key, each, "sha256").hex() for each in digests]
        macs = [data[stop - 3 - _DIGITS : stop - 3] for stop in stops]
        if b"".join(macs).translate(None, b"0123456789abcdef"):
            return None
        return [mac.decode() for mac in macs]


def _length(form: str) -> int:
    return len(form) - len("%s") + _DIGITS
