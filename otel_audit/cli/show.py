"""``otel-audit show``: entries for people, or as JSON Lines."""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from otel_audit import semconv
from otel_audit.cli import status
from otel_audit.cli.entry_text import as_text
from otel_audit.cli.text import ascii_json, visible
from otel_audit.cli.verify import log_path
from otel_audit.entry import Entry
from otel_audit.reader import read_log

SUMMARY: Final = "show entries of an audit log"
DESCRIPTION: Final = """\
Show entries: when, who, on whose behalf, what, upon what, how it ended. Entries are shown as they
stand, and lines that are none are passed over: "otel-audit verify" says what to believe. Control characters in them are
escaped. A folder, or any segment, stands for the whole log."""
EPILOG: Final = """\
exit status:
  0    entries were shown
  1    there are none, or none that match
  2    wrong usage, or a file that cannot be read"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("path", metavar="PATH", type=log_path, help="a log, a segment of one, or a folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seq", type=_positive, metavar="N", help="the entry with this place in the chain")
    which.add_argument("--record-id", metavar="ID", help="the record with this id, and the outcome of that intent")
    which.add_argument("--trace-id", type=str.lower, metavar="ID", help="all entries of one trace")
    which.add_argument("--last", type=_positive, metavar="N", help="the last N entries (of those open, with --open)")
    parser.add_argument("--open", action="store_true", help="only intents without an outcome")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json: JSON Lines")


def run(arguments: argparse.Namespace) -> int:
    """Show the entries that were asked for, and return the exit status."""
    entries: Iterable[Entry] = read_log(
        arguments.path, since_seq=1 if arguments.open else arguments.seq or 1, trace_id=arguments.trace_id
    )
    if arguments.open:
        entries = open_intents(entries)
    entries = (entry for entry in entries if _matches(entry, arguments))
    if arguments.last is not None:
        entries = deque(entries, maxlen=arguments.last)
    shown = 0
    for entry in entries:
        if arguments.format == "json":
            print(ascii_json(json.loads(entry.raw)))
        else:
            if shown:
                print()
            for line in as_text(entry):
                print(line)
        shown += 1
    if shown:
        return status.OK
    print(f"otel-audit: {visible(arguments.path)}: no entries to show", file=sys.stderr)
    return status.FOUND


def open_intents(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield, in order, the intents that no outcome names. Memory: those open at any one time."""
    waiting: dict[object, Entry] = {}
    for entry in entries:
        phase = entry.attributes.get(semconv.AUDIT_PHASE)
        if phase == "intent":
            waiting[_text(entry, semconv.AUDIT_RECORD_ID)] = entry
        elif phase == "outcome":
            waiting.pop(_text(entry, semconv.AUDIT_INTENT_ID), None)
    yield from waiting.values()


def _matches(entry: Entry, arguments: argparse.Namespace) -> bool:
    if arguments.seq is not None:
        return entry.seq == int(arguments.seq)
    return arguments.record_id is None or arguments.record_id in (
        entry.attributes.get(semconv.AUDIT_RECORD_ID),
        entry.attributes.get(semconv.AUDIT_INTENT_ID),
    )


def _text(entry: Entry, name: str) -> str:
    # a forged entry can have anything there, also what cannot be a key
    return str(entry.attributes.get(name))


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)
