"""How many entries were found, all together or by the values of some fields."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from otel_audit.cli.query_output import print_array, print_csv_rows
from otel_audit.cli.table import print_table
from otel_audit.cli.text import ascii_json, plural
from otel_audit.query.fields import field
from otel_audit.query.groups import Groups
from otel_audit.query.tally import tally
from otel_audit.selection import Selection

_COUNT = "count"


def print_counts(
    paths: Sequence[str], selection: Selection, where: str | None, names: Sequence[str], form: str, limit: int | None
) -> int:
    """Print the count, or that of each group, and return how many entries were counted.

    Args:
        where: A condition on the columns of the view ``entries``.
        names: Of the fields whose values make a group; none: all are counted together.
        limit: Of the groups that are printed.
    """
    groups = Groups([field(name) for name in names])
    asked = [groups] if names else []
    if where is None:
        count = sum(extent.entries for path in paths for extent in tally(path, selection, asked))
    else:
        from otel_audit.query.sql import entries_where

        count = 0
        for _, entry in entries_where(paths, selection, where):
            count += 1
            for each in asked:
                each.add([entry])
    if names:
        _print_groups(groups, names, form, limit)
    else:
        _print_count(count, form)
    return count


def _print_groups(groups: Groups, names: Sequence[str], form: str, limit: int | None) -> None:
    rows = [[*values, count] for values, count in islice(groups.ranked(), limit)]
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


def _print_count(count: int, form: str) -> None:
    if form in ("json", "jsonl"):
        print(ascii_json({_COUNT: count}))
    elif form == "csv":
        print_csv_rows([_COUNT], [[count]])
    else:
        print(count)
