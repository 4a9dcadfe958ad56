"""The record at the far end is the record in the log."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import AuditFileLogExporter, AuditProvider, Source, Target, acting_as
from tests.chain import check, check_log
from tests.collector.collectors import Collector, turns
from tests.collector.copies import Arrivals, entries, records
from tests.collector.faithful import Way, differences

Start = Callable[..., Collector]

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "text": 'line\nfeed, quote ", backslash \\, é, \u2028, \u0000, \U0001f512',
    "int": 42,
    "least": -(2**63),
    "greatest": 2**63 - 1,
    "odd": 2**53 + 1,
    "beyond": 2**64,
    "whole float": 1.0,
    "negative zero": -0.0,
    "smallest": 5e-324,
    "largest": 1.7976931348623157e308,
    "nan": math.nan,
    "infinity": -math.inf,
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "list": [1, 1.5, "a", None, True, [], {}],
    "no list": [],
    "map": {"b": {"c": {"d": [{"e": 2**60}, {"$bytes": "not bytes"}]}}, "a": b"\x01"},
    "no map": {},
    "": "a name of nothing",
    "digest": {"$sha256": "given", "$size": 1},
}
LIKE_MEMBERS = {
    name: f"given as {name}"
    for name in (
        "seq", "time", "event_name", "severity_text", "severity_number", "body", "attributes", "trace_id", "span_id",
        "trace_flags", "observed_time", "resource", "scope", "prev_hash", "hash", "hmac", "line", "log.file.path",
    )
}  # fmt: skip
RESOURCE = Resource(
    {
        "service.name": "shop",
        "service.version": "1.0",
        "service.weight": 1.0,
        "service.count": 2**60,
        "service.tags": ["a"],
    }
)


def emit_all(provider: AuditProvider) -> None:
    """Emit every kind of value in every place, and every member of a record."""
    shop, other, own = (
        provider.get_audit_logger(name, version)
        for name, version in (("shop", "1.2.3"), ("shop", None), ("otel_audit", None))
    )
    shop.emit("values", attributes=VALUES)
    own.emit(
        "like.members", attributes={**LIKE_MEMBERS, "scope": {"name": "mine"}, "resource": {"service.name": "mine"}}
    )
    for value in VALUES.values():
        other.emit("body", body=value, attributes={"value": value})
    with (
        TracerProvider().get_tracer("test").start_as_current_span("span"),
        acting_as("ada@example.com", type="user"),
        acting_as("agent"),
    ):
        shop.emit(
            "whole.record",
            action="WRITE",
            outcome="failure",
            target=Target("src/a.py", "file"),
            source=Source("10.0.0.1", "address"),
            reason="because",
            severity_number=14,
            severity_text="notable",
            body={"seq": 1},
            timestamp_ns=1_700_000_000_123_456_789,
        )
        with own.start_action("an.action", attributes={"n": 1}) as action:
            action.set_attribute("m", 2)
    own.emit("severity.number", severity_number=9)
    own.emit("severity.text", severity_text="only text")
    own.emit("no time", timestamp_ns=0)
    own.emit("last nanosecond", timestamp_ns=time.time_ns() // 1_000_000_000 * 1_000_000_000 + 999_999_999)


def wait_for(copy: Path, seqs: set[int]) -> None:
    """Wait until all of these have reached the far end."""
    arrivals = Arrivals(copy)
    for _ in turns():
        if seqs <= arrivals.look():
            return


def raw_lines(path: Path) -> dict[int, bytes]:
    """Return the lines of a log of one segment, without LF, by ``seq``."""
    return {json.loads(line)["seq"]: line for line in path.read_bytes().split(b"\n")[:-1]}


def test_tail(collector: Start, tmp_path: Path) -> None:
    """By the tail way, every entry arrives with the fields of its line and the exact line, the log's own ones, too."""
    path = tmp_path / "audit.jsonl"
    gateway = collector("gateway", "gateway.yaml").start()
    collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=gateway.listen, OTEL_AUDIT_FILES=str(path)).start()
    with AuditProvider(AuditFileLogExporter(path, durability="os"), resource=RESOURCE) as provider:
        emit_all(provider)
    lines = raw_lines(path)
    assert len(lines) == len(check(path)) > 20
    copy = gateway.copy / "logs.jsonl"
    wait_for(copy, set(lines))
    copied = entries(copy)
    assert _differing(lines, copied, "tail") == {}
    assert {record.attributes["log.file.path"]["stringValue"] for [record] in copied.values()} >= {str(path)}


