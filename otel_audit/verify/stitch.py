"""The parts of a log, put together: as if it had been read in one piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from otel_audit.verify.judge import Judge
from otel_audit.verify.notes import Notes
from otel_audit.verify.run import Place, Run
from otel_audit.verify.scan import Scan
from otel_audit.verify.segment import Segment, segment_sha256
from otel_audit.verify.start import Start
from otel_audit.verify.unit import Part, Reader, Terms, Unit, units


class Stitches:
    """Takes the parts of a log in their order.

    Memory: that of a `Scan` in which nothing is wrong, however long the log.
    """

    def __init__(self, segments: Sequence[Segment], terms: Terms, start: Start, closed: Iterable[str] = ()) -> None:
        """Begin.

        Args:
            segments: Of the log.
            terms: That its units were read on.
            start: Where the first of them begins.
            closed: Names of segments that someone says are closed.
        """
        judge = Judge(terms.declared, terms.key)
        self._terms = terms
        self.scan = Scan(tuple(segments), judge, Notes(terms.now), terms.anchors, terms.chain_only, frozenset(closed))
        self.scan.observed = start.observed
        self._seq, self._ends = start.seq, start.ends
        self._lines = [0] * len(segments)
        self._lines[start.segment] = start.line - 1
        for _ in segments:
            self.scan.begin()

    def add(self, unit: Unit, part: Part | None) -> bool:
        """Take the next part; return whether the log is, so far, one in which nothing is out of the ordinary."""
        if part is None:
            return False
        if not part.lines:
            return True
        scan = self.scan
        if part.seq != self._seq or (part.prev is not None and part.prev not in self._ends):
            return False
        if not self._terms.chain_only and part.first_observed < scan.observed:
            return False
        base = self._lines[unit.segment]
        if not scan.runs or scan.runs[-1].segment != unit.segment:
            scan.runs.append(Run(unit.segment, base + 1, part.offset, 0, part.seq, part.prev, ()))
        run = scan.runs[-1]
        run.count += part.lines
        run.ends = self._ends = part.ends
        self._seq = run.last_seq + 1
        self._lines[unit.segment] += part.lines
        scan.entries[unit.segment] += part.lines
        if not base:  # else nobody knows what the segment begins with
            scan.firsts[unit.segment] = Place(unit.segment, 1)
        scan.lasts[unit.segment] = Place(unit.segment, base + part.lines)
        scan.observed = part.observed
        for anchor, places in part.anchored.items():
            moved = [Place(unit.segment, base + place.line) for place in places]
            scan.anchored.setdefault(anchor, []).extend(moved)
        return self._note(unit.segment, base, part)

    def _note(self, segment: int, base: int, part: Part) -> bool:
        notes = self.scan.notes
        notes.found += [note._replace(place=Place(segment, base + note.place.line)) for note in part.found]
        notes.lifecycle += [entry._replace(place=Place(segment, base + entry.place.line)) for entry in part.lifecycle]
        for entry in part.ended.entries:
            notes.writers.note(*entry)
        notes.unknown_lifecycle += part.unknown_lifecycle
        notes.open_intents += part.open_intents
        return self._match(segment, base, part)

    def _match(self, segment: int, base: int, part: Part) -> bool:
        """Match intents with the outcomes of other parts, as `Notes.phase` does one by one."""
        notes, ended = self.scan.notes, part.ended
        pending = notes.intents
        settled = {record_id for record_id in chain(ended.closed, part.outcomes) if record_id in pending}
        # Of an intent with several entries, which of them counts can depend on their order.
        if (
            any(record_id in pending for record_id in chain(ended.again, part.intents))
            or not settled.isdisjoint(ended.again)
            or any(record_id in part.outcomes and record_id in ended.closed for record_id in settled)
        ):
            return False
        for record_id in settled:
            del pending[record_id]
        notes.outcomes.update(part.outcomes - settled)
        for record_id, (_, line, offset, seq) in part.intents.items():
            if record_id not in notes.outcomes:
                pending[record_id] = segment, base + line, offset, seq
        return True


def read_units(
    segments: Sequence[Segment],
    terms: Terms,
    start: Start,
    closed: Iterable[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Scan | None:
    """Read a log from a place on, one unit after the other; None: something in it is out of the ordinary."""
    stitches, reader = Stitches(segments, terms, start, closed), Reader(terms)
    for unit in units(segments, start):
        if not stitches.add(unit, reader.read(segments[unit.segment], unit)):
            return None
        if progress is not None:
            progress(unit.stop - unit.start)
    scan = stitches.scan
    scan.digests = {
        number: segment_sha256(segments[number])
        for number in range(start.segment, len(segments))
        if scan.wants_digest(number)
    }
    return scan
