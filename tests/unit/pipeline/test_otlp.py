"""The live copy: it never holds up the file, and what it could not send is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult

from otel_audit import configure, get_audit_logger
from otel_audit.pipeline.otlp import OtlpLogRecordProcessor


class Endpoint(LogRecordExporter):
    """Takes batches while it is open; holds them while it is stopped."""

    def __init__(self) -> None:
        self.result = LogRecordExportResult.SUCCESS
        self.go_on = threading.Event()
        self.go_on.set()
        self.reached = threading.Event()
        self.seqs: list[int] = []

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Take a batch, or refuse it."""
        self.reached.set()
        assert self.go_on.wait(60)
        if self.result is LogRecordExportResult.SUCCESS:
            self.seqs += [record.log_record.attributes["audit.sequence.number"] for record in batch]  # type: ignore[index,misc]
        return self.result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hold nothing."""
        return True

    def shutdown(self) -> None:
        """Do nothing."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """A queue of 20 copies, batches of 5."""
    monkeypatch.setenv("OTEL_BLRP_MAX_QUEUE_SIZE", "20")
    monkeypatch.setenv("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "5")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "10")
    return Endpoint()


def test_nothing_is_lost(endpoint: Endpoint, tmp_path: Path) -> None:
    """What the endpoint took is not counted."""
    processor = OtlpLogRecordProcessor(endpoint)
    with configure(tmp_path / "audit.jsonl", processors=[processor]) as provider:
        for _ in range(18):
            get_audit_logger("a").emit("sent")
        assert provider.force_flush()
        assert endpoint.seqs == list(range(2, 20))
        assert processor.unsent == 0
    assert processor.unsent == 0


def test_full_queue(endpoint: Endpoint, tmp_path: Path) -> None:
    """With the endpoint away emits go on; of what the queue held, the oldest are lost, and counted exactly."""
    processor = OtlpLogRecordProcessor(endpoint)
    with configure(tmp_path / "audit.jsonl", processors=[processor]) as provider:
        audit = get_audit_logger("a")
        endpoint.go_on.clear()
        audit.emit("first")
        assert endpoint.reached.wait(60)  # the first is in the hands of the exporter, which waits
        receipts = [audit.emit("next") for _ in range(50)]
        endpoint.go_on.set()
        provider.force_flush()
        taken = set(endpoint.seqs)
        assert {receipt.seq for receipt in receipts[-20:]} <= taken
        assert len(taken) == len(endpoint.seqs) < 51
        assert processor.unsent == 51 - len(taken)


def test_times_that_otlp_cannot_hold(endpoint: Endpoint, tmp_path: Path) -> None:
    """A record from before 1970 is counted as unsent, and keeps none beside it from being sent."""
    processor = OtlpLogRecordProcessor(endpoint)
    with configure(tmp_path / "audit.jsonl", processors=[processor]) as provider:
        audit = get_audit_logger("a")
        for timestamp_ns in (None, -1, 2**64, 0, None):
            audit.emit("sent", timestamp_ns=timestamp_ns)
        provider.force_flush()
        assert endpoint.seqs == [2, 5, 6]
        assert processor.unsent == 2


def test_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    """What the endpoint did not take is counted."""
    processor = OtlpLogRecordProcessor(endpoint)
    with configure(tmp_path / "audit.jsonl", processors=[processor]) as provider:
        endpoint.result = LogRecordExportResult.FAILURE
        for _ in range(7):
            get_audit_logger("a").emit("refused")
        provider.force_flush()
        assert processor.unsent == 7
        endpoint.result = LogRecordExportResult.SUCCESS
        get_audit_logger("a").emit("taken")
        provider.force_flush()
        assert processor.unsent == 7
    assert processor.unsent == 7


def test_after_shutdown(endpoint: Endpoint, tmp_path: Path) -> None:
    """What comes after the processor is shut down is not sent, and counted."""
    processor = OtlpLogRecordProcessor(endpoint)
    with configure(tmp_path / "audit.jsonl", processors=[processor]):
        get_audit_logger("a").emit("taken")
        processor.shutdown()
        get_audit_logger("a").emit("too late")
        assert processor.unsent == 1


def test_fork(endpoint: Endpoint, tmp_path: Path) -> None:
    """A forked child counts its own copies: what waited at the fork is the parent's."""
    processor = OtlpLogRecordProcessor(endpoint)
    with configure(tmp_path / "audit.jsonl", processors=[processor]) as provider:
        endpoint.go_on.clear()
        get_audit_logger("a").emit("first")
        assert endpoint.reached.wait(60)
        for _ in range(8):
            get_audit_logger("a").emit("waits")
        pid = os.fork()
        if pid == 0:
            endpoint.go_on.set()
            endpoint.seqs.clear()
            get_audit_logger("a").emit("of the child")
            provider.force_flush()
            os._exit(0 if processor.unsent == 0 and len(endpoint.seqs) == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        endpoint.go_on.set()
        provider.force_flush()
        assert processor.unsent == 0


PROGRAM = textwrap.dedent(
    """
    import json, socket, sys
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    import otel_audit

    provider = otel_audit.configure(sys.argv[1], durability="os")
    audit = otel_audit.get_audit_logger("test")
    for _ in range(100):
        audit.emit("test.event")
    provider.force_flush()
    found = [
        [point.value for point in metric.data.data_points]
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "audit.records.unsent"
    ]
    print(json.dumps(found))
    """
)


@pytest.mark.parametrize(("processors", "found"), [("otlp", [[100]]), ("", [])])
def test_metric(processors: str, found: list[list[int]], tmp_path: Path) -> None:
    """With a port that nobody listens on, the metric says how many copies were not sent."""
    environ = os.environ | {
        "OTEL_AUDIT_PROCESSORS": processors,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "audit.jsonl")],
        capture_output=True,
        env=environ,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout) == found
