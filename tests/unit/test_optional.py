"""What a run of the tests leaves out is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import optional


def test_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each group of tests whose parts are not there is named, with what it needs, and none that was asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(optional, "find_spec", lambda _name: None)
    for name in ("GATES", "FRAMEWORKS", "COLLECTOR"):
        monkeypatch.delenv(f"OTEL_AUDIT_TEST_{name}", raising=False)
    named = [line.partition(":")[0] for line in optional.left_out()]
    assert named == ["tests/integration/test_gates.py", "tests/frameworks", "tests/collector"]
    monkeypatch.setenv("OTEL_AUDIT_TEST_FRAMEWORKS", "1")
    assert not any(line.startswith("tests/frameworks") for line in optional.left_out())
