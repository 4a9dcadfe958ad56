"""A log searched by several processes, for the command line.

For selections that leave most lines out; where each has to be parsed, more processes find nothing
sooner, as all has to go through one in the end (what is only counted has not: `otel_audit.query.tally`).
What is found comes in the order of the log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from otel_audit.entry import parse_entry
from otel_audit.parts import Frame, Part, begun, entries_of, parts_of
from otel_audit.reader import Found, open_segments, search_log
from otel_audit.selection import Selection
from otel_audit.worker_limits import MIN_BYTES


def search(path: str, selection: Selection, min_bytes: int = MIN_BYTES) -> Iterator[Found]:
    """Yield what `otel_audit.reader.search_log` does, without numbers of lines.

    Args:
        path: As there.
        selection: Which entries are wanted.
        min_bytes: Of a part.

    Raises:
        AuditVerifyError: There is no log, it cannot be read, or a process of the search was killed.
    """
    if not selection.needles():
        yield from search_log(path, selection, numbered=False)
        return

    def work(part: Part) -> Iterator[Frame]:
        return ((index, entry.raw) for index, _, entry in entries_of(part, selection))

    with contextlib.ExitStack() as stack:
        first, *others = parts_of(path, open_segments(path, stack), min_bytes)
        sent = [stack.enter_context(begun(part, work)) for part in others]
        for _, segment, entry in entries_of(first, selection):
            yield Found(entry, entry.raw, segment.path, 0)
        for part, frames in zip(others, sent, strict=True):
            for index, line in frames:
                yield Found(parse_entry(line), line, part[index][0].path, 0)
