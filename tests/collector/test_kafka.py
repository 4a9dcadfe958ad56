"""`collector-config/backends/kafka.yaml` with a real broker, read back by Kafka's own consumer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_audit import AuditFileLogExporter, AuditProvider
from tests.chain import segments
from tests.collector.broker import Broker
from tests.collector.collectors import Collector, turns
from tests.collector.copies import Arrivals
from tests.collector.faithful import compare, lines_of, ranges
from tests.collector.writer import writers

ENTRIES = 4_000
SEGMENT_BYTES = 400_000
DEADLINE_SECONDS = 60
BUILD = Path(__file__).parent / "kafka" / "build"

Start = Callable[..., Collector]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker that runs; its parts are fetched where they are not there yet."""
    done = subprocess.run([BUILD], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    one = Broker(Path(done.stdout.strip()), tmp_path_factory.mktemp("kafka"))
    try:
        yield one.start()
    finally:
        one.close()


def gateway_to(broker: Broker, topic: str, collector: Start) -> Collector:
    """Return a gateway, not started yet, that sends to a topic."""
    environ = {"OTEL_AUDIT_KAFKA_BROKERS": f"[{broker.address}]", "OTEL_AUDIT_KAFKA_TOPIC": topic}
    return collector("gateway", "gateway.yaml", "backends/kafka.yaml", **environ)


def wait_for_entries(arrivals: Arrivals, count: int) -> None:
    for _ in turns(DEADLINE_SECONDS):
        if len(arrivals.look()) >= count:
            return


def wait_for_queue(gateway: Collector, *, empty: bool) -> None:
    for _ in turns(DEADLINE_SECONDS):
        if (gateway.metrics().get("otelcol_exporter_queue_size") == 0) is empty:
            return


def otel_audit(*arguments: str, stdin: Path) -> str:
    """Return what a command prints that finds nothing wrong."""
    command = [sys.executable, "-m", "otel_audit", *arguments]
    with stdin.open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_delivery(broker: Broker, collector: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The topic has every entry at least once, as it stands in the log, though gateway and broker are killed."""
    path, topic = tmp_path / "audit.jsonl", tmp_path / "topic.jsonl"
    gateway = gateway_to(broker, "delivered", collector).start()
    environ = {"OTEL_AUDIT_GATEWAY": gateway.listen, "OTEL_AUDIT_FILES": str(tmp_path / "audit*.jsonl")}
    collector("tail", "tail.yaml", **environ).start()
    arrivals = Arrivals(gateway.copy / "logs.jsonl")
    with writers(path, ENTRIES, SEGMENT_BYTES) as processes:
        wait_for_entries(arrivals, ENTRIES // 4)
        gateway.kill()
        gateway.start()
        wait_for_entries(arrivals, ENTRIES // 2)
        broker.kill()
        wait_for_entries(arrivals, ENTRIES * 3 // 4)  # the copy goes on, and the queue to the topic waits on disk
        wait_for_queue(gateway, empty=False)
        gateway.kill()
        gateway.start()
        broker.start()
        assert [process.wait(DEADLINE_SECONDS) for process in processes] == [0] * len(processes)
    lines = lines_of(path)
    assert len(segments(path)) > 5
    wait_for_entries(arrivals, len(lines))
    for _ in range(2):  # what has just reached the copy may not stand in the queue yet
        wait_for_queue(gateway, empty=True)
        broker.read("delivered", topic)
    compared = compare(lines, topic, "tail")  # takes the hash of each log.record.original, too
    with capsys.disabled():
        sys.stdout.write(
            f"\nKafka: {len(lines)} entries, {len(compared.missing)} missing, {compared.doubles} doubles\n"
        )
    assert ranges(compared.missing) == ""
    assert compared.differing == {}
    assert compared.foreign == set()
    said = otel_audit("reconcile", str(path), "-", stdin=topic)
    assert said.startswith(f"{path}: the copies agree: all of {len(lines):,} entries, head seq ")


def test_spans(broker: Broker, collector: Start, tmp_path: Path) -> None:
    """Spans go to a topic of their own, from which `otel-audit trace` reads the span of an entry."""
    path, topic = tmp_path / "audit.jsonl", tmp_path / "topic.jsonl"
    gateway = gateway_to(broker, "traced", collector).start()
    resource = Resource({"service.name": "agent"})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"http://{gateway.listen}", insecure=True))
    )
    with (
        AuditProvider(AuditFileLogExporter(path, durability="os"), resource=resource) as provider,
        tracers.get_tracer("agent").start_as_current_span("answer") as span,
    ):
        provider.get_audit_logger("agent").emit("file.read", action="READ", target="notes")
    tracers.shutdown()
    for _ in turns():
        broker.read("traced.traces", topic)
        if topic.stat().st_size:
            break
    trace_id = f"{span.get_span_context().trace_id:032x}"
    said = otel_audit("trace", trace_id, str(path), "--spans", "-", stdin=topic)
    assert said.startswith(f"trace {trace_id}: 1 span, 1 entry\nanswer  agent  ")
    assert "  file.read  READ  success  by agent  on notes\n" in said
