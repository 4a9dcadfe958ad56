"""``otel-audit query``: find entries, count them, join them."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from otel_audit.cli import status
from otel_audit.cli.arguments import check_stdin_once, log_path, whole_number
from otel_audit.cli.entry_line import as_line, stdout_is_coloured
from otel_audit.cli.selecting import add_selection, selection_from
from otel_audit.cli.text import path_text, tell
from otel_audit.entry import Entry
from otel_audit.errors import AuditError
from otel_audit.log_files import STDIN
from otel_audit.query.parallel import search
from otel_audit.reader import open_segments
from otel_audit.selection import Selection

SUMMARY: Final = "find entries, count and group them, or ask with SQL"
DESCRIPTION: Final = """\
Find entries by who, what, when, how it went, or any attribute; several logs are read one behind the other. Lines are
searched as bytes, and only those that can match are parsed. Entries are shown as they stand, and lines that are none
are passed over: "otel-audit verify" says what to believe. A folder, or any segment, stands for the whole log.

  text   one line an entry, for people
  jsonl  the exact lines; on a terminal, what could move its cursor is written as JSON escapes
  json   one JSON document, in ASCII
  csv    RFC 4180. A cell that a spreadsheet would run as a formula (= + - @ tab) gets ' in front, and control
         characters are escaped; the column attributes has the exact values
  table  some columns, for people

--where and --sql need the extra query: pip install 'otel-audit[query]'. Views: entries (every member, the audit.*
attributes by their names, in double quotes, and as actor, action, outcome, target, ...; attributes as JSON), actions
(each intent with its outcome and duration), delegations (one row a step). SQL can read these, and no files."""
EPILOG: Final = """\
examples:
  otel-audit query audit.jsonl --actor refund-agent --outcome failure
  otel-audit query audit.jsonl --since 2h --group-by actor,outcome
  otel-audit query audit.jsonl --trace-id 4bf92f3577b34da6a3ce929d0e0e4736 --format jsonl
  otel-audit query audit.jsonl --attribute audit.arguments/amount=250 -C 2
  otel-audit query audit.jsonl --where "duration > 1 and target like 'order-%'"
  otel-audit query audit.jsonl --sql "select actor, count(*), avg(duration) from actions group by actor"

