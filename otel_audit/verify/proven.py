"""What the contents of a block (`otel_audit.verify.contents`) prove of its lines, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final

from otel_audit import semconv
from otel_audit.verify.linked import Linked
from otel_audit.verify.notes import Notes
from otel_audit.verify.onlooker import Seen
from otel_audit.verify.run import Place

OBSERVED: Final = b',"observed_time":"'
OBSERVED_BYTES: Final = 47
"""Of ``observed_time``, up to and without its ``Z``."""
_start_time = itemgetter(slice(len('"time":"'), -len('",')))


@dataclass(frozen=True, slots=True)
class Proven:
    """The lines of a block, nearly all of them proved sound but for the order of their times.

    Attributes:
        missed: Indexes of the lines that must go the exact way, ascending.
        times: ``observed_time`` of each line but those, `OBSERVED_BYTES` of it.
        phases: Index and attributes of each intent and outcome.
        members: Of each line, those between its times.
        starts: ``"time":"…",`` of each line.
        ends: What stands behind ``observed_time`` in each.
        resources: Of each of those ends.
    """

    notes: Notes
    linked: Linked
    missed: list[int]
    times: Sequence[bytes]
    phases: list[tuple[int, dict[str, Any]]]
    members: Sequence[dict[str, Any]]
    starts: Sequence[bytes]
    ends: Sequence[bytes]
    resources: Mapping[bytes, Mapping[str, Any]]

    def plain(self, index: int, seq: int, observed: str, place: Place, offset: int) -> tuple[int, str]:
        """Return the index behind the lines that are proved sound, and the last observed time.

        Args:
            index: Where to begin.
            seq: Of the line there.
            observed: ``observed_time`` of the line before.
            place: Of the line there.
            offset: Of the first of all the lines.
        """
        stop = next((row for row in self.missed if row >= index), len(self.linked.hashes))
        times = [OBSERVED + observed[:-1].encode(), *self.times[index:stop]]
        if sorted(times) != times:
            stop = index + next(row for row, (one, other) in enumerate(pairwise(times)) if other < one)
        segment, line = place
        notes, bounds = self.notes, self.linked.bounds
        now = None if notes.now is None else OBSERVED + notes.now[:-1].encode()
        for row, attributes in self.phases:
            if index <= row < stop:
                record_id = attributes[semconv.AUDIT_RECORD_ID]
                if isinstance(record_id, str):
                    young = now is not None and self.times[row] > now
                    where = segment, line + row - index, offset + bounds[row], seq + row - index
                    notes.phase(attributes, record_id, where, young=young)
        return stop, _text(self.times[stop - 1]) if stop > index else observed

    def seen(self, index: int, stop: int, seq: int) -> Seen:
        """Return lines that are proved sound.

        Args:
            index: Of the first.
            stop: Behind the last.
            seq: Of the first.
        """
        return Seen(
            self.members[index:stop],
            range(seq, seq + stop - index),
            [start.decode() for start in map(_start_time, self.starts[index:stop])],
            [self.resources[end] for end in self.ends[index:stop]],
        )


def _text(observed: bytes) -> str:
    return observed[len(OBSERVED) :].decode() + "Z"
