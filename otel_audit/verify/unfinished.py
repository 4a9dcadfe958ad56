"""Actions that began and of which the log does not say how they ended."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from otel_audit import semconv
from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.verify.segment import Segment, lines_from
from otel_audit.verify.writers import Writers

MAX_UNFINISHED: Final = 1000
"""How many a report lists; `otel-audit show --open` has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedAction:
    """An intent without an outcome.

    Attributes:
        seq: The intent's.
        time: When it began, in the format's form.
        delegation: On whose behalf: actor ids, the originating principal first; empty where
            nobody delegated.
        trace_id: 32 digits; None where it began outside any span.
        process_pid: Of the process that wrote the intent, as it says itself.
        writer_closed: Whether its writer closed the log after it. False: the process is at work
            still, or it was killed. None: the entry does not tell which process wrote it.
        voided: Its caller was told that the intent could not be made durable: unless failures
            were open, the action did not run.
    """

    seq: int
    time: str
    event_name: str
    record_id: str
    action: str | None
    actor_id: str | None
    actor_type: str | None
    delegation: tuple[str, ...]
    target_id: str | None
    target_type: str | None
    trace_id: str | None
    span_id: str | None
    host_name: str | None
    process_pid: int | None
    writer_closed: bool | None
    voided: bool


def unfinished_actions(
    intents: Iterable[tuple[int, int]], segments: Sequence[Segment], writers: Writers
) -> tuple[UnfinishedAction, ...]:
    """Return the actions of intents, read again from the files: the first `MAX_UNFINISHED`.

    Args:
        intents: Of each the index of its segment and its offset there.
        writers: Told of the whole log.
    """
    found: list[UnfinishedAction] = []
    for segment, offset in intents:
        if len(found) == MAX_UNFINISHED:
            break
        line = next((line for _, line in lines_from(segments[segment], offset, 4096)), None)
        if line is None:
            continue
        try:
            found.append(unfinished_action(parse_entry(line), writers))
        except MalformedLineError:  # overwritten since
            continue
    return tuple(found)


def unfinished_action(entry: Entry, writers: Writers) -> UnfinishedAction:
    """Return the action that an intent announces."""
    get, resource = entry.attributes.get, entry.resource
    delegation = get(semconv.AUDIT_DELEGATION)
    pid = resource.get(semconv.PROCESS_PID)
    return UnfinishedAction(
        seq=entry.seq,
        time=entry.time,
        event_name=entry.event_name,
        record_id=_text(entry.attributes, semconv.AUDIT_RECORD_ID) or "",
        action=_text(entry.attributes, semconv.AUDIT_ACTION),
        actor_id=_text(entry.attributes, semconv.AUDIT_ACTOR_ID),
        actor_type=_text(entry.attributes, semconv.AUDIT_ACTOR_TYPE),
        delegation=tuple(map(str, delegation)) if isinstance(delegation, list) else (),
        target_id=_text(entry.attributes, semconv.AUDIT_TARGET_ID),
        target_type=_text(entry.attributes, semconv.AUDIT_TARGET_TYPE),
        trace_id=entry.trace_id,
        span_id=entry.span_id,
        host_name=_text(resource, semconv.HOST_NAME),
        process_pid=pid if type(pid) is int and pid > 0 else None,
        writer_closed=writers.closed(entry.seq, resource),
        voided=writers.voided(entry.seq),
    )


def _text(members: Mapping[str, object], name: str) -> str | None:
    """Return a member as text; a forged entry can have anything there."""
    value = members.get(name)
    return value if value is None or isinstance(value, str) else json.dumps(value)
