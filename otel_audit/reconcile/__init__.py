"""A log against what collectors have of it (docs/reconcile.md).

Reads; needs neither OpenTelemetry nor an extra. The copies are what others wrote: nothing in them is
believed but by the hash that the log, or the line itself, gives it.
"""

from otel_audit.reconcile.anchoring import NO_COPIES, CopyAnchors
from otel_audit.reconcile.reconciler import Progress, copy_anchors, reconcile
from otel_audit.reconcile.report import CopyFinding, CopyKind, ReconcileReport
from otel_audit.reconcile.seq_set import SeqRange, SeqSet

__all__ = [
    "NO_COPIES",
    "CopyAnchors",
    "CopyFinding",
    "CopyKind",
    "Progress",
    "ReconcileReport",
    "SeqRange",
    "SeqSet",
    "copy_anchors",
    "reconcile",
]
