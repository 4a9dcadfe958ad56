"""The recursion limit, reached anywhere in the middle of an append."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_audit.reader import verify_log
from tests.ledgers import draft, ledger, run

PROGRAM = """
import sys
import otel_audit

otel_audit.configure(sys.argv[1], durability=sys.argv[2], lock_timeout_millis=300)

@otel_audit.audited("deep")
def deep():
    return deep()

@otel_audit.audited("fine")
def fine():
    return 1

def down(levels):
    return down(levels - 1) if levels else deep()

fine()
sys.setrecursionlimit(400)
reached = 0
for levels in range(int(sys.argv[3])):  # each time the limit falls on another call
    try:
        down(levels)
    except RecursionError:
        reached += 1
    fine()
print(reached)
"""


@pytest.mark.parametrize(("durability", "levels"), [("always", 25), ("os", 100)])
def test_the_log_goes_on(tmp_path: Path, durability: str, levels: int) -> None:
    """A RecursionError that the program catches leaves the log unlocked, for this process and for others."""
    path = tmp_path / "a.jsonl"
    done = run(PROGRAM, path, durability, levels, timeout_seconds=100, env={"OTEL_SERVICE_NAME": "test"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > levels // 2
    one = ledger(path, lock_timeout_millis=300)
    one.append(draft())
    one.close()
    assert verify_log(path).errors == ()
