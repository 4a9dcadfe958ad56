"""`otel_audit.query.tally`: what several processes count is what one counts."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from otel_audit import parts
from otel_audit.errors import AuditVerifyError
from otel_audit.query.extent import Extent
from otel_audit.query.fields import field
from otel_audit.query.groups import Group, Groups
from otel_audit.query.tally import tally
from otel_audit.reader import read_log
from otel_audit.selection import Selection
from tests import logs

MANY = 1 << 40
NAMES = (("seq",), ("event_name", "x"), ("day", "audit.actor.id"), ("x",))
VALUES = (1, 1.0, True, "1", "true", None, [1], {"a": 1}, "é" * 300, 2**60, -0.0, 0, "\x00")


def write(folder: Path, counts: list[int]) -> None:
    """Write a log of some segments, with odd values, and with lines that are none."""
    for name, lines in zip(logs.names_of(len(counts)), logs.segments(counts), strict=True):
        odd = [logs.seal(logs.entry(seq, x=value)) for seq, value in enumerate(VALUES, 3)]
        (folder / name).write_bytes(logs.join([*lines[:2], b"torn", *odd, *lines[2:], *odd[:3]]))
    with (folder / logs.names_of(len(counts))[-1]).open("ab") as file:
        file.write(b'{"seq":')


def counted(
    folder: Path, names: tuple[tuple[str, ...], ...], most: int, selection: Selection, min_bytes: int
) -> tuple[list[Extent], list[list[Group]], list[int]]:
    """Return all that is counted."""
    groups = [Groups([field(name) for name in each], most) for each in names]
    extents = tally(folder, selection, groups, min_bytes=min_bytes)
    return extents, [list(each.ranked()) for each in groups], [each.others for each in groups]


@pytest.mark.parametrize("most", [1, 2, 5, 13, 100_000])
@pytest.mark.parametrize("processes", [2, 3, 8])
def test_same_as_one(processes: int, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever parts end, and whether or not there are more groups than are counted apart."""
    write(tmp_path, [9, 2, 30])
    monkeypatch.setattr(parts, "processors", lambda: processes)
    for selection in (Selection(), Selection(actors=("agent",)), Selection(until_seq=7)):
        expected = counted(tmp_path, NAMES, most, selection, MANY)
        assert sum(extent.entries for extent in expected[0]) > 10
        assert counted(tmp_path, NAMES, most, selection, 1) == expected


def test_types_are_told_apart(tmp_path: Path) -> None:
    """Text, numbers, truth and null are groups of their own, however equal they are."""
    write(tmp_path, [4])
    _, [ranked], _ = counted(tmp_path, (("x",),), 100, Selection(), MANY)
    found = {(type(value).__name__, str(value)) for [value], _ in ranked}
    assert {("int", "1"), ("float", "1.0"), ("bool", "True"), ("str", "1"), ("NoneType", "None")} <= found
    assert {("int", "0"), ("float", "-0.0"), ("list", "[1]"), ("str", "é" * 300)} <= found


def test_in_the_order_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first values in the log are those that are counted apart, whichever process was first."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(logs.log(60)))
    monkeypatch.setattr(parts, "processors", lambda: 4)
    groups = Groups([field("seq")], most=30)
    tally(path, Selection(), [groups], min_bytes=1)
    assert {str(value) for [value], _ in groups.ranked()} == {str(seq) for seq in range(1, 31)}
    assert groups.others == 30


def test_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups take no more bytes than is said, and what was taken in from another counts as well."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(logs.log(20)))
    monkeypatch.setattr("otel_audit.query.groups._MAX_BYTES", 40)
    one, other = Groups([field("audit.record.id")]), Groups([field("seq")])
    one.add(read_log(path))
    assert (len(list(one.ranked())), one.others) == (1, 19)
    other.add(read_log(path))
    one.merge(b"".join(other.packed()))
    assert (len(list(one.ranked())), one.others) == (1, 19 + sum(count for _, count in other.ranked()))


def test_a_process_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that nobody counted to its end is an error, not a smaller count."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(logs.log(50)))
    monkeypatch.setattr(parts, "processors", lambda: 2)
    monkeypatch.setattr(parts, "_reopened", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(AuditVerifyError, match="was killed"):
        tally(path, Selection(), [], min_bytes=1)


@pytest.mark.parametrize("processes", [1, 3])
def test_progress(processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress ends with the log's length, however many processes read it."""
    write(tmp_path, [9, 2, 30])
    total = sum(each.stat().st_size for each in tmp_path.iterdir())
    monkeypatch.setattr(parts, "processors", lambda: processes)
    told: list[tuple[int, int]] = []
    tally(tmp_path, Selection(), [], progress=lambda done, of: told.append((done, of)), min_bytes=1)
    assert told[-1] == (total, total)
