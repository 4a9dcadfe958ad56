"""A bus file that hummbl-governance wrote: its lines, and the messages in them.

As shipped (1.5.1) a file is UTF-8 text of five columns, separated by tabs: time, from, to, type,
message. As its page promises, it is JSON Lines. Each line here may be either.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from otel_audit.errors import AuditRecordError, AuditVerifyError

from .message import Message, time_of
from .policy import problem_of

_logger = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 80 * 1024
"""A longer line is read in parts, and is no message: hummbl-governance takes 64 KiB of text.

With its message and its exact text both, a line of this length fits into an entry.
"""

_COLUMNS: Final = 5
_LOG_START: Final = b'{"seq":1,"time":"'
_KEYS: Final = (("from_id", "from"), ("to_id", "to"), ("msg_type", "type"), ("message",), ("timestamp",))


@dataclass(frozen=True, slots=True)
class BusLine:
    """One line of a bus file, or a part of a line that is too long.

    Attributes:
        number: From 1.
        part: From 1, of a line in parts; 0 of a whole line.
        raw: Its bytes, without the LF.
        message: None where it holds none.
        problem: Why it holds none.
    """

    number: int
    part: int
    raw: bytes
    message: Message | None
    problem: str | None


def is_bus_file(path: str) -> bool:
    """Return whether a file exists that has content and is no audit log.

    Raises:
        AuditVerifyError: It cannot be read.
    """
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(len(_LOG_START))
    except OSError as error:
        raise AuditVerifyError(f"{path}: {error.strerror}") from error
    # a log's first line can be torn anywhere
    return not _LOG_START.startswith(start)


def read_bus_file(path: str) -> Iterator[Message]:
    """Yield the messages of a bus file, lazily; lines that hold none are passed over, with a warning.

    Raises:
        AuditVerifyError: It cannot be read.
    """
    passed: list[int] = []
    count = 0
    try:
        with open(path, "rb") as file:
            for line in read_lines(file.readline):
                if line.message is not None:
                    yield line.message
                elif line.part < 2:
                    count += 1
                    passed = passed or [line.number]
    except OSError as error:
        raise AuditVerifyError(f"{path}: {error.strerror}") from error
    if count:
        _logger.warning("%s: passed over %d lines that hold no message, the first is line %d", path, count, passed[0])


def read_lines(readline: Callable[[int], bytes]) -> Iterator[BusLine]:
    """Yield the lines of a bus file, split at LF alone, in bounded memory.

    Args:
        readline: Returns the next line up to its LF, or as many bytes of it as it is told.
    """
    number = 0
    while raw := readline(MAX_LINE_BYTES + 1):
        number += 1
        if raw.endswith(b"\n"):
            yield parse_line(number, raw[:-1])
        elif len(raw) <= MAX_LINE_BYTES:
            yield BusLine(
                number, 0, raw, None, "expected a line feed at its end, got the end of the file: may be cut short"
            )
        else:
            yield from _parts(readline, number, raw)


def _parts(readline: Callable[[int], bytes], number: int, raw: bytes) -> Iterator[BusLine]:
    part = 0
    while raw:
        part += 1
        ends = raw.endswith(b"\n")
        problem = f"expected at most {MAX_LINE_BYTES} bytes, got more"
        yield BusLine(number, part, raw.removesuffix(b"\n"), None, problem)
        raw = b"" if ends else readline(MAX_LINE_BYTES + 1)


def parse_line(number: int, raw: bytes) -> BusLine:
    """Return a line with the message in it, or with the reason why there is none."""
    try:
        text = raw.decode()
        fields = _from_json(text) if text.lstrip().startswith("{") else _from_columns(text)
        timestamp, *others = fields
        problem = problem_of(*others)
        if problem is not None:
            raise _NoMessageError(problem)
        time_ns = time_of(timestamp)
    except UnicodeDecodeError as error:
        return BusLine(number, 0, raw, None, f"expected UTF-8, got another byte at {error.start}")
    except (AuditRecordError, _NoMessageError) as error:
        return BusLine(number, 0, raw, None, str(error))
    return BusLine(number, 0, raw, Message(timestamp, *others, time_ns=time_ns), None)


class _NoMessageError(Exception):
    """Why a line is no message."""


def _from_columns(text: str) -> tuple[str, str, str, str, str]:
    columns = text.removesuffix("\r").split("\t")
    # more of them: two lines grown together, or a time that was made to hold a whole row
    if len(columns) != _COLUMNS:
        raise _NoMessageError(f"expected {_COLUMNS} columns, got {len(columns)}")
    timestamp, from_id, to_id, msg_type, message = columns
    return timestamp, from_id, to_id, msg_type, message


def _from_json(text: str) -> tuple[str, str, str, str, str]:
    try:
        members = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise _NoMessageError("expected a JSON object, got another text") from None
    from_id, to_id, msg_type, message, timestamp = (_pick(members, names) for names in _KEYS)
    return timestamp, from_id, to_id, msg_type, message


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NoMessageError("expected each member once, got one twice")
    return members


def _pick(members: dict[str, Any], names: tuple[str, ...]) -> str:
    found = [members[name] for name in names if name in members]
    if len(found) != 1 or not isinstance(found[0], str):
        got = ", ".join(type(value).__name__ for value in found) or "none"
        raise _NoMessageError(f"expected one text as {' or '.join(names)}, got {got}")
    return found[0]
