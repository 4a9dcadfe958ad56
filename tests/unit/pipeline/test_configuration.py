"""`configure` and the global provider."""

from __future__ import annotations

import inspect
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

import otel_audit
from otel_audit import (
    AuditConfigError,
    AuditFileLogExporter,
    AuditProvider,
    AuditWriteError,
    configure,
    get_audit_logger,
    get_audit_provider,
    read_log,
    set_audit_provider,
    verify_log,
)
from otel_audit.pipeline import configuration
from otel_audit.testing import capture_audit


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    """Where the log is."""
    return str(tmp_path / "audit.jsonl")


def names(path: str) -> list[str]:
    """The event names of a log."""
    return [entry.event_name for entry in read_log(path)]


def run(program: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new interpreter."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"OTEL_SERVICE_NAME": "app", **environment},
    )


class TestTwice:
    def test_equal_settings(self, path: str) -> None:
        """A second call with equal settings returns the provider, however they are given."""
        with configure(path, durability="os") as provider:
            assert configure(path, durability="os") is provider
            assert configure(pathlib.Path(path), durability="os", on_failure="closed") is provider
            assert configure() is provider
        assert names(path) == ["audit.log.opened", "audit.log.closed"]

    @pytest.mark.parametrize(
        "other",
        [
            {"durability": "os"},
            {"on_failure": "open"},
            {"require_actor": True},
            {"redact": lambda name, value: value},
            {"resource": Resource({"a": 1})},
            {"resource_attributes": ["a"]},
            {"file_mode": 0o640},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_other_settings(self, path: str, other: dict[str, Any]) -> None:
        """With other settings it is refused, by the place of the first call."""
        with configure(path):
            frame = inspect.currentframe()
            assert frame is not None
            place = f"{__file__}:{frame.f_lineno - 3}"
            with pytest.raises(AuditConfigError, match="configured already, with other settings") as caught:
                configure(path, **other)
            assert place in str(caught.value)

    def test_other_path(self, path: str) -> None:
        """Another path is another setting."""
        with configure(path), pytest.raises(AuditConfigError, match="configured already"):
            configure(path.replace("audit", "other"))
        assert not os.path.exists(path.replace("audit", "other"))

    def test_after_shutdown(self, path: str) -> None:
        """After the shutdown it may be called again, with other settings."""
        configure(path).shutdown()
        with configure(path, durability="os") as provider:
            assert get_audit_provider() is provider
            get_audit_logger("a").emit("e")
        assert names(path) == ["audit.log.opened", "audit.log.closed", "audit.log.opened", "e", "audit.log.closed"]
        assert verify_log(path).intact

    def test_behind_another_provider(self, path: str) -> None:
        """A provider that somebody else has set is neither replaced nor taken for the configured one."""
        with configure(path), capture_audit() as log:
            with pytest.raises(AuditConfigError, match="set already"):
                configure(path)
            assert get_audit_provider() is log.provider

    def test_many_threads(self, path: str) -> None:
        """Threads that configure at the same moment get one provider."""
        found = []
        threads = [threading.Thread(target=lambda: found.append(configure(path))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found[0].shutdown()
        assert len(set(found)) == 1
        assert names(path) == ["audit.log.opened", "audit.log.closed"]


class TestFailed:
    @pytest.mark.parametrize("setting", [{"durability": "often"}, {"on_failure": "never"}, {"integrity": "md5"}])
    def test_nothing_left(self, path: str, setting: dict[str, Any]) -> None:
        """A call that fails leaves no provider, no variable and no file."""
        before = dict(os.environ)
        with pytest.raises(AuditConfigError):
            configure(path, **setting)
        assert dict(os.environ) == before
        assert not os.path.exists(path)
        with pytest.raises(AuditConfigError, match="not configured"):
            get_audit_provider()

    def test_missing_folder(self, path: str) -> None:
        """A log whose folder is missing is an error at once, not at the first act."""
        before = dict(os.environ)
        with pytest.raises(AuditConfigError, match="does not exist"):
            configure(path.replace("audit.jsonl", "missing/audit.jsonl"))
        assert dict(os.environ) == before


class TestEnvironment:
    def test_exported(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The settings are in the environment while the provider lives, the path absolute, and gone behind it."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OTEL_AUDIT_DURABILITY", "interval")
        before = dict(os.environ)
        with configure("audit.jsonl", durability="os", on_failure="open"):
            assert os.environ["OTEL_AUDIT_FILE"] == str(tmp_path / "audit.jsonl")
            assert os.environ["OTEL_AUDIT_DURABILITY"] == "os"
            assert os.environ["OTEL_AUDIT_ON_FAILURE"] == "open"
        assert dict(os.environ) == before

    def test_changed_meanwhile(self, path: str) -> None:
        """What somebody has changed since is left as it is."""
        with configure(path):
            os.environ["OTEL_AUDIT_FILE"] = "/other.jsonl"
            del os.environ["OTEL_AUDIT_DURABILITY"]
        assert os.environ["OTEL_AUDIT_FILE"] == "/other.jsonl"
        assert "OTEL_AUDIT_DURABILITY" not in os.environ
        assert "OTEL_AUDIT_INTEGRITY" not in os.environ

    def test_default_path(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An explicit call without a path writes ``audit.jsonl`` where it stands, or what the variable names."""
        monkeypatch.chdir(tmp_path)
        configure().shutdown()
        assert (tmp_path / "audit.jsonl").exists()
        monkeypatch.setenv("OTEL_AUDIT_FILE", str(tmp_path / "other.jsonl"))
        configure().shutdown()
        assert (tmp_path / "other.jsonl").exists()

    def test_child_process(self, path: str) -> None:
        """A child process that knows nothing of the log writes to the same chain."""
        child = "import otel_audit; otel_audit.get_audit_logger('child').emit('child')"
        with configure(path):
            audit = get_audit_logger("parent")
            audit.emit("before")
            done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
            audit.emit("after")
        assert (done.stdout, done.stderr) == ("", "")
        assert [name for name in names(path) if not name.startswith("audit.log.")] == ["before", "child", "after"]
        assert verify_log(path).intact


class TestFirstEmit:
    def test_from_the_environment(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first emit configures where the variable names a file."""
        monkeypatch.setenv("OTEL_AUDIT_FILE", path)
        assert get_audit_logger("a").emit("e").recorded
        get_audit_provider().shutdown()
        assert names(path) == ["audit.log.opened", "e", "audit.log.closed"]

    def test_not_configured(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without it the emit fails, and names both ways: auditing is never silently off."""
        monkeypatch.chdir(tmp_path)
        audit = get_audit_logger("a")
        for act in (lambda: audit.emit("e"), lambda: audit.start_action("e"), audit.enabled, get_audit_provider):
            with pytest.raises(AuditConfigError, match=r"call otel_audit.configure\(path\), or set .* OTEL_AUDIT_FILE"):
                act()
        assert list(tmp_path.iterdir()) == []

    def test_not_required(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A library's logger is silent until the application has configured auditing, then records."""
        audit = get_audit_logger("library", required=False)
        assert not audit.enabled()
        assert not audit.emit("e").recorded
        assert audit.redact is None
        monkeypatch.setenv("OTEL_AUDIT_FILE", path)
        assert audit.enabled()
        assert audit.emit("e").recorded
        get_audit_provider().shutdown()

    async def test_not_required_in_a_coroutine(self) -> None:
        """The same for coroutines."""
        assert not (await get_audit_logger("library", required=False).aemit("e")).recorded


class TestGlobal:
    def test_set(self, path: str) -> None:
        """A provider of one's own can be set, and the one before comes back."""
        with AuditProvider(AuditFileLogExporter(path)) as provider:
            assert set_audit_provider(provider) is None
            assert get_audit_provider() is provider
            get_audit_logger("a").emit("e")
            assert set_audit_provider(None) is provider
        assert names(path)[1] == "e"

    def test_after_shutdown(self, path: str) -> None:
        """A provider that was shut down is not replaced in silence: what comes later fails."""
        configure(path).shutdown()
        with pytest.raises(AuditWriteError, match="closed"):
            get_audit_logger("a").emit("late")

    def test_redact(self, path: str) -> None:
        """The provider's redaction is what its loggers see."""

        def redact(name: str, value: object) -> object:
            return None

        with configure(path, redact=redact):
            assert get_audit_logger("a").redact is redact


class TestExit:
    def test_closed_behind_the_programs_hooks(self, path: str) -> None:
        """At exit the log is closed after the program's own hooks, which can still emit."""
        program = """
import atexit, sys, otel_audit
atexit.register(lambda: otel_audit.get_audit_logger("app").emit("before.configure"))
otel_audit.configure(sys.argv[1])
atexit.register(lambda: otel_audit.get_audit_logger("app").emit("after.configure"))
otel_audit.get_audit_logger("app").emit("run")
"""
        done = run(program, path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert names(path) == ["audit.log.opened", "run", "after.configure", "before.configure", "audit.log.closed"]

    def test_open_action(self, path: str) -> None:
        """A program that ends by an exception closes its log as well."""
        program = """
import sys, otel_audit
otel_audit.configure(sys.argv[1])
with otel_audit.get_audit_logger("app").start_action("act"):
    raise SystemExit(3)
"""
        done = run(program, path)
        assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
        assert names(path) == ["audit.log.opened", "act", "act", "audit.log.closed"]

    def test_nothing_on_stdout(self, path: str) -> None:
        """Nothing is printed to stdout, whatever goes wrong: a server may speak its protocol there."""
        program = """
import sys, otel_audit
otel_audit.configure(sys.argv[1], on_failure="open", durability="interval")
audit = otel_audit.get_audit_logger("app")
audit.emit("e", attributes={"x": object()})
open(sys.argv[1], "w").close()
audit.emit("lost")
"""
        done = run(program, path, OTEL_AUDIT_PROCESSORS="console", OTEL_SERVICE_NAME="")
        assert (done.returncode, done.stdout) == (0, "")

    def test_other_emit_first(self, path: str) -> None:
        """A program that was configured by the environment alone is closed at exit too."""
        done = run("import otel_audit; otel_audit.get_audit_logger('a').emit('e')", OTEL_AUDIT_FILE=path)
        assert (done.returncode, done.stderr) == (0, "")
        assert names(path) == ["audit.log.opened", "e", "audit.log.closed"]


def test_signature() -> None:
    """Each setting of the file and of the provider is a keyword of `configure`, by the same name."""
    keywords = set(inspect.signature(configure).parameters)
    for other in (AuditFileLogExporter, AuditProvider):
        assert set(inspect.signature(other).parameters) - {"exporter"} <= keywords
    assert configuration.configure is otel_audit.configure
