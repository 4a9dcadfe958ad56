"""A log in parts, each read by a process of its own, for the command line.

Forks, so it is for a program without threads. Each process sends what it finds, in the order of its
part; whoever is ahead waits, so memory stays bounded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO, Final, NoReturn

from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.errors import AuditError, AuditVerifyError
from otel_audit.log_files import STDIN
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.segment import Segment, line_start, read_blocks
from otel_audit.worker_limits import MAX_WORKERS, processors

_FRAME: Final = struct.Struct("<II")  # a number of the sender's, and how many bytes follow
_FAILED: Final = 0xFFFF_FFFF
_ENDED: Final = 0xFFFF_FFFE

Part = list[tuple[Segment, int]]
"""Segments, cut off where the part ends, and where in each it begins."""

Frame = tuple[int, bytes]
"""What a process sends: a number below 2**31, and some bytes."""


def process_count(path: str | os.PathLike[str], segments: list[Segment], min_bytes: int) -> int:
    """Return how many processes read a log.

    Args:
        path: The log's; of stdin it is one.
        segments: Its segments.
        min_bytes: Of each.
    """
    if path == STDIN or not hasattr(os, "fork"):
        return 1
    total = sum(segment.size_bytes for segment in segments)
    return max(1, min(processors(), MAX_WORKERS, total // max(1, min_bytes)))


def parts_of(path: str | os.PathLike[str], segments: list[Segment], min_bytes: int) -> list[Part]:
    """Return a log in parts of about the same length, one for each of `process_count`; fewer where no line ends."""
    count = process_count(path, segments, min_bytes)
    total = sum(segment.size_bytes for segment in segments)
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


def entries_of(part: Part, selection: Selection) -> Iterator[tuple[int, Segment, Entry]]:
    """Yield the wanted entries of a part, each with its segment, and the place of that in the part."""
    scanner = Scanner(selection)
    chosen = selection or None
    for index, (segment, start) in enumerate(part):
        for block in read_blocks(segment, start):
            if block.kind != "lines":
                continue
            for _, line in scanner.lines(block.data):
                try:
                    entry = parse_entry(line)
                except MalformedLineError:
                    continue
                if chosen is None or chosen.matches(entry):
                    yield index, segment, entry


@contextlib.contextmanager
def begun(part: Part, work: Callable[[Part], Iterable[Frame]]) -> Iterator[Iterator[Frame]]:
    """Begin to read a part in a process of its own, and give what it sends; end it at the latest with the body.

    Args:
        part: Opened anew there.
        work: What is done there. An `AuditError` of it, and its sudden end, are raised here as
            `AuditVerifyError` by whoever takes what it sends.
    """
    ours, theirs = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _work(part, work, theirs, parent)
    os.close(theirs)
    try:
        with open(ours, "rb") as pipe:
            yield _received(part, pipe)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _work(part: Part, work: Callable[[Part], Iterable[Frame]], pipe: int, parent: int) -> NoReturn:
    """Do the work, write what comes of it, and end this process, whatever happens."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        with open(pipe, "wb") as file, contextlib.ExitStack() as stack:
            try:
                own = [(_reopened(segment, stack, parent), start) for segment, start in part]
                file.writelines(_FRAME.pack(number, len(data)) + data for number, data in work(own))
                file.write(_FRAME.pack(_ENDED, 0))
            except AuditError as error:
                message = str(error).encode("utf-8", "backslashreplace")
                file.write(_FRAME.pack(_FAILED, len(message)) + message)
        os._exit(0)
    finally:
        os._exit(1)


def _reopened(segment: Segment, stack: contextlib.ExitStack, parent: int) -> Segment:
    """Return a segment with a place of its own in the file: a fork shares that of the other.

    Args:
        parent: Without it, nobody wants what is read: this process ends, too.
    """
    try:
        file = stack.enter_context(open(segment.path, "rb", buffering=0))  # noqa: SIM115
    except OSError as error:
        raise AuditVerifyError(f"{segment.path}: {error.strerror}") from error

    def read(offset: int, length: int) -> bytes:
        if os.getppid() != parent:
            os._exit(1)
        try:
            file.seek(offset)
            return file.read(length) or b""
        except OSError as error:
            raise AuditVerifyError(f"{segment.path}: {error.strerror}") from error

    return replace(segment, read=read)


def _received(part: Part, pipe: BinaryIO) -> Iterator[Frame]:
    while True:
        header = pipe.read(_FRAME.size)
        number, length = _FRAME.unpack(header) if len(header) == _FRAME.size else (_FAILED, 0)
        data = pipe.read(length)
        if number == _ENDED:
            return
        if number == _FAILED or len(data) < length:
            raise AuditVerifyError(data.decode() or f"{part[0][0].path}: a process of the search was killed")
        yield number, data
