"""A real broker of Apache Kafka, and its own consumer."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path

from tests.collector.collectors import DEADLINE_SECONDS, ENDS_WITH_US, free_port, turns

PARTITIONS = 3
"""Of a topic: what was sent one after the other is read in another order."""

_JAVA = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Broker:
    """One broker, its own controller, which may be started and killed again and again with the same ports and folder.

    Args:
        jars: As tests/collector/kafka/build left them.
        folder: For its data.

    Attributes:
        address: ``host:port``.
        log: What it says on stderr, over all its lives.
    """

    def __init__(self, jars: Path, folder: Path) -> None:
        self._jars = jars
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self.log = folder / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "broker.properties"
        controller = f"127.0.0.1:{free_port()}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{controller}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(folder / "data"),
            "num.partitions": str(PARTITIONS),
            "message.max.bytes": "16777216",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "group.initial.rebalance.delay.ms": "0",
        }
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self._run("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", str(self._settings))

    def start(self) -> Broker:
        """Start it, and wait until it listens."""
        assert self._process is None, "expected a stopped broker, got a running one"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*ENDS_WITH_US, *self._command("kafka.Kafka", str(self._settings))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for _ in turns():
            assert self._process.poll() is None, f"the broker ended:\n{self.log.read_text()[-3000:]}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5):
                break
        return self

    def kill(self) -> None:
        """End it as a crash does."""
        assert self._process is not None, "expected a running broker, got a stopped one"
        self._process.kill()
        self._process.wait(DEADLINE_SECONDS)
        self._process = None

    def close(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self.kill()

    def read(self, topic: str, path: Path) -> None:
        """Write the messages that a topic has by now, one a line, as Kafka's console consumer prints them."""
        end = "org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", self.address, "--topic", topic
        count = sum(int(line.rpartition(":")[2]) for line in self._run(*end).decode().splitlines())
        consumer = "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", self.address
        limit = "--max-messages", str(count), "--timeout-ms", str(DEADLINE_SECONDS * 1000)
        path.write_bytes(self._run(*consumer, "--topic", topic, "--from-beginning", *limit) if count else b"")

    def _run(self, *arguments: str) -> bytes:
        done = subprocess.run(self._command(*arguments), capture_output=True, timeout=2 * DEADLINE_SECONDS)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return done.stdout

    def _command(self, *arguments: str) -> list[str]:
        return [*_JAVA, "-cp", f"{self._jars}/*", *arguments]
