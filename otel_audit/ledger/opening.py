"""Opening a log: which file is the active one, where it ends, what must be written first.

docs/format.md, "Append only, truly" and "Segments". What a crash left undone is finished here,
under the locks of the files that it concerns.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from otel_audit.chain import key_id
from otel_audit.environment import FileSettings
from otel_audit.errors import AuditConfigError, AuditLogPoisonedError, AuditWriteError
from otel_audit.line import MAX_LINE_BYTES, parse_time

from . import files, segments
from .active import WITNESS_BYTES, ActiveFile, Witness
from .lifecycle import Closed, Lifecycle
from .tail import (
    Fragment,
    Identity,
    Tail,
    check_version,
    identity_of,
    last_line_start,
    measure_fragment,
    next_entry,
    read_identity,
    read_tail,
)

_OPEN_ATTEMPTS: Final = 100


def open_active(
    settings: FileSettings,
    key: bytes | None,
    lifecycle: Lifecycle,
    witness: Witness | None,
    now_ns: Callable[[], int],
    new_id: Callable[[], str],
) -> ActiveFile:
    """Open the log and return it locked, with what is due before the next entry.

    Raises:
        AuditConfigError: The log that exists does not fit the settings, or is none.
        AuditLogPoisonedError: It does not hold what this writer wrote before (``witness``).
        AuditWriteError: Another process holds the lock.
        OSError: The system refuses.
    """
    for _ in range(_OPEN_ATTEMPTS):
        _check_witness(witness)
        number = segments.last_number(settings.path)
        file = _open_locked(settings, number)
        if file is None:
            continue
        try:
            if number > 1 and read_tail(file.fd, 0, files.size(file.fd)) is None:
                file.close()  # locks are taken in ascending order
                file = _open_begun(settings, number)
                if file is None:
                    continue
            _examine(file, settings, key, lifecycle, witness, now_ns, new_id)
            if not file.tail.rotated:
                return file
            if segments.last_number(settings.path) == file.number:
                raise AuditConfigError(
                    f"{file.path}: its last entry says that the log was rotated, but the next segment is gone; "
                    "nothing was written. run `otel-audit verify`"
                )
        except BaseException:
            if file is not None:
                file.close()
            raise
        file.close()
    raise AuditWriteError(f"{settings.path}: replaced or rotated again and again while it was opened")


def _open_locked(settings: FileSettings, number: int) -> ActiveFile | None:
    """Open one segment and lock it; None if the path named another file once it was locked."""
    process = os.getpid()
    path = segments.segment_path(settings.path, number)
    file = ActiveFile(files.open_append(path, settings.file_mode), path, number)
    try:
        if os.getpid() != process:
            raise AuditWriteError(f"{path}: the process was forked while it opened the log")
        files.lock(file.fd, path, settings.lock_timeout_millis)
        if files.path_identity(path) == file.identity:
            return file
    except BaseException:
        file.close()
        raise
    file.close()
    return None


def _open_begun(settings: FileSettings, number: int) -> ActiveFile | None:
    """Open a last segment that has no whole entry yet: the one before says whose turn it is.

    Returns:
        The segment before, where the log was not rotated yet; else the last one, with the segment
        before in ``before``, still locked. None: something changed meanwhile.
    """
    path = segments.segment_path(settings.path, number - 1)
    if files.path_identity(path) is None:
        raise AuditConfigError(
            f"{path}: the segment is gone, and the one behind it has no entry yet; nothing was written. "
            "run `otel-audit verify`"
        )
    before = _open_locked(settings, number - 1)
    if before is None:
        return None
    try:
        tail = read_tail(before.fd, 0, files.size(before.fd))
        if tail is None or not tail.rotated or tail.end != files.size(before.fd):
            return before
        before.tail = tail
        file = _open_locked(settings, number)
    except BaseException:
        before.close()
        raise
    if file is None:
        before.close()
    else:
        file.before = before
    return file


def _check_witness(witness: Witness | None) -> None:
    """Check that what this process wrote last still stands, in whichever segment."""
    if witness is not None and not files.stands_at(witness.path, witness.identity, witness.end, witness.last_bytes):
        raise _not_ours(witness.path, witness)


def _examine(
    file: ActiveFile,
    settings: FileSettings,
    key: bytes | None,
    lifecycle: Lifecycle,
    witness: Witness | None,
    now_ns: Callable[[], int],
    new_id: Callable[[], str],
) -> None:
    """Find the head, and what has to be written before anything else. Under the file's lock."""
    fd, path, before = file.fd, file.path, file.before
    files.sync(fd)  # an error that nobody has seen yet is seen here
    files.evict(fd)
    files.sync_folder(path)
    size = files.size(fd)
    public_key_id = None if key is None else key_id(key)
    _check_witness(witness)  # once more: now under the lock, and as the device holds it
    identity = read_identity(fd, path, size, file.number)
    previous: Closed | None = None
    if identity is not None:
        file.first_seq, file.began_ns = identity.seq, parse_time(identity.observed_time)
    elif before is not None:
        identity, previous = _finish_rotation(before, settings)
        file.tail = Tail(before.tail.seq, before.tail.hash, 0)
    if witness is not None and witness.stream_id and (identity is None or identity.stream_id != witness.stream_id):
        raise _not_ours(path, witness)
    tail = (None if identity is None or previous is not None else read_tail(fd, 0, size)) or file.tail
    fragment = None
    if tail.end < size:
        # what stands behind a fragment's last LF can be the declaration of it, but for its own LF
        start = last_line_start(fd, tail.end, size)
        rest = files.read(fd, start, size) if size - start < MAX_LINE_BYTES else b""
        candidate = None if identity is not None else identity_of(rest)
        if candidate is not None:
            check_version(path, candidate)
            check_identity(path, candidate, settings, public_key_id)
        whole = next_entry(rest, tail, settings.integrity, key)
        if whole is None:
            fragment = measure_fragment(fd, tail.end, size)
        else:
            tail = whole
            identity = identity or candidate
            previous = None
        if files.read(fd, size - 1, size) != b"\n":
            file.prefix = b"\n"
    if settings.integrity == "chain" and tail.seq and not tail.hash:
        raise AuditConfigError(
            f"{path}: expected a hash in the last entry, seq {tail.seq}, got none: nothing can be chained to it; "
            "nothing was written. run `otel-audit verify`"
        )
    file.tail = tail._replace(end=size)
    if identity is not None:
        check_identity(path, identity, settings, public_key_id)
    if tail.rotated:
        _finish_segment(file, fragment)
        return
    if identity is None and file.number > 1:
        raise AuditConfigError(
            f"{path}: neither this segment nor the one before has a readable entry; nothing was written. "
            "run `otel-audit verify`"
        )
    file.stream_id = new_id() if identity is None else identity.stream_id
    file.mark = (size, files.read(fd, max(0, size - WITNESS_BYTES), size))
    now = now_ns()
    begins = tail.end == 0
    if begins:
        file.first_seq, file.began_ns = tail.seq + 1, now
    if fragment is not None and not begins:
        file.due.append(lifecycle.recovered(new_id(), now, fragment))
        fragment = None
    file.due.append(
        lifecycle.opened(
            new_id(),
            now,
            stream_id=file.stream_id,
            integrity=settings.integrity,
            key_id=public_key_id,
            segment_number=file.number,
            previous=previous,
            fragment=fragment,
        )
    )
    file.checked_ns = now
    file.synced = file.mark


