"""The entries of a log, counted by several processes, for the command line.

Each counts a part of the log, and what it counted is small, so that this goes as many times as
fast as there are processors. The result is in every case what one process counts: where a part has
more groups than are counted apart, which of them are depends on what stands before it, so it is
counted again, behind the parts before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import orjson

from otel_audit.entry import MalformedLineError, parse_entry
from otel_audit.parts import Frame, Part, begun, parts_of
from otel_audit.query.extent import Extent
from otel_audit.query.groups import Groups
from otel_audit.reader import open_segments
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.segment import read_blocks
from otel_audit.worker_limits import MIN_BYTES

_EXTENTS: Final = 0  # the frame with these; behind it, those of the groups, numbered from 1


def tally(
    path: str | os.PathLike[str],
    selection: Selection,
    groups: Sequence[Groups],
    *,
    progress: Callable[[int, int], None] | None = None,
    min_bytes: int = MIN_BYTES,
) -> list[Extent]:
    """Count the entries of a log, and return those of each segment.

    Args:
        path: As of `otel_audit.reader.read_log`.
        selection: Which entries are counted.
        groups: Where they are counted, too.
        progress: Told how many bytes were read, and of how many.
        min_bytes: Of a part.

    Raises:
        AuditVerifyError: There is no log, it cannot be read, or a process of it was killed.
    """

    def work(part: Part) -> Iterator[Frame]:
        own = [each.empty() for each in groups]
        extents = [Extent("") for _ in part]
        for index, extent in _counted(part, selection, own):
            if any(each.others for each in own):
                return
            extents[index].merge(extent)
        yield _EXTENTS, orjson.dumps([dataclasses.astuple(extent) for extent in extents])
        for number, each in enumerate(own, 1):
            for packed in each.packed():
                yield number, packed

    with contextlib.ExitStack() as stack:
        segments = open_segments(path, stack)
        first, *others = parts_of(path, segments, min_bytes)
        sent = [stack.enter_context(begun(part, work)) for part in others]
        whole = {segment.path: Extent(segment.path) for segment in segments}
        total = sum(segment.size_bytes for segment in segments)
        own_bytes = max(1, sum(segment.size_bytes - start for segment, start in first))
        done = 0
        for index, extent in _counted(first, selection, groups):
            whole[first[index][0].path].merge(extent)
            done += extent.size_bytes
            if progress is not None:
                progress(done * total // own_bytes, total)  # the others are about as far
        for part, frames in zip(others, sent, strict=True):
            received = next(frames, None)
            counted = _counted(part, selection, groups) if received is None else _extents(received[1])
            for index, extent in counted:
                whole[part[index][0].path].merge(extent)
            for number, packed in frames:
                groups[number - 1].merge(packed)
    return list(whole.values())


def _counted(part: Part, selection: Selection, groups: Sequence[Groups]) -> Iterator[tuple[int, Extent]]:
    """Count a part, and yield what each block has, with the place of its segment in the part."""
    scanner = Scanner(selection)
    chosen = selection or None
    for index, (segment, start) in enumerate(part):
        for block in read_blocks(segment, start):
            extent = Extent("", len(block.data) + (block.kind in ("lines", "end")))
            if block.kind == "lines":
                entries = []
                for _, line in scanner.lines(block.data):
                    try:
                        entry = parse_entry(line)
                    except MalformedLineError:
                        extent.unreadable_lines += 1
                        continue
                    if chosen is None or chosen.matches(entry):
                        entries.append(entry)
                extent.add(entries)
                for each in groups:
                    each.add(entries)
            elif block.kind == "end":
                extent.unreadable_lines += 1
            yield index, extent


def _extents(data: bytes) -> Iterator[tuple[int, Extent]]:
    return ((index, Extent(*members)) for index, members in enumerate(orjson.loads(data)))
