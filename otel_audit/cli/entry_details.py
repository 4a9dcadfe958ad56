"""What belongs to an entry, for people: its check, its neighbours, its intent or outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from otel_audit import semconv
from otel_audit.cli.entry_line import as_line
from otel_audit.cli.entry_text import labelled
from otel_audit.cli.text import plural
from otel_audit.entry import Entry
from otel_audit.log_files import STDIN
from otel_audit.query.context import search_around
from otel_audit.query.latest import end_of_latest
from otel_audit.query.linked import BEGIN, head_of, link_fault, own_fault
from otel_audit.query.stdin_copy import copied_stdin
from otel_audit.query.temporary_folder import temporary_folder
from otel_audit.reader import open_segments, read_log
from otel_audit.selection import Selection
from otel_audit.verify.declared import Declared, find_declaration
from otel_audit.verify.segment import read_blocks


def details(path: str, selection: Selection, wanted: Callable[[Entry], bool]) -> Iterator[tuple[Entry, Iterable[str]]]:
    """Yield each entry that is wanted, and the lines with what belongs to it.

    Args:
        path: The log; stdin is copied to a temporary file first.
        selection: What may be wanted.
        wanted: What is.
    """
    if path == STDIN:
        with temporary_folder() as folder:
            yield from details(str(copied_stdin(folder)), selection, wanted)
        return
    with contextlib.ExitStack() as stack:
        declared = find_declaration(open_segments(path, stack))[1]
    before: Entry | None = None
    waiting: tuple[Entry, Entry | None] | None = None
    for shown in search_around(path, selection, 1, 1):
        if shown.apart:
            before = None
        if waiting is not None:
            yield waiting[0], _lines(path, waiting[1], waiting[0], None if shown.apart else shown.entry, declared)
            waiting = None
        if shown.found and wanted(shown.entry):
            waiting = shown.entry, before
        before = shown.entry
    if waiting is not None:
        yield waiting[0], _lines(path, waiting[1], waiting[0], None, declared)


def _lines(path: str, before: Entry | None, entry: Entry, after: Entry | None, declared: Declared) -> Iterator[str]:
    yield labelled("check", "; ".join(_check(path, before, entry, after, declared)))
    if before is not None:
        yield labelled("before", as_line(before))
    if after is not None:
        yield labelled("behind", as_line(after))
    for label, other in _other_half(path, entry):
        yield labelled(label, as_line(other))


def _check(path: str, before: Entry | None, entry: Entry, after: Entry | None, declared: Declared) -> Iterator[str]:
    fault = own_fault(entry, declared)
    if declared.mode == "none":
        yield "no hash: the log is kept in integrity mode none"
    else:
        yield "hash right" if fault is None else f"HASH WRONG: {fault}"
    if before is None and entry.seq != 1:
        yield f"NO ENTRY BEFORE IT: expected #{entry.seq - 1}"
    else:
        fault = link_fault(entry, BEGIN if before is None else head_of(before), declared.mode)
        follows = "first of the log" if before is None else f"follows #{before.seq}"
        yield follows if fault is None else f"DOES NOT FOLLOW THE ENTRY BEFORE: {fault}"
    if after is None:
        yield _end(path, entry)
    else:
        fault = link_fault(after, head_of(entry), declared.mode)
        yield f"#{after.seq} follows it" if fault is None else f"THE ENTRY BEHIND DOES NOT FOLLOW: {fault}"


def _end(path: str, entry: Entry) -> str:
    """Say what stands behind the last entry."""
    length, whole = 0, False
    with contextlib.ExitStack() as stack:
        segments = open_segments(path, stack)
        place, line = end_of_latest(segments)
        for segment in segments if line == entry.raw else ():  # else others came since it was found
            if segment.number >= place.number:
                start = place.offset if segment.number == place.number else 0
                length += segment.size_bytes - start
                whole |= any(block.kind in ("lines", "end") for block in read_blocks(segment, start))
    if whole:
        return f"UNREADABLE BEHIND IT: expected an entry, or the end of the log, got {plural(length, 'byte')}"
    unended = f", but for {plural(length, 'byte')} of a line without its end" if length else ""
    return f"last of the log{unended}"


def _other_half(path: str, entry: Entry) -> Iterator[tuple[str, Entry]]:
    phase = entry.attributes.get(semconv.AUDIT_PHASE)
    name = semconv.AUDIT_RECORD_ID if phase == "intent" else semconv.AUDIT_INTENT_ID
    wanted = entry.attributes.get(name)
    if phase not in ("intent", "outcome") or not isinstance(wanted, str):
        return
    other = semconv.AUDIT_INTENT_ID if phase == "intent" else semconv.AUDIT_RECORD_ID
    # an outcome stands behind its intent
    since, until = (entry.seq, None) if phase == "intent" else (None, entry.seq)
    selection = Selection(attributes=(((other,), wanted),), since_seq=since, until_seq=until)
    for found in read_log(path, selection=selection):
        if found.seq != entry.seq:
            yield "ended" if phase == "intent" else "began", found
            return
