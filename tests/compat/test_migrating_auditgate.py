"""What docs/migrating.md says of AuditGate: its program is run, its tables hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_audit import semconv
from otel_audit.compat import auditgate
from otel_audit.compat.auditgate import (
    AuditEntry,
    AuditPolicy,
    Engine,
    IntegrityMode,
    Mode,
    QueryFilter,
    StoreErrorMode,
)
from otel_audit.testing import capture_audit
from tests import chain
from tests.auditgate import REFUND, TRAIL

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/migrating.md").read_text(encoding="utf-8")
SECTION = re.split(r"^## ", PAGE.partition("\n## From AuditGate\n")[2], flags=re.MULTILINE)[0]
[PROGRAM] = re.findall(r"^```python\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def table(header: str) -> list[list[str]]:
    """Return the rows of a table."""
    rows = SECTION[SECTION.index(header) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def names(cells: list[str]) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([a-z_.]+)`", " ".join(cells))


def run(folder: Path, *setting: tuple[str, str]) -> str:
    """Run the program as a reader would; return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environ = kept | {"PYTHONPATH": str(ROOT), "OTEL_SERVICE_NAME": "migrating", **dict(setting)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_program(tmp_path: Path) -> None:
    """It runs as it is shown, prints the decision, the guard's decision and its outcome, and leaves one chain."""
    decision, guard, outcome = run(tmp_path).splitlines()
    chain.check(tmp_path / "audit.jsonl")
    assert decision == "2 ALLOW Rate limit check passed {'calls_in_window': 3, 'max_calls': 10}"
    assert guard == "3 ALLOW guard:refund {}"
    assert re.fullmatch(r"4 ALLOW guard:refund \{'outcome': 'success', 'duration': [\d.e-]+, 'decision': 3\}", outcome)


def test_lines_are_as_the_tables_say(tmp_path: Path) -> None:
    """Each attribute that the table of an entry names stands in a line of the program, but for a failure's."""
    run(tmp_path)
    whole = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_bytes().split(b"\n")[:-1]]
    entries = [line for line in whole if line["event_name"] == semconv.EVENT_GATE_DECISION]
    present = {name for line in entries for name in (*line, *line["attributes"], line["event_name"])}
    documented = names([row[1] for row in table("| entry | line |")])
    assert set(documented) - present == {"error.type", "gate.recorded_by"}


def test_every_member_of_an_entry_is_documented() -> None:
    """Each member of an entry stands in one of the two tables."""
    shown = names([row[0] for row in table("| entry | line |") + table("| member | in the log |")])
    hidden = {"log_path"}
    assert set(shown) == set(AuditEntry.__dataclass_fields__) - hidden


@pytest.mark.parametrize("mode", IntegrityMode)
def test_what_an_entry_shows(mode: IntegrityMode) -> None:
    """`entry_hash` is shown with HASH and CHAIN, `prev_hash` with CHAIN, `sequence` is `seq`."""
    with capture_audit() as log:
        engine = Engine()
        engine.record(TRAIL, **REFUND, policy=AuditPolicy(integrity=mode))
        [entry] = engine._store.query(QueryFilter())
        [line] = log.entries
    assert entry.sequence == line.seq
    assert entry.entry_hash == (None if mode is IntegrityMode.NONE else line.hash)
    assert entry.prev_hash == (line.prev_hash if mode is IntegrityMode.CHAIN else None)


def test_failure_modes_have_each_row() -> None:
    """The measured table has the four policies, each with the three ways to fail."""
    rows = table("| policy | what fails |")
    policies = [f"{mode.name}, {on_error.name}" for mode in Mode for on_error in StoreErrorMode]
    assert [row[0] for row in rows[::3]] == policies
    assert [row[1] for row in rows] == ["store raises", "disk full", "lock timed out"] * 4


def test_names_of_the_interface() -> None:
    """Each name in the section that looks like one of the interface's is one."""
    written = set(re.findall(r"`([A-Z][a-z][A-Za-z]+)(?:\(|`)", SECTION))
    assert "AuditError" in written
    assert written <= {*auditgate.__all__}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)", SECTION))))
def test_links_lead_to_files(path: str) -> None:
    """Each relative link leads to a file of this repository."""
    assert (ROOT / "docs" / path).exists()
