"""A log followed as it grows, over rotations, each line verified as it comes (docs/reading.md, "Follow")."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import BinaryIO, Final, NamedTuple

from otel_audit import semconv
from otel_audit.chain import Head
from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.errors import AuditVerifyError
from otel_audit.line_form import MAX_LINE_BYTES
from otel_audit.log_files import LogFiles
from otel_audit.query.latest import Place, Seam
from otel_audit.query.linked import BEGIN, Fault, head_of, link_fault, own_fault
from otel_audit.segment_name import segment_name
from otel_audit.verify.declared import Declared, declared_by
from otel_audit.verify.seal import split_seal

_READ_BYTES: Final = 1 << 16
_REMOVED: Final = "expected the file that was read, got none of this name any more"
_REPLACED: Final = "expected the file that was read, got another of this name"


class Break(NamedTuple):
    """The chain does not hold here.

    Attributes:
        path: Of the segment.
        offset: Of the line in it; its end, where what should be behind it is missing.
        seq: Of the entry; None where the line is none.
        told: What was expected, and what is there.
    """

    path: str
    offset: int
    seq: int | None
    told: str


class Follower:
    """Reads a log from a place on, and goes on where it goes on.

    A line without its end waits until it has one. Lines that are none are a break, unless the
    next entry declares them (docs/format.md, "Append only"). Memory: what is read at once, and a line.

    Args:
        log: Where it lies.
        seam: Where to begin. The first line of a log follows `BEGIN`, whatever is said here.
        declared: What the log says of itself. Where it says nothing yet, its first ``opened`` does when it comes.
        wait: Called when nothing more is there; returns False to end. None: end at once.
        ends: How many bytes to read, by the number of each segment; None: all, as they come.

    Attributes:
        seam: Where another one can go on: behind all that is judged. A line that is none, and waits for an entry
            that declares it, is not; nor is an entry that was not taken yet.
    """

    def __init__(
        self,
        log: LogFiles,
        seam: Seam,
        declared: Declared,
        wait: Callable[[], bool] | None = None,
        *,
        ends: Mapping[int, int] | None = None,
    ) -> None:
        self.seam = seam
        self._log = log
        self._declared = declared
        self._wait = wait
        self._ends = ends
        self._before: Head | None = BEGIN if seam.place == Place(1, 0) else seam.before
        self._rotated = False
        self._fragment: _Fragment | None = None

    def run(self) -> Iterator[Entry | Break]:
        """Yield each entry, and before it what is wrong with it.

        Raises:
            AuditVerifyError: A file cannot be read.
        """
        while True:
            number, offset = self.seam.place
            path = str(self._log.folder / segment_name(self._log.first_name, number))
            self._rotated = False
            try:
                with open(path, "rb", buffering=0) as file:
                    following, end = yield from self._segment(file, path, number, offset)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and self.seam.identity is not None:
                    yield Break(path, offset, None, _REMOVED)
                    return
                raise AuditVerifyError(f"{path}: {error.strerror or error}") from error
            if self._fragment is not None and following != number:
                yield self._fragment.as_break()
                self._fragment = None
            if following is None:
                return
            if following > number + 1:
                missing = segment_name(self._log.first_name, number + 1)
                yield Break(path, end, None, f"expected the segment {missing} behind it, got no such file")
                self._before = None
            self.seam = Seam(Place(following, 0), self._before)

    def _segment(
        self, file: BinaryIO, path: str, number: int, offset: int
    ) -> Generator[Entry | Break, None, tuple[int | None, int]]:
        """Read one segment to its end; return the number of the next, None where the log ends, and that end."""
        opened = os.fstat(file.fileno())
        identity = opened.st_dev, opened.st_ino
        if self.seam.identity not in (None, identity):
            yield Break(path, offset, None, _REPLACED)
            return None, offset
        self.seam = Seam(Place(number, offset), self._before, identity)
        file.seek(offset)
        rest = b""
        looked_again = False
        while True:
            end = offset + len(rest)
            data = file.read(_READ_BYTES if self._ends is None else max(0, min(_READ_BYTES, self._size(number) - end)))
            if data:
                looked_again = False
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    yield from self._line(line, path, number, offset)
                    offset += len(line) + 1
                    if self._fragment is None:
                        self.seam = Seam(Place(number, offset), self._before, identity)
                if len(rest) > MAX_LINE_BYTES:
                    self._fragment_at(path, offset).add(rest, whole=False)
                    offset, rest = offset + len(rest), b""
                continue
            if (told := _gone(file, path, end)) is not None:
                yield Break(path, offset, None, told)
                return None, offset
            numbers = self._log.numbers() if self._ends is None else self._ends
            following = min((other for other in numbers if other > number), default=None)
            if following is not None:
                if self._rotated:
                    return following, end
                if self._size(following) and looked_again:
                    if rest:
                        self._fragment_at(path, offset).add(rest, whole=False)
                    return following, end
                if not looked_again:
                    # What was written here before the next was begun may have come since the last read.
                    looked_again = True
                    continue
            if self._wait is None or not self._wait():
                return None, offset
            looked_again = False

    def _line(self, line: bytes, path: str, number: int, offset: int) -> Iterator[Entry | Break]:
        fragment = self._fragment
        entry = None
        if fragment is None or not fragment.unfinished:
            with contextlib.suppress(MalformedLineError):
                entry = parse_entry(line)
        if entry is None:
            self._fragment_at(path, offset).add(line, whole=True)
            return
        if fragment is not None:
            if not fragment.is_declared_by(entry):
                yield fragment.as_break()
                self._before = None  # that explains what is missing behind it
            self._fragment = None
        elif entry.event_name == semconv.LOG_RECOVERED and self._before is not None:
            yield Break(path, offset, entry.seq, str(Fault("what it says was found before it", "none")))
        if self._declared.place is None and entry.event_name == semconv.LOG_OPENED:
            self._declared = declared_by(line, (number - 1, offset)) or self._declared
        fault = own_fault(entry, self._declared)
        if fault is None and self._before is not None:
            fault = link_fault(entry, self._before, self._declared.mode)
        if fault is not None:
            yield Break(path, offset, entry.seq, str(fault))
        self._before = head_of(entry)
        self._rotated = entry.event_name == semconv.LOG_ROTATED
        yield entry

    def _size(self, number: int) -> int:
        if self._ends is not None:
            return self._ends.get(number, 0)
        try:
            return os.stat(self._log.folder / segment_name(self._log.first_name, number)).st_size
        except FileNotFoundError:
            return 0

    def _fragment_at(self, path: str, offset: int) -> _Fragment:
        if self._fragment is None:
            self._fragment = _Fragment(path, offset)
        return self._fragment


class _Fragment:
    """Bytes that are no entry, up to the next one that is."""

    def __init__(self, path: str, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._length = 0
        self._digest = hashlib.sha256()
        self._waiting = b""  # the latest LF: it belongs to the fragment only where more follows
        self._sealed = False
        self.unfinished = False

    def add(self, data: bytes, *, whole: bool) -> None:
        """Take in a line, or a part of one."""
        self._digest.update(self._waiting + data)
        self._length += len(self._waiting) + len(data)
        self._waiting = b"\n" if whole else b""
        self.unfinished = not whole
        self._sealed = whole and split_seal(data) is not None

    def is_declared_by(self, entry: Entry) -> bool:
        """Return whether an entry says just these bytes were found."""
        told = entry.attributes.get
        return (
            entry.event_name in (semconv.LOG_RECOVERED, semconv.LOG_OPENED)
            and not self._sealed
            and told(semconv.AUDIT_FRAGMENT_OFFSET) == self._offset
            and told(semconv.AUDIT_FRAGMENT_LENGTH) == self._length
            and told(semconv.AUDIT_FRAGMENT_SHA256) == self._digest.hexdigest()
        )

    def as_break(self) -> Break:
        """Return what is to be said of it where nothing declares it."""
        return Break(self._path, self._offset, None, f"expected an entry, got {self._length} bytes that are none")


def _gone(file: BinaryIO, path: str, read: int) -> str | None:
    """Return what became of a file that does not only grow."""
    opened = os.fstat(file.fileno())
    if opened.st_size < read:
        return f"expected a file that only grows, got {opened.st_size} bytes where {read} were read"
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return _REMOVED
    if not os.path.samestat(opened, named):
        return _REPLACED
    return None