def test_otlp(collector: Start, tmp_path: Path) -> None:
    """By the OTLP way, every record arrives with the fields of its line; the log's own entries do not take it."""
    path = tmp_path / "audit.jsonl"
    gateway = collector("gateway", "gateway.yaml").start()
    quick = collector("otlp", "otlp.yaml", OTEL_AUDIT_GATEWAY=gateway.listen).start()
    exporter = OTLPLogExporter(endpoint=f"http://{quick.listen}", insecure=True)
    with AuditProvider(
        AuditFileLogExporter(path, durability="os"),
        resource=RESOURCE,
        processors=[SimpleLogRecordProcessor(exporter)],
    ) as provider:
        emit_all(provider)
    lines = raw_lines(path)
    stream = json.loads(lines[1])["attributes"]["audit.stream.id"]
    sent = {seq: line for seq, line in lines.items() if b'"event_name":"audit.log.' not in line}
    copy = gateway.copy / "logs.jsonl"
    wait_for(copy, set(sent))
    copied = entries(copy)
    assert set(copied) == set(sent)
    assert _differing(sent, copied, "otlp") == {}
    assert {record.attributes["audit.stream.id"]["stringValue"] for [record] in copied.values()} == {stream}


def _differing(lines: dict[int, bytes], copied: dict[int, Any], way: Way) -> dict[int, list[str]]:
    compared = {seq: differences(line, record, way) for seq, line in lines.items() for record in copied[seq]}
    return {seq: found for seq, found in compared.items() if found}


def test_large_lines(collector: Start, tmp_path: Path) -> None:
    """Lines of exactly 1 MiB arrive whole, with large maps and lists, however many stand in a row."""
    path = tmp_path / "audit.jsonl"
    with AuditProvider(AuditFileLogExporter(path, durability="os")) as provider:
        audit = provider.get_audit_logger("otel_audit")
        audit.emit("many", body=[-1] * 340_000)
        audit.emit("names", attributes={f"{number:05x}": {} for number in range(10_000)})
        largest = audit.emit("large", body="").seq
    whole = raw_lines(path)[largest]
    with path.open("ab") as file:
        for seq in range(100, 203):
            file.write(_padded(whole.replace(b'{"seq":%d,' % largest, b'{"seq":%d,' % seq), 2**20 - 1) + b"\n")
    lines = raw_lines(path)
    assert sum(len(line) == 2**20 - 1 for line in lines.values()) == 103
    gateway = collector("gateway", "gateway.yaml").start()
    tail = collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=gateway.listen, OTEL_AUDIT_FILES=str(path)).start()
    wait_for(gateway.copy / "logs.jsonl", set(lines))
    copied = entries(gateway.copy / "logs.jsonl")
    assert _differing(lines, copied, "tail") == {}
    assert tail.metrics().get("otelcol_exporter_send_failed_log_records", 0) == 0


def _padded(line: bytes, length: int) -> bytes:
    """Return the line with a longer body, sealed again."""
    prefix = line[:-75].replace(b'"body":""', b'"body":"%b"' % (b"x" * (length - len(line))))
    return b'%b,"hash":"%b"}' % (prefix, hashlib.sha256(prefix).hexdigest().encode())


