"""The fixed tail of a line."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_SEAL: Final = re.compile(rb',"hash":"([0-9a-f]{64})"(?:,"hmac":"([0-9a-f]{64})")?\}')
_SHORT: Final = 75
_LONG: Final = 149


class Seal(NamedTuple):
    """Where the seal starts, and the digits in it."""

    start: int
    hash: str
    hmac: str | None


def split_seal(line: bytes) -> Seal | None:
    """Return the seal that a line (or a fragment) ends in, or None.

    Args:
        line: Its bytes without LF; the last 149 are enough.
    """
    # The longer one first: the tail of a line with hmac is not a seal by itself.
    for length in (_LONG, _SHORT):
        start = len(line) - length
        if start >= 0 and (match := _SEAL.fullmatch(line, start)) is not None:
            digits, hmac = match.groups()
            return Seal(start, digits.decode(), hmac.decode() if hmac is not None else None)
    return None
