"""Hostile payloads through the real `emit` into a real file."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from otel_audit import verify_log
from otel_audit.entry import Entry, parse_line, unescape
from otel_audit.line import MAX_LINE_BYTES
from otel_audit.pipeline.logger import AuditLogger
from otel_audit.record import Actor, AuditRecord, Source, Target
from otel_audit.testing import CapturedAudit, capture_audit
from tests.hostile import ESCAPES, LIKE_A_SEAL, FailingMapping, LyingText, Payload, payloads, resolve, same

PLACES = ("body", "attribute", "argument", "result")


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log of its own for each test."""
    with capture_audit() as captured:
        yield captured


@pytest.fixture
def audit(log: CapturedAudit) -> AuditLogger:
    """A logger of the captured provider."""
    return log.provider.get_audit_logger("shop")


def emit_at(audit: AuditLogger, place: str, value: object) -> None:
    """Record a value in one of the places where a caller's values stand."""
    if place == "body":
        audit.emit("payload", body=value)
    elif place == "attribute":
        audit.emit("payload", attributes={"value": value})
    elif place == "argument":
        audit.start_action("payload", arguments={"value": value}, phases="outcome").end()
    else:
        action = audit.start_action("payload", phases="outcome")
        action.set_result(value)
        action.end()


def found_at(entry: Entry, place: str) -> tuple[str, Any]:
    """Return the pointer and the value of what `emit_at` recorded."""
    if place == "body":
        return "/body", entry.body
    if place == "attribute":
        return "/attributes/value", entry.attributes["value"]
    if place == "argument":
        arguments: Any = entry.attributes["audit.arguments"]
        if "value" in arguments:
            return "/attributes/audit.arguments/value", arguments["value"]
        return "/attributes/audit.arguments", arguments
    return "/attributes/audit.result", entry.attributes.get("audit.result")


def altered(entry: Entry) -> list[str]:
    """Return ``audit.altered``, each of whose pointers resolves in the line."""
    pointers: Any = entry.attributes.get("audit.altered", [])
    line = parse_line(entry.raw)
    for pointer in pointers:
        resolve(line, pointer)
    assert len(pointers) == len(set(pointers))
    return list(pointers)


@pytest.mark.parametrize("payload", payloads(), ids=lambda payload: payload.name)
def test_each_payload(log: CapturedAudit, audit: AuditLogger, payload: Payload) -> None:
    """Wherever it stands, a payload is stored as the format says, and marked where that is not as given."""
    for place in PLACES:
        emit_at(audit, place, payload.given)
    entries = log.entries
    assert len(entries) == len(PLACES)
    for place, entry in zip(PLACES, entries, strict=True):
        pointer, stored = found_at(entry, place)
        marked = altered(entry)
        assert bool(marked) == payload.altered, place
        assert all(inner == pointer or inner.startswith(pointer + "/") for inner in marked)
        if payload.stored is not None:
            assert same(stored, payload.stored), place
        if not payload.altered and type(payload.given) in (bool, int, float, str, bytes, dict):
            assert same(unescape(stored), payload.given), place
    report = verify_log(log.path)
    assert report.intact
    assert report.findings == ()


def test_all_payloads_in_one_record(log: CapturedAudit, audit: AuditLogger) -> None:
    """All of them in one record make one line, with none of them gone."""
    everything = {payload.name: payload.given for payload in payloads()}
    audit.emit("payload", attributes=everything)
    (entry,) = log.entries
    assert set(everything) <= set(entry.attributes)
    marked = {pointer.split("/")[2] for pointer in altered(entry)}
    assert marked >= {payload.name for payload in payloads() if payload.altered}
    assert len(entry.raw) < MAX_LINE_BYTES


def test_every_payload_goes_out_by_otlp() -> None:
    """What the processors behind the file see, the encoder of OTLP accepts, whatever the payload was."""
    memory = InMemoryLogRecordExporter()
    with capture_audit(processors=[SimpleLogRecordProcessor(memory)]) as behind:
        audit = behind.provider.get_audit_logger("shop")
        for payload, place in zip(payloads(), itertools.cycle(PLACES), strict=False):
            emit_at(audit, place, payload.given)
        seen = memory.get_finished_logs()
        assert len(seen) == len(behind.entries) == len(payloads())
        for record in seen:
            encoded = encode_logs([record]).SerializeToString()
            assert b"audit.integrity.hash" in encoded


