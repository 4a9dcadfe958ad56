"""The link from an entry into the tracing backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from otel_audit.cli.text import visible
from otel_audit.errors import AuditError

OTEL_AUDIT_TRACE_URL: Final = "OTEL_AUDIT_TRACE_URL"
"""Template of the address at which a trace is shown: ``{trace_id}``, and perhaps ``{span_id}``. Default: none."""

TraceLink = Callable[[str, str], str]
"""Returns the address for a trace id and a span id."""


def trace_link(environ: Mapping[str, str]) -> TraceLink | None:
    """Return what makes the links; None where no template is set.

    Raises:
        AuditError: The template does not say where the trace id belongs.
    """
    template = environ.get(OTEL_AUDIT_TRACE_URL, "").strip()
    if not template:
        return None
    if "{trace_id}" not in template:
        raise AuditError(f"{OTEL_AUDIT_TRACE_URL}: expected an address with {{trace_id}} in it, got {template!r}")
    # not str.format: an address may hold other braces
    return lambda trace_id, span_id: visible(template.replace("{trace_id}", trace_id).replace("{span_id}", span_id))
