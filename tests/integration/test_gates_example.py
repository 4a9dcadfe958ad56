from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from otel_audit import read_log, verify_log

EXAMPLE = Path(__file__).parents[2] / "examples" / "gates" / "main.py"
GATES = find_spec("actiongate") is not None


def run(tmp_path: Path, **env: str) -> str:
    """Run the example, its temporary folder inside the test's; return what it prints."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=120,
        env=kept | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(EXAMPLE.parents[2])} | env,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class TestGates:
    def test_each_decision_is_in_the_log(self, tmp_path: Path) -> None:
        """What was allowed ran and has an outcome, what was blocked did not, all in one trace, and it is printed."""
        path = tmp_path / "here.jsonl"
        printed = run(tmp_path, OTEL_AUDIT_FILE=str(path))
        assert verify_log(path).findings == ()
        entries = list(read_log(path, event_name="gate.decision"))
        outcomes = [entry for entry in entries if entry.attributes.get("audit.phase") == "outcome"]
        blocked = [entry for entry in entries if entry.attributes["audit.decision"] == "block"]
        reasons = ["TOO_MANY"] * 3 if not GATES else ["BUDGET_EXCEEDED", "POLICY_VIOLATION", "RATE_LIMIT"]
        assert [entry.attributes["audit.reason"] for entry in blocked] == reasons
        assert len(outcomes) == printed.count(" returned\n") == 2
        assert len({entry.trace_id for entry in entries}) == 1
        assert {str(entry.attributes["audit.delegation"]) for entry in entries} == {
            "['maya@example.com', 'refund-agent']"
        }
        for entry in blocked:
            assert f"line {entry.seq}: {entry.attributes['audit.target.type']}" in printed
        assert "intact, unanchored" in printed

    def test_writes_to_a_new_folder_by_default(self, tmp_path: Path) -> None:
        """Without OTEL_AUDIT_FILE the log is in a temporary folder, which the output names."""
        printed = run(tmp_path)
        (path,) = tmp_path.glob("otel-audit-*/audit.jsonl")
        assert str(path) in printed
