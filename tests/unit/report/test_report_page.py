"""docs/report.md, held against the code."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_audit import parts as log_parts
from otel_audit import workers
from otel_audit.cli import main
from otel_audit.cli import report as cli_report
from otel_audit.report import counted as counted_module
from otel_audit.report import stretch
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


def test_a_log_is_counted_while_it_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers count is what is counted by itself, which is done where anything is out of the ordinary."""
    mixed: list[dict[str, Any]] = [
        *({"audit.phase": "intent"} for _ in range(2, 30)),
        *({"audit.phase": "outcome", "audit.intent.id": logs.record_id(seq)} for seq in range(2, 29)),
        {"audit.phase": "outcome", "audit.intent.id": logs.record_id(29), "audit.outcome": "failure"},
        *({"audit.delegation": ["ana", "agent"], "audit.target.id": str(seq)} for seq in range(58, 90)),
        {"audit.phase": "intent"},
    ]
    entries = [logs.opened(), *(logs.entry(seq, **attributes) for seq, attributes in enumerate(mixed, 2))]
    log = tmp_path / "audit.jsonl"
    lines = list(logs.chain(entries))
    broken = [*lines[:40], lines[40].replace(b'"audit.', b'"other.', 1), *lines[41:]]
    counted: list[bool] = []
    plainly = counted_module.verify_and_count

    def verify_and_count(*given: Any, **more: Any) -> Any:
        report, found = plainly(*given, **more)
        counted.append(found is not None)
        return report, found

    monkeypatch.setattr(cli_report, "verify_and_count", verify_and_count)
    monkeypatch.setattr(workers, "MIN_BYTES", 1)
    for data, status, quickly in ((lines, 0, True), (broken, 1, False)):
        log.write_bytes(logs.join(data))
        found = []
        for count in (2, 1):
            monkeypatch.setattr(workers, "processors", lambda count=count: count)
            page = tmp_path / f"{count}.html"
            assert main(["report", str(log), "-o", str(page), "--max-entries", "20"]) == status
            text = page.read_text(encoding="utf-8")
            [summary] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
            found.append({name: value for name, value in json.loads(summary).items() if name != "made"})
            page.unlink()
        assert found[0] == found[1]
        assert found[0]["entries"] == 90
        assert counted == [quickly, False]
        counted.clear()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize("segments", [["abc"], ["a", "bc"]], ids=["one segment", "two segments"])
def test_an_intent_that_stands_twice_is_one_action(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segments: list[str], processes: int
) -> None:
    """What was delivered twice and ended once has ended, though what a process counts ends between the two."""
    monkeypatch.setattr(stretch, "MIN_BYTES", 1)
    monkeypatch.setattr(log_parts, "processors", lambda: processes)
    intent = {"audit.phase": "intent", "audit.record.id": logs.record_id(1)}
    ended = {"audit.phase": "outcome", "audit.intent.id": logs.record_id(1)}
    parts = {"a": intent, "b": intent, "c": ended}
    prev, seq, before = logs.GENESIS, 1, b""
    for index, (name, own) in enumerate(zip(logs.names_of(len(segments)), segments, strict=True)):
        more: dict[str, Any] = {}
        if before:
            digest = hashlib.sha256(before).hexdigest()
            said = {"name": "audit.jsonl", "size": len(before), "sha256": digest}
            more = {f"audit.segment.previous.{part}": value for part, value in said.items()}
        members = [logs.opened(seq, segment=index + 1, **more)]
        members += [logs.entry(seq + place, **parts[part]) for place, part in enumerate(own, 1)]
        if index + 1 < len(segments):
            following = {"audit.segment.next": logs.names_of(2)[1]}
            members.append(logs.log_entry(seq + len(members), "audit.log.rotated", **following))
        lines = list(logs.chain(members, prev))
        before, prev, seq = logs.join(lines), logs.hash_of(lines[-1]), seq + len(members)
        (tmp_path / name).write_bytes(before)
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path), "-o", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'"actions":([0-9]+)', text) == ["1"]
    assert re.findall(r'"flows":(\[\[[0-9, ]*\]\])', text) == ["[[0,0,0,0,1]]"]
