"""Entries as CSV (RFC 4180), for spreadsheets as they are, and for programs.

A spreadsheet runs what begins as a formula does, and whoever is audited chooses what stands in the
log. So no cell begins with ``=``, ``+``, ``-``, ``@``, a tab or a line's end: it gets ``'`` in front, as does what
begins with ``'`` itself, so that a program gets the value back by taking one off. In text,
control characters are shown as escapes (`otel_audit.inert`); the column ``attributes`` has the exact values.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import orjson

from otel_audit.entry import Entry
from otel_audit.inert import visible, visible_in_json
from otel_audit.query.columns import COLUMNS, STREAM_COLUMN, Value, row

_FORMULA: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")
"""What a cell must not begin with; the full-width ones count in some languages' spreadsheets."""


def csv_rows(entries: Iterable[tuple[Entry, str | None]]) -> Iterator[str]:
    r"""Yield the lines of a CSV file, the names first, each with its ``\r\n``.

    Args:
        entries: Each with the ``audit.stream.id`` of its log.
    """
    yield ",".join((STREAM_COLUMN, *(column.name for column in COLUMNS))) + "\r\n"
    yield from csv_entries(entries)


def csv_entries(entries: Iterable[tuple[Entry, str | None]]) -> Iterator[str]:
    """Yield the lines of `csv_rows` but for the names."""
    lines: list[str] = []
    writer = csv.writer(_Lines(lines.append), lineterminator="\r\n")
    for entry, stream_id in entries:
        writer.writerow([cell(stream_id), *_cells(entry)])
        yield lines.pop()


def _cells(entry: Entry) -> list[str]:
    """Return a row as cells."""
    values, line = row(entry), entry.raw
    if not line.isascii() or b"\\" in line or b"\x7f" in line:
        return [cell(value) for value in values]
    # There is no character in it that is not safe, so text is a cell as it is, unless it begins as a formula does.
    return [
        ""
        if value is None
        else value
        if type(value) is str and value[:1] not in _FORMULA
        else value.decode()
        if type(value) is bytes and value[:1] == b"{"
        else cell(value)
        for value in values
    ]


def cell(value: Value) -> str:
    """Return a value as a cell: inert, and no formula."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = visible(value)
    elif isinstance(value, int | float):
        text = repr(value)
    else:
        encoded = value if isinstance(value, bytes) else orjson.dumps(value)
        text = visible_in_json(encoded.decode())
    return f"'{text}" if text[:1] in _FORMULA else text


class _Lines(NamedTuple):
    """A file, as far as it is written."""

    write: Callable[[str], None]
