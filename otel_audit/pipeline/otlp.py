"""Copies by OTLP, configured by OpenTelemetry's own ``OTEL_EXPORTER_OTLP_*`` variables.

A live copy never holds up the file: it waits in a queue that drops the oldest when it is full.
What the queue could not send is counted, and ``otel-audit resend`` sends it later.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk._logs import ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult

_log = logging.getLogger(__name__)

_NUMBER: Final = "otel_audit_copy_number"


class OtlpLogRecordProcessor(BatchLogRecordProcessor):
    """The SDK's batch processor, which also knows what it could not send. Thread-safe.

    Args:
        exporter: Sends.
    """

    def __init__(self, exporter: LogRecordExporter) -> None:
        self._counts = _Counts()
        _all_counts.append(self._counts)
        super().__init__(_CountingExporter(exporter, self._counts))

    @property
    def unsent(self) -> int:
        """Records that the full queue dropped, or that the endpoint did not take. Known once the next batch is."""
        return self._counts.total()

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a copy. Returns at once; the oldest is dropped where the queue is full."""
        counts = self._counts
        # in the order of the queue, so that a gap tells how many were dropped
        with counts.lock:
            counts.handed += 1
            setattr(log_record.log_record, _NUMBER, counts.handed)
            super().on_emit(log_record)

    def shutdown(self) -> None:
        """Send what waits, as long as the SDK allows; what is left then is unsent."""
        super().shutdown()  # type: ignore[no-untyped-call]
        self._counts.over = True


def is_sendable(*times_ns: int | None) -> bool:
    """Whether OTLP can hold these times: nanoseconds since 1970 in 64 bits without a sign."""
    return all(time_ns is None or 0 <= time_ns < 2**64 for time_ns in times_ns)


def unsent_total() -> int | None:
    """Return what all processors of this process could not send, those that are gone too; None: there was none."""
    return sum(counts.total() for counts in list(_all_counts)) if _all_counts else None


class _Counts:
    """How many copies were handed over, taken from the queue, and acknowledged."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a forked child: what waits in the queue is the parent's."""
        self.lock = threading.RLock()  # the SDK logs a full queue, and a logging handler may emit
        self.handed = 0
        self.taken = 0
        self.acknowledged = 0
        self.unsent = 0
        self.over = False

    def total(self) -> int:
        return self.handed - self.acknowledged if self.over else self.unsent


class _CountingExporter(LogRecordExporter):
    def __init__(self, exporter: LogRecordExporter, counts: _Counts) -> None:
        self.exporter = exporter
        self._counts = counts

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        counts = self._counts
        first = getattr(batch[0].log_record, _NUMBER, counts.taken + 1)
        counts.unsent += max(0, first - 1 - counts.taken)
        counts.taken = first - 1 + len(batch)
        sendable = [
            record for record in batch if is_sendable(record.log_record.timestamp, record.log_record.observed_timestamp)
        ]
        if len(sendable) < len(batch):  # one of them would keep the whole batch from being sent
            counts.unsent += len(batch) - len(sendable)
            _log.warning("OTLP knows times from 1970 to 2554: %d records are not sent", len(batch) - len(sendable))
        result = LogRecordExportResult.FAILURE
        try:
            result = self.exporter.export(sendable) if sendable else LogRecordExportResult.SUCCESS
        finally:
            if result is LogRecordExportResult.SUCCESS:
                counts.acknowledged += len(sendable)
            else:
                counts.unsent += len(sendable)
        return result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self.exporter.shutdown()  # type: ignore[no-untyped-call]


def _forget() -> None:
    for counts in _all_counts:
        counts.reset()


_all_counts: Final[list[_Counts]] = []
os.register_at_fork(after_in_child=_forget)
