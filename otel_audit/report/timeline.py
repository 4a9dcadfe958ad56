"""The period of a log, cut into the steps of a chart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from otel_audit.line_form import parse_time

_MOST_BINS: Final = 90
_SECOND: Final = 1_000_000_000
_STEPS_NS: Final = (
    *(factor * 10**power for power in (6, 7, 8) for factor in (1, 2, 5)),
    *(seconds * _SECOND for seconds in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)),
    *(hours * 3600 * _SECOND for hours in (1, 2, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24, 91 * 24, 364 * 24)),
)
"""From a millisecond to a year, each one that people count in."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Equal steps from the first moment to the last; what lies outside counts to the ends.

    Attributes:
        start_ns: Nanoseconds since 1970; a whole number of steps.
        step_ns: Length of a step.
        bins: How many there are.
    """

    start_ns: int
    step_ns: int
    bins: int

    def bin(self, time: str) -> int:
        """Return the step in which a time of the format lies."""
        return min(max((parse_time(time) - self.start_ns) // self.step_ns, 0), self.bins - 1)


def timeline(first: str, last: str) -> Timeline:
    """Return the steps between two times of the format."""
    start, end = sorted((parse_time(first), parse_time(last)))
    step = next((step for step in _STEPS_NS if (end - start) // step < _MOST_BINS - 1), _STEPS_NS[-1])
    while (end - start) // step >= _MOST_BINS - 1:
        step *= 2
    start -= start % step
    return Timeline(start, step, (end - start) // step + 1)
