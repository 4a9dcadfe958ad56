from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("opentelemetry.instrumentation", reason="needs the extra 'instrument'")

from otel_audit import AuditInstrumentor
from otel_audit.errors import AuditConfigError
from otel_audit.instrument import frameworks
from otel_audit.instrument.frameworks import FRAMEWORKS, FrameworkSettings
from otel_audit.instrument.frameworks.hook import Hook
from otel_audit.testing import capture_audit


class FakeFramework(ModuleType):
    """A framework module whose package is one that is always installed."""

    PACKAGE = "wrapt"
    MODULE = "wrapt"
    VERSIONS = ">=1"

    def __init__(self, name: str, events: list[str], fails: bool = False) -> None:
        super().__init__(f"fake_{name}")
        self.events = events
        self.fails = fails
        self.settings: FrameworkSettings | None = None
        self.logger: Any = None

    def instrument(self, logger: Any, settings: FrameworkSettings, undo: ExitStack) -> None:
        """Tell of it."""
        self.logger, self.settings = logger, settings
        self.events.append(f"{self.__name__} on")
        undo.callback(self.events.append, f"{self.__name__} off")
        if self.fails:
            raise AuditConfigError("a hook is gone")


@pytest.fixture
def events() -> list[str]:
    """Return what the fake frameworks were asked to do."""
    return []


@pytest.fixture(autouse=True)
def instrumentor(monkeypatch: pytest.MonkeyPatch, events: list[str]) -> Iterator[AuditInstrumentor]:
    """Put fake frameworks in place of the real ones."""
    modules = {name: FakeFramework(name, events) for name in ("a", "b")}
    modules["broken"] = FakeFramework("broken", events, fails=True)
    modules["absent"] = FakeFramework("absent", events)
    modules["absent"].PACKAGE = "no-such-package-at-all"
    modules["old"] = FakeFramework("old", events)
    modules["old"].VERSIONS = "<0.1"
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"fake_{name}", module)
        hooks: Any = ModuleType(f"fake_{name}.hooks")
        hooks.HOOKS = (Hook("gen_ai.tool.execute", "tool call", "a hook"), Hook("gen_ai.model.call", "model call", "x"))
        monkeypatch.setitem(sys.modules, f"fake_{name}.hooks", hooks)
    monkeypatch.setattr(frameworks, "FRAMEWORKS", {name: f"fake_{name}" for name in modules})
    monkeypatch.setattr(
        "otel_audit.instrument.instrumentor.FRAMEWORKS", {name: f"fake_{name}" for name in ("a", "absent", "b", "old")}
    )
    instrumentor = AuditInstrumentor()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


