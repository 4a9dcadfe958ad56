"""What a copy holds of an audit log: its records, one by one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from otel_audit import semconv
from otel_audit.chain import entry_hash
from otel_audit.line_form import MAX_SEQ
from otel_audit.reconcile.copy_file import MAX_LINE_BYTES, CopyFile, CopyLine, read_lines
from otel_audit.reconcile.otlp_json import (
    Telemetry,
    UnreadableError,
    attributes,
    integer,
    load,
    requests_in,
    telemetry,
    text,
)
from otel_audit.verify.seal import split_seal

_ENTRY: Final = b'{"seq":'
_OF_EXTRACTS: Final = ("extract", "left_out", "head")
_REQUEST: Final = b'{"resourceLogs":['
_HEAD: Final = re.compile(rb'\{"seq":([1-9][0-9]{0,15}),')
_PREV: Final = re.compile(rb',"prev_hash":"([0-9a-f]{64})"')
_PREV_BYTES: Final = 79
_DIGITS: Final = re.compile(r"[0-9a-f]{64}")


class Judgement(NamedTuple):
    """What a copied entry says of the log, or of itself.

    Attributes:
        kind: ``same``; ``altered``: the copy is not what was written; ``diverged``: the log is not
            what was copied.
        changed: Of what diverged: the content differs, not only the hashes that follow from it.
        expected: Of what differs.
        got: Likewise.
    """

    kind: Literal["same", "altered", "diverged"]
    changed: bool = False
    expected: str = ""
    got: str = ""


class Copied(NamedTuple):
    """One entry, as a copy has it.

    Attributes:
        seq: Its place.
        hash: What seals it; None where it has none.
        prev_hash: The same of the entry before.
        stream_id: Of the log that it belongs to; None where it does not say.
        line: The exact line; None where the copy has only the record.
        telemetry: The record; None where the copy has only the line.
        attributes: Those of the record, by name.
        altered: Why the copy cannot be what was written; None where nothing speaks against it.
        path: The copy.
        number: The line in it.
        judged: What it shows, where only that was kept of it.
        source: Of what waits: where it comes from (`otel_audit.reconcile.sources.Source`).
        sealed: Of what waits: the copy had the exact line, and that has the hash that it says.
        same_record: Of what waits: the log has a record with the same ``audit.record.id`` in its place.
    """

    seq: int
    hash: str | None
    prev_hash: str | None
    stream_id: str | None
    line: bytes | None
    telemetry: Telemetry | None
    attributes: dict[str, Any]
    altered: str | None
    path: str
    number: int
    judged: Judgement | None = None
    source: Any = None
    sealed: bool = False
    same_record: bool = False

    @property
    def contradicts(self) -> bool:
        """Of what waits: the log has this record in its place, with other hashes or other content."""
        if self.hash is None or self.judged is None or self.judged.kind != "diverged":
            return False
        return self.same_record or not self.judged.changed


@dataclass(slots=True)
class CopyCounts:
    """What was read of copies.

    Attributes:
        records: Log records and lines of any kind.
        foreign: Those that are no entries of an audit log.
        torn: Beginnings of requests or lines that a killed collector left.
        unreadable: Lines that hold nothing that can be read; ``first`` says where and why.
        bytes: So many.
    """

    records: int = 0
    foreign: int = 0
    torn: int = 0
    unreadable: int = 0
    first: str | None = None
    bytes: int = 0

    def add(self, more: CopyCounts) -> None:
        """Add what was read of the next copy; its bytes were counted on from these."""
        self.records += more.records
        self.foreign += more.foreign
        self.torn += more.torn
        self.unreadable += more.unreadable
        self.first = self.first or more.first
        self.bytes = more.bytes


def read_copied(copy: CopyFile, counts: CopyCounts, progress: Callable[[int], None] | None = None) -> Iterator[Copied]:
    """Yield the entries of audit logs in a copy, of whatever log, in the order of the copy.

    Args:
        copy: The copy.
        counts: Told what is read.
        progress: Told how many bytes were, line by line.

    Raises:
        AuditVerifyError: It cannot be read.
    """
    begun = counts.bytes
    for line in read_lines(copy):
        counts.bytes = begun + line.end
        if progress is not None:
            progress(counts.bytes)
        if line.data:
            yield from _read(line.data, line, copy.path, counts)
        elif line.data is None:
            _note(counts, copy.path, line, f"longer than {MAX_LINE_BYTES >> 20} MiB")


def is_sound(line: bytes) -> bool:
    """Whether a line's own hash is right; True where it has none to be wrong."""
    seal = split_seal(line)
    return seal is None or entry_hash(line[: seal.start]) == seal.hash


