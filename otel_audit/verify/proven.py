"""What the columns of a block (`otel_audit.verify.columns`) prove of its lines, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from otel_audit.verify.linked import Linked
from otel_audit.verify.notes import Notes
from otel_audit.verify.pieces import OBSERVED
from otel_audit.verify.run import Place


@dataclass(frozen=True, slots=True)
class Proven:
    """The lines of a block, nearly all of them proved sound but for the order of their times.

    Attributes:
        missed: Indexes of the lines that must go the exact way.
        times: ``observed_time`` of each line but those, in two pieces.
        phases: Index, attributes and record id of each intent and outcome.
    """

    notes: Notes
    linked: Linked
    missed: list[int]
    times: Sequence[tuple[bytes, bytes]]
    phases: list[tuple[int, dict[str, Any], bytes]]

    def plain(self, index: int, seq: int, observed: str, place: Place, offset: int) -> tuple[int, str]:
        """Return as `otel_audit.verify.sound.Follower.plain` does."""
        stop = next((row for row in self.missed if row >= index), len(self.linked.hashes))
        before = observed.encode()
        times = [(OBSERVED + before[:20], before[20:29]), *self.times[index:stop]]
        if sorted(times) != times:
            stop = index + next(row for row, (one, other) in enumerate(pairwise(times)) if other < one)
        for row, members, record_id in self.phases:
            if index <= row < stop:
                now = _text(self.times[row])
                where = Place(place.segment, place.line + row - index)
                at = offset + self.linked.bounds[row]
                self.notes.phase(members, record_id.decode(), now, where, at, seq + row - index)
        return stop, _text(self.times[stop - 1]) if stop > index else observed


def _text(observed: tuple[bytes, bytes]) -> str:
    second, nanos = observed
    return (second[len(OBSERVED) :] + nanos).decode() + "Z"
