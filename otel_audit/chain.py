"""Genesis, the hash that seals an entry, the head.

Pure: bytes in, digits out (docs/format.md, "The line").
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

_sha256 = hashlib.sha256

GENESIS: Final = hashlib.sha256(b"").hexdigest()
"""``prev_hash`` of the first entry of a log: SHA-256 of the empty string."""


class Head(NamedTuple):
    """The last entry of a log: its ``seq`` and its ``hash`` (empty in mode ``none``)."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def entry_hash(prefix: bytes) -> str:
    """Return the hash that seals an entry.

    SHA-256 over the line from its opening brace up to, not including, ``,"hash":"``
    (docs/format.md, "The line").

    Args:
        prefix: Those bytes, UTF-8, no LF.

    Returns:
        64 lower-case hexadecimal digits.
    """
    return _sha256(prefix).hexdigest()


def entry_hmac(key: bytes, digest_hex: str) -> str:
    """Return the HMAC that seals an entry beside its hash.

    HMAC-SHA256 over the 32 bytes that ``hash`` denotes (docs/format.md, "The line").

    Args:
        key: The key's raw bytes, at least 16.
        digest_hex: The entry's ``hash``, 64 hexadecimal digits.

    Returns:
        64 lower-case hexadecimal digits.
    """
    return hmac.digest(key, bytes.fromhex(digest_hex), "sha256").hex()


def key_id(key: bytes) -> str:
    """Return the public name of a key: 16 hexadecimal digits that do not reveal it."""
    return hashlib.sha256(b"otel-audit key\n" + key).hexdigest()[:16]
