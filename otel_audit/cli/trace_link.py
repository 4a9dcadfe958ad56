"""The link from an entry into the tracing backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from otel_audit.cli.text import visible
from otel_audit.environment import trace_url

TraceLink = Callable[[str, str], str]
"""Returns the address for a trace id and a span id."""


def trace_link(environ: Mapping[str, str]) -> TraceLink | None:
    """Return what makes the links; None where no template is set.

    Raises:
        AuditConfigError: The template is none (`otel_audit.environment.trace_url`).
    """
    template = trace_url(environ)
    if template is None:
        return None
    # not str.format: an address may hold other braces
    return lambda trace_id, span_id: visible(template.replace("{trace_id}", trace_id).replace("{span_id}", span_id))
