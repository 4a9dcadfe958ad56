"""Unreadable regions, and the entries that declare them (docs/format.md, "Append only, truly")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from otel_audit import semconv
from otel_audit.verify.drafts import Drafts
from otel_audit.verify.notes import Lifecycle
from otel_audit.verify.region import Region, region_sha256
from otel_audit.verify.run import Place
from otel_audit.verify.segment import Segment

_FRAGMENT = (
    semconv.AUDIT_FRAGMENT_OFFSET,
    semconv.AUDIT_FRAGMENT_LENGTH,
    semconv.AUDIT_FRAGMENT_SHA256,
)


def match_regions(
    regions: Mapping[Place, Region],
    lifecycle: Sequence[Lifecycle],
    firsts: Sequence[Place | None],
    edited: frozenset[Place],
    faulty_segments: Mapping[int, Place],
    segments: tuple[Segment, ...],
) -> None:
    """Mark each region as declared, or as explained by a declaration that was edited.

    Args:
        regions: By the place of the readable line behind them.
        lifecycle: The entries that can declare.
        firsts: The first readable line of each segment.
        edited: Entries whose own hash is wrong.
        faulty_segments: The first faulty line of each segment that has one.
        segments: To read the regions again.
    """
    for entry in lifecycle:
        region = regions.get(entry.place)
        if region is None or not _declares(entry):
            continue
        if entry.event_name == semconv.LOG_OPENED and firsts[entry.place.segment] != entry.place:
            continue
        if entry.place in edited:
            region.explained = True
            continue
        offset, length, sha256 = (entry.attributes.get(name) for name in _FRAGMENT)
        # Lines lost or changed further up move the region: that is their finding, not another.
        fault = faulty_segments.get(region.segment)
        moved = fault is not None and fault < region.first
        region.declared = (
            (moved or (type(offset) is int and offset == region.offset))
            and (type(length) is int and length == region.length)
            and not region.sealed
            and sha256 == region_sha256(region, segments)
        )
        region.declared_by = entry.seq


def add_regions(
    all_regions: Sequence[Region],
    regions: Mapping[Place, Region],
    lifecycle: Sequence[Lifecycle],
    drafts: Drafts,
) -> None:
    """Add the findings: ``malformed``, ``torn``, ``recovered``, declarations without region.

    Args:
        all_regions: In the order of the files.
        regions: By the place of the readable line behind them.
        lifecycle: The entries that can declare, but for those that have a finding already.
        drafts: What was found so far.
    """
    for region in all_regions:
        if region.explained:
            continue
        place, offset, count = region.first, region.offset, region.count
        if region.torn:
            got = f"{region.length} bytes behind the last whole line"
            drafts.add("torn", place, offset, None, "LF at the end", got, count=count)
        elif region.declared:
            usual = region.begins_as(region.declared_by)
            drafts.add(
                "recovered",
                place,
                offset,
                region.declared_by,
                "whole lines",
                f"a fragment of {region.length} bytes, declared",
                count=count,
                severity="info" if usual else "warning",
            )
        else:
            expected = "a line of the format"
            drafts.add("malformed", place, offset, None, expected, region.reason, count=count)
    for entry in lifecycle:
        if _declares(entry) and entry.place not in regions:
            expected = f"the fragment of {entry.attributes.get(_FRAGMENT[1])} bytes that it declares"
            drafts.add("edited", entry.place, entry.offset, entry.seq, expected, "none before it")


def _declares(entry: Lifecycle) -> bool:
    if entry.event_name == semconv.LOG_RECOVERED:
        return True
    return entry.event_name == semconv.LOG_OPENED and _FRAGMENT[0] in entry.attributes
