"""The file that holds a log's HMAC key (docs/format.md, "Keys")."""

from __future__ import annotations

import os
from typing import Final

from otel_audit.errors import AuditError

_MIN_KEY_BYTES: Final = 16
_MAX_KEY_BYTES: Final = 1 << 16


def read_key(path: str | os.PathLike[str], error: type[AuditError]) -> bytes:
    """Return the key that a file holds: its bytes, without one final LF.

    Args:
        path: Of the key file.
        error: What to raise: `AuditConfigError` of a writer's setting, `AuditVerifyError` of a
            reader's argument.

    Raises:
        AuditError: It cannot be read, is shorter than 16 bytes or longer than 64 KiB, or still
            ends in LF.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            key = file.read(_MAX_KEY_BYTES + 2).removesuffix(b"\n")
    except OSError as reason:
        raise error(f"{name}: the key file cannot be read: {reason.strerror}") from reason
    if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        length = f"{len(key)}" if len(key) <= _MAX_KEY_BYTES else "more"
        raise error(f"{name}: expected a key of at least 16 bytes and at most 64 KiB, got {length}")
    if key.endswith(b"\n"):
        raise error(f"{name}: expected a key, got one that ends in a line feed (one final line feed is not part of it)")
    return key
