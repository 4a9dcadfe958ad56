"""What pyproject.toml says of versions agrees with what is tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PIN = re.compile(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)")


def pins(lines: list[str]) -> dict[str, str]:
    """Return name and version of each line; each has to be a plain pin."""
    found = {}
    for line in lines:
        pin = PIN.fullmatch(line)
        assert pin, f"expected name==version, got {line}"
        found[pin[1]] = pin[2]
    return found


CONSTRAINTS = pins(PROJECT["tool"]["uv"]["constraint-dependencies"])
FLOOR = pins(
    [
        line
        for line in (ROOT / "tests/requirements/floor.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
)
EXTRAS = [line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra]
RUNTIME = [*PROJECT["project"]["dependencies"], *EXTRAS]
GROUPS = [line for group in PROJECT["dependency-groups"].values() for line in group if isinstance(line, str)]


@pytest.mark.parametrize("requirement", [line for line in RUNTIME + GROUPS if not line.startswith("otel-audit[")])
def test_a_fresh_resolve_gives_the_tested_version(requirement: str) -> None:
    """Each requirement of ours is pinned by a constraint."""
    assert re.split("[>=]", requirement)[0] in CONSTRAINTS


@pytest.mark.parametrize(
    "requirement", [line for line in RUNTIME if not line.startswith(("otel-audit[", "duckdb", "pyarrow"))]
)
def test_the_floor_environment_has_the_lowest_versions_that_are_admitted(requirement: str) -> None:
    """A lower bound is the version that the floor environment installs."""
    name, bound = requirement.split(">=")
    got = FLOOR[name]
    assert got == bound or got.startswith(bound + "."), f"{name}: expected {bound}, got {got}"


def test_the_core_has_four_dependencies() -> None:
    """A plain install brings the OpenTelemetry API and SDK, wrapt and orjson, and nothing else of ours."""
    names = [requirement.split(">=")[0] for requirement in PROJECT["project"]["dependencies"]]
    assert sorted(names) == ["opentelemetry-api", "opentelemetry-sdk", "orjson", "wrapt"]
