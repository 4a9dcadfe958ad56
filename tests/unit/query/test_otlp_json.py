"""`otel_audit.query.otlp_json`: requests that are the log's entries; in tests/collector a real collector takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_audit.entry import parse_entry
from otel_audit.query import otlp_json
from otel_audit.query.otlp_json import otlp_requests
from otel_audit.reconcile import reconcile
from tests import copies, logs, strange


def requests(lines: list[bytes], stream_id: str | None = logs.STREAM_ID) -> list[bytes]:
    """Return the requests of a log."""
    return list(otlp_requests((parse_entry(line), stream_id) for line in lines))


def records(made: list[bytes]) -> list[dict[str, Any]]:
    """Return the log records in requests."""
    return [
        record
        for request in made
        for group in json.loads(request)["resourceLogs"]
        for scoped in group["scopeLogs"]
        for record in scoped["logRecords"]
    ]


def test_reconcile(tmp_path: Path) -> None:
    """`reconcile` finds every entry of the log in them, as it stands."""
    lines = strange.lines()
    log, copy = tmp_path / "audit.jsonl", tmp_path / "logs.jsonl"
    log.write_bytes(logs.join(lines))
    copy.write_bytes(b"".join(requests(lines)))
    report = reconcile(log, [copy])
    assert (report.findings, report.copied, report.entries) == ((), len(lines), len(lines))


def test_same_record_as_a_collector_makes() -> None:
    """The records are those that the tests' own model of a collector's copy has, the stream's id besides."""
    lines = logs.log(20)
    wanted = []
    for line in lines:
        record = copies.log_record(line, original=True)
        record.setdefault("body", {})
        copies.set_attribute(record, "audit.stream.id", {"stringValue": logs.STREAM_ID})
        wanted.append(record)
    got = records(requests(lines))
    for one in (*wanted, *got):
        one.setdefault("body", {})
        one["attributes"].sort(key=lambda pair: pair["key"])
    assert got == wanted


def test_inert() -> None:
    """Requests hold no character that could move a terminal's cursor, and the values are what they were."""
    made = requests(strange.lines())
    assert strange.is_inert(b"".join(made).decode())
    originals = [
        pair["value"]["stringValue"]
        for record in records(made)
        for pair in record["attributes"]
        if pair["key"] == "log.record.original"
    ]
    assert originals == [line.decode() for line in strange.lines()]


def test_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request has a bounded number of entries, and of bytes."""
    monkeypatch.setattr(otlp_json, "MAX_BATCH", 7)
    assert [len(records([one])) for one in requests(logs.log(16))] == [7, 7, 2]
    monkeypatch.setattr(otlp_json, "MAX_BATCH_BYTES", 1500)
    assert [len(records([one])) for one in requests(logs.log(6)[1:])] == [2, 2, 1]


def test_resource_and_scope() -> None:
    """Entries in a row that share resource and scope share them in the request, too; others have their own."""
    members = [logs.opened(), *(logs.entry(seq) for seq in range(2, 6))]
    members[3]["resource"] = {"service.name": "other"}
    [made] = requests(list(logs.chain(members)))
    groups = json.loads(made)["resourceLogs"]
    assert [len(group["scopeLogs"][0]["logRecords"]) for group in groups] == [1, 2, 1, 1]
    assert [group["scopeLogs"][0]["scope"] for group in groups] == [{"name": "otel_audit"}, *[{"name": "shop"}] * 3]


def test_no_stream() -> None:
    """Where the log's id is not known, records carry none."""
    [made] = requests(logs.log(3)[1:], None)
    assert b"audit.stream.id" not in made
