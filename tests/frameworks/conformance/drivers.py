"""The drivers that there are, and those whose framework is installed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final

import pytest

from otel_audit.instrument.frameworks import FRAMEWORKS
from tests.frameworks.conformance.driver import Driver
from tests.optional import installed_frameworks

ALL: Final[dict[str, Driver]] = {
    name: importlib.import_module(f"tests.frameworks.conformance.{name}").DRIVER
    for name in sorted(FRAMEWORKS)
    if Path(__file__).with_name(f"{name}.py").exists()
}
"""Each framework's name and its driver."""

INSTALLED: Final = [driver for name, driver in ALL.items() if name in installed_frameworks()]


def frameworks(check: str) -> pytest.MarkDecorator:
    """Run a check for each framework that is installed, and does not say that it cannot pass it."""
    return pytest.mark.parametrize("driver", [_case(driver) for driver in INSTALLED if check not in driver.cannot])


def ways(check: str, *only: str) -> pytest.MarkDecorator:
    """Run a check for each way to run an agent of each framework that is installed.

    Args:
        check: Its name in `NAMES`; left out is what the driver cannot do.
        only: Ways; all where there are none.
    """
    return pytest.mark.parametrize(
        ("driver", "way"),
        [
            _case(driver, way)
            for driver in INSTALLED
            for way in driver.ways()
            if not {check, f"{check}, {way}"} & driver.cannot.keys() and (not only or way in only)
        ],
    )


def _case(driver: Driver, *way: str) -> Any:
    marks = [pytest.mark.filterwarnings(text) for text in driver.warnings]
    return pytest.param(driver, *way, id="-".join((driver.framework, *way)), marks=marks)
