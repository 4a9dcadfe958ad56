"""Which file system a folder is on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from otel_audit.doctor.filesystem import file_system

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/share rw - nfs4 server:/share rw
31 22 0:41 / /mnt/with\040space rw - fuse.sshfs me@host:/ rw
32 22 0:42 / /mnt/share/local rw - tmpfs tmpfs rw
33 22 0:43 / /mnt/twice rw - ext4 /dev/sdb rw
34 22 0:44 / /mnt/twice rw - cifs //server/twice rw
not a row
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/var/log", ("ext4", False)),
        ("/mnt/share/logs", ("nfs4", True)),
        ("/mnt/shared", ("ext4", False)),
        ("/mnt/share/local/a", ("tmpfs", False)),
        ("/mnt/with space/a", ("fuse.sshfs", True)),
        ("/mnt/twice", ("cifs", True)),
    ],
)
def test_of_a_path(tmp_path: Path, path: str, found: tuple[str, bool]) -> None:
    """It is the one that is mounted nearest above the path, and of several there the last."""
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    assert file_system(path, str(table)) == found


def test_no_table(tmp_path: Path) -> None:
    """Without a table it is not known."""
    assert file_system("/", str(tmp_path / "absent")) is None


@pytest.mark.skipif(sys.platform != "linux", reason="the table is Linux's")
def test_here(disk: Path) -> None:
    """The system's own table is read."""
    assert file_system(str(disk)) == ("tmpfs", False)
