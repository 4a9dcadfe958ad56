from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from otel_audit import read_log, verify_log
from tests.integration.repository import git, make_repository

pytestmark = [
    pytest.mark.mcp2,
    pytest.mark.skipif(find_spec("mcp_server_git") is None, reason="needs mcp-server-git"),
]

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart" / "main.py"


def run(tmp_path: Path, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the example, its temporary folder inside the test's."""
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)} | env,
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder."""
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


class TestQuickstart:
    def test_shows_the_main_job(self, tmp_path: Path) -> None:
        """Both ends are audited, change and loss found, the repository left as it was, and the last commands work."""
        repository = make_repository(tmp_path / "repository")
        before = snapshot(repository)
        path = tmp_path / "here.jsonl"
        done = run(tmp_path, repository, OTEL_AUDIT_FILE=str(path))
        assert (done.returncode, done.stderr) == (0, "")
        assert snapshot(repository) == before
        assert max(map(len, done.stdout.splitlines())) <= 100 + len(str(path))

        entries = [entry for entry in read_log(path) if "audit.phase" in entry.attributes]
        assert len(entries) == 4 * 4
        assert len({entry.trace_id for entry in entries}) == 1
        assert len({entry.resource["process.pid"] for entry in entries}) == 2
        assert {entry.attributes["audit.actor.id"] for entry in entries} == {"release-agent"}
        for entry in entries:
            assert entry.attributes["audit.delegation"] == ["maya@example.com", "release-agent"]
        failed = [entry for entry in entries if entry.attributes["audit.outcome"] == "failure"]
        assert {entry.attributes["audit.target.id"] for entry in failed} == {"git_show"}
        assert verify_log(path).intact

        assert str(entries[0].trace_id) in done.stdout
        assert re.findall(r"exit status (\d)", done.stdout) == ["0", "1", "1"]
        assert "edited" in done.stdout
        assert "truncated" in done.stdout

        commands = done.stdout.split("Try next\n--------\n\n")[1].replace("\\\n", "")
        assert len(commands.splitlines()) == 3
        scripts = Path(sys.executable).parent
        for command in commands.splitlines():
            shell = command.replace("python3 -m uv run otel-audit", str(scripts / "otel-audit"))
            ran = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=60, cwd=tmp_path)
            assert (ran.returncode, ran.stderr) == (0, "")
            assert ran.stdout

    def test_carries_a_log_on(self, tmp_path: Path) -> None:
        """Run twice on one log, it makes one longer chain."""
        repository = make_repository(tmp_path / "repository")
        path = tmp_path / "here.jsonl"
        for _ in range(2):
            assert run(tmp_path, repository, OTEL_AUDIT_FILE=str(path)).returncode == 0
        assert len([entry for entry in read_log(path) if "audit.phase" in entry.attributes]) == 2 * 4 * 4
        assert verify_log(path).intact

    def test_writes_to_a_new_folder_by_default(self, tmp_path: Path) -> None:
        """Without OTEL_AUDIT_FILE the log is in a temporary folder, which the output names."""
        done = run(tmp_path, make_repository(tmp_path / "repository"))
        (path,) = tmp_path.glob("otel-audit-*/audit.jsonl")
        assert done.returncode == 0
        assert str(path) in done.stdout

    def test_makes_a_repository_where_there_is_none(self, tmp_path: Path) -> None:
        """A copy of the example that stands in no checkout works on a repository that it makes."""
        copy = tmp_path / "main.py"
        copy.write_bytes(EXAMPLE.read_bytes())
        done = subprocess.run(
            [sys.executable, str(copy)],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"TMPDIR": str(tmp_path), "GIT_CEILING_DIRECTORIES": str(tmp_path)},
        )
        assert (done.returncode, done.stderr) == (0, "")
        (made,) = tmp_path.glob("otel-audit-*/repository")
        assert git(made, "log", "--format=%s").strip() == "Say what this is"

    def test_refuses_what_is_no_repository(self, tmp_path: Path) -> None:
        """A path that is no repository is an error in one line."""
        done = run(tmp_path, tmp_path, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))
        assert done.returncode == 1
        assert done.stderr == f"expected a git repository, got {tmp_path}\n"
