"""``otel-audit show``: entries for people, or as JSON Lines; of one entry all that belongs to it."""

from __future__ import annotations

import argparse
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from otel_audit import semconv
from otel_audit.cli import status, unfinished_text
from otel_audit.cli.arguments import log_path, span_id, trace_id, whole_number
from otel_audit.cli.entry_details import details
from otel_audit.cli.entry_text import as_text, labelled
from otel_audit.cli.text import ascii_json, path_text, tell
from otel_audit.cli.trace_link import trace_link
from otel_audit.entry import Entry
from otel_audit.reader import read_log
from otel_audit.selection import Selection
from otel_audit.verify.unfinished import UnfinishedAction, unfinished_action
from otel_audit.verify.writers import Writers

SUMMARY: Final = "show entries of an audit log"
DESCRIPTION: Final = """\
Show entries: when, who, on whose behalf, what, upon what, how it ended. Entries are shown as they
stand, and lines that are none are passed over: "otel-audit verify" says what to believe. With --seq or --record-id,
what belongs to an entry is shown, too: its check (its hash, and the links to both neighbours), the neighbours, its
intent or outcome. Control characters are escaped. A folder, or any segment, stands for the whole log. With
OTEL_AUDIT_TRACE_URL, such as https://tracing.example/trace/{trace_id}, each entry of a trace shows the link to it."""
EPILOG: Final = """\
examples:
  otel-audit show audit.jsonl --seq 5
  otel-audit show audit.jsonl --trace-id 4bf92f3577b34da6a3ce929d0e0e4736 --format json

exit status:
  0    entries were shown
  1    there are none, or none that match
  2    wrong usage, or a file that cannot be read"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("path", metavar="PATH", type=log_path, help="a log, a segment of one, a folder, or - for stdin")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seq", type=whole_number(1), metavar="N", help="the entry with this place in the chain")
    which.add_argument("--record-id", metavar="ID", help="the record with this id, and the outcome of that intent")
    which.add_argument("--trace-id", type=trace_id, metavar="ID", help="all entries of one trace")
    which.add_argument("--span-id", type=span_id, metavar="ID", help="all entries of one span")
    which.add_argument(
        "--last", type=whole_number(1), metavar="N", help="the last N entries (of those open, with --open)"
    )
    parser.add_argument("--open", action="store_true", help="only intents without an outcome: actions that never ended")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json: JSON Lines")


def run(arguments: argparse.Namespace) -> int:
    """Show the entries that were asked for, and return the exit status."""
    shown = 0
    link = trace_link(os.environ)
    for entry, more in _chosen(arguments):
        if arguments.format == "json":
            print(ascii_json(json.loads(entry.raw)))
        else:
            if shown:
                print()
            for line in (*as_text(entry, link), *more):
                print(line)
        shown += 1
    if shown:
        return status.OK
    tell(f"{path_text(arguments.path)}: no entries to show")
    return status.FOUND


def open_intents(entries: Iterable[Entry]) -> Iterator[tuple[Entry, UnfinishedAction]]:
    """Yield, in order, the intents that no outcome names. Memory: those open at any one time.

    Args:
        entries: All of the log: its own tell which writers closed it.
    """
    waiting: dict[object, Entry] = {}
    writers = Writers()
    for entry in entries:
        phase = entry.attributes.get(semconv.AUDIT_PHASE)
        if phase == "intent":
            waiting[_text(entry, semconv.AUDIT_RECORD_ID)] = entry
        elif phase == "outcome":
            waiting.pop(_text(entry, semconv.AUDIT_INTENT_ID), None)
        writers.note(entry.event_name, entry.seq, entry.attributes, entry.resource)
    for entry in waiting.values():
        yield entry, unfinished_action(entry, writers)


def _chosen(arguments: argparse.Namespace) -> Iterable[tuple[Entry, Iterable[str]]]:
    """Return the entries to show, each with what else is to be said of it."""
    chosen: Iterable[tuple[Entry, Iterable[str]]]
    if arguments.open:
        chosen = (
            (entry, [labelled("state", line) for line in unfinished_text.state(action)])
            for entry, action in open_intents(read_log(arguments.path))
            if arguments.trace_id is None or entry.trace_id == arguments.trace_id
        )
    elif (arguments.seq is not None or arguments.record_id is not None) and arguments.format == "text":
        return details(arguments.path, _selection(arguments), lambda entry: _matches(entry, arguments))
    else:
        chosen = ((entry, ()) for entry in read_log(arguments.path, selection=_selection(arguments)))
    chosen = ((entry, more) for entry, more in chosen if _matches(entry, arguments))
    return chosen if arguments.last is None else deque(chosen, maxlen=arguments.last)


def _selection(arguments: argparse.Namespace) -> Selection:
    return Selection(
        since_seq=arguments.seq,
        until_seq=arguments.seq,
        trace_id=arguments.trace_id,
        span_id=arguments.span_id,
        text=arguments.record_id,  # it stands in an intent and in its outcome
    )


def _matches(entry: Entry, arguments: argparse.Namespace) -> bool:
    if arguments.seq is not None:
        return bool(entry.seq == arguments.seq)
    if arguments.span_id is not None:
        return bool(entry.span_id == arguments.span_id)
    return arguments.record_id is None or arguments.record_id in (
        entry.attributes.get(semconv.AUDIT_RECORD_ID),
        entry.attributes.get(semconv.AUDIT_INTENT_ID),
    )


def _text(entry: Entry, name: str) -> str:
    # a forged entry can have anything there, also what cannot be a key
    return str(entry.attributes.get(name))
