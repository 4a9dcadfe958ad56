"""docs/report.md, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otel_audit.cli import main
from otel_audit.report.carried import MAX_CARRIED_BYTES
from otel_audit.report.report import DEFAULT_MAX_ENTRIES
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


def test_what_a_selection_tells_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a selection it is said how many entries the page tells of, and how many there are."""
    log, page = tmp_path / "audit.jsonl", tmp_path / "report.html"
    log.write_bytes(logs.join(logs.log(38)))
    for options, said in (
        (["--event-name", "audit.log.opened"], "1 of 38 entries"),
        (["--actor", "nobody"], "0 of 38 entries"),
        ([], "38 entries"),
    ):
        assert main(["report", str(log), "-o", str(page), "--force", *options]) == 0
        assert capfd.readouterr().out == f"{page}: {said}\n"
