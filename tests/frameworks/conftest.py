"""The real frameworks, offline, over the real pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_audit import verify_log
from otel_audit.testing import CapturedAudit, capture_audit
from tests.optional import FRAMEWORKS

# Left out, not skipped: nothing is skipped where OTEL_AUDIT_TEST_STRICT is set. Where
# OTEL_AUDIT_TEST_FRAMEWORKS is set they are collected in any case, and a missing package is an error.
collect_ignore_glob = (
    []
    if "OTEL_AUDIT_TEST_FRAMEWORKS" in os.environ or all(find_spec(name) is not None for name in FRAMEWORKS)
    else ["test_*.py"]
)


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
