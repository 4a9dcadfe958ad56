"""The period of a log, cut into the steps of a chart."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

from otel_audit.line_form import format_time, parse_time

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
        borders: Where a step ends and the next one begins, as times of the format.
    """

    start_ns: int
    step_ns: int
    borders: tuple[str, ...]

    @property
    def bins(self) -> int:
        """How many steps there are."""
        return len(self.borders) + 1

    def bin(self, time: str) -> int:
        """Return the step in which a time of the format lies."""
        return bisect_right(self.borders, time)


def timeline(first: str, last: str) -> Timeline:
    """Return the steps between two times of the format."""
    start, end = sorted((parse_time(first), parse_time(last)))
    step = next((step for step in _STEPS_NS if (end - start) // step < _MOST_BINS - 1), _STEPS_NS[-1])
    while (end - start) // step >= _MOST_BINS - 1:
        step *= 2
    start -= start % step
    # The last border is no later than the end, which is a time of the format.
    borders = range(start + step, end + 1, step)
    return Timeline(start, step, tuple(format_time(border).decode() for border in borders))
