"""`otel_audit.report.stretch`: a log counted by several processes, or, where one of them breaks, by one."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from pathlib import Path

import pytest

from otel_audit.reader import verify_log
from otel_audit.report import stretch
from otel_audit.report.stretch import Range, Reading, count_log, open_again
from otel_audit.report.timeline import timeline
from otel_audit.report.totals import Totals
from otel_audit.selection import Selection
from tests import logs

COUNTS = (300, 300, 100)
TOLD = multiprocessing.get_context("spawn" if sys.platform == "win32" else "fork").Event()


def first_then_die(reading: Reading, range_: Range) -> tuple[Totals, list[int]]:
    """Count the first stretch; die in any other once the first was told of."""
    if range_[:2] == (0, 0):
        return stretch_count_alone(reading, range_)
    TOLD.wait(60)
    os._exit(1)


stretch_count_alone = stretch._count_alone


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one process counts")
@pytest.mark.parametrize("broken", [False, True], ids=["sound", "broken"])
def test_progress_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    """The bytes that are told of are those of the log, also where a process dies in the middle; so are the entries."""
    for name, lines in zip(logs.names_of(3), logs.segments(COUNTS), strict=True):
        (tmp_path / name).write_bytes(logs.join(lines))
    report = verify_log(tmp_path)
    reading = Reading(report, timeline(logs.time_text(1), logs.time_text(700)), Selection(), True, 10)
    monkeypatch.setattr(stretch, "MIN_BYTES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    if broken:
        monkeypatch.setattr(stretch, "_count_alone", first_then_die)
    TOLD.clear()
    told: list[int] = []

    def tell(count: int) -> None:
        told.append(count)
        TOLD.set()

    with contextlib.ExitStack() as stack:
        totals, latest = count_log(reading, open_again(report, stack), tell)
    assert sum(told) == sum(segment.size_bytes for segment in report.segments)
    assert min(told) >= 0
    assert totals.entries == sum(COUNTS)
    assert latest == list(range(691, 701))
