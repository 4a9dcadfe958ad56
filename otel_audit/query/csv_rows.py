"""Entries as CSV (RFC 4180), for spreadsheets as they are, and for programs.

A spreadsheet runs what begins as a formula does, and whoever is audited chooses what stands in the
log. So no cell begins with ``=``, ``+``, ``-``, ``@``, a tab or a line's end: it gets ``'`` in front, as does what
begins with ``'`` itself, so that a program gets the value back by taking one off. In text,
control characters are shown as escapes (`otel_audit.inert`); the column ``attributes`` has the exact values.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

from otel_audit.entry import Entry
from otel_audit.inert import visible, visible_in_json
from otel_audit.query.columns import COLUMNS, STREAM_COLUMN, Value

_FORMULA: Final = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")
"""What a cell must not begin with; the full-width ones count in some languages' spreadsheets."""


def csv_rows(entries: Iterable[tuple[Entry, str | None]]) -> Iterator[str]:
    r"""Yield the lines of a CSV file, the names first, each with its ``\r\n``.

    Args:
        entries: Each with the ``audit.stream.id`` of its log.
    """
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow([STREAM_COLUMN, *(column.name for column in COLUMNS)])
    yield lines.take()
    for entry, stream_id in entries:
        writer.writerow([cell(stream_id), *(cell(column.value(entry)) for column in COLUMNS)])
        yield lines.take()


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


class _Lines:
    """A file of one line."""

    def __init__(self) -> None:
        self._line = ""

    def write(self, text: str) -> None:
        self._line += text

    def take(self) -> str:
        line, self._line = self._line, ""
        return line
