"""The log by ``seq``: where each entry stands, found by reading the log once.

Keeps a place for each 64 KiB of the log, and the last few of these stretches themselves. So
copies in the order of the log read it once more from front to back, and one out of order costs
one read.
"""

from __future__ import annotations

import contextlib
import re
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

from otel_audit.errors import AuditVerifyError
from otel_audit.line_form import MAX_LINE_BYTES
from otel_audit.log_files import LogFiles
from otel_audit.reconcile.log_fragments import MARK, Fragments
from otel_audit.reconcile.seq_set import SeqRange, shared
from otel_audit.verify.declared import Declared, find_declaration
from otel_audit.verify.segment import Block, Segment, read_blocks

STRETCH_BYTES: Final = 1 << 16
KEPT_STRETCHES: Final = 48
MAX_BREAKS: Final = 100_000
_HEAD: Final = re.compile(rb'\{"seq":([1-9][0-9]{0,15}),')


class LogIndex:
    """A log, by ``seq``. Judges nothing: a line is what begins as an entry does.

    Attributes:
        path: Of its first segment.
        head: The highest ``seq`` in it; 0 where there is none.
        first: The lowest; 1 where there is none.
        entries: Its lines that begin as an entry.
        strays: Its lines that do not.
        descending: Lines with a ``seq`` that is not higher than all before it.
        fragments: Lines that a crash left, as far as the log declares them.
        torn_bytes: Behind the last LF.
        declared: What it says of itself.
    """

    def __init__(self, log: LogFiles, stack: contextlib.ExitStack) -> None:
        """Read the log.

        Raises:
            AuditVerifyError: There is none, it cannot be read, or is too broken to have an order.
        """
        self.path = log.path
        self._log = log
        self._files = stack.enter_context(contextlib.ExitStack())
        self._segments: Sequence[Segment] = log.open(self._files, patient=False)
        if not self._segments:
            raise AuditVerifyError(f"{log.path}: expected a log, got no such file")
        self.declared: Declared = find_declaration(self._segments)[1]
        self.entries = 0
        self.strays = 0
        self.descending = 0
        self.fragments = Fragments()
        self.torn_bytes = 0
        self.head = 0
        self.first = 1
        self._firsts = array("q")
        self._sizes = array("q")
        self._places = array("q")
        self._segment_of = array("l")
        self._longest = 1
        self._ascending = True
        self._breaks = 0
        self._highest = 0
        self._kept: OrderedDict[int, list[bytes]] = OrderedDict()
        self._read_from(0, 0)

    def grow(self) -> bool:
        """Take in what was appended since the log was read; return whether there was anything.

        Raises:
            AuditVerifyError: The log cannot be read.
        """
        if not self._ascending:
            return False
        last = len(self._segments) - 1
        with contextlib.ExitStack() as files:
            segments = self._log.open(files, patient=False)
            if len(segments) <= last or (len(segments) == last + 1 and segments[last].size_bytes <= self._end):
                return False
            self._files.close()
            self._files.push(files.pop_all())
        self._segments = segments
        self.torn_bytes = 0
        before = self.entries
        self._kept.clear()
        self._read_from(last, self._end)
        return self.entries > before

    def lines(self, seq: int) -> list[bytes]:
        """Return the lines that have this ``seq``, LF left off: in a sound log one, or none.

        Raises:
            AuditVerifyError: The log became shorter since it was read.
        """
        at = bisect_right(self._firsts, seq) - 1
        found: list[bytes] = []
        while at >= 0 and self._firsts[at] > seq - self._longest:
            offset = seq - self._firsts[at]
            if offset < self._sizes[at]:
                found.append(self._stretch(at)[offset])
            if self._ascending:
                break
            at -= 1
        return found

    def place(self, seq: int) -> tuple[str, int] | None:
        """Return path and line number of the entry; None where there is none. Reads the segment up to it."""
        at = bisect_right(self._firsts, seq) - 1
        while at >= 0 and self._firsts[at] > seq - self._longest:
            offset = seq - self._firsts[at]
            if offset < self._sizes[at]:
                segment = self._segments[self._segment_of[at]]
                return segment.path, 1 + offset + _line_feeds(segment, self._places[at])
            at -= 1
        return None

    def spans(self) -> Iterator[SeqRange]:
        """Yield the stretches of seqs that the log has, ascending."""
        held = SeqRange(0, -1)
        for first, size in zip(self._firsts, self._sizes, strict=True):
            if held.size and first <= held.last + 1:
                held = SeqRange(held.first, max(held.last, first + size - 1))
                continue
            if held.size:
                yield held
            held = SeqRange(first, first + size - 1)
        if held.size:
            yield held

    def shared_seqs(self) -> Iterator[SeqRange]:
        """Yield the stretches of seqs that several lines have, ascending."""
        if not self._ascending:
            yield from shared(SeqRange(f, f + n - 1) for f, n in zip(self._firsts, self._sizes, strict=True))

    def _read_from(self, number: int, offset: int) -> None:
        for at in range(number, len(self._segments)):
            self._read(at, offset if at == number else 0)
        if not self._ascending:
            self._sort()
        self.first = self._firsts[0] if self._firsts else 1
        last = -1 if self._ascending else 0
        self.head = max((f + n - 1 for f, n in zip(self._firsts[last:], self._sizes[last:], strict=True)), default=0)

    def _read(self, number: int, offset: int) -> None:
        first, size, begin, expected = 0, 0, offset, 0
        self._end = offset
        for block in read_blocks(self._segments[number], offset, STRETCH_BYTES):
            if block.kind in ("piece", "end"):  # longer than any line: what follows is a stretch of its own
                if size:
                    self._add(number, first, size, begin)
                size = 0
            if self.torn_bytes and block.kind != "tail":  # of a segment before: no line goes on in another
                self.strays, self.torn_bytes = self.strays + 1, 0
            if block.kind != "lines":
                self._note_other(block)
                continue
            at = block.offset
            declares = MARK in block.data
            for line in block.data.split(b"\n"):
                match = _HEAD.match(line)
                seq = int(match.group(1)) if match is not None else 0
                if seq != expected or not size or at - begin >= STRETCH_BYTES:
                    if size:
                        self._add(number, first, size, begin)
                    first, size, begin = seq, 0, at
                if seq:
                    size += 1
                    if declares and MARK in line:
                        self.fragments.add(line, self._segments[number], at, _HEAD)
                else:
                    self.strays += 1
                expected = seq + 1
                at += len(line) + 1
            self._end = at
        if size:
            self._add(number, first, size, begin)

    def _add(self, number: int, first: int, size: int, begin: int) -> None:
        if self._firsts:
            after = self._firsts[-1] + self._sizes[-1]
            self._breaks += first != after
            self._ascending = self._ascending and first >= after
            if self._breaks > MAX_BREAKS:
                raise AuditVerifyError(f"{self.path}: not in order in over {MAX_BREAKS:,} places: verify it first")
        self._firsts.append(first)
        self._sizes.append(size)
        self._places.append(begin)
        self._segment_of.append(number)
        self._longest = max(self._longest, size)
        self.entries += size
        self.descending += min(size, max(0, self._highest - first + 1))
        self._highest = max(self._highest, first + size - 1)

    def _note_other(self, block: Block) -> None:
        if block.kind == "end":
            self.strays += 1
            self._end = block.offset + len(block.data) + 1
        elif block.kind == "tail":
            self.strays += bool(self.torn_bytes)
            self.torn_bytes = len(block.data) or 1

    def _sort(self) -> None:
        order = sorted(range(len(self._firsts)), key=lambda at: self._firsts[at])
        for name in ("_firsts", "_sizes", "_places", "_segment_of"):
            old = getattr(self, name)
            setattr(self, name, array(old.typecode, (old[at] for at in order)))

    def _stretch(self, at: int) -> list[bytes]:
        kept = self._kept.get(at)
        if kept is not None:
            self._kept.move_to_end(at)
            return kept
        segment = self._segments[self._segment_of[at]]
        size, begin = self._sizes[at], self._places[at]
        lines: list[bytes] = []
        # mostly enough; the last line of a stretch can be as long as a line can be
        for room in (STRETCH_BYTES + 4096, STRETCH_BYTES + MAX_LINE_BYTES):
            lines = segment.read(begin, min(room, segment.size_bytes - begin)).split(b"\n", size)
            if len(lines) > size:
                break
        else:
            raise AuditVerifyError(f"{segment.path}: the log became shorter while it was read")
        lines = lines[:size]
        if len(self._kept) >= KEPT_STRETCHES:
            self._kept.popitem(last=False)
        self._kept[at] = lines
        return lines


def _line_feeds(segment: Segment, end: int) -> int:
    count, at = 0, 0
    while at < end:
        data = segment.read(at, min(STRETCH_BYTES, end - at))
        if not data:
            break
        count += data.count(b"\n")
        at += len(data)
    return count
