"""The files of a log, found and opened to be read (docs/format.md, "Segments").

Opens nothing for writing, and no file that an entry names.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from otel_audit.errors import AuditVerifyError
from otel_audit.segment_name import checksum_name, first_segment_name, segment_name, segment_number
from otel_audit.verify.segment import Checksums, Segment

try:
    import fcntl
except ImportError:  # Windows reads, too
    fcntl = None  # type: ignore[assignment]

STDIN: Final = "-"
"""In place of a path."""

_CHECKSUM: Final = re.compile(rb"([0-9a-f]{64}) [ *]([^/\n]+)")
_MAX_CHECKSUM_BYTES: Final = 1 << 24
_LOOK_AGAIN_SECONDS: Final = 1.0
_WAIT_FOR_WRITER_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.005


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Where a log lies: its folder, and the base name of its first segment."""

    folder: Path
    first_name: str

    @property
    def path(self) -> str:
        """The path of the first segment, whether it exists or not."""
        return str(self.folder / self.first_name)

    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the segments that exist, ascending."""
        if not self.first_name.endswith(".jsonl"):
            # Any file can be looked at; only one that ends in .jsonl can have segments.
            return (1,) if os.path.lexists(self.path) else ()
        found = (segment_number(self.first_name, name) for name in _names(self.folder))
        return tuple(sorted(number for number in found if number is not None))

    def open(self, stack: contextlib.ExitStack, *, patient: bool = True) -> list[Segment]:
        """Open the segments that exist, and fix how many bytes of each are judged.

        Lengths are those of one moment: the last segment's is taken first, and where a writer
        has begun another one meanwhile, all is done again.

        Args:
            stack: Closes the files.
            patient: Where the file system has no locks, look twice at a last line without LF.

        Raises:
            AuditVerifyError: A segment cannot be opened or is no file.
        """
        numbers = self.numbers()
        while True:
            with contextlib.ExitStack() as trial:
                # While the last one is empty, the one before it may still be written to.
                behind = numbers[-2:]
                segments = [self._open(n, trial, locked=n in behind, patient=patient) for n in reversed(numbers)]
                now = self.numbers()
                if now == numbers:
                    stack.enter_context(trial.pop_all())
                    return segments[::-1]
            numbers = now

    def checksums(self) -> Checksums:
        """Return what the checksum file says, nothing where there is none.

        To be read before the segments are opened: what it says of a closed segment stays true.
        """
        path = self.folder / checksum_name(self.first_name)
        digests: dict[str, str] = {}
        try:
            if self.first_name.endswith(".jsonl") and path.is_file():
                with path.open("rb") as file:
                    for line in file.read(_MAX_CHECKSUM_BYTES).split(b"\n"):
                        if (match := _CHECKSUM.fullmatch(line)) is not None:
                            name, digest = os.fsdecode(match.group(2)), match.group(1).decode()
                            # two that differ cannot both be right, and `sha256sum -c` fails on one of them
                            before = digests.setdefault(name, digest)
                            if digest not in before:
                                digests[name] = f"{before} and {digest}"
        except OSError as error:
            raise AuditVerifyError(f"{path}: {error.strerror}") from error
        return Checksums(str(path), digests)

    def _open(self, number: int, stack: contextlib.ExitStack, *, locked: bool, patient: bool) -> Segment:
        name = segment_name(self.first_name, number)
        path = str(self.folder / name)
        try:
            # A FIFO would block the opening itself.
            mode = os.stat(path).st_mode
            if not stat.S_ISREG(mode):
                raise AuditVerifyError(f"{path}: expected a file, got {_file_type(mode)}")
            file = stack.enter_context(open(path, "rb", buffering=0))  # noqa: SIM115
            size = _size(file, locked=locked, patient=patient)
            opened = os.fstat(file.fileno())
        except OSError as error:
            raise AuditVerifyError(f"{path}: {error.strerror}") from error

        def read(offset: int, length: int) -> bytes:
            try:
                file.seek(offset)
                data = file.read(length)
            except OSError as error:
                raise AuditVerifyError(f"{path}: {error.strerror}") from error
            return data or b""

        return Segment(path, name, number, size, read, (opened.st_dev, opened.st_ino))


def find_log(path: str | os.PathLike[str]) -> LogFiles:
    """Return the log that a file, a segment, a folder or a pattern stands for.

    A last part with ``*`` that names no file is a pattern; all other characters, and every name
    of a file that exists, are taken literally.

    Raises:
        AuditVerifyError: A folder, or a pattern, that stands for no log or for several.
    """
    given = Path(path)
    if given.is_dir():
        return LogFiles(
            given, _only([n for n in _names(given) if n.endswith(".jsonl")], given, "a folder with one log")
        )
    folder, name = given.parent, given.name
    if "*" in name and not os.path.lexists(given):
        pattern = re.compile(".*".join(map(re.escape, name.split("*"))), re.DOTALL)
        names = [n for n in _names(folder) if n.endswith(".jsonl") and pattern.fullmatch(n)]
        return LogFiles(folder, _only(names, given, "a pattern that fits the files of one log"))
    return LogFiles(folder, first_segment_name(name))


def open_stdin() -> Segment:
    """Return stdin as a segment: what comes, up to its end. It can be read in order only.

    Raises:
        AuditVerifyError: There is none.
    """
    try:
        descriptor = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # closed before the start, or not a file
        raise AuditVerifyError("stdin: expected a log, got no stdin") from None
    held, start = b"", 0  # the latest bytes, and where they begin: the end of a line is asked for twice

    def read(offset: int, length: int) -> bytes:
        nonlocal held, start
        held, start = held[offset - start :], offset
        if len(held) < length:
            try:
                held += os.read(descriptor, length - len(held))
            except OSError as error:
                raise AuditVerifyError(f"stdin: {error.strerror}") from error
        return held[:length]

    return Segment("stdin", "stdin", 1, sys.maxsize, read)


def _only(names: list[str], given: Path, expected: str) -> str:
    first_names = sorted({first_segment_name(name) for name in names})
    if len(first_names) != 1:
        found = ", ".join(first_names) or "none"
        raise AuditVerifyError(f"{given}: expected {expected} (*.jsonl), got {found}")
    return first_names[0]


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise AuditVerifyError(f"{folder}: {error.strerror}") from error


def _size(file: BinaryIO, *, locked: bool, patient: bool) -> int:
    """Return how many bytes to judge: no writer is in the middle of a line at that moment."""
    if not locked:
        return os.fstat(file.fileno()).st_size
    if _lock_shared(file.fileno()):
        try:
            return os.fstat(file.fileno()).st_size
        finally:
            fcntl.flock(file.fileno(), fcntl.LOCK_UN)
    # a file system without locks, or a writer that is stopped in the middle of a write: look twice
    size = os.fstat(file.fileno()).st_size
    if patient and size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            time.sleep(_LOOK_AGAIN_SECONDS)
            size = os.fstat(file.fileno()).st_size
    return size


def _lock_shared(fd: int) -> bool:
    """Lock a file that a writer may hold for some time; return whether it is locked."""
    if fcntl is None:
        return False
    deadline = time.monotonic() + _WAIT_FOR_WRITER_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        except OSError:
            return False
        else:
            return True


def _file_type(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"
