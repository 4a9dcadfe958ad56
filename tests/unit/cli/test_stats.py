"""``otel-audit stats``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_audit.query.fields import field
from otel_audit.query.groups import Groups
from otel_audit.reader import read_log
from tests import logs
from tests.unit.cli.reading import SOUND, Screen, evil_entry, is_inert, write_log


@pytest.fixture
def screen(capfdbinary: pytest.CaptureFixture[bytes]) -> Screen:
    """Run commands in this process."""
    return Screen(capfdbinary)


def test_text(screen: Screen) -> None:
    """People get counts, the time from the first to the last, the rate, and what is most frequent."""
    assert screen.run("stats", SOUND, "--top", "1") == 0
    assert f"{SOUND}: 10 entries, 8,668 bytes" in screen.out
    assert "2025-03-01T09:00:01.000000000Z to 2025-03-01T09:00:10.000000000Z, 1.11 a second" in screen.out
    assert "    7  success\n    and 2 others (--top shows more)\n" in screen.out


def test_json_with_segments(tmp_path: Path, screen: Screen) -> None:
    """Programs get the same, of each segment too, and are told where something was cut."""
    parts = logs.segments([4, 3])
    for name, lines in zip(logs.names_of(2), parts, strict=True):
        (tmp_path / name).write_bytes(logs.join([*lines, b"none"]))
    assert screen.run("stats", str(tmp_path), "--format", "json", "--top", "1") == 0
    (log,) = json.loads(screen.out)["logs"]
    assert (log["entries"], log["first_seq"], log["last_seq"], log["unreadable_lines"]) == (7, 1, 7, 2)
    assert log["size_bytes"] == sum(len(logs.join(lines)) + 5 for lines in parts)
    assert [(one["entries"], one["first_seq"]) for one in log["segments"]] == [(4, 1), (3, 5)]
    names = log["values"]["event_name"]
    assert (names["distinct"], names["complete"], names["most"]) == (3, False, [{"value": "mcp.tool.call", "count": 4}])
    assert log["values"]["decision"] == {"distinct": 0, "complete": True, "not_counted_apart": 0, "most": []}


def test_selection(screen: Screen) -> None:
    """The options that choose entries choose what is counted; none is 1."""
    assert screen.run("stats", SOUND, "--outcome", "failure", "--format", "json") == 0
    assert json.loads(screen.out)["logs"][0]["entries"] == 1
    assert screen.run("stats", SOUND, "--actor", "nobody") == 1


def test_inert(tmp_path: Path, screen: Screen) -> None:
    """No value that is counted acts on a terminal."""
    path = write_log(tmp_path, evil_entry(2))
    for form in ("text", "json"):
        assert screen.run("stats", path, "--format", form) == 0
        assert is_inert(screen.out)


def test_groups_are_bounded() -> None:
    """Values that come when there are as many as can be are counted together, and nothing is lost."""
    groups = Groups([field("seq")], most=3)
    groups.add(read_log(SOUND))
    assert [count for _, count in groups.ranked()] == [1, 1, 1]
    assert groups.others == 7
