"""Which file system a folder is on: locks and syncs are a promise of its own."""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple

_NETWORK: Final = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs"),
        *("fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "virtiofs"),
    }
)
_MOUNTS: Final = "/proc/self/mountinfo"
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


class FileSystem(NamedTuple):
    """The kind, as the system names it, and whether its disk is another machine's."""

    kind: str
    is_network: bool


def file_system(path: str, mounts: str = _MOUNTS) -> FileSystem | None:
    """Return the file system of a path that exists; None where the system has no such table.

    Args:
        path: Absolute or not.
        mounts: The table, in the form of proc_pid_mountinfo(5).
    """
    real = os.path.realpath(path)
    best: tuple[int, str] | None = None
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:
            for row in table:
                before, separator, behind = row.partition(" - ")
                cells = before.split()
                if not separator or len(cells) < 5:
                    continue
                point = _OCTAL.sub(lambda found: chr(int(found[1], 8)), cells[4])
                # of several at one point the last one is seen
                if os.path.commonpath((real, point)) == point and (best is None or len(point) >= best[0]):
                    best = len(point), behind.split()[0]
    except OSError:
        return None
    return None if best is None else FileSystem(best[1], best[1] in _NETWORK)
