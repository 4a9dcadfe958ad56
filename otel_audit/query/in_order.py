"""What several processes make of a log, in the order of the log, for the command line.

The log is dealt out in units of about a MiB, so that each process is at work all the time: one
sends what it made of a unit when those before it were taken, and holds no more than that.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Final

from otel_audit.line_form import MAX_LINE_BYTES
from otel_audit.parts import Frame, Part, begun, process_count
from otel_audit.reader import open_segments
from otel_audit.verify.segment import line_start
from otel_audit.worker_limits import MIN_BYTES

UNIT_BYTES: Final = 1 << 20


def in_order(
    path: str | os.PathLike[str],
    work: Callable[[Part], Iterable[Frame]],
    *,
    min_bytes: int = MIN_BYTES,
    unit_bytes: int = UNIT_BYTES,
) -> Iterator[Frame]:
    """Yield what is made of a log: counts, and the bytes that belong to them.

    Args:
        path: As of `otel_audit.reader.read_log`.
        work: Yields the same of a part, however long. Nothing else may depend on where parts end.
        min_bytes: A log with less for each process is read by fewer.
        unit_bytes: Of what a process reads before it sends.

    Raises:
        AuditVerifyError: There is no log, it cannot be read, or a process was killed.
    """
    with contextlib.ExitStack() as stack:
        segments = open_segments(path, stack)
        whole: Part = [(segment, 0) for segment in segments]
        processes = process_count(path, segments, min_bytes)
        if processes < 2:
            yield from work(whole)
            return

        def dealt(number: int, part: Part) -> Iterator[Frame]:
            for place, unit in enumerate(_units(part, unit_bytes)):
                if place % processes == number:
                    counts, texts = [], []
                    for count, text in work(unit):
                        counts.append(count)
                        texts.append(text)
                    yield sum(counts), b"".join(texts)

        sent = [stack.enter_context(begun(whole, partial(dealt, number))) for number in range(processes)]
        for frames in cycle(sent):
            frame = next(frames, None)
            if frame is None:  # who had to have the next unit has none: there is none
                return
            yield frame


def _units(part: Part, unit_bytes: int) -> Iterator[Part]:
    for segment, begin in part:
        at = begin
        while at < segment.size_bytes:
            behind = at + unit_bytes
            while (end := line_start(segment, behind)) is None:
                behind += MAX_LINE_BYTES  # so many bytes without an LF: there is no line in them
            yield [(replace(segment, size_bytes=end), at)]
            at = end
