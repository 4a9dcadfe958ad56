"""Findings in the making: gathered by place, filtered, merged, put in order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from otel_audit.verify.finding import REMEDIES, Finding, Kind, Severity, severity_of
from otel_audit.verify.run import Place, Run
from otel_audit.verify.segment import Segment

_EACH_ITS_OWN: Final[frozenset[Kind]] = frozenset(
    {"edited", "forked", "gap", "truncated", "diverged", "segment_missing", "segment_altered"}
)


class Draft(NamedTuple):
    """A finding, and where it stands among the others."""

    place: Place
    finding: Finding


class Drafts:
    """Gathers findings."""

    def __init__(self, segments: tuple[Segment, ...]) -> None:
        self.segments = segments
        self.drafts: list[Draft] = []

    def add(
        self,
        kind: Kind,
        place: Place,
        offset: int | None,
        seq: int | None,
        expected: str,
        got: str,
        *,
        count: int = 1,
        severity: Severity | None = None,
        path: str | None = None,
    ) -> None:
        """Add a finding.

        A ``place`` without a line (0), or another file's ``path``, means a file as a whole.
        """
        finding = Finding(
            kind=kind,
            severity=severity or severity_of(kind),
            path=path or self.segments[place.segment].path,
            line=None if path else place.line or None,
            offset=offset,
            seq=seq,
            expected=expected,
            got=got,
            remedy=REMEDIES[kind],
            count=count,
        )
        self.drafts.append(Draft(place, finding))

    def add_run(self, kind: Kind, run: Run, expected: str, got: str) -> None:
        """Add a finding about all lines of a run."""
        self.add(kind, run.first, run.offset, run.seq, expected, got, count=run.count)

    def errors(self) -> list[Draft]:
        """Return what was found so far that makes a log not intact."""
        return [draft for draft in self.drafts if draft.finding.severity == "error"]

    def finish(self) -> tuple[Finding, ...]:
        """Return the findings in the order of the files, adjoining ones of one kind as one."""
        merged: list[Draft] = []
        self.drafts.sort(key=lambda draft: draft.place)
        # A line can have notes of several kinds: each kind is merged by itself.
        latest: dict[tuple[Kind, Severity], int] = {}
        for place, finding in self.drafts:
            key = (finding.kind, finding.severity)
            before = merged[latest[key]] if key in latest else None
            if (
                before is not None
                and place.line
                and finding.kind not in _EACH_ITS_OWN
                and place.segment == before.place.segment
                and place.line == before.place.line + before.finding.count
            ):
                count = before.finding.count + finding.count
                merged[latest[key]] = Draft(before.place, replace(before.finding, count=count))
                continue
            latest[key] = len(merged)
            merged.append(Draft(place, finding))
        return tuple(draft.finding for draft in merged)


class Stretches:
    """A set of lines, as stretches that do not overlap."""

    def __init__(self, runs: Iterable[Run]) -> None:
        ordered = sorted((run.first, run.last) for run in runs)
        self._firsts = [first for first, _ in ordered]
        self._lasts = [last for _, last in ordered]

    def __contains__(self, place: Place) -> bool:
        index = bisect_right(self._firsts, place) - 1
        return index >= 0 and place <= self._lasts[index]
