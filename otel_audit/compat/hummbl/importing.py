"""A bus file of hummbl-governance into a new log, each line with where it came from."""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.resources import Resource

from otel_audit import __version__, semconv
from otel_audit.errors import AuditError, AuditWriteError
from otel_audit.pipeline.exporter import AuditFileLogExporter
from otel_audit.pipeline.logger import AuditLogger
from otel_audit.pipeline.provider import AuditProvider
from otel_audit.record import Actor, Target

from .bus_file import BusLine, is_bus_file, read_lines
from .log import SCOPE, log_exists
from .message import RECIPIENT

Report = Callable[[int, str], None]
"""Told the number of each line that holds no message, and why."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was brought over.

    Attributes:
        sha256: Of the file, in hexadecimal.
        messages: Lines that became messages; the others are kept as they stand.
    """

    sha256: str
    lines: int
    messages: int


def import_bus_file(
    path: str,
    log_path: str,
    *,
    actor: Actor,
    report: Report,
    hmac_key_file: str | None = None,
) -> Imported:
    """Bring a bus file into a new log; return once all of it is synced.

    The file is read twice, in bounded memory, and never written to; what is appended to it
    meanwhile is left out. An entry says when the message was posted (``time``) and when it was
    brought over (``observed_time``), and has the file's name and digest, the line's number and
    its exact text. A line that is no message becomes an entry of its own; in parts, where it is
    longer than an entry can be. An intent before, and an outcome after, say who did it.

    Args:
        path: What hummbl-governance wrote, TSV or JSON Lines.
        log_path: A log that does not exist yet.
        actor: Who brings it over.
        report: Called for each line that holds no message, in their order.
        hmac_key_file: The key of the new log.

    Raises:
        AuditError: The file is no bus file, or cannot be read, or there is a log already: nothing
            was written. Or the file changed while it was read: the new log says that it failed.
        AuditWriteError: An entry could not be written.
    """
    if log_exists(log_path):
        raise AuditError(f"{log_path}: expected a path where there is no log yet, got one")
    size = _size(path)
    whole = _survey(path, size)
    exporter = AuditFileLogExporter(log_path, durability="os", hmac_key_file=hmac_key_file)
    resource = Resource.create({semconv.SERVICE_NAME: "otel-audit-import"})
    with AuditProvider(exporter, resource=resource) as provider:
        _import(path, size, whole, provider, actor, report)
    return whole


def _survey(path: str, size: int) -> Imported:
    """Read the file through once, and refuse what is no bus file."""
    if size and not is_bus_file(path):
        raise AuditError(f"{path}: expected a bus file of hummbl-governance, got an audit log, or no file")
    digest = hashlib.sha256()
    lines = messages = 0
    for line in _lines(path, size, digest):
        lines += line.part < 2
        messages += line.message is not None
    if not messages:
        raise AuditError(
            f"{path}: expected lines of five columns (time, from, to, type, message), or of JSON with timestamp, "
            f"from_id, to_id, msg_type and message, got none such in {lines} lines; nothing was written"
        )
    return Imported(digest.hexdigest(), lines, messages)


def _import(path: str, size: int, whole: Imported, provider: AuditProvider, actor: Actor, report: Report) -> None:
    """Write the entries, between the intent and the outcome."""
    audit = provider.get_audit_logger(SCOPE, __version__)
    file: dict[str, object] = {semconv.LOG_FILE_NAME: os.path.basename(path), semconv.LOG_FILE_SHA256: whole.sha256}
    counts: dict[str, object] = {
        semconv.HUMMBL_IMPORT_LINES: whole.lines,
        semconv.HUMMBL_IMPORT_MESSAGES: whole.messages,
    }
    digest = hashlib.sha256()
    with audit.start_action(
        semconv.EVENT_HUMMBL_IMPORT,
        action="IMPORT",
        actor=actor,
        target=Target(os.path.abspath(path), "file"),
        attributes=file | counts,
    ):
        for line in _lines(path, size, digest):
            _write(audit, line, file, actor)
            if line.problem is not None and line.part < 2:
                report(line.number, line.problem)
        if digest.hexdigest() != whole.sha256:
            raise AuditError(f"{path}: expected a file that nobody changes, got other bytes when it was read again")
        if not provider.force_flush():
            raise AuditWriteError(f"{provider.exporter.settings.path}: the entries could not be synced")
    provider.force_flush()


def _write(audit: AuditLogger, line: BusLine, file: dict[str, object], actor: Actor) -> None:
    members: dict[str, Any]
    attributes: dict[str, object] = {}
    if line.message is not None:
        event_name = semconv.EVENT_HUMMBL_MESSAGE
        attributes[semconv.HUMMBL_MESSAGE_TYPE] = line.message.msg_type
        members = {
            "action": "SEND",
            "actor": line.message.from_id,
            "target": Target(line.message.to_id, RECIPIENT),
            "body": line.message.message,
            "timestamp_ns": line.message.time_ns,
        }
    else:
        event_name = semconv.EVENT_HUMMBL_LINE
        members = {"action": "IMPORT", "actor": actor, "outcome": "unknown", "reason": line.problem}
    attributes |= {**file, semconv.LOG_FILE_RECORD_NUMBER: line.number, semconv.LOG_RECORD_ORIGINAL: _exact(line)}
    if line.part:
        attributes[semconv.HUMMBL_IMPORT_PART] = line.part
    # the same line of the same file is the same record, however often it is brought over
    name = f"{file[semconv.LOG_FILE_SHA256]}:{line.number}:{line.part}"
    record_id = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
    audit.emit(event_name, attributes=attributes, record_id=record_id, **members)


def _exact(line: BusLine) -> str | bytes:
    """Return the text of a line, or its bytes where they are no text, or a part of one."""
    if line.part:
        return line.raw
    try:
        return line.raw.decode()
    except UnicodeDecodeError:
        return line.raw


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _lines(path: str, size: int, digest: Any) -> Iterator[BusLine]:
    """Yield the lines in the first ``size`` bytes of a file, and hash those bytes."""
    left = size

    def readline(limit: int) -> bytes:
        nonlocal left
        try:
            raw = file.readline(min(limit, left))
        except OSError as error:
            raise _unreadable(path, error) from error
        left -= len(raw)
        digest.update(raw)
        return raw

    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a FIFO would block the opening itself
            raise AuditError(f"{path}: expected a file, got a folder, a FIFO or a device")
        file = open(path, "rb")  # noqa: SIM115 - what the consumer raises is none of this
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        yield from read_lines(readline)


def _unreadable(path: str, error: OSError) -> AuditError:
    return AuditError(f"{path}: cannot be read: {error.strerror or error}")
