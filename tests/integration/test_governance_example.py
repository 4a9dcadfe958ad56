from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("hummbl_governance", reason="needs hummbl-governance")
pytest.importorskip("opentelemetry.instrumentation", reason="needs the extra 'instrument'")

from otel_audit import read_log
from otel_audit.compat.hummbl import BusWriter
from tests import chain

EXAMPLE = Path(__file__).parents[2] / "examples" / "governance" / "main.py"


def run(tmp_path: Path, **env: str) -> str:
    """Run the example, its temporary folder inside the test's; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"TMPDIR": str(tmp_path)} | env,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


class TestGovernance:
    def test_every_safeguard_is_on_the_bus(self, tmp_path: Path) -> None:
        """Token, breaker and switch each allow, refuse and recover, in one chain and one trace, and it is printed."""
        path = tmp_path / "here.jsonl"
        printed = run(tmp_path, OTEL_AUDIT_FILE=str(path))
        chain.check(path)
        entries = [entry for entry in read_log(path) if not entry.event_name.startswith("audit.log.")]
        assert {entry.event_name for entry in entries} == {
            "hummbl.bus.message",
            "hummbl.delegation_token.issue",
            "hummbl.delegation_token.use",
            "hummbl.delegation_token.revoke",
            "hummbl.circuit_breaker.trip",
            "hummbl.circuit_breaker.recover",
            "hummbl.kill_switch.engage",
            "hummbl.kill_switch.check",
            "hummbl.kill_switch.disengage",
        }
        assert {entry.attributes.get("audit.decision") for entry in entries} == {None, "allow", "block"}
        assert len({entry.trace_id for entry in entries}) == 1
        for message in BusWriter(path).read_all():
            assert message.message in printed
        assert "intact, unanchored" in printed

    def test_writes_to_a_new_folder_by_default(self, tmp_path: Path) -> None:
        """Without OTEL_AUDIT_FILE the bus is in a temporary folder, which the output names."""
        printed = run(tmp_path)
        (path,) = tmp_path.glob("otel-audit-*/events.jsonl")
        assert str(path) in printed
