"""AuditGate's interface, over the audit log.

``from otel_audit.compat.auditgate import Engine, Trail, …`` in place of ``from auditgate import …``,
and the rest of a program stays as it is; docs/migrating.md tells what is different.
"""

from __future__ import annotations

from .chain import compute_hash, verify_chain
from .decision import MISSING, AuditError, Decision, Result
from .emitter import Emitter
from .engine import Engine
from .entry import AuditEntry, wall_clock
from .policy import AuditPolicy, IntegrityMode, Mode, Severity, Status, StoreErrorMode, Trail, Verdict
from .store import AsyncMemoryStore, AsyncStore, MemoryStore, QueryFilter, Store

__all__ = [
    "MISSING",
    "AsyncMemoryStore",
    "AsyncStore",
    "AuditEntry",
    "AuditError",
    "AuditPolicy",
    "Decision",
    "Emitter",
    "Engine",
    "IntegrityMode",
    "MemoryStore",
    "Mode",
    "QueryFilter",
    "Result",
    "Severity",
    "Status",
    "Store",
    "StoreErrorMode",
    "Trail",
    "Verdict",
    "compute_hash",
    "verify_chain",
    "wall_clock",
]
