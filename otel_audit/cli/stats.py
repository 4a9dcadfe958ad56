"""``otel-audit stats``: what a log amounts to."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from otel_audit.cli import status
from otel_audit.cli.arguments import check_stdin_once, log_path, whole_number
from otel_audit.cli.progress import progress
from otel_audit.cli.selecting import add_selection, selection_from
from otel_audit.cli.table import cell
from otel_audit.cli.text import ascii_json, path_text, plural, visible
from otel_audit.query.extent import Extent
from otel_audit.query.statistics import Statistics, Values, measure

SUMMARY: Final = "say what an audit log amounts to: entries, actors, actions, outcomes, rate, sizes"
DESCRIPTION: Final = """\
Count the entries of logs, each log by itself: event names, actors, actions, outcomes and decisions, from when to when,
how many a second, in how many bytes, and the same of each segment. Memory is bounded: of each, the most frequent are
shown (--top), and where there are more than 100,000 values, the later ones are counted together; both is said."""
EPILOG: Final = """\
examples:
  otel-audit stats audit.jsonl
  otel-audit stats audit.jsonl --since 2025-01-01 --format json

exit status:
  0    there are entries
  1    there are none
  2    wrong usage, or a file that cannot be read"""

_LABELS: Final = {
    "event_name": ("event name", "event names"),
    "actor": ("actor", "actors"),
    "action": ("action", "actions"),
    "outcome": ("outcome", "outcomes"),
    "decision": ("decision", "decisions"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "paths", nargs="+", metavar="LOG", type=log_path, help="a log, a segment of one, a folder, or - for stdin"
    )
    parser.add_argument("--top", type=whole_number(), default=10, metavar="N", help="values of each kind (default: 10)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    add_selection(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure each log, print what it amounts to, and return the exit status."""
    selection = selection_from(arguments)
    check_stdin_once(arguments.paths)
    measured = []
    for number, path in enumerate(arguments.paths):
        with progress("bytes") as shown:
            measured.append(measure(path, selection, most=arguments.top, progress=shown))
        if arguments.format == "text":
            if number:
                print()
            for line in as_text(measured[-1]):
                print(line)
    if arguments.format == "json":
        print(ascii_json({"schema_version": 1, "logs": [as_json(one) for one in measured]}, indent=2))
    return status.OK if any(one.whole.entries for one in measured) else status.FOUND


def as_text(statistics: Statistics) -> Iterator[str]:
    """Yield the lines for people."""
    whole = statistics.whole
    yield f"{visible(path_text(whole.path))}: {_amount(whole)}"
    if whole.entries:
        yield f"  {_span(whole)}"
    for name, values in statistics.values.items():
        if values.distinct:
            yield from _values(name, values)
    if len(statistics.segments) > 1:
        yield f"  {plural(len(statistics.segments), 'segment')}"
        for segment in statistics.segments:
            yield f"    {visible(path_text(segment.path))}: {_amount(segment)}"
            if segment.entries:
                yield f"      seq {segment.first_seq:,} to {segment.last_seq:,}, {_span(segment)}"


def as_json(statistics: Statistics) -> dict[str, object]:
    """Return what is known of one log, for programs."""
    return {
        **_extent(statistics.whole),
        "values": {
            name: {
                "distinct": values.distinct,
                "complete": values.distinct == len(values.most) and not values.others,
                "not_counted_apart": values.others,
                "most": [{"value": value, "count": count} for (value,), count in values.most],
            }
            for name, values in statistics.values.items()
        },
        "segments": [_extent(segment) for segment in statistics.segments],
    }


def _extent(extent: Extent) -> dict[str, object]:
    return {
        "path": path_text(extent.path),
        "size_bytes": extent.size_bytes,
        "entries": extent.entries,
        "unreadable_lines": extent.unreadable_lines,
        "first_seq": extent.first_seq or None,
        "last_seq": extent.last_seq or None,
        "first_time": extent.first_time or None,
        "last_time": extent.last_time or None,
        "entries_per_second": extent.entries_per_second,
    }


def _values(name: str, values: Values) -> Iterator[str]:
    at_least = "at least " if values.others else ""
    yield f"  {at_least}{plural(values.distinct, *_LABELS[name])}"
    shown = [(cell(value), f"{count:,}") for (value,), count in values.most]
    width = max((len(count) for _, count in shown), default=0)
    for text, count in shown:
        yield f"    {count:>{width}}  {text}"
    if values.distinct > len(shown):
        yield f"    and {plural(values.distinct - len(shown), 'other')} (--top shows more)"
    if values.others:
        yield f"    and {plural(values.others, 'entry', 'entries')} with values that came too late to be counted apart"


def _amount(extent: Extent) -> str:
    parts = [plural(extent.entries, "entry", "entries"), plural(extent.size_bytes, "byte")]
    if extent.unreadable_lines:
        parts.append(f"{plural(extent.unreadable_lines, 'line')} that cannot be read (otel-audit verify)")
    return ", ".join(parts)


def _span(extent: Extent) -> str:
    rate = extent.entries_per_second
    every = "" if rate is None else f", {rate:,.3g} a second" if rate < 1000 else f", {rate:,.0f} a second"
    return f"{extent.first_time} to {extent.last_time}{every}"
