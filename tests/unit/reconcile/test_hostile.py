"""Copies that were made to harm: an answer, or one clear error, in bounded memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from otel_audit import AuditVerifyError
from otel_audit.log_files import find_log
from otel_audit.reconcile import reconcile
from otel_audit.reconcile.copy_file import MAX_LINE_BYTES, CopyFile, read_lines
from otel_audit.reconcile.log_index import LogIndex
from tests import copies, logs

DEEP = 100_000


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the path of a sound log of 20 entries."""
    (tmp_path / "audit.jsonl").write_bytes(logs.join(logs.log(20)))
    return tmp_path / "audit.jsonl"


def against(log: Path, *lines: bytes) -> tuple[int, str | None]:
    """Compare with a whole copy among strange lines; return how many of them were unreadable, and why the first."""
    whole = copies.copy(logs.log(20))
    (log.parent / "copy").write_bytes(logs.join(lines) + whole + logs.join(lines))
    report = reconcile(log, [log.parent / "copy"])
    assert not report.findings
    assert report.agrees is (report.unreadable == 0)
    return report.unreadable, report.unreadable_first


UNREADABLE = {
    "text": b"hello",
    "number": b"17",
    "array": b"[]",
    "other object": b'{"a":1}',
    "not UTF-8": b'{"resourceLogs":[{"\xff":1}]}',
    "open": b'{"resourceLogs":[',
    "deep arrays": b'{"resourceLogs":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep and open": b'{"resourceLogs":[' + b'{"a":' * DEEP + b"1]}",
    "member twice": b'{"resourceLogs":[],"resourceLogs":[]}',
    "member twice, escaped": b'{"resourceLogs":[],"resource\\u004cogs":[]}',
    "lone surrogate": b'{"resourceLogs":[{"a":"\\ud800"}]}',
    "NaN": b'{"resourceLogs":[{"a":NaN}]}',
    "resourceLogs is text": b'{"resourceLogs":"a"}',
    "resourceLogs of numbers": b'{"resourceLogs":[1]}',
    "scopeLogs is a map": b'{"resourceLogs":[{"scopeLogs":{}}]}',
    "scope is a number": b'{"resourceLogs":[{"scopeLogs":[{"scope":1}]}]}',
    "records of text": b'{"resourceLogs":[{"scopeLogs":[{"logRecords":["a"]}]}]}',
    "line without an end": b'{"seq":1,"time":"',
    "line without a number": b'{"seq":x}',
    "seq beyond 2^53": b'{"seq":9007199254740992,"time":""}',
    "seq of 10,000 digits": b'{"seq":' + b"9" * 10_000 + b',"time":""}',
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable(name: str, log: Path) -> None:
    """A line that holds nothing that can be read is counted, and the rest of the copy is compared."""
    count, first = against(log, UNREADABLE[name])
    assert count == 2
    assert first is not None
    assert first.startswith(f"{log.parent / 'copy'}:1: ")


@pytest.mark.parametrize("depth", [250, 298, 299, 300, 500, 990, 1020, 1030, DEEP])
def test_depth_that_some_readers_take(depth: int, log: Path) -> None:
    """Nesting about what JSON readers stop at, and far beyond, is read."""
    assert against(log, b'{"resourceLogs":[],"a":' + b"[" * depth + b"]" * depth + b"}") == (0, None)
    assert against(log, b'{"resourceLogs":[' + b'{"a":' * depth + b"1" + b"}" * depth + b"]}") == (0, None)


@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("depth", [101, 400, DEEP])
@pytest.mark.parametrize("at", [0, 3, 20])
@pytest.mark.parametrize("member", ["body", "attributes", "resource"])
def test_deep_record_hides_no_other(member: str, at: int, depth: int, original: bool, log: Path) -> None:
    """A record that nests too deep for any reader hides none of those that were sent with it."""
    lines = logs.log(20)
    deep = b'{"stringValue":"[\\"{"}'
    for _ in range(2):
        deep = b'{"arrayValue":{"values":[' * depth + deep + b"]}}" * depth
    made = copies.request(lines, original=original)
    junk: dict[str, Any] = {"resource": {}, "scopeLogs": [{"scope": {}, "logRecords": [{"body": "DEEP"}]}]}
    if member == "attributes":
        junk["scopeLogs"][0]["logRecords"] = [{"attributes": [{"key": "a", "value": "DEEP"}]}]
    elif member == "resource":
        junk["resource"] = {"attributes": [{"key": "a", "value": "DEEP"}]}
    made["resourceLogs"].insert(at, junk)
    (log.parent / "copy").write_bytes(logs.dump(made).replace(b'"DEEP"', deep) + b"\n")
    log.write_bytes(logs.join(lines[:10]))
    report = reconcile(log, [log.parent / "copy"])
    assert [(one.kind, one.seq, one.last_seq) for one in report.findings] == [("truncated", 11, 20)]
    assert (report.foreign, report.unreadable) == (1, 0)


def test_deep_value_is_not_the_same(log: Path) -> None:
    """What is cut out of a deep record is equal to nothing that a line can have."""
    made = copies.request(logs.log(20), original=False)
    copies.set_attribute(copies.record_of(made, 9), "audit.actor.id", {"stringValue": "DEEP"})
    deep = b"[" * DEEP + b"]" * DEEP
    (log.parent / "copy").write_bytes(logs.dump(made).replace(b'{"stringValue":"DEEP"}', deep) + b"\n")
    report = reconcile(log, [log.parent / "copy"])
    assert [(one.kind, one.seq) for one in report.findings] == [("altered", 10)]


RECORDS: dict[str, object] = {
    "attributes are text": {"attributes": "a"},
    "attributes of numbers": {"attributes": [1, None]},
    "attributes without names": {"attributes": [{}, {"key": 1}, {"key": None, "value": 1}]},
    "values of no type": {"attributes": [*copies.key_values({"audit.action": "A"}), {"key": "a", "value": 3}]},
    "seq is text": {"attributes": [{"key": "audit.sequence.number", "value": {"stringValue": "1"}}]},
    "seq is no number": {"attributes": [{"key": "audit.sequence.number", "value": {"intValue": "1x"}}]},
    "seq is zero": {"attributes": [{"key": "audit.sequence.number", "value": {"intValue": "0"}}]},
    "seq is too large": {"attributes": [{"key": "audit.sequence.number", "value": {"intValue": "9007199254740992"}}]},
    "seq is a list": {"attributes": [{"key": "audit.sequence.number", "value": {"arrayValue": {"values": 3}}}]},
    "original is no line": {"attributes": copies.key_values({"log.record.original": "no line"})},
    "original ends early": {"attributes": copies.key_values({"log.record.original": '{"seq":3,'})},
    "original is a number": {"attributes": copies.key_values({"log.record.original": 5})},
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_wrong_types(name: str, log: Path) -> None:
    """A record of wrong types is no entry: counted, and left out."""
    made = {"resourceLogs": [{"scopeLogs": [{"logRecords": [RECORDS[name]]}]}]}
    assert against(log, json.dumps(made).encode()) == (0, None)


@pytest.mark.parametrize(
    "member",
    ["timeUnixNano", "observedTimeUnixNano", "body", "severityNumber", "severityText", "traceId", "spanId", "flags"],
)
@pytest.mark.parametrize("value", [[], {"a": 1}, "x" * 30, 1.5, True, -1, "9" * 5000])
def test_members_of_wrong_types(member: str, value: object, log: Path) -> None:
    """A member of a wrong type is a difference, not a crash."""
    made = copies.request(logs.log(20))
    copies.record_of(made, 9)[member] = value
    (log.parent / "copy").write_bytes(logs.dump(made))
    report = reconcile(log, [log.parent / "copy"])
    assert [(finding.kind, finding.seq) for finding in report.findings] == [("altered", 10)]


@pytest.mark.parametrize("data", [b"hello\n", b"\x00" * 5000, b'{"a":1}\n' * 3, b"seq\n1\n"])
def test_no_copy_at_all(data: bytes, log: Path) -> None:
    """A file that holds nothing that can be read is refused, not taken for an empty copy."""
    (log.parent / "copy").write_bytes(data)
    with pytest.raises(AuditVerifyError, match="expected OTLP JSON or lines of an audit log: .*copy:1: "):
        reconcile(log, [log.parent / "copy"])


def test_compressed(log: Path) -> None:
    """A compressed file is refused with a word on what to do."""
    (log.parent / "copy").write_bytes(b"\x1f\x8b\x08\x00" + b"\x00" * 100)
    with pytest.raises(AuditVerifyError, match=r"expected text, got gzip: unpack it"):
        reconcile(log, [log.parent / "copy"])


def test_endless_line() -> None:
    """Of a line without end no more is held than a line may have."""
    pieces: Iterator[bytes] = iter([b"x" * (1 << 20)] * 300 + [b"\nwhole\nend"])
    tracemalloc.start()
    lines = list(read_lines(CopyFile("copy", None, lambda _: next(pieces, b""))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(line.number, line.data, line.whole) for line in lines] == [
        (1, None, True),
        (2, b"whole", True),
        (3, b"end", False),
    ]
    assert peak < 3 * MAX_LINE_BYTES


def test_scattered_seqs(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that names seqs all over cannot fill the memory."""
    monkeypatch.setattr("otel_audit.reconcile.reconciler.MAX_SCATTERED", 100)
    lines = logs.log(20)
    record = copies.log_record(lines[-1], original=False)
    scattered = []
    for number in range(101):
        record["attributes"] = [
            pair for pair in record["attributes"] if pair["key"] != "audit.sequence.number"
        ] + copies.key_values({"audit.sequence.number": 10_000 * (number + 1)})
        scattered.append(dict(record))
    made = {"resourceLogs": [{"scopeLogs": [{"logRecords": scattered}]}]}
    (log.parent / "copy").write_bytes(json.dumps(made).encode())
    with pytest.raises(AuditVerifyError, match="expected copies of one log"):
        reconcile(log, [log.parent / "copy"])


def test_broken_log(tmp_path: Path) -> None:
    """A log out of order, with doubles, fragments and a line that is too long, can still be asked by seq."""
    lines = logs.log(30)
    held = [*lines[10:20], b"x" * (2 << 20), b"fragment", *lines[:10], b'{"seq":25,"', *lines[20:], *lines[5:8]]
    (tmp_path / "audit.jsonl").write_bytes(logs.join(held))
    with ExitStack() as stack:
        index = LogIndex(find_log(tmp_path / "audit.jsonl"), stack)
        assert [index.lines(seq)[0] for seq in range(1, 25)] == lines[:24]
        assert index.lines(7) == [lines[6], lines[6]]
        assert lines[24] in index.lines(25)
        assert index.lines(31) == []
        assert index.head == 30
        assert [(one.first, one.last) for one in index.spans()] == [(1, 30)]
    (tmp_path / "copy").write_bytes(copies.copy(lines))
    report = reconcile(tmp_path / "audit.jsonl", [tmp_path / "copy"])
    assert not report.findings
    assert not report.agrees
    assert report.entries == 30
    # out of order: 1 to 10, and 21 to 24 behind what begins as 25
    assert (report.log.not_entries, report.log.doubles, report.log.out_of_order) == (3, 3, 14)


def test_log_too_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log without any order is refused before its index fills the memory."""
    monkeypatch.setattr("otel_audit.reconcile.log_index.MAX_BREAKS", 10)
    (tmp_path / "audit.jsonl").write_bytes(logs.join(reversed(logs.log(30))))
    (tmp_path / "copy").write_bytes(b"")
    with pytest.raises(AuditVerifyError, match="not in order in over 10 places: verify it first"):
        reconcile(tmp_path / "audit.jsonl", [tmp_path / "copy"])
