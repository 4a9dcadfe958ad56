from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.line import format_time, parse_time
from otel_audit.report.timeline import timeline

times = st.integers(0, 4_000_000_000_000_000_000).map(lambda ns: format_time(ns).decode())


@given(times, times, st.data())
def test_every_time_has_its_step(first: str, last: str, data: st.DataObject) -> None:
    """Whatever the period, it has at most 90 steps, and a time inside lies in the step that holds it."""
    made = timeline(first, last)
    assert 1 <= made.bins <= 90
    low, high = sorted((parse_time(first), parse_time(last)))
    at = data.draw(st.integers(low, high))
    index = made.bin(format_time(at).decode())
    assert made.start_ns + index * made.step_ns <= at < made.start_ns + (index + 1) * made.step_ns


@given(times, times, times)
def test_times_outside_count_to_the_ends(first: str, last: str, other: str) -> None:
    """A time before the first step counts to the first, one behind the last to the last."""
    made = timeline(first, last)
    index = made.bin(other)
    assert 0 <= index < made.bins
    if parse_time(other) < made.start_ns:
        assert index == 0


@pytest.mark.parametrize(
    ("seconds", "step_seconds"), [(0.5, 0.01), (60, 1), (3600, 60), (86_400, 1800), (30 * 86_400, 43_200)]
)
def test_steps_are_those_that_people_count_in(seconds: float, step_seconds: float) -> None:
    """A minute is shown by the second, an hour by the minute, a month by half a day."""
    made = timeline(format_time(0).decode(), format_time(int(seconds * 1e9)).decode())
    assert made.step_ns == int(step_seconds * 1e9)
