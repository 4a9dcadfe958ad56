"""What was found, for programs: exact lines, JSON, CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from otel_audit.cli.text import ascii_json
from otel_audit.entry import Entry
from otel_audit.inert import visible_in_json


def print_lines(entries: Iterable[Entry]) -> int:
    """Print the exact bytes of each line, and return how many there were.

    On a terminal, what could act there is written as the JSON escape of the same value.
    """
    count = 0
    if sys.stdout.isatty():
        for entry in entries:
            print(visible_in_json(entry.raw.decode()))
            count += 1
        return count
    sys.stdout.flush()
    write = getattr(sys.stdout, "buffer", None)
    for entry in entries:
        if write is None:  # a text stream that a program put in place of stdout
            print(entry.raw.decode())
        else:
            write.write(entry.raw + b"\n")
        count += 1
    return count


def print_json(entries: Iterable[Entry]) -> int:
    """Print one array with an element a line, and return how many there were."""
    return print_array(json.loads(entry.raw) for entry in entries)


def print_array(elements: Iterable[object]) -> int:
    """Print one JSON array with an element a line, in ASCII, and return how many there were."""
    count = 0
    for element in elements:
        print(",\n" if count else "[\n", ascii_json(element), sep="", end="")
        count += 1
    print("\n]" if count else "[]")
    return count


def print_csv(entries: Iterable[tuple[Entry, str]]) -> int:
    """Print entries as CSV, each with the path of its log, and return how many there were."""
    from otel_audit.query.csv_rows import csv_rows

    count = -1
    for row in csv_rows(_with_streams(entries)):
        print(row, end="")
        count += 1
    return count


def _with_streams(entries: Iterable[tuple[Entry, str]]) -> Iterator[tuple[Entry, str | None]]:
    from otel_audit.query.stream_id import stream_id_of

    streams: dict[str, str | None] = {}
    for entry, path in entries:
        if path not in streams:
            streams[path] = stream_id_of(path)
        yield entry, streams[path]


def print_csv_rows(names: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Print rows of any values as CSV, none of the cells a formula, and return how many there were."""
    from otel_audit.query.csv_rows import cell

    count = -1
    for row in chain((names,), rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow([cell(_plain(value)) for value in row])
        print(line.getvalue(), end="")
        count += 1
    return count


def as_json_value(value: object) -> object:
    """Return a value of a database as JSON can hold it."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, list | tuple):
        return [as_json_value(one) for one in value]
    if isinstance(value, dict):
        return {str(name): as_json_value(one) for name, one in value.items()}
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _plain(value: object) -> int | float | str | bytes | None:
    value = as_json_value(value)
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return value  # type: ignore[return-value]  # nothing else is left
