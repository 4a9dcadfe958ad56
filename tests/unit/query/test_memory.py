"""`otel_audit.query.memory`: no more than it may be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from otel_audit.query import memory
from otel_audit.query.memory import bounded_memory

if sys.platform != "linux":
    pytest.skip("the system does not tell what a program holds", allow_module_level=True)

import resource

MORE_BYTES = 256 << 20


def test_bounded() -> None:
    """What is too large fails while the body runs, what fits does not, and afterwards the limit is as before."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded_memory(MORE_BYTES):
        assert len(bytearray(MORE_BYTES // 2)) == MORE_BYTES // 2
        with pytest.raises(MemoryError):
            bytearray(2 * MORE_BYTES)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(bytearray(2 * MORE_BYTES)) == 2 * MORE_BYTES


def test_a_lower_limit_stays() -> None:
    """A limit that is lower already is not raised."""
    with bounded_memory(MORE_BYTES):
        lower = resource.getrlimit(resource.RLIMIT_DATA)
        with bounded_memory(4 * MORE_BYTES):
            assert resource.getrlimit(resource.RLIMIT_DATA) == lower


def test_a_system_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not known what is held, nothing is bounded."""
    monkeypatch.setattr(memory, "_STATM", str(tmp_path / "none"))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded_memory(0):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