@pytest.mark.parametrize("place", ["body", "attribute", "argument"])
@pytest.mark.parametrize("depth", [10, 27, 28, 29, 58, 70])
@pytest.mark.parametrize("kind", ["list", "map"])
def test_deep_values_go_out_by_otlp(place: str, depth: int, kind: str) -> None:
    """However deep a value nests, OTLP can carry the copy, which holds the deeper part as JSON text."""
    value: Any = "core"
    for _ in range(depth):
        value = [value] if kind == "list" else {"x": value}
    memory = InMemoryLogRecordExporter()
    with capture_audit(processors=[SimpleLogRecordProcessor(memory)]) as behind:
        emit_at(behind.provider.get_audit_logger("shop"), place, value)
        (entry,) = behind.entries
        assert (altered(entry) == []) == (depth <= 61)
    (record,) = memory.get_finished_logs()
    assert b"core" in encode_logs([record]).SerializeToString()


class TestMany:
    def test_ten_thousand_attributes(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """Ten thousand attributes stand in the line, as OpenTelemetry's limit of 128 is none of ours."""
        given = {f"key.{number}": number for number in range(10_000)}
        audit.emit("many", attributes=given)
        (entry,) = log.entries
        assert {name: value for name, value in entry.attributes.items() if name in given} == given
        assert altered(entry) == []

    def test_ten_thousand_long_names_each_altered(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """Where the names alone are too long, all but ``audit.*`` becomes one digest."""
        audit.emit("many", target="it", attributes={f"{n:0200}": float("nan") for n in range(10_000)})
        (entry,) = log.entries
        assert altered(entry) == ["/attributes/audit.rest"]
        assert set(entry.attributes["audit.rest"]) == {"$sha256", "$size"}  # type: ignore[call-overload]
        assert entry.attributes["audit.target.id"] == "it"
        assert all(name.startswith("audit.") for name in entry.attributes)

    def test_ten_thousand_large_values_each_altered(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """Ten thousand values that are too long together become digests, and no pointer is left dangling."""
        audit.emit("many", attributes={f"{n:05}": [float("nan"), "x" * 300] for n in range(5_000)})
        (entry,) = log.entries
        marked = altered(entry)
        digests = [name for name, value in entry.attributes.items() if isinstance(value, dict)]
        assert digests
        assert {f"/attributes/{name}" for name in digests} <= set(marked)
        assert len(marked) == 5_000

    def test_who_and_what_stay_readable(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """However much a payload fills the line, the ids of actor and target are never digested."""
        audit.emit(
            "many",
            actor=Actor("a" * 8192, "user"),
            target=Target("t" * 8192),
            reason="r" * 8192,
            attributes={f"{n:06}": "v" * 97 for n in range(20_000)},
        )
        (entry,) = log.entries
        assert entry.attributes["audit.actor.id"] == "a" * 8192
        assert entry.attributes["audit.target.id"] == "t" * 8192
        assert entry.attributes["audit.reason"] == "r" * 8192

    def test_largest_schema_with_largest_payload(self, log: CapturedAudit) -> None:
        """Every member as long as the schema allows, all of it escaped, still makes a line."""
        longest = "\x01" * 8192
        service = Resource({"service.name": longest * 20, **{f"service.{n}": longest for n in range(20)}})
        with capture_audit(resource=service) as captured:
            captured.provider.get_audit_logger("\x01" * 9999, "\x01" * 9999).emit(
                AuditRecord(
                    event_name="\x01" * 1024,
                    action="A" * 8192,
                    actor=Actor(longest),
                    target=Target(longest, longest),
                    source=Source(longest, longest),
                    reason=longest,
                    record_id=longest,
                    intent_id=longest,
                    trail=longest,
                    delegation=[longest] * 100,
                    error_type=longest,
                    severity_text="\x01" * 10_000,
                    body=longest * 100,
                    attributes={f"{n}{longest}": longest for n in range(100)},
                )
            )
            (entry,) = captured.entries
            assert entry.attributes["audit.actor.id"] == longest
            assert entry.attributes["audit.intent.id"] == longest
            assert "audit.rest" in entry.attributes
            assert verify_log(captured.path).intact


class TestLineLimit:
    @pytest.mark.parametrize("place", PLACES)
    def test_boundary(self, log: CapturedAudit, audit: AuditLogger, place: str) -> None:
        """Around 1 MiB a value is either whole or a digest, and the line never over 1 MiB with its LF."""
        emit_at(audit, place, "")
        overhead = len(log.entries[0].raw) + 1
        lengths = [MAX_LINE_BYTES - overhead + delta for delta in (*range(-600, -100, 7), *range(-100, 40))]
        for length in lengths:
            emit_at(audit, place, "x" * length)
        kinds = []
        for entry, length in zip(log.entries[1:], lengths, strict=True):
            assert len(entry.raw) + 1 <= MAX_LINE_BYTES
            _, value = found_at(entry, place)
            whole = value == "x" * length
            assert whole == (altered(entry) == [])
            assert whole or "$sha256" in value
            kinds.append(whole)
        assert kinds == sorted(kinds, reverse=True)
        assert kinds[0]
        assert not kinds[-1]

    def test_digest(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """The digest is of the value's JSON: whoever has the value can check it."""
        audit.emit("large", body="x" * 2_000_000)
        encoded = json.dumps("x" * 2_000_000).encode()
        assert log.entries[0].body == {"$sha256": hashlib.sha256(encoded).hexdigest(), "$size": 2_000_002}

    def test_largest_first(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """The largest values become digests, and no more of them than the line needs."""
        audit.emit("large", body="b" * 400_000, attributes={"a": "a" * 300_000, "c": "c" * 500_000, "d": "d"})
        (entry,) = log.entries
        assert altered(entry) == ["/attributes/c"]
        assert entry.body == "b" * 400_000
        assert entry.attributes["a"] == "a" * 300_000


class TestMaps:
    def test_names_that_begin_with_a_dollar(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """An attribute's name that begins with ``$`` is written with one more, so no form can be forged."""
        audit.emit("maps", attributes={"$bytes": "AA==", "$$x": 1})
        (entry,) = log.entries
        assert entry.attributes["$$bytes"] == "AA=="
        assert entry.attributes["$$$x"] == 1
        assert altered(entry) == []

    def test_names_that_are_no_strings(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """Attributes whose names are no strings are stored under ``str()`` of them, marked."""
        audit.emit("maps", attributes={1: "a", (2, 3): "b", None: "c"})  # type: ignore[dict-item]
        (entry,) = log.entries
        assert [entry.attributes[name] for name in ("1", "(2, 3)", "None")] == ["a", "b", "c"]
        assert altered(entry) == ["/attributes/1", "/attributes/(2, 3)", "/attributes/None"]

    def test_names_that_collide(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """Of two attributes whose names become equal none replaces the other."""
        audit.emit("maps", attributes={"1": "a", 1: "b", "\ud800": "c", "\ufffd": "d"})  # type: ignore[dict-item]
        (entry,) = log.entries
        stored = {name: value for name, value in entry.attributes.items() if not name.startswith("audit.")}
        assert stored == {"1": "a", "given.1": "b", "\ufffd": "c", "given.\ufffd": "d"}
        assert altered(entry) == ["/attributes/given.1", "/attributes/\ufffd", "/attributes/given.\ufffd"]

    @pytest.mark.parametrize("given", [[1, 2], "text", 5, FailingMapping({"a": 1}), object])
    def test_no_mapping(self, log: CapturedAudit, audit: AuditLogger, given: Any) -> None:
        """Attributes that are no mapping, or one that fails, are kept as their text."""
        audit.emit("maps", attributes=given)
        (entry,) = log.entries
        assert entry.attributes["given.attributes"] == repr(given)
        assert altered(entry) == ["/attributes/given.attributes"]

    def test_lying_name(self, log: CapturedAudit, audit: AuditLogger) -> None:
        """A subclass of str that denies being ``audit.*`` sets no member all the same."""
        audit.emit("maps", attributes={LyingText("audit.outcome"): "failure"})
        (entry,) = log.entries
        assert entry.attributes["audit.outcome"] == "success"
        assert entry.attributes["given.audit.outcome"] == "failure"
        assert altered(entry) == ["/attributes/given.audit.outcome"]


class TestEveryStringField:
    @pytest.mark.parametrize("text", [ESCAPES, LIKE_A_SEAL, "a\ud800", '"}\n{"seq":1'])
    def test_text(self, text: str) -> None:
        """Line feeds, escapes and seals in any field stay in that field, and the chain stays whole."""
        clean = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        with capture_audit(resource=Resource({"service.name": text, "service.x": text})) as log:
            log.provider.get_audit_logger(text, text).emit(
                AuditRecord(
                    event_name=text,
                    actor=Actor(text, "user"),
                    target=Target(text, text),
                    source=Source(text, text),
                    reason=text,
                    record_id=text,
                    intent_id=text,
                    trail=text,
                    delegation=[text],
                    error_type=text,
                    severity_text=text,
                    body=text,
                    attributes={text: text},
                )
            )
            (entry,) = log.entries
            assert entry.event_name == entry.severity_text == entry.body == entry.attributes[clean] == clean
            assert entry.scope == {"name": clean, "version": clean}
            names = ("record.id", "actor.id", "target.id", "target.type", "source.id", "source.type", "reason", "trail")
            assert {entry.attributes[f"audit.{name}"] for name in names} == {clean}
            assert entry.attributes["audit.delegation"] == [clean]
            assert entry.attributes["error.type"] == clean
            marked = altered(entry)
            if clean == text:
                assert marked == []
            else:
                assert {"/event_name", "/severity_text", "/body", "/attributes/audit.actor.id"} <= set(marked)
            assert verify_log(log.path).findings == ()
