"""`audit_gate` on an engine that a program wrote itself; the real ones are in tests/integration/test_gates.py."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from otel_audit import AuditConfigError, AuditWriteError
from otel_audit.instrument.gates import audit_gate
from otel_audit.testing import capture_audit


@dataclass(frozen=True)
class Answer:
    """A decision of no kind that is known."""

    allowed: bool
    reason: None = None


class Gate:
    """Allows what it is told to."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Any], None]] = []

    def on_decision(self, listener: Callable[[Any], None]) -> None:
        """Add a listener."""
        self.listeners.append(listener)

    def check(self, allowed: bool) -> Answer:
        """Decide, and tell the listeners, whose exceptions reach nobody."""
        answer = Answer(allowed)
        for listener in self.listeners:
            try:
                listener(answer)
            except Exception:
                continue
        if allowed is None:
            raise ValueError("decided, and then something else went wrong")
        return answer


def test_records_what_is_decided() -> None:
    """Each decision is an entry when `check` returns; of a gate that is not known it has no target and no trail."""
    with capture_audit() as log:
        gate = audit_gate(Gate())
        assert gate.check(True).allowed
        assert not gate.check(False).allowed
        assert [entry.attributes["audit.decision"] for entry in log.entries] == ["allow", "block"]
        assert "audit.trail" not in log.entries[0].attributes
        assert "audit.target.id" not in log.entries[0].attributes


def test_fails_closed() -> None:
    """Where the decision cannot be recorded, `check` raises, and returns nothing that lets an action run."""
    with capture_audit() as log:
        gate = audit_gate(Gate())
        log.fail(OSError(errno.ENOSPC, "no space left on device"))
        with pytest.raises(AuditWriteError, match="no space left"):
            gate.check(True)


def test_not_configured() -> None:
    """Where auditing is not configured, `check` says so."""
    with pytest.raises(AuditConfigError, match="auditing is not configured"):
        audit_gate(Gate()).check(True)


def test_recorded_though_it_raises() -> None:
    """A decision that listeners were told of is recorded, also where the call raises after it."""
    with capture_audit() as log:
        with pytest.raises(ValueError, match="something else"):
            audit_gate(Gate()).check(None)  # type: ignore[arg-type]
        assert len(log.entries) == 1


def test_frozen() -> None:
    """An engine whose members cannot be assigned is audited like any other."""

    class Frozen(Gate):
        def __setattr__(self, name: str, value: object) -> None:
            if name != "listeners":
                raise AttributeError(name)
            super().__setattr__(name, value)

    with capture_audit() as log:
        assert audit_gate(Frozen()).check(True).allowed
        assert len(log.entries) == 1


def test_wrong_setting() -> None:
    """A setting that does not exist is refused."""
    with pytest.raises(AuditConfigError, match="on_failure"):
        audit_gate(Gate(), on_failure="maybe")  # type: ignore[arg-type]
