"""Parts of a framework, instrumented when their modules are imported."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import wrapt

from otel_audit import get_audit_logger
from otel_audit.errors import AuditConfigError
from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.part import Part, instrument_part
from otel_audit.instrument.patch import wrap


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that nobody has imported, of two functions."""
    name = f"module_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text("def one(): ...\ndef two(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as undo:
        yield undo


def of(module: str, *functions: str) -> Part:
    """Return a part that wraps these functions."""

    def part(_auditor: Auditor, undo: ExitStack) -> None:
        for function in functions:
            undo.callback(wrap(importlib.import_module(module), function, lambda wrapped, *_: wrapped()))

    return part


def auditor(told: list[AuditConfigError] | None = None) -> Auditor:
    on_missing = None if told is None else told.append
    return Auditor(get_audit_logger("test"), FrameworkSettings(on_missing=on_missing))


def wrapped(module: str) -> list[str]:
    found = vars(importlib.import_module(module)).items()
    return [key for key, value in found if issubclass(type(value), wrapt.FunctionWrapper)]


def test_whole(name: str, undo: ExitStack) -> None:
    """All of a part is instrumented when its module is imported, until it is undone."""
    instrument_part("langchain", name, of(name, "one", "two"), auditor(), undo)
    assert wrapped(name) == ["one", "two"]
    undo.close()
    assert wrapped(name) == []


def test_or_nothing(name: str, undo: ExitStack) -> None:
    """Where a version lacks one of the functions the others are as before, and the others' parts are audited."""
    told: list[AuditConfigError] = []
    instrument_part("langchain", name, of(name, "one", "three"), auditor(told), undo)
    instrument_part("langchain", name, of(name, "two"), auditor(told), undo)
    assert wrapped(name) == ["two"]
    assert [name in str(error) and "'three'" in str(error) for error in told] == [True]


def test_a_module_that_is_gone(name: str, undo: ExitStack) -> None:
    """A module that a part imports beside its own, and is not there, is told of as a function is."""
    told: list[AuditConfigError] = []
    instrument_part("langchain", name, of(f"{name}_gone", "one"), auditor(told), undo)
    assert wrapped(name) == []
    assert [f"{name}_gone cannot be imported" in str(error) for error in told] == [True]


def test_nobody_is_told(name: str, undo: ExitStack) -> None:
    """Where nobody is to be told the module's import raises, and nothing is wrapped."""
    instrument_part("langchain", name, of(name, "one", "three"), auditor(), undo)
    with pytest.raises(AuditConfigError, match="'three'"):
        importlib.import_module(name)
    assert wrapped(name) == []


def test_a_version_that_is_not_supported(name: str, undo: ExitStack) -> None:
    """A distribution of a version that is not supported is told of, and not instrumented."""
    told: list[AuditConfigError] = []
    instrument_part("langchain", name, of(name, "one"), auditor(told), undo, requirement="wrapt <1")
    assert wrapped(name) == []
    assert ["expected wrapt <1, got wrapt " in str(error) for error in told] == [True]