exit status:
  0    something was found
  1    nothing was
  2    wrong usage, SQL that cannot be run, or a file that cannot be read"""

FORMATS: Final = ("text", "jsonl", "json", "csv", "table")
_TABLE_FIELDS: Final = ("seq", "time", "event_name", "actor", "action", "outcome", "target")


class Hit(NamedTuple):
    """An entry to be shown.

    Attributes:
        entry: The entry.
        found: It is what was looked for, and not what stands near it.
        apart: Something is left out before it.
        path: The log that it is of, as it was given.
    """

    entry: Entry
    found: bool
    apart: bool
    path: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="LOG",
        type=log_path,
        help="a log, a segment of one, a folder, or - for stdin",
    )
    add_selection(parser)
    asked = parser.add_argument_group("SQL")
    asked.add_argument("--where", metavar="SQL", help="a condition on the columns of the view entries")
    asked.add_argument(
        "--sql", metavar="SQL", help="a whole query over the views; the options above choose its entries"
    )
    shown = parser.add_argument_group("what is shown")
    shown.add_argument("--format", choices=FORMATS, default="text", help="see above (default: text)")
    shown.add_argument("--count", action="store_true", help="only how many there are")
    shown.add_argument(
        "--group-by",
        type=_fields,
        metavar="FIELD[,FIELD]",
        help="how many there are of each: a member (event_name), a short name (actor, action, outcome, target, "
        "decision, phase, ...), hour, day, or a path as of --attribute",
    )
    shown.add_argument("--limit", type=whole_number(), metavar="N", help="no more than N entries, or groups")
    shown.add_argument(
        "-A", type=whole_number(), default=0, dest="after", metavar="N", help="and N entries behind each"
    )
    shown.add_argument(
        "-B", type=whole_number(), default=0, dest="before", metavar="N", help="and N entries before each"
    )
    shown.add_argument("-C", type=whole_number(), default=0, dest="around", metavar="N", help="both")


def run(arguments: argparse.Namespace) -> int:
    """Show what was asked for, and return the exit status."""
    _check(arguments)
    selection = selection_from(arguments)
    if arguments.sql is not None:
        from otel_audit.cli.query_sql import print_sql

        shown = print_sql(arguments.paths, selection, arguments.sql, arguments.format, arguments.limit)
    elif arguments.count or arguments.group_by:
        from otel_audit.cli.query_counts import print_counts

        names = arguments.group_by or ()
        shown = print_counts(arguments.paths, selection, arguments.where, names, arguments.format, arguments.limit)
    else:
        shown = _print_entries(hits(arguments, selection), arguments.format)
    if shown:
        return status.OK
    if not arguments.count:
        tell(f"{', '.join(map(path_text, arguments.paths))}: nothing found")
    return status.FOUND


def hits(arguments: argparse.Namespace, selection: Selection) -> Iterator[Hit]:
    """Yield what is to be shown, in the order of the logs."""
    limit = arguments.limit
    before, after = max(arguments.before, arguments.around), max(arguments.after, arguments.around)
    if before or after:
        yield from _around(arguments.paths, selection, before, after, limit)
    elif arguments.where is not None:
        from otel_audit.query.sql import entries_where

        found = entries_where(arguments.paths, selection, arguments.where)
        yield from islice((Hit(entry, True, False, path) for path, entry in found), limit)
    else:
        every = (Hit(found.entry, True, False, path) for path in arguments.paths for found in search(path, selection))
        yield from islice(every, limit)


def _around(paths: list[str], selection: Selection, before: int, after: int, limit: int | None) -> Iterator[Hit]:
    from otel_audit.query.context import search_around

    left = limit
    for number, path in enumerate(paths):
        first = number > 0
        for shown in search_around(path, selection, before, after, left):
            if left is not None:
                left -= shown.found
            yield Hit(shown.entry, shown.found, shown.apart or first, path)
            first = False
        if left == 0:
            return


def _check(arguments: argparse.Namespace) -> None:
    check_stdin_once(arguments.paths)
    for path in arguments.paths:
        if path != STDIN:  # not every query reads its logs: --limit 0 does not, and SQL need not
            with contextlib.ExitStack() as stack:
                open_segments(path, stack)
    if arguments.sql is not None and (arguments.where is not None or arguments.count or arguments.group_by):
        raise AuditError("--sql: expected the whole query in it, got --where, --count or --group-by, too")
    if arguments.count and not arguments.group_by and arguments.limit is not None:
        raise AuditError("--limit: expected entries or groups that are listed, got --count alone")
    around = arguments.before or arguments.after or arguments.around
    if around and (arguments.sql is not None or arguments.where is not None or arguments.count or arguments.group_by):
        raise AuditError("-A, -B, -C: expected entries that are listed, got --where, --sql, --count or --group-by, too")
    if around and arguments.format not in ("text", "jsonl"):
        raise AuditError(f"-A, -B, -C: expected --format text or jsonl, got {arguments.format}")


def _print_entries(found: Iterator[Hit], form: str) -> int:
    if form == "text":
        colour = stdout_is_coloured()
        count = 0
        for hit in found:
            if hit.apart:
                print("--")
            print(as_line(hit.entry, colour=colour, dim=not hit.found))
            count += 1
        return count
    if form == "table":
        from otel_audit.cli.table import print_table
        from otel_audit.query.fields import field

        fields = [field(name) for name in _TABLE_FIELDS]
        return print_table(_TABLE_FIELDS, ([one.value(hit.entry) for one in fields] for hit in found))
    from otel_audit.cli import query_output

    if form == "csv":
        return query_output.print_csv((hit.entry, hit.path) for hit in found)
    entries = (hit.entry for hit in found)
    return query_output.print_lines(entries) if form == "jsonl" else query_output.print_json(entries)


def _fields(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected FIELD[,FIELD], got {text!r}")
    return names
