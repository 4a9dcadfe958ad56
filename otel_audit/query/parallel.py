"""A log searched by several processes, for the command line.

For selections that leave most lines out; where each has to be parsed, more processes find nothing
sooner, as all has to go through one in the end. Forks, so it is for a program without threads. What
is found comes in the order of the log, and memory stays bounded: whoever is ahead waits.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO, Final, NoReturn

from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.errors import AuditError, AuditVerifyError
from otel_audit.log_files import STDIN
from otel_audit.reader import Found, open_segments, search_log
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.segment import Segment, line_start, read_blocks
from otel_audit.worker_limits import MAX_WORKERS, MIN_BYTES, processors

_FRAME: Final = struct.Struct("<II")  # which segment of the part, and how many bytes follow
_FAILED: Final = 0xFFFF_FFFF
_ENDED: Final = 0xFFFF_FFFE

Part = list[tuple[Segment, int]]
"""Segments, cut off where the part ends, and where in each it begins."""


def search(path: str, selection: Selection, min_bytes: int = MIN_BYTES) -> Iterator[Found]:
    """Yield what `otel_audit.reader.search_log` does, without numbers of lines.

    Args:
        path: As there.
        selection: Which entries are wanted.
        min_bytes: Of a part.

    Raises:
        AuditVerifyError: There is no log, it cannot be read, or a process of the search was killed.
    """
    if path == STDIN or not selection.needles() or not hasattr(os, "fork"):
        yield from search_log(path, selection, numbered=False)
        return
    with contextlib.ExitStack() as stack:
        segments = open_segments(path, stack)
        first, *others = _parts(segments, min_bytes)
        pipes = [stack.enter_context(_begun(part, selection)) for part in others]
        scanner = Scanner(selection)
        for _, segment, entry in _entries(first, scanner, selection):
            yield Found(entry, entry.raw, segment.path, 0)
        for part, pipe in zip(others, pipes, strict=True):
            yield from _received(part, pipe)


def _parts(segments: list[Segment], min_bytes: int) -> list[Part]:
    """Return the log in parts of about the same length, one for each processor."""
    total = sum(segment.size_bytes for segment in segments)
    count = max(1, min(processors(), MAX_WORKERS, total // max(1, min_bytes)))
    parts: list[Part] = [[]]
    at = 0  # bytes of the log before the segment
    for segment in segments:
        start = 0
        while len(parts) < count and at + segment.size_bytes > (border := total * len(parts) // count):
            end = line_start(segment, max(start, border - at))
            if end is None:
                break
            parts[-1].append((replace(segment, size_bytes=end), start))
            parts.append([])
            start = end
        parts[-1].append((segment, start))
        at += segment.size_bytes
    return parts


def _entries(part: Part, scanner: Scanner, selection: Selection) -> Iterator[tuple[int, Segment, Entry]]:
    for index, (segment, start) in enumerate(part):
        for block in read_blocks(segment, start):
            if block.kind != "lines":
                continue
            for _, line in scanner.lines(block.data):
                try:
                    entry = parse_entry(line)
                except MalformedLineError:
                    continue
                if selection.matches(entry):
                    yield index, segment, entry


@contextlib.contextmanager
def _begun(part: Part, selection: Selection) -> Iterator[BinaryIO]:
    """Begin to search a part in a process of its own; end it at the latest with the body."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _search(part, selection, theirs)
    os.close(theirs)
    try:
        with open(ours, "rb") as pipe:
            yield pipe
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _search(part: Part, selection: Selection, pipe: int) -> NoReturn:
    """Search a part, write what is found, and end this process, whatever happens."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        with open(pipe, "wb") as file, contextlib.ExitStack() as stack:
            try:
                own = [(_reopened(segment, stack), start) for segment, start in part]
                found = _entries(own, Scanner(selection), selection)
                file.writelines(_FRAME.pack(index, len(entry.raw)) + entry.raw for index, _, entry in found)
                file.write(_FRAME.pack(_ENDED, 0))
            except AuditError as error:
                message = str(error).encode("utf-8", "backslashreplace")
                file.write(_FRAME.pack(_FAILED, len(message)) + message)
        os._exit(0)
    finally:
        os._exit(1)


def _reopened(segment: Segment, stack: contextlib.ExitStack) -> Segment:
    """Return a segment with a place of its own in the file: a fork shares that of the other."""
    try:
        file = stack.enter_context(open(segment.path, "rb", buffering=0))  # noqa: SIM115
    except OSError as error:
        raise AuditVerifyError(f"{segment.path}: {error.strerror}") from error

    def read(offset: int, length: int) -> bytes:
        try:
            file.seek(offset)
            return file.read(length) or b""
        except OSError as error:
            raise AuditVerifyError(f"{segment.path}: {error.strerror}") from error

    return replace(segment, read=read)


def _received(part: Part, pipe: BinaryIO) -> Iterator[Found]:
    while True:
        header = pipe.read(_FRAME.size)
        index, length = _FRAME.unpack(header) if len(header) == _FRAME.size else (_FAILED, 0)
        data = pipe.read(length)
        if index == _ENDED:
            return
        if index == _FAILED or len(data) < length:
            raise AuditVerifyError(data.decode() or f"{part[0][0].path}: a process of the search was killed")
        yield Found(parse_entry(data), data, part[index][0].path, 0)
