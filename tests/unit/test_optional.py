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
    every = sorted({**optional.SETS["a"], **optional.SETS["b"]})
    assert {"tests/integration/test_gates.py", "tests/collector", "tests/collector/test_kafka.py"} <= set(named)
    assert [name for name in named if "frameworks" in name] == [f"tests/frameworks, {name}" for name in every]
    monkeypatch.setenv("OTEL_AUDIT_TEST_FRAMEWORKS", "b")
    named = [line.partition(":")[0] for line in optional.left_out()]
    assert [name for name in named if "frameworks" in name] == [
        f"tests/frameworks, {name}" for name in every if name in optional.SETS["a"]
    ]


def test_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of the set that is named are all collected, though its packages are missing, and none of the other."""
    monkeypatch.setattr(optional, "find_spec", lambda _name: None)
    monkeypatch.setenv("OTEL_AUDIT_TEST_FRAMEWORKS", "a")
    for module, collected in {
        "test_langchain_graph": True,
        "test_google_adk": True,
        "test_strands": False,
        "test_notebook": True,
        "test_restored": True,
    }.items():
        assert optional.is_collected(module) is collected
    monkeypatch.setenv("OTEL_AUDIT_TEST_FRAMEWORKS", "b")
    assert optional.is_collected("test_strands")
    assert not optional.is_collected("test_notebook")
    monkeypatch.setenv("OTEL_AUDIT_TEST_FRAMEWORKS", "1")
    with pytest.raises(ValueError, match="OTEL_AUDIT_TEST_FRAMEWORKS: expected a or b, got '1'"):
        optional.is_collected("test_strands")


def test_without_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, the tests of what is installed are collected; of several frameworks only where all are there."""
    monkeypatch.delenv("OTEL_AUDIT_TEST_FRAMEWORKS", raising=False)
    monkeypatch.setattr(optional, "find_spec", lambda name: name if name == "strands" else None)
    assert optional.installed_frameworks() == {"strands"}
    assert optional.is_collected("test_strands_tools")
    assert optional.is_collected("test_restored")
    assert not optional.is_collected("test_langchain")
    assert not optional.is_collected("test_servers")
