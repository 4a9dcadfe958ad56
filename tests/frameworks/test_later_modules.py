"""What of a framework is instrumented when it is imported."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from otel_audit.instrument.frameworks import load_framework, part
from otel_audit.instrument.frameworks.hook import later_modules
from otel_audit.instrument.import_hooks import when_imported
from otel_audit.testing import CapturedAudit
from tests.frameworks.conformance.driver import Driver
from tests.frameworks.conformance.drivers import frameworks
from tests.frameworks.conformance.told import audited


@frameworks("later modules")
def test_each(driver: Driver, log: CapturedAudit, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what is told of it: what the doctor imports to find out what is missing."""
    waited: list[str] = []

    def noting(name: str, imported: Any) -> Any:
        waited.append(name)
        return when_imported(name, imported)

    monkeypatch.setattr(part, "when_imported", noting)
    importlib.import_module(load_framework(driver.framework).MODULE)
    with audited(driver):
        assert set(waited) == set(later_modules(driver.framework))
