"""What the content of entries gives cause to say: schema, clock, intents, the log's own life."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from otel_audit import semconv
from otel_audit.verify.finding import Kind
from otel_audit.verify.run import Place
from otel_audit.verify.writers import Writers

_REQUIRED: Final = semconv.REQUIRED_ATTRIBUTES


class Note(NamedTuple):
    """A finding about one readable line, kept until it is known whether the line is judged."""

    kind: Kind
    place: Place
    offset: int
    seq: int
    expected: str
    got: str


class Lifecycle(NamedTuple):
    """An ``opened``, ``rotated`` or ``recovered`` entry, as far as later steps need it."""

    event_name: str
    place: Place
    offset: int
    seq: int
    attributes: dict[str, object]


@dataclass(slots=True)
class Notes:
    """Gathers notes line by line.

    Intents are kept until their outcome comes: memory grows with the actions under way, and
    with the intents that never get one (some 400 bytes each).
    """

    now: str | None
    found: list[Note] = field(default_factory=list)
    intents: dict[str, Note] = field(default_factory=dict)
    outcomes: set[str] = field(default_factory=set)
    writers: Writers = field(default_factory=Writers)
    lifecycle: list[Lifecycle] = field(default_factory=list)
    unknown_lifecycle: int = 0
    open_intents: int = 0

    def clock(self, place: Place, offset: int, seq: int, before: str, after: str) -> None:
        """Note that ``observed_time`` went back between two linked entries."""
        self.found.append(Note("clock_backwards", place, offset, seq, f"observed_time from {before}", after))

    def entry(self, members: dict[str, Any], place: Place, offset: int) -> None:
        """Note what one entry's content gives cause to."""
        attributes: dict[str, object] = members["attributes"]
        seq: int = members["seq"]
        for name in _REQUIRED:
            if name not in attributes:
                self.found.append(Note("schema", place, offset, seq, f"attribute {name}", "none of that name"))
                break
        record_id = attributes.get(semconv.AUDIT_RECORD_ID)
        if isinstance(record_id, str):
            self.phase(attributes, record_id, members["observed_time"], place, offset, seq)
        if members["event_name"].startswith(semconv.LOG_EVENT_PREFIX):
            self._log_entry(members["event_name"], attributes, place, offset, seq)
            self.writers.note(members["event_name"], seq, attributes, members.get("resource", {}))

    def phase(
        self,
        attributes: dict[str, object],
        record_id: str,
        observed: str,
        place: Place,
        offset: int,
        seq: int,
    ) -> None:
        """Open an intent, or close the one that an outcome names."""
        phase = attributes.get(semconv.AUDIT_PHASE)
        if phase == "intent":
            # Where the intent is younger than the moment of reading, it is simply open.
            if self.now is not None and observed > self.now:
                self.open_intents += 1
                return
            if record_id in self.outcomes:
                return
            expected = f"an outcome of intent {record_id}"
            if record_id in self.intents:
                return  # of two copies the first is the entry
            self.intents[record_id] = Note("intent_without_outcome", place, offset, seq, expected, "none")
        elif phase == "outcome":
            intent_id = attributes.get(semconv.AUDIT_INTENT_ID)
            if isinstance(intent_id, str) and self.intents.pop(intent_id, None) is None:
                # Out of order, or of an intent that is lost: another finding says which.
                self.outcomes.add(intent_id)

    def _log_entry(self, name: str, attributes: dict[str, object], place: Place, offset: int, seq: int) -> None:
        get = attributes.get
        if name not in semconv.LOG_EVENTS:
            self.unknown_lifecycle += 1
        elif name == semconv.LOG_DROPPED:
            first = get(semconv.AUDIT_DROPPED_FIRST_TIME)
            last = get(semconv.AUDIT_DROPPED_LAST_TIME)
            count, error = get(semconv.AUDIT_DROPPED_COUNT), get(semconv.ERROR_TYPE)
            got = f"{count} lost from {first} to {last}: {error}"
            self.found.append(Note("dropped", place, offset, seq, "every record written", got))
        elif name == semconv.LOG_VOIDED:
            entries = f"{get(semconv.AUDIT_VOIDED_FIRST)} to {get(semconv.AUDIT_VOIDED_LAST)}"
            got = f"entries {entries} reported as failed: {get(semconv.ERROR_TYPE)}"
            self.found.append(Note("voided", place, offset, seq, "every entry acknowledged", got))
        elif name in (semconv.LOG_OPENED, semconv.LOG_ROTATED, semconv.LOG_RECOVERED):
            self.lifecycle.append(Lifecycle(name, place, offset, seq, attributes))
