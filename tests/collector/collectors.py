"""Real collectors: started with the configurations that users get, and killed."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Final

CONFIGURATIONS = Path(__file__).parents[2] / "collector-config"
TAIL_GATES = ("--feature-gates=stanza.synchronousLogEmitter",)
"""As `collector-config/run-tail` gives them; killed it is here anyway."""

DEADLINE_SECONDS = 90

ENDS_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
"""Before a command: the system kills what it starts when this process dies, even by SIGKILL. Linux alone can."""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Collector:
    """One collector, which may be started and killed again and again with the same ports and folders.

    Attributes:
        listen: Where it takes OTLP over gRPC, ``host:port``; ``listen_http`` over HTTP.
        copy: Folder of the archive copy.
        state: Folder of offsets and queues.
        log: What it says on stderr, over all its lives.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *configurations: str | Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.listen = f"127.0.0.1:{free_port()}"
        self.listen_http = f"127.0.0.1:{free_port()}"
        self.copy = folder / "copy"
        self.state = folder / "state"
        self.log = folder / "collector.log"
        self._health = free_port()
        self._metrics = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        paths = [CONFIGURATIONS / configuration for configuration in configurations]
        gates = TAIL_GATES if "tail.yaml" in configurations else ()
        self._command = [*ENDS_WITH_US, str(binary), *gates, *(f"--config={path}" for path in paths)]
        self._environ = {
            "PATH": os.environ["PATH"],
            "OTEL_AUDIT_LISTEN": self.listen,
            "OTEL_AUDIT_LISTEN_HTTP": self.listen_http,
            "OTEL_AUDIT_HEALTH": f"127.0.0.1:{self._health}",
            "OTEL_AUDIT_METRICS_PORT": str(self._metrics),
            "OTEL_AUDIT_STATE_DIR": str(self.state),
            "OTEL_AUDIT_COPY_DIR": str(self.copy),
            **(environ or {}),
        }

    def start(self) -> Collector:
        """Start it, and wait until it is healthy."""
        self.launch()
        self.wait_healthy()
        return self

    def launch(self) -> None:
        """Start it without waiting."""
        assert self._process is None, "expected a stopped collector, got a running one"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_healthy(self) -> None:
        """Wait until it says that it is ready.

        Raises:
            AssertionError: It ended, or the deadline passed.
        """
        assert self._process is not None
        for _ in turns():
            assert self._process.poll() is None, f"the collector ended:\n{self.log.read_text()[-3000:]}"
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._get(self._health, "/")[0] == 200:
                    return

    def metrics(self) -> dict[str, float]:
        """Return its own metrics, summed over their labels."""
        sums: dict[str, float] = {}
        for line in self._get(self._metrics, "/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                name, value = line.partition("{")[0].split(" ")[0], line.rsplit(" ", 1)[1]
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(SIGKILL)

    def stop(self) -> None:
        """End it as a service manager does."""
        self._end(SIGTERM)

    def signal(self, which: Signals) -> None:
        """Send it a signal that does not end it."""
        assert self._process is not None, "expected a running collector, got a stopped one"
        self._process.send_signal(which)

    def close(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self.kill()

    def _end(self, how: Signals) -> None:
        assert self._process is not None, "expected a running collector, got a stopped one"
        self._process.send_signal(how)
        self._process.wait(DEADLINE_SECONDS)
        self._process = None

    def _get(self, port: int, path: str) -> tuple[int, str]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=9)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()


def turns(seconds: float = DEADLINE_SECONDS) -> Iterator[None]:
    """Yield until the caller has what it waits for.

    Raises:
        AssertionError: That takes too long.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(0.02)
    raise AssertionError(f"expected an event within {seconds} s, got none")


def resize(disk: Path, size: str | None = None) -> None:
    """Give a disk in memory another size; None: what is used, so that nothing more can be written."""
    for _ in turns():
        usage = os.statvfs(disk)
        used = str((usage.f_blocks - usage.f_bfree) * usage.f_frsize)
        command = ["mount", "-o", f"remount,size={size or used}", str(disk)]
        if subprocess.run(command, capture_output=True, timeout=9).returncode == 0:  # not if more is used by now
            return
