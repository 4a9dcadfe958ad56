"""`read_key`: the file that holds a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_audit.errors import AuditConfigError, AuditError, AuditVerifyError
from otel_audit.key_file import read_key

KEY = b"0123456789abcdef"


def test_takes_off_one_line_feed(tmp_path: Path) -> None:
    """One final LF is not part of the key, and no key has to have one."""
    file = tmp_path / "key"
    for content in (KEY, KEY + b"\n"):
        file.write_bytes(content)
        assert read_key(file, AuditVerifyError) == KEY
    file.write_bytes(b"k" * 65536 + b"\n")
    assert len(read_key(str(file), AuditVerifyError)) == 65536


@pytest.mark.parametrize("error", [AuditConfigError, AuditVerifyError])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "at least 16 bytes and at most 64 KiB, got 0"),
        (KEY[:15] + b"\n", "at least 16 bytes and at most 64 KiB, got 15"),
        (b"k" * 65537, "at most 64 KiB, got more"),
        (KEY + b"\n\n", "ends in a line feed"),
        (None, "the key file cannot be read: No such file"),
    ],
)
def test_refuses_what_is_no_key(tmp_path: Path, content: bytes | None, message: str, error: type[AuditError]) -> None:
    """What is too short, too long, absent or ends in two LFs is refused, with the caller's error."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=message):
        read_key(file, error)
