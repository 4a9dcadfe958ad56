"""The answer to a SQL query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from otel_audit.cli.query_output import as_json_value, print_array, print_csv_rows
from otel_audit.cli.table import print_table
from otel_audit.cli.text import ascii_json
from otel_audit.query.sql import Database
from otel_audit.selection import Selection


def print_sql(paths: Sequence[str], selection: Selection, query: str, form: str, limit: int | None) -> int:
    """Print what a query gives, and return how many rows there were."""
    with Database(paths, selection) as database:
        names, rows = database.run(query)
        return _print_rows(names, islice(rows, limit), form)


def _print_rows(names: list[str], rows: Iterator[tuple[Any, ...]], form: str) -> int:
    plain = ([as_json_value(value) for value in row] for row in rows)
    if form in ("text", "table"):
        return print_table(names, plain)
    if form == "csv":
        return print_csv_rows(names, plain)
    members = (dict(zip(names, row, strict=True)) for row in plain)
    if form == "json":
        return print_array(members)
    count = 0
    for each in members:
        print(ascii_json(each))
        count += 1
    return count
