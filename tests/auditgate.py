"""What the tests of the AuditGate interface share."""

from __future__ import annotations

from typing import Any, Final

from otel_audit.compat.auditgate import (
    AsyncMemoryStore,
    AuditEntry,
    AuditPolicy,
    IntegrityMode,
    MemoryStore,
    Mode,
    Severity,
    StoreErrorMode,
    Trail,
    Verdict,
)

TRAIL: Final = Trail("billing", "actiongate", "user:123")
CHAIN: Final = AuditPolicy(integrity=IntegrityMode.CHAIN)
SOFT: Final = AuditPolicy(mode=Mode.SOFT)
POLICIES: Final = {
    f"{mode.name}, {on_store_error.name}": AuditPolicy(mode, on_store_error)
    for mode in Mode
    for on_store_error in StoreErrorMode
}
"""The four failure modes, by the names that the documentation gives them."""

REFUND: Final[dict[str, Any]] = {
    "verdict": Verdict.ALLOW,
    "severity": Severity.INFO,
    "gate_type": "actiongate",
    "gate_identity": "billing:refund@user:123",
}
"""What `Engine.record` must be told."""


class FailingStore(MemoryStore):
    """A store that fails, with a message that nobody else may see."""

    def append(self, entry: AuditEntry) -> None:
        """Raise."""
        raise OSError("redis://user:canary-9f3b@host refused")


class AsyncFailingStore(AsyncMemoryStore):
    """As `FailingStore`."""

    async def append(self, entry: AuditEntry) -> None:
        """Raise."""
        raise OSError("redis://user:canary-9f3b@host refused")
