"""`Selection`, and the options that make one."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from otel_audit.cli.selecting import add_selection, moment, selection_from
from otel_audit.entry import parse_entry
from otel_audit.errors import AuditVerifyError
from otel_audit.reader import read_log, search_log
from otel_audit.selection import Selection, parse_path, value_at
from tests import logs

VALUES: dict[str, Any] = {"x": {"a/b": [1, True, "1"], "": {"~": None}}, "n": 3, "t": True, "s": "3", "7": [0]}
ENTRY = parse_entry(logs.seal(logs.entry(2, **VALUES)))
NOW = dt.datetime(2026, 11, 22, 14, 30, 1, 5, tzinfo=dt.UTC)


class TestValues:
    """``attributes``: where a value lies, and what it is."""

    @pytest.mark.parametrize(
        ("path", "value", "matches"),
        [
            ("x/a~1b/0", "1", True),
            ("x/a~1b", "true", True),
            ("x/a~1b/9", None, False),
            ("x//~0", None, True),
            ("x//~0", "null", True),
            ("n", "3", True),
            ("n", "3.0", True),
            ("s", "3", True),
            ("s", '"3"', False),
            ("t", "1", False),
            ("t", "true", True),
            ("7/0", "0", True),
            ("/attributes/n", "3", True),
            ("/scope/name", "shop", True),
            ("/body", None, False),
            ("/raw", None, False),
            ("/nosuch", None, False),
            ("nosuch", None, False),
            ("n/0", None, False),
        ],
    )
    def test_path(self, path: str, value: str | None, matches: bool) -> None:
        """A value is found by its path, as text or as what the text is in JSON; true is not 1."""
        assert Selection(attributes=((parse_path(path), value),)).matches(ENTRY) is matches

    def test_value_at(self) -> None:
        """A value is given as it is stored."""
        assert value_at(ENTRY, parse_path("x/a~1b")) == [1, True, "1"]


class TestTimes:
    """``--since`` and ``--until``."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2026-11-22T09:00:00Z", "2026-11-22T09:00:00"),
            ("2026-11-22t10:00:00+01:00", "2026-11-22T09:00:00"),
            ("2026-11-22 09:00", "2026-11-22T09:00:00"),
            ("2026-11-22", "2026-11-22T00:00:00"),
            ("today", "2026-11-22T00:00:00"),
            ("yesterday", "2026-11-21T00:00:00"),
            ("2h", "2026-11-22T12:30:01.000005"),
            ("30m", "2026-11-22T14:00:01.000005"),
            ("7d", "2026-11-15T14:30:01.000005"),
            ("1w", "2026-11-15T14:30:01.000005"),
        ],
    )
    def test_moment(self, text: str, expected: str) -> None:
        """A time is what people write: RFC 3339, a date, so long ago, a day; UTC where nothing is said."""
        since = dt.datetime.fromisoformat(expected).replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        assert moment(text, NOW) == round(since / dt.timedelta(microseconds=1)) * 1000

    def test_nanoseconds(self) -> None:
        """All nine digits count."""
        assert moment("2026-11-22T09:00:00.000000001Z") - moment("2026-11-22T09:00:00Z") == 1

    @pytest.mark.parametrize("text", ["", "now", "2h ago", "2026-13-01", "2026-11-22T25:00Z", "99999999w", "२h"])
    def test_no_time(self, text: str) -> None:
        """What is none is refused with examples."""
        with pytest.raises(argparse.ArgumentTypeError, match="expected a time such as"):
            moment(text, NOW)


def test_options_make_a_selection() -> None:
    """Each option sets its field; none of them makes an empty selection."""
    parser = argparse.ArgumentParser()
    add_selection(parser)
    assert not selection_from(parser.parse_args([]))
    made = selection_from(
        parser.parse_args(
            ["--actor", "a", "--actor", "b", "--min-severity", "9", "--since-seq", "2", "--attribute", "x/y=a=b"]
        )
    )
    assert made == Selection(actors=("a", "b"), min_severity_number=9, since_seq=2, attributes=((("x", "y"), "a=b"),))


def test_read_log_takes_both(tmp_path: Path) -> None:
    """Keywords and a selection must both fit; a time needs a zone."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(logs.log(9)))
    both = read_log(path, selection=Selection(until_seq=5), since_seq=4)
    assert [entry.seq for entry in both] == [4, 5]
    since = dt.datetime(2026, 11, 22, 0, 0, 0, 7456, tzinfo=dt.UTC)
    assert [entry.seq for entry in read_log(path, since=since, text="GIT_LOG")] == [7, 8, 9]
    with pytest.raises(AuditVerifyError, match="until: expected a time with its zone"):
        list(read_log(path, until=dt.datetime(2026, 1, 1)))  # noqa: DTZ001


def test_line_numbers(tmp_path: Path) -> None:
    """A line has its number in its segment, lines that are none and longer than a line counted."""
    for name, lines in zip(logs.names_of(2), logs.segments([300, 3]), strict=True):
        (tmp_path / name).write_bytes(logs.join([lines[0], b"", b"x" * 3_000_000, *lines[1:]]))
    found = list(search_log(tmp_path, Selection(event_names=("audit.log.*",))))
    assert [(Path(one.path).name, one.line_number) for one in found] == [
        ("audit.jsonl", 1), ("audit.jsonl", 302), ("audit.000002.jsonl", 1),
    ]  # fmt: skip
    assert all(one.line == Path(one.path).read_bytes().split(b"\n")[one.line_number - 1] for one in found)
    assert {one.line_number for one in search_log(tmp_path, numbered=False)} == {0}