def test_deep(collector: Start, tmp_path: Path) -> None:
    """By the tail way, a value at the greatest depth of a line arrives as it is."""
    path = tmp_path / "audit.jsonl"
    deep: Any = "bottom"
    for _ in range(61):
        deep = [deep]
    with AuditProvider(AuditFileLogExporter(path, durability="os")) as provider:
        provider.get_audit_logger("otel_audit").emit("deep", body=deep)
    gateway = collector("gateway", "gateway.yaml").start()
    collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=gateway.listen, OTEL_AUDIT_FILES=str(path)).start()
    lines = raw_lines(path)
    wait_for(gateway.copy / "logs.jsonl", set(lines))
    assert _differing(lines, entries(gateway.copy / "logs.jsonl"), "tail") == {}


def test_hostile_lines(collector: Start, tmp_path: Path) -> None:
    """A line that is no entry arrives as it stands, and keeps no entry from arriving; one without LF waits for it."""
    path = tmp_path / "audit.jsonl"
    with AuditProvider(AuditFileLogExporter(path, durability="os")) as provider:
        provider.get_audit_logger("otel_audit").emit("first", body="b")
    good = path.read_bytes()
    hostile = [
        b'{"seq":4,"time":"2026-01-01T00:00:00.0000',
        b"\x00\x00\x00",
        b"null",
        b"[1]",
        b'"text"',
        b"{}",
        b'{"seq":"x","time":1,"event_name":[],"severity_text":7,"severity_number":"x","body":null,"attributes":"x"}',
        b'{"trace_id":"zz","observed_time":{},"resource":"x","scope":"x","prev_hash":1,"hash":null}',
        b'{"attributes":{"log.record.original":"forged","audit.sequence.number":7},"log.record.original":"forged"}',
        b'{"seq":1e999,"resource":{"line":{"line":1}},"scope":{"name":5,"version":6},"attributes":{"a":' + b"[" * 200,
        b"  spaces on both sides  ",
        b'{"seq":99}{"seq":100}',
    ]
    tail_less = b'{"seq":5,"time":"20'
    path.write_bytes(good.replace(b"\n", b"\n" + b"\n".join(hostile) + b"\n", 1) + tail_less)
    gateway = collector("gateway", "gateway.yaml").start()
    collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=gateway.listen, OTEL_AUDIT_FILES=str(path)).start()
    copy = gateway.copy / "logs.jsonl"
    wanted = {line.decode() for line in [*hostile, *good.split(b"\n")[:-1]]}
    for _ in turns():
        got = {record.original for record in records(copy)}
        if wanted <= got:
            break
    time.sleep(1)  # the receiver's own period, after which it would take what has no LF, is half of that
    assert {record.original for record in records(copy)} == wanted
    with path.open("ab") as file:
        file.write(b"26\n")
    for _ in turns():
        if tail_less.decode() + "26" in {record.original for record in records(copy)}:
            break


def test_another_log(collector: Start, tmp_path: Path) -> None:
    """Several logs and their segments under one pattern arrive, each record with its file's path."""
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("a", "b"):
        exporter = AuditFileLogExporter(logs / f"{name}.jsonl", durability="os", max_segment_bytes=2**16)
        with AuditProvider(exporter) as provider:
            audit = provider.get_audit_logger("otel_audit")
            for _ in range(60):
                audit.emit("one.of.many", attributes={"number": "x" * 20_000})
    segments = {str(path) for path in logs.glob("*.jsonl")}
    assert len(segments) > 20
    total = sum(len(check_log(logs / f"{name}.jsonl")) for name in ("a", "b"))
    gateway = collector("gateway", "gateway.yaml").start()
    collector("tail", "tail.yaml", OTEL_AUDIT_GATEWAY=gateway.listen, OTEL_AUDIT_FILES=f"{logs}/*.jsonl").start()
    for _ in turns():
        found = list(records(gateway.copy / "logs.jsonl"))
        if len(found) >= total:
            break
    assert len(found) == total
    assert {record.attributes["log.file.path"]["stringValue"] for record in found} == segments
