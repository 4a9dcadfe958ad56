"""Disks that are small, and can be filled."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE_BYTES = 4096


@contextlib.contextmanager
def mounted(folder: Path, options: str = "size=1m,mode=0700") -> Iterator[Path]:
    """Mount a tmpfs; skip the test where that is not permitted."""
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("a tmpfs is mounted with mount, on Linux")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=9)
    if done.returncode:
        pytest.skip(f"mounting a tmpfs needs root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=9)


def fill(disk: Path, free_pages: int = 0) -> Path:
    """Take all room but for so many pages; return the file that does, to be removed again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * PAGE_BYTES):
            pass
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - free_pages * PAGE_BYTES)
    return filler
