"""The spans of one trace, from a collector's traces file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from otel_audit.errors import AuditVerifyError
from otel_audit.reconcile.copy_file import open_copies, read_lines
from otel_audit.reconcile.otlp_json import (
    Telemetry,
    UnreadableError,
    load,
    parse_integer,
    requests_in,
    telemetry,
    text,
)
from otel_audit.semconv import SERVICE_NAME

MAX_SPANS: Final = 100_000
"""Of one trace."""
_BEGINS: Final = b'{"resourceSpans":['
_ERROR_CODES: Final = (2, "STATUS_CODE_ERROR")


@dataclass(frozen=True, slots=True)
class Span:
    """A span.

    Attributes:
        parent_id: Empty: it has none.
        start_ns: Nanoseconds since 1970; ``end_ns`` likewise.
        service: ``service.name`` of who opened it; empty where it does not say.
        failed: Its status is an error.
    """

    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    service: str
    failed: bool


def read_spans(paths: Iterable[str], trace_id: str) -> dict[str, Span]:
    """Return the spans of one trace by their id; of doubles the first.

    Args:
        paths: OTLP JSON, one request a line; ``-`` is stdin.
        trace_id: 32 lower-case hexadecimal digits.

    Raises:
        AuditVerifyError: A file cannot be read, holds no OTLP at all, or the trace is too large.
    """
    found: dict[str, Span] = {}
    with contextlib.ExitStack() as stack:
        for copy in open_copies(paths, stack):
            readable, problem = False, ""
            for line in read_lines(copy):
                try:
                    spans = _spans(line.data or b"", trace_id)
                except UnreadableError as error:
                    problem = problem or f"{copy.path}:{line.number}: {error}"
                    continue
                readable = True
                for span in spans:
                    found.setdefault(span.span_id, span)
                if len(found) > MAX_SPANS:
                    raise AuditVerifyError(f"trace {trace_id}: expected at most {MAX_SPANS:,} spans, got more")
            if problem and not readable:
                raise AuditVerifyError(f"expected OTLP JSON: {problem}")
    return found


def _spans(line: bytes, trace_id: str) -> list[Span]:
    if not line.strip():
        return []
    try:
        return list(_of_trace(load(line), trace_id))
    except UnreadableError:
        for _, rest in requests_in(line, _BEGINS):  # behind one that a killed collector left
            with contextlib.suppress(UnreadableError):
                return list(_of_trace(load(rest), trace_id))
        raise


def _of_trace(request: dict[str, Any], trace_id: str) -> Iterator[Span]:
    for each in telemetry(request, "Spans"):
        if str(each.record.get("traceId", "")).lower() == trace_id:
            yield _span(each)


def _span(each: Telemetry) -> Span:
    record = each.record
    status = record.get("status")
    return Span(
        span_id=str(record.get("spanId", "")).lower(),
        parent_id=str(record.get("parentSpanId") or "").lower(),
        name=str(record.get("name", "")),
        start_ns=_time_ns(record.get("startTimeUnixNano")),
        end_ns=_time_ns(record.get("endTimeUnixNano")),
        service=text((each.resource or {}).get(SERVICE_NAME)) or "",
        failed=isinstance(status, dict) and status.get("code") in _ERROR_CODES,
    )


def _time_ns(value: object) -> int:
    """Return a time as OTLP has it, 64 bits without a sign; 0 for anything else."""
    time_ns = parse_integer(value) or 0
    return time_ns if 0 <= time_ns < 2**64 else 0
