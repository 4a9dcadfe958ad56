"""A git repository for the tests of tools that read one."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_repository(folder: Path) -> Path:
    """Make a repository with one commit in a new folder."""
    folder.mkdir()
    (folder / "README").write_text("hello\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "README")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    """Run git, with nothing of the machine's configuration."""
    identity = ["-c", "user.name=Maya", "-c", "user.email=maya@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
