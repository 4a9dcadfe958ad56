from __future__ import annotations

import pickle

import pytest

from otel_audit.compat import auditgate
from otel_audit.compat.auditgate import (
    AuditPolicy,
    IntegrityMode,
    Mode,
    Severity,
    Status,
    StoreErrorMode,
    Trail,
    Verdict,
)

NAMES = {
    *("AsyncMemoryStore", "AsyncStore", "AuditEntry", "AuditError", "AuditPolicy", "Decision", "Emitter", "Engine"),
    *("IntegrityMode", "MISSING", "MemoryStore", "Mode", "QueryFilter", "Result", "Severity", "Status", "Store"),
    *("StoreErrorMode", "Trail", "Verdict", "compute_hash", "verify_chain", "wall_clock"),
}


def test_names() -> None:
    """All names of AuditGate are there, and each has a docstring but the sentinel."""
    assert set(auditgate.__all__) == NAMES
    for name in NAMES - {"MISSING"}:
        assert getattr(auditgate, name).__doc__


def test_words_and_their_values() -> None:
    """The enumerations have AuditGate's members with AuditGate's values."""
    assert {mode.name: mode.value for mode in Mode} == {"HARD": 1, "SOFT": 2}
    assert {mode.name: mode.value for mode in StoreErrorMode} == {"FAIL_CLOSED": 1, "FAIL_OPEN": 2}
    assert {status.name: status.value for status in Status} == {"RECORDED": 1, "DROPPED": 2}
    assert [severity.name for severity in Severity] == ["DEBUG", "INFO", "WARN", "ERROR", "CRITICAL"]
    assert [severity.value for severity in Severity] == [1, 2, 3, 4, 5]
    assert {v.name: v.value for v in Verdict} == {"ALLOW": 1, "BLOCK": 2, "ERROR": 3, "OVERRIDE": 4}
    assert {mode.name: mode.value for mode in IntegrityMode} == {"NONE": 1, "HASH": 2, "CHAIN": 3}


def test_severities_are_open_telemetrys() -> None:
    """Each severity has the number that OpenTelemetry gives its name; CRITICAL is FATAL there."""
    assert [severity.number.name for severity in Severity] == ["DEBUG", "INFO", "WARN", "ERROR", "FATAL"]


class TestTrail:
    def test_text(self) -> None:
        """Its text is namespace:source@principal; the principal is global unless given."""
        assert str(Trail("billing", "actiongate", "user:123")) == "billing:actiongate@user:123"
        assert str(Trail("api", "combined")) == "api:combined@global"
        assert Trail("api", "combined").key == "aud:api:combined:global"

    def test_equality(self) -> None:
        """Trails are equal by their parts, not by their text."""
        assert Trail("a", "b") == Trail("a", "b", "global")
        assert hash(Trail("a", "b")) == hash(Trail("a", "b"))
        assert str(Trail("a:b", "c")) == str(Trail("a", "b:c"))
        assert Trail("a:b", "c") != Trail("a", "b:c")

    def test_pickled(self) -> None:
        """It can be pickled and is a dictionary's key again."""
        trail = Trail("a", "b", "c")
        assert {pickle.loads(pickle.dumps(trail)): 1}[trail] == 1

    def test_immutable(self) -> None:
        """It cannot be changed."""
        with pytest.raises(AttributeError):
            Trail("a", "b").namespace = "c"  # type: ignore[misc]


class TestPolicy:
    def test_defaults(self) -> None:
        """Unless told otherwise it is strict, keeps everything, and hashes."""
        assert AuditPolicy() == AuditPolicy(
            Mode.HARD, StoreErrorMode.FAIL_CLOSED, Severity.DEBUG, None, IntegrityMode.HASH
        )

    @pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
    def test_retention_is_positive(self, seconds: float) -> None:
        """A time to keep entries must be more than 0."""
        with pytest.raises(ValueError, match="retention_seconds: expected more than 0"):
            AuditPolicy(retention_seconds=seconds)