def _read(data: bytes, line: CopyLine, path: str, counts: CopyCounts) -> Iterator[Copied]:
    try:
        yield from _entries(data, line, path, counts)
    except UnreadableError as error:
        for at, rest in requests_in(data, _ENTRY if data.startswith(_ENTRY) else _REQUEST):
            try:
                found = list(_entries(rest, line, path, counts))
            except UnreadableError:
                continue
            counts.torn += at > 0
            yield from found
            return
        if line.whole or not data.startswith((_ENTRY, _REQUEST)):
            _note(counts, path, line, str(error))
        else:
            counts.torn += 1


def _entries(data: bytes, line: CopyLine, path: str, counts: CopyCounts) -> Iterator[Copied]:
    if data.startswith(_ENTRY):
        if data.find(_ENTRY, 1) > 0 and not is_sound(data):
            raise UnreadableError("the beginning of one line before another")
        yield _of_line(data, path, line.number, None, {})
        counts.records += 1
        return
    request = load(data)
    if "resourceLogs" not in request:
        # The other lines of an extract (docs/export.md) say of entries only what cannot be compared.
        if not {"resourceSpans", "resourceMetrics", *_OF_EXTRACTS} & request.keys():
            raise UnreadableError("neither an OTLP request nor a line of an audit log")
        counts.foreign += 1
        return
    # all of it first: a request that cannot be read to its end counts for nothing
    for copied in list(telemetry(request, "Logs")):
        counts.records += 1
        entry = _of_record(copied, path, line.number)
        if entry is None:
            counts.foreign += 1
        else:
            yield entry


def _of_line(
    data: bytes, path: str, number: int, record: Telemetry | None, found: dict[str, Any], altered: str | None = None
) -> Copied:
    match = _HEAD.match(data)
    if match is None or not data.endswith(b"}") or (seq := int(match.group(1))) > MAX_SEQ:
        raise UnreadableError("begins as a line of an audit log, and is none")
    seal = split_seal(data)
    prev = None if seal is None else _PREV.fullmatch(data, max(0, seal.start - _PREV_BYTES), seal.start)
    prev_hash = None if prev is None else prev.group(1).decode()
    stream_id = text(found.get(semconv.AUDIT_STREAM_ID))
    digits = None if seal is None else seal.hash
    return Copied(seq, digits, prev_hash, stream_id, data, record, found, altered, path, number)


def _of_record(copied: Telemetry, path: str, number: int) -> Copied | None:
    """Return the entry that a record is a copy of; None: it is no audit record."""
    altered = None
    try:
        found = attributes(copied.record.get("attributes") or ())
    except (UnreadableError, TypeError):
        found, altered = _leniently(copied.record.get("attributes")), "an attribute twice, or none"
    original = text(found.get(semconv.LOG_RECORD_ORIGINAL))
    of_line = None
    if original is not None and original.startswith('{"seq":'):
        with contextlib.suppress(UnreadableError, UnicodeEncodeError):
            of_line = _of_line(original.encode(), path, number, copied, found, altered)
    if of_line is not None and of_line.hash == text(found.get(semconv.AUDIT_INTEGRITY_HASH)) is not None:
        return of_line
    seq = integer(found.get(semconv.AUDIT_SEQUENCE_NUMBER))
    if seq is None or not 1 <= seq <= MAX_SEQ:
        return of_line
    digits = _digits(found, semconv.AUDIT_INTEGRITY_HASH)
    # A program may have an attribute of that name: the stamps say which entry the record is.
    if of_line is not None and digits is None and (of_line.hash or of_line.seq == seq):
        return of_line
    prev_hash = _digits(found, semconv.AUDIT_SEQUENCE_PREV_HASH)
    stream_id = text(found.get(semconv.AUDIT_STREAM_ID))
    return Copied(seq, digits, prev_hash, stream_id, None, copied, found, altered, path, number)


def _digits(found: dict[str, Any], name: str) -> str | None:
    digits = text(found.get(name))
    return digits if digits is not None and _DIGITS.fullmatch(digits) else None


def _leniently(pairs: object) -> dict[str, Any]:
    if not isinstance(pairs, list):
        return {}
    return {str(pair.get("key", "")): pair.get("value", {}) for pair in pairs if isinstance(pair, dict)}


def _note(counts: CopyCounts, path: str, line: CopyLine, reason: str) -> None:
    counts.unreadable += 1
    if counts.first is None:
        counts.first = f"{path}:{line.number}: {reason}"
