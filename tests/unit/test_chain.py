"""Genesis, the hash that seals an entry, the head."""

from __future__ import annotations

import hashlib
import subprocess

from otel_audit.chain import GENESIS, Head, entry_hash, entry_hmac, key_id


def test_genesis() -> None:
    """The first entry follows the SHA-256 of nothing."""
    assert GENESIS == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_hash_by_coreutils() -> None:
    """The hash is what ``sha256sum`` says of the same bytes."""
    prefix = '{"seq":1,"x":"ü\\n"'.encode()
    told = subprocess.run(["sha256sum"], input=prefix, capture_output=True, check=True).stdout
    assert entry_hash(prefix) == told.split()[0].decode()


def test_hmac_published_vector() -> None:
    """The HMAC is HMAC-SHA256: RFC 4231, test case 6, over the bytes that the digits denote."""
    message = b"Test Using Larger Than Block-Size Key - Hash Key First"
    assert (
        entry_hmac(b"\xaa" * 131, message.hex()) == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    )


def test_key_id() -> None:
    """A key's name is half of a SHA-256 over its purpose and the key, so that no other use of it reveals it."""
    key = b"0123456789abcdef"
    assert key_id(key) == hashlib.sha256(b"otel-audit key\n0123456789abcdef").hexdigest()[:16]
    assert key_id(key) != key_id(key + b"0")


def test_head() -> None:
    """A head is written as ``seq:hash``."""
    assert str(Head(7, "ab")) == "7:ab"
