"""What else a log holds than each entry once, in order: never passed over in silence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_audit.reconcile import ReconcileReport, reconcile
from tests import copies, logs

COUNT = 60
LINES = logs.log(COUNT)
WAYS: dict[str, Callable[[list[bytes]], bytes]] = {
    "tail": copies.copy,
    "live": lambda lines: copies.copy(lines, original=False),
    "lines": logs.join,
}
Edit = Callable[[list[bytes]], list[bytes]]


def forged(seq: int) -> bytes:
    """Return another line with this seq, whose own hash is right."""
    return copies.resealed(LINES[:seq], seq, **{"audit.actor.id": "mallory"})[-1]


def compared(folder: Path, data: bytes, *made: bytes) -> ReconcileReport:
    """Compare a log of these bytes with copies."""
    (folder / "audit.jsonl").write_bytes(data)
    for number, copied in enumerate(made):
        (folder / f"{number}").write_bytes(copied)
    return reconcile(folder / "audit.jsonl", [folder / f"{number}" for number in range(len(made))])


def counted(report: ReconcileReport) -> tuple[int, int, int]:
    """Return how many lines are no entries, stand twice, and are out of order."""
    return report.log.not_entries, report.log.doubles, report.log.out_of_order


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("edit", "diverged"),
    [
        (lambda lines: [*lines[:4], forged(5), *lines[4:]], [(5, 5)]),
        (lambda lines: [*lines[:5], forged(5), *lines[5:]], [(5, 5)]),
        (lambda lines: [*lines, forged(5)], [(5, 5)]),
        (lambda lines: [forged(5), *lines], [(5, 5)]),
        (lambda lines: [*lines, forged(5), forged(9)], [(5, 5), (9, 9)]),
        (lambda lines: [*(forged(seq) for seq in range(1, COUNT)), *lines], [(1, COUNT - 1)]),
        (lambda lines: [*lines, *(forged(seq) for seq in range(1, COUNT + 1))], [(1, COUNT)]),
        (lambda lines: [*lines, lines[4].replace(b"git_log", b"git_lag")], [(5, 5)]),
    ],
)
def test_forged_beside_the_genuine(way: str, edit: Edit, diverged: list[tuple[int, int]], tmp_path: Path) -> None:
    """An entry that stands beside the one that was copied is a finding, wherever it stands."""
    report = compared(tmp_path, logs.join(edit(LINES)), WAYS[way](LINES))
    assert not report.agrees
    assert [(one.kind, one.seq, one.last_seq) for one in report.findings] == [
        ("diverged", first, last) for first, last in diverged
    ]
    assert report.entries == report.copied == COUNT
    assert counted(report)[:2] == (0, 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], (0, 0, 1)),
        (lambda lines: [*lines[20:], *lines[:20]], (0, 0, 20)),
        (lambda lines: [*lines, lines[4]], (0, 1, 0)),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], (0, 1, 0)),
        (lambda lines: [*lines, *lines], (0, COUNT, 0)),
        (lambda lines: [*lines[:5], b"noise", *lines[5:]], (1, 0, 0)),
        (lambda lines: [*lines[:5], b"", *lines[5:]], (1, 0, 0)),
        (lambda lines: [b"noise", b"noise", *lines, b"noise"], (3, 0, 0)),
        (lambda lines: [*lines[:5], b'{"seq" :5' + forged(5)[8:], *lines[5:]], (1, 0, 0)),
        (lambda lines: [*lines[:5], b'{"seq":05' + forged(5)[8:], *lines[5:]], (1, 0, 0)),
        (lambda lines: [*lines[:5], b'{"seq":5,"evil":1}', *lines[5:]], (1, 0, 0)),
        (lambda lines: [*lines[:5], b"x" * (3 << 20), *lines[5:]], (1, 0, 0)),
        (lambda lines: [*lines, b"x" * (3 << 20)], (1, 0, 0)),
        (lambda lines: [*lines[:5], lines[5][:200], *lines[5:]], (1, 0, 0)),
    ],
)
def test_lines_that_are_not_compared(way: str, edit: Edit, expected: tuple[int, int, int], tmp_path: Path) -> None:
    """A line that is no entry, stands twice or out of order is counted, and the copies do not agree."""
    report = compared(tmp_path, logs.join(edit(LINES)), WAYS[way](LINES))
    assert not report.agrees
    assert not report.findings
    assert counted(report) == expected
    assert (report.entries, report.copied) == (COUNT, COUNT)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tail", [b"x", b'{"seq":61,', LINES[4], b"x" * (3 << 20)])
def test_torn_end(way: str, tail: bytes, tmp_path: Path) -> None:
    """What stands behind the last LF is told: a log that is written to agrees with its copies."""
    report = compared(tmp_path, logs.join(LINES) + tail, WAYS[way](LINES))
    assert report.agrees
    assert report.log.torn_bytes > 0


def test_torn_end_of_an_earlier_segment(tmp_path: Path) -> None:
    """What no LF ends in a segment that others follow is a line that is no entry."""
    parts = logs.segments([20, 30])
    data = [logs.join(parts[0]) + b"x", logs.join(parts[1]) + b"yz"]
    for name, written in zip(logs.names_of(2), data, strict=True):
        (tmp_path / name).write_bytes(written)
    (tmp_path / "copy").write_bytes(copies.copy([*parts[0], *parts[1]]))
    report = reconcile(tmp_path / "audit.jsonl", [tmp_path / "copy"])
    assert not report.agrees
    assert (report.log.not_entries, report.log.torn_bytes) == (1, 2)


FRAGMENTS = [
    b'{"seq":31,"time":"',
    b"{",
    b"\0" * 300,
    b'{"seq":31,"a":{}}',
    b'{"seq":31,"ti\n{"seq":31,"time',
    b"a\n\nb",
]


def recovered(fragment: bytes, **changed: object) -> tuple[list[bytes], list[bytes]]:
    """Return the entries of a log that a crash left a fragment in, and its lines with the fragment among them."""
    before = LINES[:30]
    declared = {
        "audit.fragment.offset": len(logs.join(before)),
        "audit.fragment.length": len(fragment),
        "audit.fragment.sha256": hashlib.sha256(fragment).hexdigest(),
    } | changed
    members = [logs.log_entry(31, "audit.log.recovered", **declared), *(logs.entry(seq) for seq in range(32, 41))]
    behind = list(logs.chain(members, logs.hash_of(before[-1])))
    return [*before, *behind], [*before, fragment, *behind]


@pytest.mark.parametrize("way", ["tail", "live"])
@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_declared_fragment(way: str, fragment: bytes, tmp_path: Path) -> None:
    """A fragment that the entry behind it declares is told, and nothing is wrong with it."""
    entries, held = recovered(fragment)
    report = compared(tmp_path, logs.join(held), WAYS[way](entries))
    assert report.agrees
    assert (report.entries, report.log.fragments) == (40, fragment.count(b"\n") + 1)
    assert counted(report) == (0, 0, 0)


@pytest.mark.parametrize("fragment", FRAGMENTS)
@pytest.mark.parametrize("changed", [{"audit.fragment.length": 3}, {"audit.fragment.sha256": "0" * 64}])
def test_fragment_that_is_another(fragment: bytes, changed: dict[str, object], tmp_path: Path) -> None:
    """A fragment that is not what the entry behind it declares is lines that are no entries."""
    entries, held = recovered(fragment, **changed)
    report = compared(tmp_path, logs.join(held), copies.copy(entries))
    assert not report.agrees
    assert (report.log.not_entries, report.log.fragments) == (fragment.count(b"\n") + 1, 0)


def test_fragment_excuses_no_other(tmp_path: Path) -> None:
    """Beside a declared fragment, a line that is no entry is still one."""
    entries, held = recovered(FRAGMENTS[0])
    report = compared(tmp_path, logs.join([*held, b'{"seq":31,"more":1}', b"noise"]), copies.copy(entries))
    assert not report.agrees
    assert (report.log.not_entries, report.log.fragments) == (2, 1)


@pytest.mark.parametrize("mode", ["chain", "none"])
@pytest.mark.parametrize("edit", [(b'"time":', b'"time": '), (b'"event_name":', b'"event_name":"evil","event_name":')])
def test_line_that_is_none_with_the_seal_of_an_entry(mode: str, edit: tuple[bytes, bytes], tmp_path: Path) -> None:
    """A line that is no entry any more is not taken for the record that has its hash."""
    lines = logs.log(9, mode=mode)
    report = compared(
        tmp_path, logs.join([*lines[:4], lines[4].replace(*edit), *lines[5:]]), copies.copy(lines, original=False)
    )
    assert [(one.kind, one.seq) for one in report.findings] == [("diverged", 5)]
