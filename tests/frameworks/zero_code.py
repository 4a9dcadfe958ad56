"""Programs under ``opentelemetry-instrument``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(sys.executable).parent


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of a program that is audited alone: no exporter, no other instrumentation."""
    return {
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*",
        "OTEL_SERVICE_NAME": "shop",
        **variables,
    }


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder to its end, under ``opentelemetry-instrument``."""
    return subprocess.run(
        ["opentelemetry-instrument", *command],
        cwd=folder,
        env=environment(**variables),
        executable=SCRIPTS / "opentelemetry-instrument",
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
