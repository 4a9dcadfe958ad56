"""`otel_audit.report.summary`: what a page is told of the verification."""

from __future__ import annotations

from typing import Any

import pytest

from otel_audit.report.summary import summarize
from otel_audit.report.timeline import timeline
from otel_audit.report.totals import Totals
from tests import logs

TIMELINE = timeline(logs.time_text(1), logs.time_text(60))


def told(*severities: str) -> dict[str, Any]:
    """Return what a page is told of findings with these severities, in this order."""
    findings = [{"severity": severity, "line": line} for line, severity in enumerate(severities, 1)]
    status = "not_intact" if "error" in severities else "intact"
    summary = summarize(Totals(TIMELINE.bins), TIMELINE, {"status": status, "findings": findings, "unfinished": []})
    verification: dict[str, Any] = summary["verification"]
    return verification


def test_an_error_behind_many_warnings_is_told() -> None:
    """However many warnings stand before it, an error is among the findings that a page has."""
    said = told(*["warning"] * 600, "error", "info")
    assert said["findings"][0] == {"severity": "error", "line": 601}
    assert [finding["line"] for finding in said["findings"][1:]] == list(range(1, 500))
    assert said["findings_left_out"] == 102


@pytest.mark.parametrize(("errors", "left_out"), [(0, 0), (3, 0), (500, 1), (700, 201)])
def test_errors_are_counted_whole(errors: int, left_out: int) -> None:
    """How many errors there are is told, also where not all of them are."""
    said = told(*["error"] * errors, "warning")
    assert (said["errors"], said["findings_left_out"]) == (errors, left_out)
