"""How many processes may read a log at the same time."""

from __future__ import annotations

import os
import sys

import pytest

from otel_audit.worker_limits import processors


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process may use all processors")
def test_processors_are_those_of_this_process() -> None:
    """A process that is held to one processor has one, however many the machine has."""
    allowed = os.sched_getaffinity(0)
    assert processors() == len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_processors_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a system knows no affinity it is the machine's processors, or 1 where nobody can tell."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert processors() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors() == 1
