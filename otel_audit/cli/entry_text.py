"""One entry for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_audit import semconv
from otel_audit.cli.text import plural, visible, visible_json
from otel_audit.cli.trace_link import TraceLink
from otel_audit.entry import Entry

MAX_VALUE_CHARACTERS: Final = 2000
"""Longer values are cut for people; ``--format json`` has them whole."""

_TOLD_ABOVE: Final = frozenset(
    {
        semconv.AUDIT_RECORD_ID,
        semconv.AUDIT_ACTOR_ID,
        semconv.AUDIT_ACTOR_TYPE,
        semconv.AUDIT_ACTION,
        semconv.AUDIT_OUTCOME,
        semconv.AUDIT_TARGET_ID,
        semconv.AUDIT_TARGET_TYPE,
        semconv.AUDIT_SOURCE_ID,
        semconv.AUDIT_SOURCE_TYPE,
        semconv.AUDIT_SCHEMA_VERSION,
        semconv.AUDIT_PHASE,
        semconv.AUDIT_INTENT_ID,
        semconv.AUDIT_DECISION,
        semconv.AUDIT_REASON,
        semconv.AUDIT_DELEGATION,
        semconv.AUDIT_DURATION,
        semconv.ERROR_TYPE,
    }
)


def as_text(entry: Entry, link: TraceLink | None = None) -> Iterator[str]:
    """Yield the lines that show one entry, every character of the log made visible.

    Args:
        entry: The entry.
        link: Where its trace is shown.
    """
    phase = _word(entry, semconv.AUDIT_PHASE)
    heading = [f"#{entry.seq}", entry.time, _shown(entry.event_name), _word(entry, semconv.AUDIT_ACTION)]
    yield "  ".join(part for part in (*heading, phase and f"[{phase}]") if part)
    for label, text in _told(entry, link):
        if text:
            yield labelled(label, text)
    for name, value in entry.attributes.items():
        if name not in _TOLD_ABOVE:
            yield f"    {_shown(name)} = {_shown(value)}"


def labelled(label: str, text: str) -> str:
    """Return one line under the heading of an entry; the text is visible already."""
    return f"    {label:<9}  {text}"


def _told(entry: Entry, link: TraceLink | None) -> Iterator[tuple[str, str]]:
    yield "actor", _named(entry, semconv.AUDIT_ACTOR_ID, semconv.AUDIT_ACTOR_TYPE)
    yield "for", _delegation(entry.attributes.get(semconv.AUDIT_DELEGATION))
    yield "target", _named(entry, semconv.AUDIT_TARGET_ID, semconv.AUDIT_TARGET_TYPE)
    yield "source", _named(entry, semconv.AUDIT_SOURCE_ID, semconv.AUDIT_SOURCE_TYPE)
    yield "decision", _word(entry, semconv.AUDIT_DECISION)
    error = _word(entry, semconv.ERROR_TYPE)
    outcome = _word(entry, semconv.AUDIT_OUTCOME)
    yield "outcome", f"{outcome}: {error}" if outcome and error else outcome or error
    yield "reason", _word(entry, semconv.AUDIT_REASON)
    duration = entry.attributes.get(semconv.AUDIT_DURATION)
    yield "duration", "" if duration is None else f"{_shown(duration)} s"
    yield "intent", _word(entry, semconv.AUDIT_INTENT_ID)
    if entry.trace_id is not None:
        yield "trace", f"{entry.trace_id} span {entry.span_id}"
        if link is not None:
            yield "link", link(entry.trace_id, entry.span_id or "")
    if entry.severity_text is not None or entry.severity_number is not None:
        severity = (entry.severity_text, entry.severity_number)
        yield "severity", " ".join(_shown(part) for part in severity if part is not None)
    if entry.scope is not None:
        yield "scope", " ".join(_shown(part) for part in entry.scope.values())
    yield "resource", ", ".join(f"{_shown(name)}={_shown(value)}" for name, value in entry.resource.items())
    yield "record id", _word(entry, semconv.AUDIT_RECORD_ID)
    if entry.observed_time != entry.time:
        yield "observed", entry.observed_time
    if entry.body is not None:
        yield "body", _shown(entry.body)
    if entry.hash is not None:
        yield "hash", entry.hash


def _delegation(value: object) -> str:
    if not isinstance(value, list):
        return "" if value is None else _shown(value)
    return " > ".join(_shown(actor) for actor in value)


def _named(entry: Entry, id_name: str, type_name: str) -> str:
    identity, kind = _word(entry, id_name), _word(entry, type_name)
    return f"{identity} ({kind})" if identity and kind else identity or kind


def _word(entry: Entry, name: str) -> str:
    value = entry.attributes.get(name)
    return "" if value is None else _shown(value)


def _shown(value: object) -> str:
    text = visible(value) if isinstance(value, str) else visible_json(value)
    if len(text) <= MAX_VALUE_CHARACTERS:
        return text
    left = len(text) - MAX_VALUE_CHARACTERS
    return f"{text[:MAX_VALUE_CHARACTERS]}… and {plural(left, 'character')} more (--format json shows all)"
