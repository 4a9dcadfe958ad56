"""The only place that opens a log to read: `verify_log` and `read_log`.

Reads bytes and splits them on LF alone, through bounded buffers. Imports no OpenTelemetry.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from otel_audit import semconv
from otel_audit.entry import Entry, MalformedLineError, is_time, parse_entry
from otel_audit.errors import AuditVerifyError
from otel_audit.record import AuditReceipt
from otel_audit.verify.anchors import parse_anchor
from otel_audit.verify.finding import REMEDIES, Finding
from otel_audit.verify.report import Integrity, VerifyReport
from otel_audit.verify.segment import Segment, read_blocks
from otel_audit.verify.segments import Checksums, segment_name
from otel_audit.verify.verifier import verify

try:
    import fcntl
except ImportError:  # Windows reads, too
    fcntl = None  # type: ignore[assignment]

_NUMBERED: Final = re.compile(r"(.+)\.([0-9]{6,})\.jsonl", re.DOTALL)
_MIN_KEY_BYTES: Final = 16
_CHECKSUM: Final = re.compile(rb"([0-9a-f]{64}) [ *]([^/\n]+)")
_MAX_CHECKSUM_BYTES: Final = 1 << 24
_LOOK_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Log:
    """The files of one log: its folder, the name of its first segment, the numbers that exist."""

    folder: Path
    first_name: str
    numbers: tuple[int, ...]

    @property
    def path(self) -> str:
        """The path of the first segment, whether it exists or not."""
        return str(self.folder / self.first_name)


def verify_log(
    path: str | os.PathLike[str],
    *,
    hmac_key_file: str | os.PathLike[str] | None = None,
    anchors: Iterable[str | AuditReceipt] = (),
    expected_integrity: Integrity = "chain",
    chain_only: bool = False,
) -> VerifyReport:
    """Check a whole log, and say what is wrong with it.

    A log that grows meanwhile is judged as it was when this began. Memory stays within some
    40 MiB however long the log is, and grows only with the number of faults in it.

    Args:
        path: The log's file, any segment of it, or a folder that holds one log.
        hmac_key_file: Holds the raw key; without it the report says that MACs were not checked.
        anchors: Receipts, or their text ``SEQ:HASH``: what the log must still agree with.
        expected_integrity: A log that declares a weaker mode is ``downgraded``.
        chain_only: Look at ``seq``, hashes and links alone, until one of them is wrong.

    Raises:
        AuditVerifyError: Something cannot be read as a log (or a key, or an anchor) at all. A
            log that is missing or empty is a finding.
    """
    fixed = [parse_anchor(anchor) for anchor in anchors]
    key = read_key(hmac_key_file) if hmac_key_file is not None else None
    log = _find_log(path)
    if not log.numbers:
        return _missing(log.path)
    with contextlib.ExitStack() as stack:
        now = _format_now()
        segments = [_open_segment(log, n, stack) for n in log.numbers[:-1]]
        segments.append(_open_segment(log, log.numbers[-1], stack, last=True))
        return verify(
            segments,
            path=log.path,
            first_name=log.first_name,
            key=key,
            anchors=fixed,
            expected_integrity=expected_integrity,
            chain_only=chain_only,
            now=now,
            checksums=_read_checksums(log),
        )


def read_log(
    path: str | os.PathLike[str],
    *,
    event_name: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    outcome: str | None = None,
    trace_id: str | None = None,
    since_seq: int = 1,
) -> Iterator[Entry]:
    """Yield the entries of a log in the order of its files, lazily, in constant memory.

    Reads, and does not verify: an entry is what a line says, whether its hash is right or
    not, and lines that are malformed (fragments that a crash left among them) are passed over.
    `verify_log` tells what was wrong with them. Bytes appended after the iteration began are
    not read.

    Args:
        path: The log's file, any segment of it, or a folder that holds one log.
        event_name: Only entries of this name.
        actor: Only those with this ``audit.actor.id``.
        action: Only those with this ``audit.action``.
        outcome: Only those with this ``audit.outcome``.
        trace_id: Only those of this trace, 32 lower-case hexadecimal digits.
        since_seq: Only those from this ``seq`` on.

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """
    log = _find_log(path)
    if not log.numbers:
        raise AuditVerifyError(f"{log.path}: expected a log, got no such file")
    wanted = {
        name: value
        for name, value in (
            (semconv.AUDIT_ACTOR_ID, actor),
            (semconv.AUDIT_ACTION, action),
            (semconv.AUDIT_OUTCOME, outcome),
        )
        if value is not None
    }
    with contextlib.ExitStack() as stack:
        segments = [_open_segment(log, n, stack, last=n == log.numbers[-1], patient=False) for n in log.numbers]
        for segment in segments:
            for entry in _entries(segment):
                if (
                    entry.seq >= since_seq
                    and (event_name is None or entry.event_name == event_name)
                    and (trace_id is None or entry.trace_id == trace_id)
                    and all(entry.attributes.get(name) == value for name, value in wanted.items())
                ):
                    yield entry


def read_key(path: str | os.PathLike[str]) -> bytes:
    """Return the key that a key file holds: its bytes, without one final LF.

    Raises:
        AuditVerifyError: It cannot be read, is shorter than 16 bytes, or still ends in LF.
    """
    try:
        key = Path(path).read_bytes()
    except OSError as error:
        raise AuditVerifyError(f"{os.fspath(path)}: key file: {error.strerror}") from error
    key = key.removesuffix(b"\n")
    if key.endswith(b"\n"):
        raise AuditVerifyError(f"{os.fspath(path)}: expected a key, got one that ends in LF")
    if len(key) < _MIN_KEY_BYTES:
        raise AuditVerifyError(f"{os.fspath(path)}: expected a key of at least 16 bytes, got {len(key)}")
    return key


def _entries(segment: Segment) -> Iterator[Entry]:
    for block in read_blocks(segment):
        if block.kind == "lines":
            for line in block.data.split(b"\n"):
                try:
                    entry = parse_entry(line)
                except MalformedLineError:
                    continue
                yield entry


def _find_log(path: str | os.PathLike[str]) -> _Log:
    """Return the log that a file, a segment or a folder stands for."""
    given = Path(path)
    if given.is_dir():
        names = {_first_name(name) for name in _names(given) if name.endswith(".jsonl")}
        if len(names) != 1:
            found = "none" if not names else ", ".join(sorted(names))
            raise AuditVerifyError(f"{given}: expected a folder with one log (*.jsonl), got {found}")
        first_name = names.pop()
        folder = given
    else:
        folder, first_name = given.parent, _first_name(given.name)
        if not first_name.endswith(".jsonl"):
            # Any file can be looked at; only one that ends in .jsonl can have segments.
            return _Log(folder, first_name, (1,) if os.path.lexists(given) else ())
    numbers = []
    for name in _names(folder) if folder.is_dir() else ():
        match = _NUMBERED.fullmatch(name)
        if name == first_name:
            numbers.append(1)
        elif match is not None and f"{match.group(1)}.jsonl" == first_name:
            number = int(match.group(2))
            if number > 1 and name == segment_name(first_name, number):
                numbers.append(number)
    return _Log(folder, first_name, tuple(sorted(numbers)))


def _first_name(name: str) -> str:
    match = _NUMBERED.fullmatch(name)
    return name if match is None else f"{match.group(1)}.jsonl"


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise AuditVerifyError(f"{folder}: {error.strerror}") from error


def _open_segment(
    log: _Log,
    number: int,
    stack: contextlib.ExitStack,
    *,
    last: bool = False,
    patient: bool = True,
) -> Segment:
    name = segment_name(log.first_name, number)
    path = str(log.folder / name)
    try:
        # A FIFO would block the opening itself.
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise AuditVerifyError(f"{path}: expected a file, got {_file_type(mode)}")
        file = stack.enter_context(open(path, "rb", buffering=0))  # noqa: SIM115
        size = _size(file, last=last, patient=patient)
    except OSError as error:
        raise AuditVerifyError(f"{path}: {error.strerror}") from error

    def read(offset: int, length: int) -> bytes:
        try:
            file.seek(offset)
            data = file.read(length)
        except OSError as error:
            raise AuditVerifyError(f"{path}: {error.strerror}") from error
        return data or b""

    return Segment(path, name, number, size, read)


def _size(file: BinaryIO, *, last: bool, patient: bool) -> int:
    """Return how many bytes to judge: no writer is in the middle of a line at that moment."""
    if not last:
        return os.fstat(file.fileno()).st_size
    if fcntl is not None:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH)
        except OSError:
            pass  # a file system without locks: look twice
        else:
            try:
                return os.fstat(file.fileno()).st_size
            finally:
                fcntl.flock(file.fileno(), fcntl.LOCK_UN)
    size = os.fstat(file.fileno()).st_size
    if patient and size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            time.sleep(_LOOK_AGAIN_SECONDS)
            size = os.fstat(file.fileno()).st_size
    return size


def _file_type(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a device"


def _read_checksums(log: _Log) -> Checksums:
    path = log.folder / f"{log.first_name.removesuffix('.jsonl')}.sha256"
    digests: dict[str, str] = {}
    try:
        if len(log.numbers) > 1 and path.is_file():
            with path.open("rb") as file:
                for line in file.read(_MAX_CHECKSUM_BYTES).split(b"\n"):
                    if (match := _CHECKSUM.fullmatch(line)) is not None:
                        digests[os.fsdecode(match.group(2))] = match.group(1).decode()
    except OSError as error:
        raise AuditVerifyError(f"{path}: {error.strerror}") from error
    return Checksums(str(path), digests)


def _missing(path: str) -> VerifyReport:
    finding = Finding(
        kind="missing",
        severity="error",
        path=path,
        line=None,
        offset=None,
        seq=None,
        expected="a log",
        got="no such file",
        remedy=REMEDIES["missing"],
    )
    return VerifyReport(path=path, entries=0, head=None, findings=(finding,), integrity=None)


def _format_now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
    assert is_time(now)
    return now
