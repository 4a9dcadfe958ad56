"""Which variables are the collector's."""

from __future__ import annotations

import re
from pathlib import Path

from otel_audit.doctor.variables import COLLECTOR

FOLDER = Path(__file__).parents[3] / "collector-config"


def test_collector() -> None:
    """The collector's settings are those that its files read, and that its README lists."""
    read = {name for path in FOLDER.rglob("*.yaml") for name in re.findall(r"env:OTEL_AUDIT_(\w+)", path.read_text())}
    listed = set(re.findall(r"^\| `OTEL_AUDIT_(\w+)`", (FOLDER / "README.md").read_text(), re.MULTILINE))
    assert read == COLLECTOR
    assert listed == COLLECTOR
