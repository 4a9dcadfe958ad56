"""Step 5: how the segments of a log hang together (docs/format.md, "Segments")."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

from otel_audit import semconv
from otel_audit.segment_name import segment_name
from otel_audit.verify.drafts import Drafts, Stretches
from otel_audit.verify.links import Chain
from otel_audit.verify.notes import Lifecycle
from otel_audit.verify.run import Place
from otel_audit.verify.scan import Scan
from otel_audit.verify.segment import Checksums

_PREVIOUS = (
    semconv.AUDIT_SEGMENT_PREVIOUS_NAME,
    semconv.AUDIT_SEGMENT_PREVIOUS_SIZE,
    semconv.AUDIT_SEGMENT_PREVIOUS_SHA256,
)


def missing_numbers(scan: Scan) -> list[range]:
    """Return the runs of numbers of segments that are not there though later ones are.

    As ranges: the name of one file can claim any number of others.
    """
    numbers = [0, *sorted({segment.number for segment in scan.segments})]
    return [range(before + 1, after) for before, after in pairwise(numbers) if after > before + 1]


def check_segments(scan: Scan, chain: Chain, first_name: str, checksums: Checksums, drafts: Drafts) -> None:
    """Add ``segment_missing`` and ``segment_altered`` where nothing so far explains them.

    Args:
        scan: The pass over all segments.
        chain: What it makes.
        first_name: Base name of the first segment, even where it is missing.
        checksums: May be empty.
        drafts: What was found so far.
    """
    check = _Check(scan, chain, first_name, checksums, drafts)
    check.missing()
    for index in range(len(scan.segments)):
        check.begins(index)
    for index in range(len(scan.segments)):
        check.closed(index)
    check.rotated()


class _Check:
    """What the checks need to know, and what explains a difference."""

    def __init__(self, scan: Scan, chain: Chain, first_name: str, checksums: Checksums, drafts: Drafts) -> None:
        self.scan = scan
        self.first_name = first_name
        self.checksums = checksums
        self.drafts = drafts
        self.faults = sorted(draft.place for draft in drafts.errors())
        self.folder = scan.segments[0].path.removesuffix(scan.segments[0].name)
        sound = [run for run in chain.runs if run.kind is None]
        self.starts = {run.first: run for run in sound}
        on_chain = Stretches(sound)
        # Only entries of the chain are believed: the others have a finding themselves.
        self.entries = {e.place: e for e in scan.notes.lifecycle if e.place in on_chain}
        # What was moved or copied is missing, or too many, in a segment without a finding.
        self.explained = {run.segment for run in chain.originals}
        moved = {id(run) for run in chain.disordered}
        for before, run, after in zip([None, *chain.runs], chain.runs, [*chain.runs[1:], None], strict=False):
            if id(run) in moved:
                self.explained.update(other.segment for other in (before, run, after) if other is not None)

    def missing(self) -> None:
        """Name the segments that are not there, though later ones are."""
        for lost in missing_numbers(self.scan):
            # Stands where the next one does: behind the file that it should follow.
            index = next(i for i, s in enumerate(self.scan.segments) if s.number >= lost.stop)
            self._add_missing(Place(index, 0), lost.start, lost.stop - lost.start)

    def begins(self, index: int) -> None:
        """Hold the first entry of a segment against the segment's number."""
        segment, first = self.scan.segments[index], self.scan.firsts[index]
        run = self.starts.get(first) if first is not None else None
        if first is None or run is None or index in self.explained or self._fault(Place(index, 0), first):
            return
        opened = self._opened(index)
        number = opened.attributes.get(semconv.AUDIT_SEGMENT_NUMBER) if opened else None
        if opened is None or number != segment.number or type(number) is not int:
            got = f"segment {number}" if opened else "another entry"
            expected = f"{semconv.LOG_OPENED} of segment {segment.number} as the first entry"
            self.drafts.add("segment_altered", first, run.offset, run.seq, expected, got)
            self.explained.add(index)

    def closed(self, index: int) -> None:
        """Hold a segment against what the next one, and the checksum file, say of it."""
        segments, digests = self.scan.segments, self.scan.digests
        segment, digest = segments[index], digests.get(index)
        follows = index + 1 < len(segments) and segments[index + 1].number == segment.number + 1
        witness = self._opened(index + 1) if follows else None
        readable = follows and self.scan.firsts[index + 1] is not None
        explained = index in self.explained or self._fault(Place(index, 0), Place(index + 1, 0))
        agrees = False
        if witness is not None:
            said = tuple(witness.attributes.get(name) for name in _PREVIOUS)
            # Links alone do not ask for the digest, but the rest costs nothing.
            actual = segment.name, segment.size_bytes, said[2] if digest is None else digest
            explained = explained or index + 1 in self.explained or self._fault(Place(index + 1, 0), witness.place)
            agrees = said == actual and type(said[1]) is int
            if not agrees and not explained:
                expected, got = (_described(each, known=digest is not None) for each in (said, actual))
                self.drafts.add("segment_altered", Place(index, 0), None, None, expected, got)
                self.explained.add(index)
        if digest is None:
            return
        noted = self.checksums.digests.get(segment.name)
        if noted is None or noted == digest:
            return
        if agrees:
            expected, path = f"SHA-256 {digest} of {segment.name}, as the chain says", self.checksums.path
            self.drafts.add(
                "segment_altered", Place(index, 0), None, None, expected, noted, severity="warning", path=path
            )
        elif not readable and not explained:
            # No entry says what this segment was: the checksum file is the only witness.
            expected = f"SHA-256 {noted}, as {self.checksums.path} says"
            self.drafts.add("segment_altered", Place(index, 0), None, None, expected, f"SHA-256 {digest}")
            self.explained.add(index)

    def rotated(self) -> None:
        """Hold each ``rotated`` against what follows it: nothing in its segment, and the next file."""
        for place, entry in self.entries.items():
            if entry.event_name != semconv.LOG_ROTATED:
                continue
            index = place.segment
            following = segment_name(self.first_name, self.scan.segments[index].number + 1)
            said = entry.attributes.get(semconv.AUDIT_SEGMENT_NEXT)
            last = place == self.scan.lasts[index]
            if said != following or not last:
                if index not in self.explained and not self._fault(place, Place(index + 1, 0)):
                    expected = f"{semconv.LOG_ROTATED} to {following} as the last entry"
                    got = f"{said}" if said != following else "entries behind it"
                    self.drafts.add("segment_altered", place, entry.offset, entry.seq, expected, got)
            elif index == len(self.scan.segments) - 1:
                self._add_missing(place, self.scan.segments[index].number + 1)

    def _add_missing(self, place: Place, number: int, count: int = 1) -> None:
        name = segment_name(self.first_name, number)
        path = self.folder + name
        self.drafts.add("segment_missing", place, None, None, name, "no such file", path=path, count=count)

    def _opened(self, index: int) -> Lifecycle | None:
        """Return the ``opened`` that a segment begins with."""
        first = self.scan.firsts[index]
        entry = self.entries.get(first) if first is not None else None
        return entry if entry is not None and entry.event_name == semconv.LOG_OPENED else None

    def _fault(self, first: Place, last: Place) -> bool:
        """Return whether a finding stands from one place up to another."""
        return bisect_left(self.faults, first) < bisect_right(self.faults, last)


def _described(said: tuple[object, ...], *, known: bool) -> str:
    name, size_bytes, digest = said
    return f"{name} of {size_bytes} bytes" + (f", SHA-256 {digest}" if known else "")
