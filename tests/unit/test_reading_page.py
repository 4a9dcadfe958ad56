"""docs/reading.md shows what the commands print and what the code does: each is run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from otel_audit.cli import main
from otel_audit.query.fields import SHORT_NAMES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```console\n\$ otel-audit (.*)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in a folder with the log that the page is about."""
    shutil.copy(ROOT / "tests" / "vectors" / "logs" / "sound" / "audit.jsonl", tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_command(command: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command prints what the page shows, and ends with 0."""
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == shown


def test_python(capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks of code run one behind the other, and find what is in the log."""
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/reading.md", "exec"), names)  # the page's own code
    assert capsys.readouterr().out.splitlines() == [
        "4 refund-agent unknown",
        "5 refund-agent success",
        "audit.jsonl:4 926",
        "1 ['EXECUTE']",
        "{'failure': 1, 'success': 7, 'unknown': 2}",
    ]


def test_all_is_tested() -> None:
    """No example is missed, and every short name is told."""
    assert len(EXAMPLES) == PAGE.count("```console") == 8
    assert len(BLOCKS) == PAGE.count("```python") == 3
    assert all(f"`{name}`" in PAGE for name in SHORT_NAMES)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", PAGE))))
def test_links_lead_to_files(path: str) -> None:
    """Each relative link leads to a file."""
    assert (ROOT / "docs" / path).exists()