def _finish_segment(file: ActiveFile, fragment: Fragment | None) -> None:
    """Write the LF that the last entry of a rotated segment may lack: nothing else follows it there."""
    if fragment is not None:
        raise AuditConfigError(
            f"{file.path}: {fragment.length} bytes stand behind the entry that says that the log was rotated; "
            "nothing was written. run `otel-audit verify`"
        )
    if file.prefix:
        files.write(file.fd, file.prefix)
        files.sync(file.fd)


def _finish_rotation(before: ActiveFile, settings: FileSettings) -> tuple[Identity | None, Closed]:
    """Do what is still missing of a rotation, up to the new segment's first entry.

    Returns:
        The log's identity, as the closed segment says it, and what the new one says of that.
    """
    size = files.size(before.fd)
    digest = segments.sha256(before.fd, size)
    segments.add_checksum(settings.path, before.number, digest, settings.file_mode)
    return read_identity(before.fd, before.path, size, before.number), Closed(
        os.path.basename(before.path), size, digest
    )


def check_identity(path: str, identity: Identity, settings: FileSettings, public_key_id: str | None) -> None:
    """Check that a log is of the integrity and the key that the settings say.

    Raises:
        AuditConfigError: It is of others.
    """
    if identity.integrity != settings.integrity:
        raise AuditConfigError(
            f"{path}: expected integrity {settings.integrity!r}, got a log of integrity {identity.integrity!r}; "
            "nothing was written"
        )
    if identity.key_id != public_key_id:
        raise AuditConfigError(
            f"{path}: expected a log with {_key_text(public_key_id)}, got one with {_key_text(identity.key_id)}; "
            "nothing was written"
        )


def _key_text(public_key_id: str | None) -> str:
    return "no HMAC key" if public_key_id is None else f"HMAC key {public_key_id}"


def _not_ours(path: str, witness: Witness) -> AuditLogPoisonedError:
    return AuditLogPoisonedError(
        f"{path}: the entry that this process wrote last, up to byte {witness.end}, is not there any more; "
        "nothing was written. keep the file as evidence"
    )
