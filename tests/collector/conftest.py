"""A real collector, with the configurations that users get."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collector.collectors import Collector
from tests.disk import mounted
from tests.optional import built_collector, built_kafka

_GIVEN = os.environ.get("OTEL_AUDIT_TEST_COLLECTOR")


BINARY = Path(_GIVEN) if _GIVEN is not None else built_collector()

# Left out, not skipped: nothing is skipped where OTEL_AUDIT_TEST_STRICT is set. Where OTEL_AUDIT_TEST_COLLECTOR is
# set they are collected in any case, and a missing binary is an error.
collect_ignore_glob = [] if _GIVEN is not None or BINARY.exists() else ["test_*.py"]
if _GIVEN is None and not built_kafka().exists():
    collect_ignore_glob.append("test_kafka.py")

Start = Callable[..., Collector]


@pytest.fixture(scope="session")
def binary() -> Path:
    """The collector, from ``OTEL_AUDIT_TEST_COLLECTOR`` or as `collector-config/build` left it."""
    assert os.access(BINARY, os.X_OK), f"expected a collector at {BINARY}, got none: run collector-config/build"
    return BINARY


@pytest.fixture
def collector(binary: Path, tmp_path: Path) -> Iterator[Start]:
    """Make collectors, ``collector(name, *configurations, **environ)``, not started yet; end them after the test."""
    with contextlib.ExitStack() as stack:

        def make(name: str, *configurations: str, folder: Path | None = None, **environ: str) -> Collector:
            one = Collector(binary, (folder or tmp_path) / name, *configurations, environ=environ)
            stack.callback(one.close)
            return one

        yield make


@pytest.fixture
def big_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, in memory, that can be made full (`tests.collector.collectors.resize`)."""
    folder = tmp_path / "big"
    folder.mkdir()
    with mounted(folder, "size=8g,mode=0700"):
        yield folder
