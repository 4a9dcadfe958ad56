"""Told when a module is imported, for as long as one wants to know."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from otel_audit.instrument.import_hooks import _listeners, when_imported


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that nobody has imported."""
    name = f"module_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text("value = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_later(name: str) -> None:
    """Each who asked is called once, when the module is there; who took it back is not."""
    told: list[tuple[str, ModuleType]] = []
    when_imported(name, lambda module: told.append(("a", module)))
    when_imported(name, lambda module: told.append(("b", module)))()
    when_imported(name, lambda module: told.append(("c", module)))
    assert told == []
    module = importlib.import_module(name)
    assert told == [("a", module), ("c", module)]
    assert module.value == 7


def test_now(name: str) -> None:
    """Who asks for a module that is imported is called at once."""
    module = importlib.import_module(name)
    told: list[ModuleType] = []
    when_imported(name, told.append)()
    assert told == [module]


def test_again(name: str) -> None:
    """A module that is imported anew is told of to those who have asked since."""
    told: list[ModuleType] = []
    for _ in range(2):
        when_imported(name, told.append)
        importlib.import_module(name)
        del sys.modules[name]
    assert len(told) == 2


def test_nothing_is_kept(name: str) -> None:
    """However often one asks and takes it back, nothing stays behind."""
    for _ in range(32):
        when_imported(name, lambda _module: None)()
    assert _listeners[name] == {}


def test_an_error(name: str) -> None:
    """What the callback raises is raised by the import."""

    def fail(_module: ModuleType) -> None:
        raise KeyError(name)

    when_imported(name, fail)
    with pytest.raises(KeyError):
        importlib.import_module(name)
