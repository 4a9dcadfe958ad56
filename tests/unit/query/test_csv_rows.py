"""`otel_audit.query.csv_rows`: read back by the standard library and by pandas."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas
import pytest

from otel_audit.entry import parse_entry
from otel_audit.query.columns import COLUMNS
from otel_audit.query.csv_rows import cell, csv_rows
from tests import logs, strange

FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def table(lines: list[bytes]) -> str:
    """Return the CSV of a log."""
    return "".join(csv_rows((parse_entry(line), logs.STREAM_ID) for line in lines))


def given(text: str) -> str:
    """Take off what keeps a spreadsheet from running a cell."""
    return text.removeprefix("'")


def test_standard_library() -> None:
    """The standard library reads each entry back: as many rows, each column, all attributes with their types."""
    rows = list(csv.DictReader(io.StringIO(table(strange.lines()), newline=""), strict=True))
    entries = strange.members()
    assert len(rows) == len(entries)
    for row, entry in zip(rows, entries, strict=True):
        assert None not in row
        assert int(row["seq"]) == entry["seq"]
        assert row["audit.stream.id"] == logs.STREAM_ID
        assert row["time"] == entry["time"]
        assert json.loads(row["attributes"]) == entry["attributes"]
        assert json.loads(row["resource"]) == entry["resource"]
        assert (row["hash"], row["prev_hash"]) == (entry["hash"], entry["prev_hash"])
        assert (json.loads(row["body"]) if row["body"] else None) == entry.get("body")


@pytest.mark.parametrize("text", [*strange.PLAIN, *(one for one in strange.FORMULAS if one.isprintable())])
def test_texts(text: str) -> None:
    """A printable text stands in its columns as it is, but for one ' in front where it would be a formula."""
    rows = csv.DictReader(io.StringIO(table(strange.lines()), newline=""))
    [row] = [row for row in rows if given(row["scope.name"]) == text]
    for name in ("event_name", "severity_text", "audit.actor.id", "audit.reason", "error.type", "scope.version"):
        assert given(row[name]) == text
        assert row[name] == text or text.startswith((*FORMULA_BEGINS, "'"))


def test_no_formula() -> None:
    """No cell of any row begins as a formula does, and none holds a control character."""
    text = table(strange.lines())
    assert strange.is_inert(text)
    for row in csv.reader(io.StringIO(text, newline="")):
        for one in row:
            assert not one.startswith(FORMULA_BEGINS), one


def test_pandas(tmp_path: Path) -> None:
    """Pandas reads the file with its own types: integers, times to the nanosecond, texts."""
    path = tmp_path / "x.csv"
    path.write_text(table(strange.lines()), encoding="utf-8", newline="")
    frame = pandas.read_csv(path, keep_default_na=False)
    entries = strange.members()
    assert list(frame.columns) == ["audit.stream.id", *(column.name for column in COLUMNS)]
    assert frame["seq"].tolist() == [entry["seq"] for entry in entries]
    assert [json.loads(one) for one in frame["attributes"]] == [entry["attributes"] for entry in entries]
    ordinary = frame[frame["event_name"] != "strange.types"]
    times = pandas.to_datetime(ordinary["time"])
    assert times.dt.nanosecond.tolist() == [789] * len(ordinary)


def test_rfc_4180() -> None:
    r"""Rows end in \r\n, each has as many cells as the first, and a cell with a comma or quote is quoted."""
    text = table(logs.log(3))
    assert text.count("\r\n") == 4 == text.count("\n")
    assert {len(row) for row in csv.reader(io.StringIO(text, newline=""))} == {len(COLUMNS) + 1}
    assert ',"{""audit.record.id"":' in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (-3, "'-3"),
        (0.25, "0.25"),
        ("", ""),
        ("'=1", "''=1"),
        ("\t=1", "\\t=1"),
        (["=a"], '["=a"]'),
        (b'"=a"', '"=a"'),
        (b"-1", "'-1"),
    ],
)
def test_cell(value: float | str | bytes | list[str] | None, shown: str) -> None:
    """A value has one spelling."""
    assert cell(value) == shown


def test_no_entries() -> None:
    """Without entries there are the names alone."""
    assert table([]).count("\n") == 1
