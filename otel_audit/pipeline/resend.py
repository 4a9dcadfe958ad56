"""Entries of a log, sent once more as the OpenTelemetry records that they are.

For what the live queue could not send. The records are those of docs/opentelemetry.md: the members
of the line, stamped with its place in the chain, the resource that the line carries.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from otel_audit import semconv
from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.errors import AuditError
from otel_audit.line import parse_time
from otel_audit.log_files import find_log
from otel_audit.reconcile.log_index import LogIndex
from otel_audit.reconcile.seq_set import SeqRange

from .log_record import NO_LIMITS, EventLogRecord
from .otlp import is_sendable
from .shallow import MAX_COPY_DEPTH, make_shallow

_log = logging.getLogger(__name__)

MAX_BATCH: Final = 512
MAX_BATCH_BYTES: Final = 1 << 20
"""Of lines in one request: receivers take 4 MiB by default."""


class NotAcknowledgedError(AuditError):
    """The endpoint did not take a batch; what was acknowledged before it is there."""


class Sent(NamedTuple):
    """How far a `resend` is.

    Attributes:
        entries: Acknowledged so far.
        last_seq: The last of them.
    """

    entries: int
    last_seq: int


class Resend:
    """Sends entries of a log, in ascending order; each batch waits for its acknowledgement.

    Args:
        path: The log.
        stack: Closes its files.
        after: Only entries behind this ``seq``.
        only: Only entries in these stretches; None: all.

    Attributes:
        total: Entries to send.
        unsendable: Entries so far with a time that OTLP cannot hold.
        malformed: Lines so far that begin as an entry and are none: they cannot be sent.

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        stack: contextlib.ExitStack,
        *,
        after: int = 0,
        only: Iterable[SeqRange] | None = None,
    ) -> None:
        self._index = LogIndex(find_log(path), stack)
        stretches = self._index.spans() if only is None else only
        self._stretches = [SeqRange(max(one.first, after + 1), one.last) for one in stretches if one.last > after]
        self.total = sum(one.size for one in self._stretches)
        self.malformed = 0
        self.unsendable = 0

    def send(self, exporter: LogRecordExporter) -> Iterator[Sent]:
        """Send; yield after each acknowledgement how far it is.

        Raises:
            NotAcknowledgedError: The endpoint did not take a batch, within the exporter's timeout.
        """
        entries = 0
        for batch in self._batches():
            sendable = [entry for entry in batch if _is_sendable(entry)]
            for entry in batch:
                if not _is_sendable(entry):
                    _log.warning("seq %d is not sent: OTLP knows times from 1970 to 2554 only", entry.seq)
            self.unsendable += len(batch) - len(sendable)
            records = [to_log_record(entry, self._index.declared.stream_id) for entry in sendable]
            if records and exporter.export(records) is not LogRecordExportResult.SUCCESS:
                raise NotAcknowledgedError(f"seq {batch[0].seq} to {batch[-1].seq}: the endpoint did not take them")
            entries += len(sendable)
            yield Sent(entries, batch[-1].seq)

    def _batches(self) -> Iterator[list[Entry]]:
        batch: list[Entry] = []
        size = 0
        for entry in self._entries():
            if batch and (len(batch) >= MAX_BATCH or size + len(entry.raw) > MAX_BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(entry)
            size += len(entry.raw)
        if batch:
            yield batch

    def _entries(self) -> Iterator[Entry]:
        for one in self._stretches:
            for seq in range(one.first, one.last + 1):
                for line in self._index.lines(seq):
                    try:
                        entry = parse_entry(line)
                    except MalformedLineError:  # `verify` names it
                        self.malformed += 1
                    else:
                        yield entry


def _is_sendable(entry: Entry) -> bool:
    return is_sendable(parse_time(entry.time), parse_time(entry.observed_time))


def to_log_record(entry: Entry, stream_id: str | None) -> ReadableLogRecord:
    """Return the record that an entry is, as a processor behind the file saw it.

    Args:
        entry: The entry.
        stream_id: ``audit.stream.id`` of its log.
    """
    number = entry.severity_number
    severity = SeverityNumber(number) if number is not None and 1 <= number <= 24 else None
    attributes = dict(entry.attributes)
    attributes[semconv.AUDIT_SEQUENCE_NUMBER] = entry.seq
    stamps = {
        semconv.AUDIT_STREAM_ID: stream_id,
        semconv.AUDIT_INTEGRITY_HASH: entry.hash,
        semconv.AUDIT_SEQUENCE_PREV_HASH: entry.prev_hash,
    }
    attributes.update({name: stamp for name, stamp in stamps.items() if stamp is not None})
    log = EventLogRecord(
        parse_time(entry.time), Context(), entry.event_name, attributes, entry.body, entry.severity_text, severity
    )
    log.observed_timestamp = parse_time(entry.observed_time)
    if entry.trace_id is not None and entry.span_id is not None:
        log.trace_id = int(entry.trace_id, 16)
        log.span_id = int(entry.span_id, 16)
        log.trace_flags = TraceFlags(int(entry.trace_flags or "0", 16))
    if entry.raw.count(b"[") + entry.raw.count(b"{") > MAX_COPY_DEPTH:
        make_shallow(log)
    scope = entry.scope or {"name": "otel_audit"}
    version = scope.get("version")
    return ReadableLogRecord(
        log_record=log,
        resource=Resource(entry.resource),  # type: ignore[arg-type]  # JSON values, as it gave them
        instrumentation_scope=InstrumentationScope(str(scope["name"]), None if version is None else str(version)),
        limits=NO_LIMITS,
    )
