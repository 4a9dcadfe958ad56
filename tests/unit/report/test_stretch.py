"""`otel_audit.report.stretch`: a log counted by one process, or by several."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from otel_audit import parts
from otel_audit.errors import AuditVerifyError
from otel_audit.reader import verify_log
from otel_audit.report import stretch
from otel_audit.report.stretch import Reading, count_log, open_again
from otel_audit.report.timeline import timeline
from otel_audit.report.totals import Totals
from otel_audit.selection import Selection
from tests import logs

COUNTS = (300, 300, 100)


def count(folder: Path, told: list[int]) -> tuple[Totals, list[int]]:
    """Count a log of three segments."""
    for name, lines in zip(logs.names_of(3), logs.segments(COUNTS), strict=True):
        (folder / name).write_bytes(logs.join(lines))
    report = verify_log(folder)
    reading = Reading(report, timeline(logs.time_text(1), logs.time_text(700)), Selection(), True, 10)
    with contextlib.ExitStack() as stack:
        return count_log(reading, open_again(report, stack), told.append)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one process counts")
@pytest.mark.parametrize("processes", [1, 2, 5])
def test_progress_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """The bytes that are told of are those of the log, and the entries all of it, however many processes count."""
    monkeypatch.setattr(stretch, "MIN_BYTES", 1)
    monkeypatch.setattr(parts, "processors", lambda: processes)
    told: list[int] = []
    totals, latest = count(tmp_path, told)
    assert sum(told) == sum(file.stat().st_size for file in tmp_path.glob("*.jsonl"))
    assert min(told) >= 0
    assert totals.entries == sum(COUNTS)
    assert latest == list(range(691, 701))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one process counts")
def test_a_process_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stretch that nobody counted is an error, not a smaller count."""
    monkeypatch.setattr(stretch, "MIN_BYTES", 1)
    monkeypatch.setattr(parts, "processors", lambda: 2)
    monkeypatch.setattr(parts, "_reopened", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(AuditVerifyError, match="was killed"):
        count(tmp_path, [])


def test_a_segment_that_is_removed(tmp_path: Path) -> None:
    """Where a verified file is gone when the page is made, that is an error: its entries would be missing."""
    for name, lines in zip(logs.names_of(3), logs.segments(COUNTS), strict=True):
        (tmp_path / name).write_bytes(logs.join(lines))
    report = verify_log(tmp_path)
    (tmp_path / logs.names_of(3)[1]).unlink()
    with contextlib.ExitStack() as stack, pytest.raises(AuditVerifyError, match="000002.jsonl: it was removed"):
        open_again(report, stack)
