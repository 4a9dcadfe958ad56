"""`otel_audit.query.in_order`: what several processes make of a log is what one makes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_audit import parts
from otel_audit.errors import AuditVerifyError
from otel_audit.parts import Frame, Part, entries_of
from otel_audit.query.in_order import in_order
from otel_audit.selection import Selection
from tests import logs


def lines_of(part: Part) -> Iterator[Frame]:
    """Yield the lines of a part, with what the count of them is."""
    return ((1, entry.raw + b"\n") for _, _, entry in entries_of(part, Selection()))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Write a log of some segments, with lines that are none, one of them longer than a line can be."""
    for name, lines in zip(logs.names_of(4), logs.segments([9, 2, 30, 3]), strict=True):
        (tmp_path / name).write_bytes(logs.join([*lines[:2], b"torn", *lines[2:]]))
    with (tmp_path / logs.names_of(4)[-1]).open("ab") as file:
        file.write(b"x" * (3 << 20) + b"\n" + logs.log(50)[49] + b'\n{"seq":')
    return tmp_path


@pytest.mark.parametrize("unit_bytes", [1, 1000, 1 << 20])
@pytest.mark.parametrize("processes", [2, 3, 8])
def test_same_as_one(processes: int, unit_bytes: int, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it comes once and in order, wherever units end."""
    expected = list(in_order(log, lines_of))
    assert len(expected) == 45
    monkeypatch.setattr(parts, "processors", lambda: processes)
    found = list(in_order(log, lines_of, min_bytes=1, unit_bytes=unit_bytes))
    assert b"".join(data for _, data in found) == b"".join(data for _, data in expected)
    assert sum(count for count, _ in found) == 45


def test_a_process_that_dies(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit that was not read to its end is an error, not an end."""
    assert list(in_order(log, lines_of, min_bytes=1))
    monkeypatch.setattr(parts, "processors", lambda: 2)
    monkeypatch.setattr(parts, "_reopened", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(AuditVerifyError, match="was killed"):
        list(in_order(log, lines_of, min_bytes=1))


def test_leaves_no_process(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops to take what is made ends the processes."""
    monkeypatch.setattr(parts, "processors", lambda: 4)
    forked: list[int] = []
    fork = os.fork

    def noted() -> int:
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr(os, "fork", noted)
    made = in_order(log, lines_of, min_bytes=1, unit_bytes=1)
    assert next(made)[0] == 1
    assert len(forked) == 4
    made.close()  # type: ignore[attr-defined]
    for pid in forked:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
