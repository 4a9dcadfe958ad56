"""The only place that opens a log to read."""

from __future__ import annotations

import os
from collections.abc import Iterable

from otel_audit.record import AuditReceipt
from otel_audit.verify.report import Integrity, VerifyReport


def verify_log(
    path: str | os.PathLike[str],
    *,
    hmac_key_file: str | os.PathLike[str] | None = None,
    anchors: Iterable[str | AuditReceipt] = (),
    expected_integrity: Integrity = "chain",
    chain_only: bool = False,
) -> VerifyReport:
    """Check a whole log."""
    raise NotImplementedError
