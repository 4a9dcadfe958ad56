"""`otel_audit.compat.hummbl.log`: which provider a bus posts through."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import otel_audit
from otel_audit import AuditFileLogExporter, AuditProvider, read_log, set_audit_provider
from otel_audit.compat.hummbl import BusWriter, PolicyLevel, log
from otel_audit.errors import AuditConfigError
from otel_audit.testing import capture_audit
from tests import chain


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave syncing to the system, and close what the test opened."""
    monkeypatch.setenv("OTEL_AUDIT_DURABILITY", "os")
    before = set(log._providers)
    yield
    for path in set(log._providers) - before:
        log._providers.pop(path).shutdown()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a bus."""
    return tmp_path / "events.jsonl"


def post(path: Path, message: str = "x") -> BusWriter:
    """Post one message."""
    bus = BusWriter(path)
    bus.post("a", "b", "c", message)
    return bus


def openings(path: Path) -> int:
    """How often a log was opened."""
    return sum(line.name == "audit.log.opened" for line in chain.check(path))


class TestOwnProvider:
    """Nobody configured auditing with this path."""

    def test_buses_of_one_path_share_it(self, path: Path) -> None:
        """However many objects post to a path, its log is opened once."""
        for number in range(5):
            post(path, str(number))
        assert openings(path) == 1

    def test_the_environment_sets_it_up(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """``OTEL_AUDIT_*`` are the settings of a bus."""
        monkeypatch.setenv("OTEL_AUDIT_FILE_MODE", "0640")
        post(path)
        assert path.stat().st_mode & 0o777 == 0o640

    def test_failures_can_be_open(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With ``OTEL_AUDIT_ON_FAILURE=open`` a post that cannot be written raises nothing."""
        monkeypatch.setenv("OTEL_AUDIT_ON_FAILURE", "open")
        bus = post(path)
        data = path.read_bytes()
        path.write_bytes(data[: data.rindex(b"\n", 0, -1) + 1])
        bus.post("a", "b", "c", "lost")
        assert log._providers[str(path)].exporter.ledger.drops.total == 1

    def test_another_configured_log_is_left_alone(self, path: Path) -> None:
        """Where auditing is configured with another path, messages go to the bus path, and only there."""
        with capture_audit() as captured:
            post(path)
            assert captured.entries == ()
        assert BusWriter(path).message_count() == 1

    def test_what_the_environment_names_is_not_opened(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bus of its own path does not open the log that OTEL_AUDIT_FILE names."""
        other = path.with_name("other.jsonl")
        monkeypatch.setenv("OTEL_AUDIT_FILE", str(other))
        post(path)
        assert path.exists()
        assert not other.exists()

    def test_closed_at_exit(self, path: Path) -> None:
        """A program that ends leaves its logs closed in order, and can post in an exit hook that comes later."""
        program = (
            "import atexit, sys\n"
            "atexit.register(lambda: bus.post('a', 'b', 'c', 'last'))\n"
            "from otel_audit.compat.hummbl import BusWriter\n"
            "bus = BusWriter(sys.argv[1])\n"
            "bus.post('a', 'b', 'c', 'first')\n"
        )
        done = subprocess.run([sys.executable, "-W", "error", "-c", program, path], capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        assert [line.name for line in chain.check(path)][:3] == [
            "audit.log.opened",
            "hummbl.bus.message",
            "audit.log.closed",
        ]
        assert [message.message for message in BusWriter(path).read_all()] == ["first", "last"]

    def test_many_buses_do_not_use_up_the_files(self, tmp_path: Path) -> None:
        """Logs beyond a number are closed once no bus is left that could post to them, and only then."""
        kept = post(tmp_path / "kept.jsonl")
        for number in range(log.KEPT_OPEN + 10):
            post(tmp_path / f"{number}.jsonl")
            gc.collect(0)
        assert len(log._providers) <= log.KEPT_OPEN
        kept.post("a", "b", "c", "again")
        assert openings(tmp_path / "kept.jsonl") == 1
        post(tmp_path / "0.jsonl", "again")
        assert openings(tmp_path / "0.jsonl") == 2
        assert len(os.listdir("/proc/self/fd")) < 2 * log.KEPT_OPEN + 100


class TestConfiguredProvider:
    """The application has configured auditing with this path."""

    def test_is_used(self, path: Path) -> None:
        """Messages and other entries go through one provider into one chain."""
        with otel_audit.configure(path):
            post(path)
            otel_audit.get_audit_logger("shop").emit("order.refund")
            assert openings(path) == 1
        assert [entry.event_name for entry in read_log(path)][1:3] == ["hummbl.bus.message", "order.refund"]

    def test_configured_later(self, path: Path) -> None:
        """A bus that is in use goes over to the provider that is configured later, and back when that is shut down."""
        bus = post(path, "one")
        with otel_audit.configure(path) as provider:
            bus.post("a", "b", "c", "two")
            assert provider.exporter.ledger.stats().records == 1
        bus.post("a", "b", "c", "three")
        assert [message.message for message in bus.read_all()] == ["one", "two", "three"]
        chain.check(path)

    def test_set_by_hand(self, path: Path) -> None:
        """A provider that was set without `configure` counts, too."""
        with AuditProvider(AuditFileLogExporter(path)) as provider:
            set_audit_provider(provider)
            post(path)
            assert openings(path) == 1
            assert str(path) not in log._providers

    def test_from_the_environment(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where OTEL_AUDIT_FILE names the bus, the program's provider is made and used."""
        monkeypatch.setenv("OTEL_AUDIT_FILE", str(path))
        post(path)
        otel_audit.get_audit_logger("shop").emit("order.refund")
        assert openings(path) == 1
        otel_audit.get_audit_provider().shutdown()
        post(path, "after")
        chain.check(path)

    def test_not_closed_by_the_bus(self, path: Path) -> None:
        """``close`` leaves open what the application has opened."""
        with otel_audit.configure(path) as provider:
            post(path).close()
            assert not provider.is_shut_down


class TestKey:
    """The key that the log must have."""

    def test_another_key_is_refused(self, path: Path) -> None:
        """A bus that names another key than its log is open with is refused, without the keys' bytes."""
        one, two = path.with_name("one"), path.with_name("two")
        one.write_bytes(b"1" * 32)
        two.write_bytes(b"2" * 32)
        BusWriter(path, hmac_key_file=one).post("a", "b", "c", "d")
        post(path)
        with pytest.raises(AuditConfigError, match=f"hmac_key_file: expected {two}, got a log that is open with {one}"):
            BusWriter(path, hmac_key_file=two).post("a", "b", "c", "d")
        chain.check(path, key=b"1" * 32)

    def test_strict_asks_of_a_configured_log_too(self, path: Path) -> None:
        """STRICT refuses to post through a configured provider without a key."""
        with otel_audit.configure(path), pytest.raises(AuditConfigError, match="policy STRICT refuses"):
            BusWriter(path, policy=PolicyLevel.STRICT).post("a", "b", "c", "d")
        assert BusWriter(path).read_all() == []

    def test_strict_with_the_environments_path(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A log that OTEL_AUDIT_FILE names is not begun unsigned by a post that STRICT refuses."""
        monkeypatch.setenv("OTEL_AUDIT_FILE", str(path))
        with pytest.raises(AuditConfigError, match="policy STRICT refuses"):
            BusWriter(path, policy=PolicyLevel.STRICT).post("a", "b", "c", "d")
        assert not path.exists()
