"""How many entries were found, all together or by the values of some fields."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from otel_audit.cli.query_output import print_array, print_csv_rows
from otel_audit.cli.table import print_table
from otel_audit.cli.text import ascii_json, plural
from otel_audit.entry import Entry
from otel_audit.query.fields import field
from otel_audit.query.groups import Groups

_COUNT = "count"


def print_counts(entries: Iterable[Entry], names: Sequence[str], form: str, limit: int | None) -> int:
    """Print the count, or that of each group, and return how many entries were counted."""
    if not names:
        return _print_count(sum(1 for _ in entries), form)
    groups = Groups([field(name) for name in names])
    for entry in entries:
        groups.add(entry)
    counted = 0
    rows = []
    for number, (values, count) in enumerate(groups.ranked()):
        counted += count
        if limit is None or number < limit:
            rows.append([*values, count])
    columns = [*names, _COUNT]
    if form in ("text", "table"):
        print_table(columns, rows)
        if groups.others:
            print(f"and {plural(groups.others, 'entry', 'entries')} with other values than the first groups have")
    elif form == "csv":
        print_csv_rows(columns, rows)
    elif form == "json":
        print_array(dict(zip(columns, row, strict=True)) for row in rows)
    else:
        for row in rows:
            print(ascii_json(dict(zip(columns, row, strict=True))))
    return counted + groups.others


def _print_count(count: int, form: str) -> int:
    if form in ("json", "jsonl"):
        print(ascii_json({_COUNT: count}))
    elif form == "csv":
        print_csv_rows([_COUNT], [[count]])
    else:
        print(count)
    return count
