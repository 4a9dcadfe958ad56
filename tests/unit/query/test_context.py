"""`otel_audit.query.context`: what stands around an entry, whatever else stands in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_audit.entry import Entry, parse_entry
from otel_audit.query import context
from otel_audit.query.context import search_around
from otel_audit.selection import Selection
from tests import logs

FRAGMENT = b'{"seq":10,"time":"2026-'


def around(path: Path, before: int, after: int, *seqs: int) -> list[tuple[int, bool, bool]]:
    """Return ``seq``, ``found`` and ``apart`` of what is shown around some entries."""
    wanted = Selection(attributes=((("wanted",), "yes"),)) if not seqs else Selection(since_seq=seqs[0])
    if seqs:
        wanted = Selection(since_seq=seqs[0], until_seq=seqs[-1])
    return [(one.entry.seq, one.found, one.apart) for one in search_around(path, wanted, before, after)]


def write(folder: Path, lines: list[bytes]) -> Path:
    """Write lines as a log."""
    path = folder / "audit.jsonl"
    path.write_bytes(logs.join(lines))
    return path


@pytest.mark.parametrize("fragments", [1, 3, 500])
@pytest.mark.parametrize("before", [1, 2, 4])
def test_fragments_take_no_place(fragments: int, before: int, tmp_path: Path) -> None:
    """Lines that are no entries do not count as neighbours, however many there are."""
    lines = logs.log(12)
    lines[9:9] = [FRAGMENT] * fragments
    lines[8:8] = [b""]
    found = around(write(tmp_path, lines), before, 1, 10)
    assert found == [*((seq, False, False) for seq in range(10 - before, 10)), (10, True, False), (11, False, False)]


def test_fragments_are_not_left_out_entries(tmp_path: Path) -> None:
    """Nothing is said to be left out where only fragments are, and where an entry is, it is said."""
    lines = [*logs.chain([logs.opened(), *(logs.entry(seq, wanted="yes" if seq in (3, 5, 8) else "no")
                                           for seq in range(2, 10))])]  # fmt: skip
    lines[4:4] = [FRAGMENT, FRAGMENT]
    lines[3:3] = [FRAGMENT]
    assert around(write(tmp_path, lines), 1, 0) == [
        (2, False, False), (3, True, False), (4, False, False), (5, True, False), (7, False, True), (8, True, False),
    ]  # fmt: skip
    assert around(write(tmp_path, lines), 0, 1) == [
        (3, True, False), (4, False, False), (5, True, False), (6, False, False), (8, True, True), (9, False, False),
    ]  # fmt: skip


@pytest.mark.parametrize("held", [1, 5_000, 70_000])
def test_what_is_held_is_bounded(held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever may be held unread, the same neighbours are found: over blocks, and over many fragments."""
    monkeypatch.setattr(context, "HELD_BYTES", held)
    lines = logs.log(600)
    lines[500:500] = [FRAGMENT] * 4_000
    lines[300:300] = [b"none"] * 200
    path = write(tmp_path, lines)
    for seq in (2, 80, 301, 305, 501, 600):
        found = around(path, 7, 0, seq)
        assert found == [*((each, False, False) for each in range(max(1, seq - 7), seq)), (seq, True, False)]


def test_few_lines_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To find one entry among many, its neighbours are parsed, and not the whole log."""
    parsed: list[bytes] = []

    def counted(line: bytes) -> Entry:
        parsed.append(line)
        return parse_entry(line)

    monkeypatch.setattr(context, "parse_entry", counted)
    found = around(write(tmp_path, logs.log(3_000)), 2, 2, 2_500)
    assert [seq for seq, _, _ in found] == [2_498, 2_499, 2_500, 2_501, 2_502]
    assert len(parsed) < 10
