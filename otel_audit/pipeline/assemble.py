"""One act to its log record: who acts, which trace, the attributes checked and cleaned."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context, get_current

from otel_audit.attributes import audit_attributes, check_event_name
from otel_audit.errors import AuditRecordError
from otel_audit.line import format_time
from otel_audit.record import Actor, Decision, Outcome, Target
from otel_audit.value import clean_body, clean_text, describe

from .context import current_actors
from .log_record import AuditLogRecord, EventLogRecord
from .record_ids import new_record_id

if TYPE_CHECKING:
    from .provider import Channel

MAX_SEVERITY_TEXT: Final = 256
_checked_names: set[str] = set()


def assemble(
    channel: Channel,
    event_name: str,
    context: Context | None,
    action: str = "EXECUTE",
    outcome: Outcome = "success",
    actor: Actor | str | None = None,
    target: Target | str | None = None,
    attributes: Mapping[str, object] | None = None,
    *,
    body: object = None,
    deferred: bool = False,
    **rare: Any,
) -> AuditLogRecord:
    """Return the log record of an act, checked and cleaned.

    Args:
        context: Gives span and actor; the current one if None.
        deferred: See `AuditLogRecord`.
        rare: The other members of an `AuditRecord`, and ``altered``, ``arguments``, ``result``.

    Raises:
        AuditRecordError: It breaks the schema.
    """
    if context is None:
        context = get_current()
    altered: list[str] = []
    # the exact type first: a subclass can claim to equal a name that was checked
    if type(event_name) is not str or event_name not in _checked_names:
        event_name = _check_name(event_name, altered)
    actors = current_actors(context)
    if actor is None:
        actor = actors[-1] if actors else channel.provider.service_actor()
    elif isinstance(actor, str):
        actor = Actor(actor)
    if len(actors) > 1 and rare.get("delegation") is None:
        rare["delegation"] = [member.id for member in actors]
    if not rare:
        time_ns = time.time_ns()
        if body is not None:
            body = clean_body(body, altered)
        whole = audit_attributes(new_record_id(), actor, action, outcome, target, attributes, altered)
        log = EventLogRecord(time_ns, context, event_name, whole, body, None, None)
        return AuditLogRecord(log, channel.resource, channel.scope, channel.after, deferred)
    phase, decision = rare.get("phase"), rare.get("decision")
    if phase == "intent":
        outcome = "unknown"
    elif decision is not None and phase is None:
        outcome = _outcome_of_decision(outcome, decision)
    altered.extend(rare.pop("altered", ()))
    if body is not None:
        body = clean_body(body, altered)
    severity = check_severity(rare.pop("severity_number", None))
    severity_text = rare.pop("severity_text", None)
    if severity_text is not None:
        severity_text = fit_severity_text(severity_text, altered)
    timestamp_ns = rare.pop("timestamp_ns", None)
    time_ns = time.time_ns() if timestamp_ns is None else _check_time(timestamp_ns)
    record_id = rare.pop("record_id", None)
    if record_id is None or (type(record_id) is str and not record_id):
        record_id = new_record_id()
    whole = audit_attributes(record_id, actor, action, outcome, target, attributes, altered, **rare)
    log = EventLogRecord(time_ns, context, event_name, whole, body, severity_text, severity)
    return AuditLogRecord(log, channel.resource, channel.scope, channel.after, deferred)


def _check_name(event_name: str, altered: list[str]) -> str:
    checked = check_event_name(event_name)
    if checked != str.__str__(event_name):
        altered.append("/event_name")
    if len(_checked_names) < 4096:
        _checked_names.add(checked)
    return checked


def _outcome_of_decision(outcome: Outcome, decision: Decision) -> Outcome:
    """Return the one outcome that a decision can have (docs/format.md, "Attributes")."""
    right: Outcome = "failure" if decision == "error" else "success"
    if outcome not in (right, "success"):
        raise AuditRecordError(f"outcome: expected {right!r} for decision {decision!r}, got {outcome!r}")
    return right


def _check_time(timestamp_ns: int) -> int:
    if type(timestamp_ns) is not int:
        raise AuditRecordError(f"timestamp_ns: expected nanoseconds since 1970, got {describe(timestamp_ns)[:80]}")
    format_time(timestamp_ns)
    return timestamp_ns


def check_severity(number: object) -> SeverityNumber | None:
    """Return the severity, None where it is unspecified.

    Raises:
        AuditRecordError: There is no such number.
    """
    if number is None:
        return None
    try:
        severity = SeverityNumber(getattr(number, "value", number))
    except ValueError:
        raise AuditRecordError(f"severity_number: expected 1 to 24, got {describe(number)[:80]}") from None
    return None if severity is SeverityNumber.UNSPECIFIED else severity


def fit_severity_text(text: object, altered: list[str]) -> str:
    """Return the severity text as the line holds it: at most 256 characters. Total."""
    shown = describe(text) if not issubclass(type(text), str) else str.__str__(text)
    fitting = clean_text(shown, "", [])[:MAX_SEVERITY_TEXT]
    if fitting != shown or not issubclass(type(text), str):
        altered.append("/severity_text")
    return fitting
