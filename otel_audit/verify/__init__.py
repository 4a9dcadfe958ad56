"""Lines in, findings out: the numbered procedure of docs/format.md.

Pure: no files, no clock, no OpenTelemetry. `otel_audit.reader` opens the files.
"""

from otel_audit.verify.finding import Finding, Kind, Severity
from otel_audit.verify.report import Integrity, SegmentSummary, VerifyReport

__all__ = ["Finding", "Integrity", "Kind", "SegmentSummary", "Severity", "VerifyReport"]
