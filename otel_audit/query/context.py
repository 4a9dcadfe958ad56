"""What was found, with what stands before and behind it in the log."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.reader import open_segments
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.segment import Segment, read_blocks

HELD_BYTES: Final = 4 << 20
"""Bytes behind the last entry that was shown, up to which it is not asked what stands in them."""


class Shown(NamedTuple):
    """An entry that is found, or stands near one that is.

    Attributes:
        entry: What its line says.
        found: It is what was looked for.
        apart: Entries between this one and the one before are left out.
    """

    entry: Entry
    found: bool
    apart: bool


def search_around(
    path: str | os.PathLike[str], selection: Selection, before: int, after: int, limit: int | None = None
) -> Iterator[Shown]:
    """Yield what is wanted of a log, and so many entries before and behind each, none of them twice.

    Memory: the entries before, some 4 MiB, and a block. Lines that are malformed are passed over, as
    `otel_audit.reader.read_log` does, and count for nothing.

    Args:
        path: As of `otel_audit.reader.read_log`.
        selection: Which entries are wanted.
        before: Entries to show before each.
        after: Entries to show behind each.
        limit: End behind so many that were found (and what is shown behind the last).

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        yield from _Around(selection, before, after, limit).run(open_segments(path, stack))


class _Around:
    def __init__(self, selection: Selection, before: int, after: int, limit: int | None) -> None:
        self._selection = selection
        self._scanner = Scanner(selection)
        self._before = before
        self._after = after
        self._left = limit  # to be found still
        self._held: list[bytes] = []  # whole lines that were not shown, not parsed yet
        self._held_bytes = 0
        self._waiting: list[Entry] = []  # before those: entries that come before what may be found next
        self._passed = False  # one of those was dropped since the last that was shown
        self._begun = False
        self._behind = 0  # entries still to be shown

    def run(self, segments: list[Segment]) -> Iterator[Shown]:
        for segment in segments:
            for block in read_blocks(segment):
                if block.kind == "lines":
                    yield from self._block(block.data)
                if self._left == 0 and self._behind == 0:
                    return

    def _block(self, data: bytes) -> Iterator[Shown]:
        found: dict[int, Entry] = {}
        if self._left != 0:
            for at, line in self._scanner.lines(data):
                entry = _parsed(line)
                if entry is not None and self._selection.matches(entry):
                    found[at] = entry
                    if len(found) == self._left:
                        break
        if not found and not self._behind:
            self._hold(data)
            return
        at = 0
        for line in data.split(b"\n"):
            if at in found:
                yield from self._hit(found[at])
            elif self._behind:
                entry = _parsed(line)
                if entry is not None:
                    self._behind -= 1
                    yield self._shown(entry, False)
            else:
                self._hold(line)
            at += len(line) + 1

    def _hit(self, entry: Entry) -> Iterator[Shown]:
        self._settle()
        waiting, self._waiting = self._waiting, []
        for earlier in waiting:
            yield self._shown(earlier, False)
        if self._left is not None:
            self._left -= 1
        self._behind = self._after
        yield self._shown(entry, True)

    def _shown(self, entry: Entry, found: bool) -> Shown:
        apart, self._passed = self._passed and self._begun, False
        self._begun = True
        return Shown(entry, found, apart)

    def _hold(self, lines: bytes) -> None:
        self._held.append(lines)
        self._held_bytes += len(lines) + 1
        if self._held_bytes > HELD_BYTES:
            self._settle()

    def _settle(self) -> None:
        """Look from the end of what is held for as many entries as may be shown, and one more that may not."""
        lines = (line for block in reversed(self._held) for line in reversed(block.split(b"\n")))
        latest = [*islice(filter(None, map(_parsed, lines)), self._before + 1)]
        self._held, self._held_bytes = [], 0
        self._waiting += reversed(latest)
        if len(self._waiting) > self._before:
            self._passed = True
            self._waiting = self._waiting[-self._before :] if self._before else []


def _parsed(line: bytes) -> Entry | None:
    try:
        return parse_entry(line)
    except MalformedLineError:
        return None
