"""The real frameworks, offline, over the real pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import verify_log
from otel_audit.testing import CapturedAudit, capture_audit
from tests.optional import SETS, asked_set, installed_frameworks, is_collected, missing_modules

_asked = asked_set()
if _asked is not None and (_missing := [module for name in SETS[_asked] for module in missing_modules(name)]):
    raise pytest.UsageError(f"OTEL_AUDIT_TEST_FRAMEWORKS={_asked}: not installed: {', '.join(_missing)}")

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"  # it would go to a service, and warn from a thread of its own

# Left out, not skipped: nothing is skipped where OTEL_AUDIT_TEST_STRICT is set. `left_out` names it.
collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if not is_collected(path.stem)]
collect_ignore += [] if installed_frameworks() else ["conformance"]


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log that is intact when the test is over."""
    with capture_audit() as log:
        yield log
        assert verify_log(log.path).intact


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans that end, with a tracer provider of the test's own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter
