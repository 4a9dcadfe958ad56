"""Where a log ends: its last whole line, and what stands behind it.

docs/format.md, "Append only, truly": a whole line ends in LF and is not malformed; all behind
the last of them is one fragment, however long. Reads backwards, in constant memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from otel_audit import semconv
from otel_audit.chain import entry_hash, entry_hmac
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.errors import AuditConfigError, AuditLogPoisonedError
from otel_audit.line import MAX_LINE_BYTES

from . import files

_BLOCK_BYTES: Final = 1024 * 1024
_SEAL_BYTES: Final = len(b',"hash":""}') + 64
_HMAC_BYTES: Final = len(b',"hmac":""') + 64
_PREV_BYTES: Final = len(b',"prev_hash":""') + 64


class Tail(NamedTuple):
    """The last whole line: its ``seq`` and ``hash``, and the offset behind its LF.

    ``rotated``: it is ``audit.log.rotated``: the log goes on in the next segment.
    """

    seq: int
    hash: str
    end: int
    rotated: bool = False


class Identity(NamedTuple):
    """What the first readable ``audit.log.opened`` of a segment says about its log.

    ``seq`` and ``observed_time`` are of that entry.
    """

    version: str
    stream_id: str
    integrity: str
    key_id: str | None
    seq: int = 0
    observed_time: str = ""


class Fragment(NamedTuple):
    """Bytes that are no entry: what ``audit.log.recovered`` declares.

    Length and digest are of its bytes without its last LF.
    """

    offset: int
    length: int
    sha256: str


def read_identity(fd: int, path: str, end: int, number: int = 1) -> Identity | None:
    """Return what the log says of itself, None where no line of it is whole yet.

    Raises:
        AuditConfigError: The file is no audit log, or one of another format version.
    """
    start = 0
    while start < end:
        line_end = _find(fd, start, end)
        if line_end is None:
            break
        line = files.read(fd, start, line_end) if line_end - start < MAX_LINE_BYTES else b""
        identity = identity_of(line)
        if identity is not None:
            check_version(path, identity)
            return identity
        if start == 0 and number == 1:
            _check_beginning(fd, path, line_end)
        if _is_whole(line):
            raise AuditConfigError(
                f"{path}: expected audit.log.opened first; this is not an audit log, or its head was cut"
            )
        start = line_end + 1
    if end and number == 1:
        _check_beginning(fd, path, end)
    return None


def check_version(path: str, identity: Identity) -> None:
    """Check that this writer knows the log's format.

    Raises:
        AuditConfigError: It is another version.
    """
    if identity.version != semconv.FORMAT_VERSION:
        raise AuditConfigError(
            f"{path}: expected format version {semconv.FORMAT_VERSION}, got {identity.version!r}; nothing was written"
        )


def read_tail(fd: int, start: int, end: int) -> Tail | None:
    """Return the last whole line that begins at ``start`` or behind it, None where there is none."""
    blocks = _Blocks(fd)
    line_end = blocks.find_last(start, end)
    while line_end is not None:
        previous = blocks.find_last(start, line_end)
        line_start = start if previous is None else previous + 1
        if 0 < line_end - line_start < MAX_LINE_BYTES:
            try:
                members = parse_line(files.read(fd, line_start, line_end))
            except MalformedLineError:
                pass
            else:
                return _tail(members, line_end + 1)
        line_end = previous
    return None


def follow(fd: int, path: str, tail: Tail, end: int, integrity: str) -> Tail:
    """Return the new last whole line, having followed what others appended behind ``tail``.

    Raises:
        AuditLogPoisonedError: In mode ``chain``, what follows does not name ``tail``'s hash, or
            has none itself.
    """
    start, digest = tail.end, tail.hash
    first = True
    while start < end:
        line_end = _find(fd, start, end)
        if line_end is None:
            break
        try:
            members = parse_line(files.read(fd, start, line_end)) if line_end - start < MAX_LINE_BYTES else None
        except MalformedLineError:
            members = None
        if members is not None:
            if first and integrity == "chain" and members.get("prev_hash") != digest:
                raise AuditLogPoisonedError(
                    f"{path}: entry at byte {start} does not follow seq {tail.seq}: expected prev_hash {digest}, "
                    f"got {members.get('prev_hash')}; the log was changed under this process"
                )
            first = False
            if integrity == "chain" and "hash" not in members:
                raise AuditLogPoisonedError(
                    f"{path}: entry at byte {start} has no hash: nothing can be chained to it; nothing was written"
                )
            tail = _tail(members, line_end + 1)
        start = line_end + 1
    return tail


def follow_linked(data: bytes, tail: Tail, *, keyed: bool) -> Tail | None:
    """Return the new last whole line, where every line in ``data`` names the one before it.

    The common case of `follow`, in mode ``chain``, from the seals alone; None says that a closer
    look is needed.
    """
    if data[-1:] != b"\n":
        return None
    digest = tail.hash.encode()
    seal_bytes = _SEAL_BYTES + (_HMAC_BYTES if keyed else 0)
    lines = data[:-1].split(b"\n")
    for line in lines:
        at = len(line) - seal_bytes
        if at < _PREV_BYTES or not line.startswith(b',"prev_hash":"%b","hash":"' % digest, at - _PREV_BYTES):
            return None
        digest = line[at + 9 : at + 73]
    try:
        members = parse_line(lines[-1])
    except MalformedLineError:
        return None
    return _tail(members, tail.end + len(data))


def next_entry(line: bytes, tail: Tail, integrity: str, key: bytes | None) -> Tail | None:
    """Return the entry that bytes without LF are, if they are the valid next one.

    Its ``end`` is the end of those bytes: only the LF is missing.
    """
    try:
        members = parse_line(line)
    except MalformedLineError:
        return None
    if members["seq"] != tail.seq + 1:
        return None
    has = ("prev_hash" in members, "hash" in members, "hmac" in members)
    if has != (integrity == "chain", integrity != "none", key is not None):
        return None
    digest = ""
    if integrity != "none":
        at = len(line) - _SEAL_BYTES - (_HMAC_BYTES if key is not None else 0)
        digest = entry_hash(line[:at])
        if members["hash"] != digest or (integrity == "chain" and members["prev_hash"] != tail.hash):
            return None
        if key is not None and members["hmac"] != entry_hmac(key, digest):
            return None
    return _tail(members, tail.end + len(line))


def last_line_start(fd: int, start: int, end: int) -> int:
    """Return the offset behind the last LF in the bytes from ``start`` up to ``end``."""
    at = _Blocks(fd).find_last(start, end)
    return start if at is None else at + 1


def measure_fragment(fd: int, start: int, end: int) -> Fragment:
    """Return what a declaration says of the bytes from ``start`` up to ``end``."""
    if files.read(fd, end - 1, end) == b"\n":
        end -= 1
    digest = hashlib.sha256()
    for at in range(start, end, _BLOCK_BYTES):
        digest.update(files.read(fd, at, min(at + _BLOCK_BYTES, end)))
    return Fragment(start, end - start, digest.hexdigest())


def _tail(members: Mapping[str, object], end: int) -> Tail:
    rotated = members["event_name"] == semconv.LOG_ROTATED
    return Tail(members["seq"], members.get("hash", ""), end, rotated)  # type: ignore[arg-type]


class _Blocks:
    """Finds LFs backwards, one block in memory."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._start = self._end = 0
        self._block = b""

    def find_last(self, start: int, end: int) -> int | None:
        """Return the offset of the last LF in the bytes from ``start`` up to ``end``."""
        while start < end:
            if not self._start < end <= self._end:
                self._start, self._end = max(0, end - _BLOCK_BYTES), end
                self._block = files.read(self._fd, self._start, self._end)
            at = self._block.rfind(b"\n", max(0, start - self._start), end - self._start)
            if at >= 0:
                return self._start + at
            end = self._start
        return None


def _find(fd: int, start: int, end: int) -> int | None:
    """Return the offset of the first LF in the bytes from ``start`` up to ``end``."""
    size = 16 * 1024  # most lines are short
    while start < end:
        block = files.read(fd, start, min(start + size, end))
        at = block.find(b"\n")
        if at >= 0:
            return start + at
        if not block:
            return None
        start += len(block)
        size = _BLOCK_BYTES
    return None


def identity_of(line: bytes) -> Identity | None:
    """Return what a line says of its log, None where it is no ``audit.log.opened``.

    Lenient: the version comes before anything else, whatever another version's line looks like.
    """
    try:
        members = orjson.loads(line)
        attributes = members["attributes"]
        version = attributes[semconv.AUDIT_FORMAT_VERSION]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    if not isinstance(version, str):
        return None
    if version == semconv.FORMAT_VERSION and (members.get("event_name") != semconv.LOG_OPENED or not _is_whole(line)):
        return None
    return Identity(
        version,
        str(attributes.get(semconv.AUDIT_STREAM_ID, "")),
        str(attributes.get(semconv.AUDIT_INTEGRITY_MODE, "")),
        attributes.get(semconv.AUDIT_KEY_ID),
        members.get("seq", 0),
        str(members.get("observed_time", "")),
    )


def _is_whole(line: bytes) -> bool:
    try:
        parse_line(line)
    except MalformedLineError:
        return False
    return True


_BEGINNING: Final = b'{"seq":1,'


def _check_beginning(fd: int, path: str, end: int) -> None:
    """Refuse a file that does not begin as a first entry does: it is somebody else's."""
    begins = files.read(fd, 0, min(end, len(_BEGINNING)))
    if not begins or not _BEGINNING.startswith(begins):
        raise AuditConfigError(f"{path}: not an audit log: expected it to begin with {_BEGINNING.decode()!r}")
