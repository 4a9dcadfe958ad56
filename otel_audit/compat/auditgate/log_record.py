"""A gate's decision to its log record.

As `otel_audit.pipeline.assemble` does it for records of any kind: here it is known which members
there are, and a gate decides often.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current

from otel_audit.attributes import check_text, with_altered
from otel_audit.pipeline.assemble import assemble
from otel_audit.pipeline.context import current_actors
from otel_audit.pipeline.log_record import AuditLogRecord, EventLogRecord
from otel_audit.pipeline.record_ids import new_record_id
from otel_audit.semconv import (
    AUDIT_ACTION,
    AUDIT_ACTOR_ID,
    AUDIT_ACTOR_TYPE,
    AUDIT_DECISION,
    AUDIT_DELEGATION,
    AUDIT_DURATION,
    AUDIT_INTENT_ID,
    AUDIT_OUTCOME,
    AUDIT_PHASE,
    AUDIT_REASON,
    AUDIT_RECORD_ID,
    AUDIT_SCHEMA_VERSION,
    AUDIT_TARGET_ID,
    AUDIT_TARGET_TYPE,
    AUDIT_TRAIL,
    CODE_FUNCTION_NAME,
    ERROR_TYPE,
    EVENT_GATE_CLEAR,
    EVENT_GATE_DECISION,
    GATE_CLEAR_BEFORE,
    GATE_CLEAR_ENTRIES,
    GATE_DETAIL,
    GATE_INTEGRITY,
    GATE_REASON,
    GATE_RECORDED_BY,
    GATE_TRAIL,
    GATE_WALL_TIME,
    SCHEMA_VERSION,
)
from otel_audit.value import clean, pointer_to

from .policy import IntegrityMode, Trail, Verdict

if TYPE_CHECKING:
    from otel_audit.pipeline.provider import Channel

    from .call import Decided, GuardedCall

_PLAIN_CHARS: Final = 2048
"""Texts shorter than this, of ASCII alone, stand in a line as they are (`attributes.check_text`)."""
_MAX_REASON_CHARS: Final = 2000


def decision_record(
    channel: Channel,
    decided: Decided,
    detail: object,
    altered: list[str],
    integrity: IntegrityMode,
    call: GuardedCall | None,
    times: tuple[str, float, str | None, int],
    recorded_by: str,
    deferred: bool,
) -> AuditLogRecord:
    """Return the log record of a decision, or of how a guarded call ended.

    Args:
        detail: What is stored of its detail: JSON values; None for nothing.
        altered: Pointers of what in it is not as it was given.
        call: Of a guard; None for a decision alone.
        times: The attribute that ``ts`` is stored in, which tells the clock; ``ts``; the wall time of
            a clock of the program's own, or None; the time of the line, nanoseconds since 1970.

    Raises:
        AuditRecordError: The format refuses a text over 8 KiB, or nobody acts where somebody must.
    """
    trail, verdict, severity, gate_type, gate_identity, reason, _ = decided
    ts_name, ts, wall_ts, time_ns = times
    context = get_current()
    actors = current_actors(context)
    actor = actors[-1] if actors else channel.provider.service_actor()
    text, parts = trail.text, trail.parts
    attributes: dict[str, object] = {
        AUDIT_RECORD_ID: new_record_id(),
        AUDIT_ACTOR_ID: _text(AUDIT_ACTOR_ID, actor.id, altered),
        AUDIT_ACTOR_TYPE: actor.type,
        AUDIT_ACTION: "EXECUTE",
        AUDIT_OUTCOME: "failure" if verdict is Verdict.ERROR else "success",
        AUDIT_TARGET_ID: _text(AUDIT_TARGET_ID, gate_identity, altered),
        AUDIT_TARGET_TYPE: _text(AUDIT_TARGET_TYPE, gate_type, altered),
        AUDIT_SCHEMA_VERSION: SCHEMA_VERSION,
    }
    if call is not None:
        attributes[AUDIT_OUTCOME] = call.outcome
        attributes[AUDIT_PHASE] = call.phase
        if call.phase == "outcome" and call.intent_id is not None:
            attributes[AUDIT_INTENT_ID] = call.intent_id
    attributes[AUDIT_DECISION] = verdict.word
    long_reason = None
    if reason is not None:
        if isinstance(reason, str) and len(reason) > _PLAIN_CHARS:
            long_reason, reason = reason, reason[:_MAX_REASON_CHARS] + "…"
            altered.append(pointer_to("/attributes", AUDIT_REASON))
        attributes[AUDIT_REASON] = _text(AUDIT_REASON, reason, altered)
    attributes[AUDIT_TRAIL] = _text(AUDIT_TRAIL, text, altered)
    if len(actors) > 1:
        attributes[AUDIT_DELEGATION] = [_text(AUDIT_DELEGATION, a.id, altered) for a in actors]
    if call is not None:
        if call.duration is not None:
            attributes[AUDIT_DURATION] = call.duration
        if call.error_type is not None:
            attributes[ERROR_TYPE] = _text(ERROR_TYPE, call.error_type, altered)
        attributes[CODE_FUNCTION_NAME] = call.function_name
    attributes[ts_name] = ts if type(ts) is float and isfinite(ts) else _value(ts_name, ts, altered)
    if wall_ts is not None:
        attributes[GATE_WALL_TIME] = _value(GATE_WALL_TIME, wall_ts, altered)
    if recorded_by:
        attributes[GATE_RECORDED_BY] = _value(GATE_RECORDED_BY, recorded_by, altered)
    if integrity is not IntegrityMode.HASH:
        attributes[GATE_INTEGRITY] = integrity.word
    if parts is not None:
        attributes[GATE_TRAIL] = _value(GATE_TRAIL, parts, altered)
    if long_reason is not None:
        attributes[GATE_REASON] = _value(GATE_REASON, long_reason, altered)
    if detail is not None:
        attributes[GATE_DETAIL] = detail
    if altered:
        attributes = with_altered(attributes, altered)
    log = EventLogRecord(time_ns, context, EVENT_GATE_DECISION, attributes, None, severity.name, severity.number)
    return AuditLogRecord(log, channel.resource, channel.scope, channel.after, deferred)


def clear_record(
    channel: Channel, trail: Trail | None, ts_name: str, ts: float, before_ts: float | None, entries: int | None
) -> AuditLogRecord:
    """Return the log record that hides others from queries; see `LogSink.append_clear`.

    Raises:
        AuditRecordError: The trail's text is over 8 KiB, or nobody acts where somebody must.
    """
    own: dict[str, object] = {ts_name: ts}
    rare: dict[str, Any] = {}
    if trail is not None:
        rare["trail"] = trail.text
        if trail.parts is not None:
            own[GATE_TRAIL] = list(trail.parts)
    if before_ts is not None:
        own[GATE_CLEAR_BEFORE] = before_ts
    if entries is not None:
        own[GATE_CLEAR_ENTRIES] = entries
    return assemble(
        channel,
        EVENT_GATE_CLEAR,
        None,
        attributes=own,
        reason="hidden from queries; nothing is erased",
        **rare,
    )


def _text(name: str, value: object, altered: list[str]) -> str:
    if type(value) is str and len(value) < _PLAIN_CHARS and value.isascii():
        return value
    return check_text(name, value, altered)


def _value(name: str, value: object, altered: list[str]) -> object:
    return clean(value, pointer_to("/attributes", name), altered, 3)
