"""What a log has of a run, in short lines that a test can compare."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otel_audit import read_log, verify_log
from otel_audit.entry import Entry
from otel_audit.testing import CapturedAudit

SHORT = {
    "gen_ai.tool.execute": "tool",
    "gen_ai.model.call": "model",
    "gen_ai.agent.invoke": "agent",
    "gen_ai.agent.handoff": "handoff",
    "gen_ai.guardrail.check": "guardrail",
    "gen_ai.tool.approve": "approval",
}


def short(entry: Entry) -> str:
    """Return ``tool intent add``, ``tool success add`` and so on."""
    attributes = entry.attributes
    end = attributes.get("audit.decision") or attributes["audit.outcome"]
    phase = "intent" if attributes.get("audit.phase") == "intent" else end
    return f"{SHORT[entry.event_name]} {phase} {attributes.get('audit.target.id')}"


def lines(log: CapturedAudit, *only: str) -> list[str]:
    """Return the log's lines, of these acts only if any is given."""
    return [text for text in map(short, log.entries) if not only or text.split()[0] in only]


def of(log: CapturedAudit, text: str) -> Entry:
    """Return the one entry with this short form."""
    found = [entry for entry in log.entries if short(entry) == text]
    assert len(found) == 1, f"expected one {text!r}, got {lines(log)}"
    return found[0]


def first(step: Callable[[], object], said: Any) -> Callable[[], Any]:
    """Return a step of a script that does something before it answers."""

    def do() -> Any:
        step()
        return said

    return do


def delegation(entry: Entry) -> list[str]:
    """Return who acted, the originating principal first."""
    actor = str(entry.attributes["audit.actor.id"])
    chain = entry.attributes.get("audit.delegation") or [actor]
    assert isinstance(chain, list)
    assert chain[-1] == actor
    return [str(name) for name in chain]


def check_example(example: Path, path: Path, *events: str) -> None:
    """Run an example as it stands: it is short, prints a line for each act and one more, and its log is intact.

    Args:
        example: Its file.
        path: Where its log goes.
        events: The kinds of act that it shows, all of them.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(example)],
        env={**os.environ, "OTEL_AUDIT_FILE": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert verify_log(path).intact
    told = [entry for entry in read_log(path) if entry.event_name.startswith("gen_ai.")]
    assert len(done.stdout.splitlines()) == len(told) + 1
    assert "maya@example.com > triage > billing" in done.stdout
    assert {entry.event_name for entry in told} == set(events)
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 60