class TestInstrument:
    def test_undoes_in_reverse(self, instrumentor: AuditInstrumentor, events: list[str]) -> None:
        """Frameworks are instrumented in the order given and undone in the other."""
        instrumentor.instrument(frameworks=["b", "a"])
        instrumentor.uninstrument()
        assert events == ["fake_b on", "fake_a on", "fake_a off", "fake_b off"]

    def test_hands_on_settings_and_scope(self, instrumentor: AuditInstrumentor) -> None:
        """A framework module gets the settings and a logger whose scope names the framework."""
        instrumentor.instrument(frameworks=["a"], capture=("path",), capture_result=True, on_failure="open")
        framework: Any = import_module("fake_a")
        assert framework.settings == FrameworkSettings(capture=("path",), capture_result=True, on_failure="open")
        assert framework.logger.name == "otel_audit.a"

    def test_can_be_done_again(self, instrumentor: AuditInstrumentor, events: list[str]) -> None:
        """After uninstrument, instrument works as at first."""
        for _ in range(2):
            instrumentor.instrument(frameworks=["a"])
            instrumentor.uninstrument()
        assert events == ["fake_a on", "fake_a off"] * 2

    def test_is_a_singleton_that_instruments_once(self, instrumentor: AuditInstrumentor, events: list[str]) -> None:
        """The same call a second time does nothing, whichever instance it is made on."""
        instrumentor.instrument(frameworks=["a"])
        AuditInstrumentor().instrument(frameworks=["a"])
        assert events == ["fake_a on"]

    def test_refuses_other_settings_the_second_time(self, instrumentor: AuditInstrumentor) -> None:
        """A second call that asks for more is an error, as it would not be done."""
        instrumentor.instrument(frameworks=["a"])
        with pytest.raises(AuditConfigError, match="already instrumented"):
            instrumentor.instrument(frameworks=["a", "b"])

    def test_undoes_what_was_done_before_a_failure(self, instrumentor: AuditInstrumentor, events: list[str]) -> None:
        """Where one framework cannot be instrumented, none is."""
        with pytest.raises(AuditConfigError, match="a hook is gone"):
            instrumentor.instrument(frameworks=["a", "broken"])
        assert events == ["fake_a on", "fake_broken on", "fake_broken off", "fake_a off"]
        assert not instrumentor.is_instrumented_by_opentelemetry

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("nothing", "unknown framework: expected 'all', or names out of a, absent, b, broken, old; got 'nothing'"),
            ("absent", "absent is not audited: expected no-such-package-at-all .*, got none installed"),
            ("old", r"old is not audited: expected wrapt <0\.1, got wrapt "),
        ],
    )
    def test_refuses_a_named_framework_it_cannot_audit(
        self, instrumentor: AuditInstrumentor, name: str, message: str
    ) -> None:
        """A framework that was asked for by name and cannot be audited is an error that says why."""
        with pytest.raises(AuditConfigError, match=message):
            instrumentor.instrument(frameworks=[name])

    @pytest.mark.parametrize("name", ["absent", "a"])
    def test_checks_nothing_where_it_is_told_not_to(
        self, instrumentor: AuditInstrumentor, events: list[str], name: str
    ) -> None:
        """Without ``check`` a framework that is named and not installed is passed over; one that is, is not."""
        instrumentor.instrument(frameworks=[name], check=False, on_missing=lambda error: pytest.fail(str(error)))
        assert events == (["fake_a on"] if name == "a" else [])

    def test_tells_what_cannot_be_audited(self, instrumentor: AuditInstrumentor, events: list[str]) -> None:
        """Of ``all``, ``on_missing`` is told of a version that is not supported, once the program imports it."""
        told: list[str] = []
        instrumentor.instrument(on_missing=lambda error: told.append(str(error)))
        assert len(told) == 1
        assert told[0].startswith("old is not audited: expected wrapt <0.1, got wrapt ")
        assert events == ["fake_a on", "fake_b on"]

    def test_names_a_module_that_is_gone(self, instrumentor: AuditInstrumentor) -> None:
        """A framework whose modules are others than expected is an error of the set-up that names the module."""

        def instrument(*_: object) -> None:
            import_module("wrapt.no_such_module")

        sys.modules["fake_b"].instrument = instrument  # type: ignore[attr-defined]
        with pytest.raises(AuditConfigError, match=r"b is not audited: wrapt\.no_such_module cannot be imported"):
            instrumentor.instrument(frameworks=["a", "b"])
        assert not instrumentor.is_instrumented_by_opentelemetry

    def test_says_what_is_not_audited(self, instrumentor: AuditInstrumentor) -> None:
        """A framework that lacks what is wrapped is named, with its version, what is missing, and what is lost."""
        expected = r"broken is not audited: a hook is gone \(wrapt [0-9.]+\); not recorded: tool call; model call$"
        with pytest.raises(AuditConfigError, match=expected):
            instrumentor.instrument(frameworks=["broken"])

    @pytest.mark.parametrize("way", ["all", "setting", "provider"])
    def test_warns_once_of_what_is_missing(
        self,
        instrumentor: AuditInstrumentor,
        events: list[str],
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        way: str,
    ) -> None:
        """Of ``all``, or with failures open, that is one warning; the others are audited, nothing of this one is."""
        if way == "all":
            monkeypatch.setattr(
                "otel_audit.instrument.instrumentor.FRAMEWORKS", {name: f"fake_{name}" for name in ("a", "broken")}
            )
        with capture_audit(on_failure="open" if way == "provider" else "closed"):
            instrumentor.instrument(
                frameworks="all" if way == "all" else ["a", "broken"], on_failure="open" if way == "setting" else None
            )
        assert events == ["fake_a on", "fake_broken on", "fake_broken off"]
        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage().startswith("broken is not audited: a hook is gone (wrapt ")

    def test_names_a_class_that_is_gone(self, instrumentor: AuditInstrumentor) -> None:
        """A module that lacks a class is named with it."""

        def instrument(*_: object) -> None:
            _ = import_module("wrapt").NoSuchClass

        sys.modules["fake_b"].instrument = instrument  # type: ignore[attr-defined]
        with pytest.raises(AuditConfigError, match="b is not audited: expected wrapt to have 'NoSuchClass', got"):
            instrumentor.instrument(frameworks=["b"])

    def test_all_takes_what_is_installed(
        self, instrumentor: AuditInstrumentor, events: list[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        """``all`` passes over what is not installed, and warns of a version that it does not support."""
        sys.modules["fake_absent"].MODULE = "no_such_package_at_all"  # type: ignore[attr-defined]
        with caplog.at_level(logging.WARNING):
            instrumentor.instrument()
        assert events == ["fake_a on", "fake_b on"]
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "old is not audited" in caplog.text

    def test_all_waits_for_the_import(
        self,
        instrumentor: AuditInstrumentor,
        events: list[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """``all`` instruments a framework when the program imports it, and not after ``uninstrument``."""
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("a", "b"):
            (tmp_path / f"later_{name}.py").touch()
            sys.modules[f"fake_{name}"].MODULE = f"later_{name}"  # type: ignore[attr-defined]
        instrumentor.instrument()
        assert events == []
        import_module("later_a")
        assert events == ["fake_a on"]
        instrumentor.uninstrument()
        import_module("later_b")
        assert events == ["fake_a on", "fake_a off"]


class TestRegistry:
    def test_every_framework_has_the_shape(self) -> None:
        """Each module in the registry imports without its framework and has the four names."""
        for name in FRAMEWORKS:
            module = import_module(FRAMEWORKS[name])
            assert module.PACKAGE
            assert module.MODULE
            assert module.VERSIONS
            assert callable(module.instrument)


class TestWithoutTheExtra:
    def test_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without opentelemetry-instrumentation the import error names the extra."""
        for name in tuple(sys.modules):
            if name.startswith("opentelemetry.instrumentation"):
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation", None)
        monkeypatch.delitem(sys.modules, "otel_audit.instrument.instrumentor")
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'otel-audit\[instrument\]'"):
            import_module("otel_audit.instrument.instrumentor")
