"""`otel_audit.query.parquet`: read back by pyarrow and by DuckDB."""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet as reader

from otel_audit.entry import Entry, parse_entry
from otel_audit.errors import AuditConfigError
from otel_audit.query import parquet
from otel_audit.query.columns import COLUMNS
from otel_audit.query.parquet import write_parquet
from tests import logs, strange


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of the strange log."""
    path = tmp_path / "x.parquet"
    with path.open("wb") as file:
        write_parquet(rows(strange.lines()), file)
    return path


def rows(lines: list[bytes]) -> Iterator[tuple[Entry, str | None]]:
    """Return what is written."""
    return ((parse_entry(line), logs.STREAM_ID) for line in lines)


def nanoseconds(text: str) -> int | None:
    """Return a time as a number; None where a timestamp cannot hold it."""
    seconds = dt.datetime.fromisoformat(text[:19] + "+00:00") - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    found = (seconds.days * 86_400 + seconds.seconds) * 10**9 + int(text[20:29])
    return found if -(2**63) <= found < 2**63 else None


def expected(name: str, kind: str, entry: dict[str, Any]) -> object:
    """Return what a column should hold."""
    value = entry["scope"].get(name[6:]) if name.startswith("scope.") and "scope" in entry else None
    if not name.startswith("scope."):
        value = entry[name] if name in entry else entry["attributes"].get(name)
    if kind == "time":
        return nanoseconds(str(value))
    fits = {
        "text": lambda: isinstance(value, str),
        "integer": lambda: isinstance(value, int),
        "number": lambda: isinstance(value, int | float),
        "texts": lambda: isinstance(value, list) and all(isinstance(one, str) for one in value),
        "json": lambda: value is not None,
    }
    return value if fits[kind]() else None


def test_pyarrow(path: Path) -> None:
    """Pyarrow reads each value of each column back, with its type; what a column cannot hold is null."""
    table = reader.read_table(path)
    entries = strange.members()
    assert table.column_names == ["audit.stream.id", *(column.name for column in COLUMNS)]
    for column in COLUMNS:
        got = table.column(column.name)
        values = got.cast("int64").to_pylist() if column.kind == "time" else got.to_pylist()
        if column.kind == "json":
            values = [None if value is None else json.loads(value) for value in values]
        assert values == [expected(column.name, column.kind, entry) for entry in entries], column.name
    assert set(table.column("audit.stream.id").to_pylist()) == {logs.STREAM_ID}


def test_duckdb(path: Path) -> None:
    """DuckDB reads times to the nanosecond, 64-bit integers and nested values from the same file."""
    found = duckdb.execute(
        """
        select seq, epoch_ns(time), severity_number, attributes->>'$.greatest', attributes->>'$.odd',
               "audit.delegation"[1]
        from read_parquet($1) order by seq
        """,
        [str(path)],
    ).fetchall()
    for row, entry in zip(found, strange.members(), strict=True):
        attributes = entry["attributes"]
        delegation = attributes.get("audit.delegation")
        assert row == (
            entry["seq"],
            nanoseconds(entry["time"]),
            entry.get("severity_number"),
            str(attributes["greatest"]) if "greatest" in attributes else None,
            str(attributes["odd"]) if "odd" in attributes else None,
            delegation[0] if isinstance(delegation, list) else None,
        )


def test_types(path: Path) -> None:
    """Times are timestamps in UTC to the nanosecond, numbers are numbers, whatever a log holds."""
    types = {field.name: str(field.type) for field in reader.read_schema(path)}
    assert types["time"] == types["observed_time"] == "timestamp[ns, tz=UTC]"
    assert (types["seq"], types["audit.duration"], types["audit.delegation"]) == (
        "int64",
        "double",
        "list<element: string>",
    )


def test_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is written in groups of rows, by their number and by the size of their lines."""
    monkeypatch.setattr(parquet, "ROW_GROUP_ENTRIES", 7)
    monkeypatch.setattr(parquet, "_ROWS", 3)
    file = io.BytesIO()
    write_parquet(rows(logs.log(30)), file)
    groups = reader.ParquetFile(file).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [9, 9, 9, 3]
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(parquet, "_ROWS_BYTES", 1)
    file = io.BytesIO()
    write_parquet(rows(logs.log(5)), file)
    assert reader.ParquetFile(file).metadata.num_row_groups == 5


def test_same_bytes() -> None:
    """The same entries give the same bytes."""
    made = []
    for _ in range(2):
        file = io.BytesIO()
        write_parquet(rows(logs.log(30)), file)
        made.append(file.getvalue())
    assert made[0] == made[1]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the error says what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(AuditConfigError, match=r"pip install 'otel-audit\[query\]'"):
        write_parquet(rows(logs.log(2)), io.BytesIO())
