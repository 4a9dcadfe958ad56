"""`collector-config/run-tail`: a tail collector that may be asked to stop at any time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_audit import AuditFileLogExporter, AuditProvider
from tests.collector.collectors import CONFIGURATIONS, Collector, free_port, turns
from tests.collector.copies import Arrivals

Start = Callable[..., Collector]

RETRY = "Will retry the request"
STOPS = 3


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
                process.terminate()
                process.wait(20)


def text_count(path: Path, text: str) -> int:
    return path.read_text().count(text) if path.exists() else 0


def wait_for_text(path: Path, text: str, count: int = 1) -> None:
    for _ in turns():
        if text_count(path, text) >= count:
            return


def ask_group(pid: int, how: int) -> None:
    """Ask a whole process group, as a terminal does; the script is the last to hear of it."""
    os.kill(pid, signal.SIGSTOP)
    os.killpg(pid, how)
    time.sleep(1)  # in which a collector of the same group would have stopped
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("stop", [os.kill, ask_group], ids=["alone", "with its group"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopped_while_away(
    collector: Start, binary: Path, tmp_path: Path, how: signal.Signals, stop: Callable[[int, int], None]
) -> None:
    """Asked to stop while the gateway is away, it ends at once, and later sends every line that was waiting.

    A terminal asks the whole process group: on Ctrl-C, and when it goes away.
    """
    path = tmp_path / "audit.jsonl"
    gateway = collector("gateway", "gateway.yaml").start()
    arrivals = Arrivals(gateway.copy / "logs.jsonl")
    seq = 1
    with AuditProvider(AuditFileLogExporter(path, durability="os")) as provider:
        audit = provider.get_audit_logger("otel_audit")
        for round_ in range(STOPS):
            with run_tail(binary, gateway, path, tmp_path) as process:
                seq += 1
                audit.emit("before")
                if round_ == 0:
                    for _ in turns():
                        if arrivals.look() == {1, 2}:
                            break
                    gateway.kill()
                retries = text_count(tmp_path / "tail.log", RETRY)
                for _ in range(150):
                    seq += 1
                    audit.emit("while it is away")
                wait_for_text(tmp_path / "tail.log", RETRY, retries + 1)
                stop(process.pid, how)
                assert process.wait(20) == 0
        gateway.start()
        with run_tail(binary, gateway, path, tmp_path):
            for _ in turns():
                if arrivals.look() >= set(range(1, seq + 1)):
                    break


def test_end_is_told(binary: Path, tmp_path: Path) -> None:
    """A collector that cannot start ends the script with its own status."""
    done = subprocess.run(
        [CONFIGURATIONS / "run-tail", binary, "--config=none.yaml"], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert done.returncode == 1
    assert b"none.yaml" in done.stderr
