"""docs/genai-spans.md shows what works: its blocks are run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.distro", reason="needs opentelemetry-distro")

from otel_audit.reader import read_log, verify_log

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/genai-spans.md").read_text(encoding="utf-8")

AGENT = """
from opentelemetry import trace

tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"}
for _ in range(20):
    trace.get_tracer("shop").start_span("execute_tool refund", attributes=tool).end()
"""


def block(language: str) -> str:
    """Return the page's one block in a language."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def run(folder: Path, *command: str) -> str:
    """Run a command as a reader would; return what it prints."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_in_code(tmp_path: Path) -> None:
    """The program prints what the page shows."""
    assert run(tmp_path, sys.executable, "-W", "error", "-c", block("python")) == block("text")


def test_zero_code(tmp_path: Path) -> None:
    """The command line records all twenty calls, and exports fewer."""
    (tmp_path / "agent.py").write_text(AGENT)
    exported = run(tmp_path, "bash", "-euo", "pipefail", "-c", block("sh")).count('"name": "execute_tool refund"')
    entries = [entry for entry in read_log(tmp_path / "audit.jsonl") if entry.event_name == "gen_ai.tool.execute"]
    assert len(entries) == 40
    assert exported < 20
    assert verify_log(tmp_path / "audit.jsonl").intact


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", PAGE))) or ["genai-spans.md"])
def test_links_lead_to_files(path: str) -> None:
    """Each relative link of the page leads to a file."""
    assert (ROOT / "docs" / path).exists()
