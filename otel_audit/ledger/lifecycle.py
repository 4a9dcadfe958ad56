"""The log's own entries: opened, closed, recovered, dropped, voided.

docs/format.md, "Lifecycle entries".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from otel_audit import semconv
from otel_audit.attributes import audit_attributes
from otel_audit.line import Draft, encode, encode_context, format_time
from otel_audit.record import Actor, Outcome

from .tail import Fragment


class Closed(NamedTuple):
    """A closed segment, as the first entry of the next one names it."""

    name: str
    size: int
    sha256: str


class Lifecycle:
    """Makes the lifecycle entries of one writer.

    Args:
        writer_id: A UUID made at opening.
        service: Name of the service, the actor of these entries.
        resource: The whole resource, JSON values; stands in ``audit.log.opened``.
        line_resource: The part of it that every line carries.
        new_id: Makes record ids.
    """

    def __init__(
        self,
        writer_id: str,
        service: str,
        resource: Mapping[str, object],
        line_resource: Mapping[str, object],
        version: str,
    ) -> None:
        self.writer_id = writer_id
        self._actor = Actor(service, "system")
        self._resource = encode_context(resource, None)
        self._line_resource = encode_context(line_resource, None)
        self._version = version

    def opened(
        self,
        record_id: str,
        time_ns: int,
        *,
        stream_id: str,
        integrity: str,
        key_id: str | None,
        segment_number: int = 1,
        previous: Closed | None = None,
        fragment: Fragment | None = None,
    ) -> Draft:
        """Return ``audit.log.opened``; with a fragment where the segment begins with one."""
        return self._draft(
            semconv.LOG_OPENED,
            record_id,
            time_ns,
            {
                semconv.AUDIT_WRITER_ID: self.writer_id,
                semconv.AUDIT_FORMAT_VERSION: semconv.FORMAT_VERSION,
                semconv.AUDIT_STREAM_ID: stream_id,
                semconv.AUDIT_INTEGRITY_MODE: integrity,
                semconv.AUDIT_SEGMENT_NUMBER: segment_number,
                semconv.AUDIT_WRITER_VERSION: self._version,
                **({} if key_id is None else {semconv.AUDIT_KEY_ID: key_id}),
                **({} if previous is None else _previous_attributes(previous)),
                **({} if fragment is None else _fragment_attributes(fragment)),
            },
            whole_resource=True,
        )

    def closed(self, record_id: str, time_ns: int, entries: int, dropped: int) -> Draft:
        """Return ``audit.log.closed`` with what this writer wrote and lost since it opened."""
        return self._draft(
            semconv.LOG_CLOSED,
            record_id,
            time_ns,
            {
                semconv.AUDIT_WRITER_ID: self.writer_id,
                semconv.AUDIT_WRITER_ENTRIES: entries,
                semconv.AUDIT_WRITER_DROPPED: dropped,
            },
        )

    def rotated(self, record_id: str, time_ns: int, next_name: str) -> Draft:
        """Return ``audit.log.rotated``, the last entry of a segment."""
        return self._draft(semconv.LOG_ROTATED, record_id, time_ns, {semconv.AUDIT_SEGMENT_NEXT: next_name})

    def recovered(self, record_id: str, time_ns: int, fragment: Fragment) -> Draft:
        """Return ``audit.log.recovered``, the declaration of bytes that are no entry."""
        return self._draft(semconv.LOG_RECOVERED, record_id, time_ns, _fragment_attributes(fragment))

    def dropped(
        self, record_id: str, time_ns: int, count: int, first_time_ns: int, last_time_ns: int, error_type: str
    ) -> Draft:
        """Return ``audit.log.dropped``: records that were lost while failures were open."""
        return self._draft(
            semconv.LOG_DROPPED,
            record_id,
            time_ns,
            {
                semconv.AUDIT_WRITER_ID: self.writer_id,
                semconv.AUDIT_DROPPED_COUNT: count,
                semconv.AUDIT_DROPPED_FIRST_TIME: format_time(first_time_ns).decode(),
                semconv.AUDIT_DROPPED_LAST_TIME: format_time(last_time_ns).decode(),
            },
            outcome="failure",
            error_type=error_type,
        )

    def voided(self, record_id: str, time_ns: int, first: int, last: int, error_type: str) -> Draft:
        """Return ``audit.log.voided``: entries that stand though their callers were told of a failure."""
        return self._draft(
            semconv.LOG_VOIDED,
            record_id,
            time_ns,
            {semconv.AUDIT_VOIDED_FIRST: first, semconv.AUDIT_VOIDED_LAST: last},
            error_type=error_type,
        )

    def _draft(
        self,
        event_name: str,
        record_id: str,
        time_ns: int,
        own: Mapping[str, object],
        *,
        outcome: Outcome = "success",
        error_type: str | None = None,
        whole_resource: bool = False,
    ) -> Draft:
        attributes = audit_attributes(record_id, self._actor, "EXECUTE", outcome)
        attributes.update(own)
        if error_type is not None:
            attributes[semconv.ERROR_TYPE] = error_type
        after = self._resource if whole_resource else self._line_resource
        return encode(orjson.dumps(event_name), time_ns, attributes, after)


def _fragment_attributes(fragment: Fragment) -> dict[str, object]:
    return {
        semconv.AUDIT_FRAGMENT_OFFSET: fragment.offset,
        semconv.AUDIT_FRAGMENT_LENGTH: fragment.length,
        semconv.AUDIT_FRAGMENT_SHA256: fragment.sha256,
    }


def _previous_attributes(previous: Closed) -> dict[str, object]:
    return {
        semconv.AUDIT_SEGMENT_PREVIOUS_NAME: previous.name,
        semconv.AUDIT_SEGMENT_PREVIOUS_SIZE: previous.size,
        semconv.AUDIT_SEGMENT_PREVIOUS_SHA256: previous.sha256,
    }
