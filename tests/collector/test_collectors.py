"""The collectors that tests start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.collector.collectors import ENDS_WITH_US, turns

REPOSITORY = Path(__file__).parents[2]
RUN = """
import sys
from pathlib import Path
from tests.collector.collectors import Collector
Collector(Path(sys.argv[1]), Path(sys.argv[2]), "gateway.yaml").start()
print("started", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not ENDS_WITH_US, reason="needs setpriv")
def test_killed_run(binary: Path, tmp_path: Path) -> None:
    """A run of the tests that is killed leaves no collector."""
    command = [sys.executable, "-c", RUN, str(binary), str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"started\n"
        [collector] = psutil.Process(run.pid).children()
        assert collector.name() == "otelcol"
        run.kill()
    for _ in turns():
        if not collector.is_running() or collector.status() == psutil.STATUS_ZOMBIE:
            break
