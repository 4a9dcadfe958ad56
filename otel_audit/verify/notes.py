"""What the content of entries gives cause to say: schema, clock, intents, the log's own life."""

from __future__ import annotations

from collections.abc import Iterator
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


class LogEntry(NamedTuple):
    """An entry ``audit.log.…``, as far as the writers of a log are concerned."""

    event_name: str
    seq: int
    attributes: dict[str, object]
    resource: dict[str, object]


@dataclass(slots=True)
class Ended:
    """What a part of a log did to intents, kept so that the parts can be put together.

    Attributes:
        closed: Intents that had their outcome in the part.
        again: Those of which something was said behind their outcome.
        entries: The log's own entries.
    """

    closed: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    entries: list[LogEntry] = field(default_factory=list)


@dataclass(slots=True)
class Notes:
    """Gathers notes line by line.

    Intents are kept until their outcome comes: memory grows with the actions under way, and
    with the intents that never get one (some 400 bytes each).

    Attributes:
        intents: By record id: segment, line, offset and ``seq``.
        outcomes: Record ids of intents that came behind their outcome, or did not come.
        part: Where only a part of a log is read: the writers are then not told of its entries.
    """

    now: str | None
    found: list[Note] = field(default_factory=list)
    intents: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    outcomes: set[str] = field(default_factory=set)
    writers: Writers = field(default_factory=Writers)
    lifecycle: list[Lifecycle] = field(default_factory=list)
    unknown_lifecycle: int = 0
    open_intents: int = 0
    part: Ended | None = None

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
            young = self.now is not None and members["observed_time"] > self.now
            self.phase(attributes, record_id, (*place, offset, seq), young=young)
        if members["event_name"].startswith(semconv.LOG_EVENT_PREFIX):
            self._log_entry(members["event_name"], attributes, place, offset, seq)
            entry = LogEntry(members["event_name"], seq, attributes, members.get("resource", {}))
            if self.part is None:
                self.writers.note(*entry)
            else:
                self.part.entries.append(entry)

    def phase(
        self, attributes: dict[str, object], record_id: str, where: tuple[int, int, int, int], *, young: bool
    ) -> None:
        """Open an intent, or close the one that an outcome names.

        Args:
            where: Segment, line, offset and ``seq``.
            young: The entry is younger than the moment of reading.
        """
        phase = attributes.get(semconv.AUDIT_PHASE)
        if phase == "intent":
            if young:  # then it is simply open
                self.open_intents += 1
                return
            if record_id in self.outcomes:
                if self.part is not None:
                    self.part.again.add(record_id)
            elif record_id not in self.intents:  # of two copies the first is the entry
                self.intents[record_id] = where
        elif phase == "outcome":
            intent_id = attributes.get(semconv.AUDIT_INTENT_ID)
            if not isinstance(intent_id, str):
                return
            if self.intents.pop(intent_id, None) is not None:
                if self.part is not None:
                    self.part.closed.add(intent_id)
                return
            # Out of order, or of an intent that is lost: another finding says which.
            if self.part is not None and intent_id in self.outcomes:
                self.part.again.add(intent_id)
            self.outcomes.add(intent_id)

    def unfinished(self) -> Iterator[Note]:
        """Yield the intents that have no outcome."""
        for record_id, (segment, line, offset, seq) in self.intents.items():
            expected = f"an outcome of intent {record_id}"
            yield Note("intent_without_outcome", Place(segment, line), offset, seq, expected, "none")

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
