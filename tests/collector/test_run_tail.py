"""`collector-config/run-tail`: a tail collector that may be asked to stop at any time."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_audit import AuditFileLogExporter, AuditProvider
from tests.collector.collectors import CONFIGURATIONS, Collector, free_port, turns
from tests.collector.copies import Arrivals

Start = Callable[..., Collector]


@contextmanager
def run_tail(binary: Path, gateway: Collector, files: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = {
        "PATH": os.environ["PATH"],
        "OTEL_AUDIT_FILES": str(files),
        "OTEL_AUDIT_GATEWAY": gateway.listen,
        "OTEL_AUDIT_STATE_DIR": str(folder / "state"),
        "OTEL_AUDIT_HEALTH": f"127.0.0.1:{free_port()}",
        "OTEL_AUDIT_METRICS_PORT": str(free_port()),
    }
    command = [str(CONFIGURATIONS / "run-tail"), str(binary), f"--config={CONFIGURATIONS / 'tail.yaml'}"]
    with (folder / "tail.log").open("ab") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for_text(path: Path, text: str, count: int = 1) -> None:
    for _ in turns():
        if path.exists() and path.read_text().count(text) >= count:
            return


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopped_while_away(collector: Start, binary: Path, tmp_path: Path, how: signal.Signals) -> None:
    """Asked to stop while the gateway is away, it ends at once, and later sends every line that was waiting."""
    path = tmp_path / "audit.jsonl"
    gateway = collector("gateway", "gateway.yaml").start()
    arrivals = Arrivals(gateway.copy / "logs.jsonl")
    with AuditProvider(AuditFileLogExporter(path, durability="os")) as provider:
        audit = provider.get_audit_logger("otel_audit")
        audit.emit("before")
        with run_tail(binary, gateway, path, tmp_path) as process:
            for _ in turns():
                if arrivals.look() == {1, 2}:
                    break
            gateway.kill()
            for _ in range(30):
                audit.emit("while it is away")
            wait_for_text(tmp_path / "tail.log", "Will retry the request")
            process.send_signal(how)
            assert process.wait(20) == 0
        gateway.start()
        with run_tail(binary, gateway, path, tmp_path):
            for _ in turns():
                if arrivals.look() >= set(range(1, 33)):
                    break


def test_end_is_told(binary: Path, tmp_path: Path) -> None:
    """A collector that cannot start ends the script with its own status."""
    done = subprocess.run(
        [CONFIGURATIONS / "run-tail", binary, "--config=none.yaml"], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert done.returncode == 1
    assert b"none.yaml" in done.stderr
