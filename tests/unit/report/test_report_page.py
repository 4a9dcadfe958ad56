"""docs/report.md, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_audit.cli import main
from otel_audit.report.report import DEFAULT_MAX_ENTRIES, MAX_CARRIED_BYTES
from tests import logs

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = (ROOT / "docs/report.md").read_text(encoding="utf-8")


def test_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """The command on the page makes a report and says what stands below it."""
    monkeypatch.chdir(tmp_path)
    Path("audit.jsonl").write_bytes(logs.join(logs.log(38)))
    [(command, said)] = re.findall(r"^\$ otel-audit (.+)\n(.+)$", PAGE, re.MULTILINE)
    assert main(command.split()) == 0
    assert capfd.readouterr().out == f"{said}\n"


def test_its_numbers() -> None:
    """The limits on the page are those of the code."""
    assert f"{DEFAULT_MAX_ENTRIES:,} unless said" in PAGE
    assert f"{MAX_CARRIED_BYTES >> 20} MiB" in PAGE
    assert (ROOT / "docs/report.png").is_file()
