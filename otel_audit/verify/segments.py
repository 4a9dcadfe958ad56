"""Step 5: how the segments of a log hang together (docs/format.md, "Segments")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from otel_audit import semconv
from otel_audit.verify.drafts import Drafts
from otel_audit.verify.notes import Lifecycle
from otel_audit.verify.run import Place
from otel_audit.verify.scan import Scan


def segment_name(first_name: str, number: int) -> str:
    """Return the base name of a segment, from that of the first (``NAME.jsonl``)."""
    if number == 1:
        return first_name
    return f"{first_name.removesuffix('.jsonl')}.{number:06d}.jsonl"


@dataclass(frozen=True, slots=True)
class Checksums:
    """``NAME.sha256``: its path, and what it says by base name."""

    path: str
    digests: Mapping[str, str]


def missing_numbers(scan: Scan) -> list[int]:
    """Return the numbers of segments that are not there though later ones are."""
    there = {segment.number for segment in scan.segments}
    return [number for number in range(1, max(there, default=0)) if number not in there]


def check_segments(scan: Scan, first_name: str, checksums: Checksums, drafts: Drafts) -> None:
    """Add ``segment_missing`` and ``segment_altered`` where nothing so far explains them.

    Args:
        scan: The pass over all segments.
        first_name: Base name of the first segment, even where it is missing.
        checksums: May be empty.
        drafts: What was found so far.
    """
    by_place = {entry.place: entry for entry in scan.notes.lifecycle}
    faulty = {draft.place.segment for draft in drafts.errors()}
    folder = scan.segments[0].path.removesuffix(scan.segments[0].name)
    for number in missing_numbers(scan):
        # Stands where the next one does: behind the file that it should follow.
        index = next(i for i, s in enumerate(scan.segments) if s.number > number)
        name = segment_name(first_name, number)
        path = folder + name
        drafts.add("segment_missing", Place(index, 0), None, None, name, "no such file", path=path)
    for index, first in enumerate(scan.firsts):
        if first is not None:
            _check_first(scan, index, by_place.get(first), drafts, faulty)
    for index in range(len(scan.segments) - 1):
        _check_closed(scan, index, by_place, checksums, drafts, faulty)
    _check_rotated(scan, first_name, folder, by_place, drafts, faulty)


def _check_first(scan: Scan, index: int, entry: Lifecycle | None, drafts: Drafts, faulty: set[int]) -> None:
    segment, first = scan.segments[index], scan.firsts[index]
    number = entry.attributes.get(semconv.AUDIT_SEGMENT_NUMBER) if entry else None
    opened = entry is not None and entry.event_name == semconv.LOG_OPENED
    if (opened and number == segment.number) or index in faulty or first is None:
        return
    got = f"segment {number}" if opened else "another entry"
    expected = f"{semconv.LOG_OPENED} of segment {segment.number} as the first entry"
    drafts.add("segment_altered", first, None, None, expected, got)
    faulty.add(index)


def _check_closed(
    scan: Scan,
    index: int,
    by_place: Mapping[Place, Lifecycle],
    checksums: Checksums,
    drafts: Drafts,
    faulty: set[int],
) -> None:
    """Hold a closed segment against what the next one and ``NAME.sha256`` say of it."""
    segment, after = scan.segments[index], scan.segments[index + 1]
    actual = (segment.name, segment.size_bytes, scan.digests[index])
    first = scan.firsts[index + 1]
    entry = by_place.get(first) if first is not None else None
    witnessed = after.number == segment.number + 1 and entry is not None
    agrees = False
    if entry is not None and witnessed and entry.event_name == semconv.LOG_OPENED:
        said = tuple(
            entry.attributes.get(name)
            for name in (
                semconv.AUDIT_SEGMENT_PREVIOUS_NAME,
                semconv.AUDIT_SEGMENT_PREVIOUS_SIZE,
                semconv.AUDIT_SEGMENT_PREVIOUS_SHA256,
            )
        )
        agrees = said == actual
        if not agrees and index not in faulty and index + 1 not in faulty:
            expected, got = "{} of {} bytes, SHA-256 {}".format(*said), "{} of {} bytes, {}"
            drafts.add("segment_altered", Place(index, 0), None, None, expected, got.format(*actual))
            faulty.add(index)
    noted = checksums.digests.get(segment.name)
    if noted is None or noted == actual[2]:
        return
    place, expected, got = Place(index, 0), f"SHA-256 {actual[2]} as the chain says", noted
    if agrees:
        path = checksums.path
        drafts.add("segment_altered", place, None, None, expected, got, severity="warning", path=path)
    elif first is None and index == len(scan.segments) - 2 and index not in faulty:
        expected, got = f"SHA-256 {noted} as {checksums.path} says", actual[2]
        drafts.add("segment_altered", place, None, None, expected, got)
        faulty.add(index)


def _check_rotated(
    scan: Scan,
    first_name: str,
    folder: str,
    by_place: Mapping[Place, Lifecycle],
    drafts: Drafts,
    faulty: set[int],
) -> None:
    """Hold each ``rotated`` against what follows it: nothing in its segment, and the next file."""
    for place, entry in by_place.items():
        if entry.event_name != semconv.LOG_ROTATED or place.segment in faulty:
            continue
        segment = scan.segments[place.segment]
        following = segment_name(first_name, segment.number + 1)
        said = entry.attributes.get(semconv.AUDIT_SEGMENT_NEXT)
        if place != scan.lasts[place.segment] or said != following:
            expected = f"{semconv.LOG_ROTATED} to {following} as the last entry"
            got = f"{said}" if said != following else "entries behind it"
            drafts.add("segment_altered", place, entry.offset, entry.seq, expected, got)
        elif place.segment == len(scan.segments) - 1:
            path = folder + following
            end = Place(place.segment, place.line)
            drafts.add("segment_missing", end, None, None, following, "no such file", path=path)
