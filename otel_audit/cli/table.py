"""Rows as a table: with rich where it is installed and stdout is a terminal, else in plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final

from otel_audit.cli.entry_line import stdout_is_coloured
from otel_audit.cli.text import visible, visible_json

MAX_CELL_CHARACTERS: Final = 60
"""Longer values are cut in a table; the other formats have them whole."""

_PAGE_ROWS: Final = 1000
"""Rows by which the width of the columns is found."""


def print_table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Print rows under their names, in bounded memory, and return how many there were."""
    rest = ([cell(value) for value in row] for row in rows)
    page = list(islice(rest, _PAGE_ROWS))
    names = [visible(name) for name in names]
    if len(page) < _PAGE_ROWS and stdout_is_coloured() and _print_rich(names, page):
        return len(page)
    count = 0
    widths = [max(map(len, column)) for column in zip(names, *page, strict=True)]
    print(_line(names, widths))
    print(_line(["-" * width for width in widths], widths))
    for row in chain(page, rest):
        print(_line(row, widths))
        count += 1
    return count


def cell(value: object) -> str:
    """Return a value as one cell: one line, nothing unsafe, not too long."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = visible(value)
    elif isinstance(value, bytes):
        text = visible(value.decode("utf-8", "backslashreplace"))
    else:
        text = visible_json(value) if isinstance(value, bool | int | float | list | dict) else visible(str(value))
    return text if len(text) <= MAX_CELL_CHARACTERS else f"{text[: MAX_CELL_CHARACTERS - 1]}…"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)).rstrip()


def _print_rich(names: Sequence[str], rows: Iterable[Sequence[str]]) -> bool:
    try:
        from rich.box import SIMPLE
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    table = Table(box=SIMPLE)
    for name in names:
        table.add_column(Text(name))
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
    return True
