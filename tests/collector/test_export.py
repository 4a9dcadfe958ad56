"""What ``otel-audit export --format otlp-json`` writes, a real collector takes, and what it wrote is the log."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Callable
from pathlib import Path

from otel_audit import AuditFileLogExporter, AuditProvider
from otel_audit.cli import main
from otel_audit.reconcile import reconcile
from tests import logs, strange
from tests.collector.collectors import Collector
from tests.collector.copies import entries
from tests.collector.faithful import differences
from tests.collector.test_record import RESOURCE, emit_all, raw_lines, wait_for

Start = Callable[..., Collector]


def post(gateway: Collector, export: Path) -> None:
    """Send each line of an export, as docs/export.md does with curl."""
    host, _, port = gateway.listen_http.rpartition(":")
    for request in export.read_bytes().splitlines():
        with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=30)) as connection:
            connection.request("POST", "/v1/logs", request, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            assert response.status == 200, answer
            assert b"rejected" not in answer


def exported(log: Path, export: Path, gateway: Collector) -> Path:
    """Export a log, send it to a collector, and return what the collector wrote."""
    assert main(["export", str(log), "--format", "otlp-json", "-o", str(export)]) == 0
    post(gateway, export)
    return gateway.copy / "logs.jsonl"


def test_every_kind_of_value(collector: Start, tmp_path: Path) -> None:
    """Each member of each entry arrives as by the tail way: times, integers, maps, ids, resource, stamps, line."""
    path = tmp_path / "audit.jsonl"
    gateway = collector("gateway", "gateway.yaml").start()
    with AuditProvider(AuditFileLogExporter(path, durability="os"), resource=RESOURCE) as provider:
        emit_all(provider)
    copy = exported(path, tmp_path / "export.json", gateway)
    lines = raw_lines(path)
    wait_for(copy, set(lines))
    copied = entries(copy)
    assert set(copied) == set(lines)
    for seq, line in lines.items():
        [record] = copied[seq]
        stream_id = record.attributes.pop("audit.stream.id")
        if b'"audit.stream.id"' in line:  # `opened` has it itself
            record.attributes["audit.stream.id"] = stream_id
        record.attributes.setdefault("log.file.path", {"stringValue": str(path)})
        assert differences(line, record, "tail") == []
    report = reconcile(path, [copy])
    assert (report.findings, report.copied) == ((), len(lines))


def test_strange_content(collector: Start, tmp_path: Path) -> None:
    """Whatever stands in a log, what the collector wrote of its export is equal to it."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(strange.lines()))
    gateway = collector("gateway", "gateway.yaml").start()
    copy = exported(path, tmp_path / "export.json", gateway)
    wait_for(copy, set(raw_lines(path)))
    report = reconcile(path, [copy])
    assert (report.findings, report.copied) == ((), len(strange.lines()))


def test_large_lines(collector: Start, tmp_path: Path) -> None:
    """Lines of nearly 1 MiB fit into requests that a collector takes."""
    path = tmp_path / "audit.jsonl"
    members = [logs.opened(), *(logs.entry(seq, large="\u202e" * 340_000) for seq in range(2, 6))]
    path.write_bytes(logs.join(logs.chain(members)))
    gateway = collector("gateway", "gateway.yaml").start()
    copy = exported(path, tmp_path / "export.json", gateway)
    wait_for(copy, set(range(1, 6)))
    assert reconcile(path, [copy]).findings == ()
