"""Lines in, findings out: the numbered procedure of docs/format.md.

Pure: no files, no clock, no OpenTelemetry. `otel_audit.reader` opens the files. The names are
loaded when first used: whoever only reads a log needs nothing of the verifier but its segments.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_audit.verify.finding import Finding, Kind, Severity
    from otel_audit.verify.report import Integrity, SegmentSummary, VerifyReport

__all__ = ["Finding", "Integrity", "Kind", "SegmentSummary", "Severity", "VerifyReport"]

_HOMES = {
    "Finding": "finding",
    "Integrity": "report",
    "Kind": "finding",
    "SegmentSummary": "report",
    "Severity": "finding",
    "VerifyReport": "report",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
