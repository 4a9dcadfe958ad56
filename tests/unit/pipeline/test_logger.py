"""`AuditLogger`: emit and aemit, spans, samplers, suppression, forgery."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current, set_value
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    InMemoryLogRecordExporter,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_audit import AuditRecordError, AuditWriteError, acting_as, get_audit_logger
from otel_audit.ledger import files
from otel_audit.pipeline.logger import AuditLogger
from otel_audit.record import Actor, AuditRecord, Source, Target
from otel_audit.testing import CapturedAudit, capture_audit
from tests.hostile import LyingText

STAMPS = ("audit.sequence.number", "audit.sequence.prev_hash", "audit.stream.id", "audit.integrity.hash")


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log of its own for each test."""
    with capture_audit() as captured:
        yield captured


audit = get_audit_logger("shop", "1.2")


class TestEmit:
    def test_receipt(self, log: CapturedAudit) -> None:
        """The receipt tells the entry's place in the file."""
        before = time.time_ns()
        receipt = audit.emit("file.write")
        (entry,) = log.entries
        assert (receipt.seq, receipt.hash) == (entry.seq, entry.hash)
        assert receipt.record_id == entry.attributes["audit.record.id"]
        assert before <= receipt.time_ns <= time.time_ns()
        assert uuid.UUID(receipt.record_id).version == 4
        assert str(uuid.UUID(receipt.stream_id)) == receipt.stream_id

    def test_defaults(self, log: CapturedAudit) -> None:
        """What is not given has its default, and who acts is the service."""
        audit.emit("file.write")
        (entry,) = log.entries
        attributes = dict(entry.attributes)
        del attributes["audit.record.id"]
        assert attributes == {
            "audit.actor.id": "test",
            "audit.actor.type": "service",
            "audit.action": "EXECUTE",
            "audit.outcome": "success",
            "audit.schema.version": "1.0.0",
        }
        assert (entry.body, entry.severity_number, entry.severity_text, entry.trace_id) == (None, None, None, None)
        assert entry.scope == {"name": "shop", "version": "1.2"}

    def test_all_members(self, log: CapturedAudit) -> None:
        """Each keyword of emit stands in its member of the line."""
        audit.emit(
            "file.write",
            action="WRITE",
            outcome="failure",
            actor=Actor("alice", "user"),
            target=Target("a.py", "file"),
            source=Source("10.0.0.1", "ip"),
            reason="because",
            severity_number=17,
            severity_text="ERROR",
            body={"a": 1},
            attributes={"lines": 42},
            record_id="my-id",
            timestamp_ns=1_000_000_001,
        )
        (entry,) = log.entries
        assert entry.time == "1970-01-01T00:00:01.000000001Z"
        assert (entry.severity_number, entry.severity_text, entry.body) == (17, "ERROR", {"a": 1})
        assert entry.attributes == {
            "audit.record.id": "my-id",
            "audit.actor.id": "alice",
            "audit.actor.type": "user",
            "audit.action": "WRITE",
            "audit.outcome": "failure",
            "audit.target.id": "a.py",
            "audit.target.type": "file",
            "audit.source.id": "10.0.0.1",
            "audit.source.type": "ip",
            "audit.schema.version": "1.0.0",
            "audit.reason": "because",
            "lines": 42,
        }

    def test_record(self, log: CapturedAudit) -> None:
        """A record has the same members by name, and those that only a record has."""
        audit.emit(
            AuditRecord(
                event_name="e",
                phase="outcome",
                intent_id="i",
                trail="t",
                delegation=("a", "b"),
                duration=1.5,
                error_type="ValueError",
                actor="bob",
                target="it",
            )
        )
        attributes = log.entries[0].attributes
        assert attributes["audit.phase"] == "outcome"
        assert attributes["audit.intent.id"] == "i"
        assert attributes["audit.trail"] == "t"
        assert attributes["audit.delegation"] == ["a", "b"]
        assert attributes["audit.duration"] == 1.5
        assert attributes["error.type"] == "ValueError"
        assert attributes["audit.actor.id"] == "bob"
        assert attributes["audit.target.id"] == "it"

    def test_intent_is_unknown(self, log: CapturedAudit) -> None:
        """The outcome of an intent is ``unknown``, whatever the caller says."""
        audit.emit(AuditRecord(event_name="e", phase="intent", outcome="success"))
        assert log.entries[0].attributes["audit.outcome"] == "unknown"

    @pytest.mark.parametrize(
        ("decision", "outcome"),
        [("allow", "success"), ("block", "success"), ("override", "success"), ("error", "failure")],
    )
    def test_decision(self, log: CapturedAudit, decision: Any, outcome: str) -> None:
        """A decision decides its outcome; another one given is refused."""
        audit.emit("gate", decision=decision)
        assert log.entries[0].attributes["audit.outcome"] == outcome
        with pytest.raises(AuditRecordError, match="outcome: expected"):
            audit.emit("gate", decision=decision, outcome="unknown")

    def test_own_record_id(self, log: CapturedAudit) -> None:
        """An empty id is no idempotency key: one is made."""
        assert audit.emit("e", record_id="").record_id == log.entries[0].attributes["audit.record.id"] != ""

    def test_severity_text(self, log: CapturedAudit) -> None:
        """A severity text is cut to 256 characters, marked, and never refused."""
        audit.emit("e", severity_text="x" * 1_000_000)
        audit.emit("e", severity_text=5)  # type: ignore[call-overload]
        first, second = log.entries
        assert (first.severity_text, first.attributes["audit.altered"]) == ("x" * 256, ["/severity_text"])
        assert (second.severity_text, second.attributes["audit.altered"]) == ("5", ["/severity_text"])

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ({"outcome": "maybe"}, "outcome: expected one of"),
            ({"decision": "maybe"}, "decision: expected one of"),
            ({"action": "read"}, "action: expected an upper-case verb"),
            ({"actor": ""}, "audit.actor.id: expected a non-empty string"),
            ({"actor": 5}, "actor: expected an Actor or its id"),
            ({"actor": "x" * 8193}, "audit.actor.id: expected at most 8192 bytes"),
            ({"target": "x" * 8193}, "audit.target.id: expected at most 8192 bytes"),
            ({"source": Source("x", "x" * 8193)}, "audit.source.type: expected at most 8192 bytes"),
            ({"reason": "x" * 8193}, "audit.reason: expected at most 8192 bytes"),
            ({"record_id": "x" * 8193}, "audit.record.id: expected at most 8192 bytes"),
            ({"severity_number": 25}, "severity_number: expected 1 to 24, got 25"),
            ({"timestamp_ns": 1.5}, "timestamp_ns: expected nanoseconds since 1970, got 1.5"),
            ({"timestamp_ns": 10**30}, "timestamp_ns: expected a time in the years 1 to 9999"),
        ],
    )
    def test_refused(self, log: CapturedAudit, members: dict[str, Any], message: str) -> None:
        """What breaks the schema is refused by the member's name, and nothing is written."""
        with pytest.raises(AuditRecordError, match=message):
            audit.emit("e", **members)
        assert log.entries == ()

    @pytest.mark.parametrize("name", ["audit.log.opened", LyingText("audit.log.closed"), "", None, [], "x" * 1025])
    def test_event_name(self, log: CapturedAudit, name: Any) -> None:
        """A name of the log's own, an empty or an over-long one is refused, also after others were accepted."""
        audit.emit("lie")
        with pytest.raises(AuditRecordError, match="event_name"):
            audit.emit(name)
        assert [entry.event_name for entry in log.entries] == ["lie"]

    def test_unknown_keyword(self, log: CapturedAudit) -> None:
        """A misspelled member is a TypeError, not lost."""
        with pytest.raises(TypeError, match="tarket"):
            audit.emit("e", tarket="x")  # type: ignore[call-overload]


class TestSpan:
    @pytest.fixture
    def memory(self) -> InMemoryLogRecordExporter:
        """Where the processors behind the file put their records."""
        return InMemoryLogRecordExporter()

    @pytest.mark.parametrize("batch", [False, True])
    @pytest.mark.parametrize("sampled", [False, True])
    def test_ids_and_stamps(self, memory: InMemoryLogRecordExporter, batch: bool, sampled: bool) -> None:
        """A record emitted in a span, sampled or not, has its ids in the file and behind it, there with the stamps."""
        tracer = TracerProvider(**({} if sampled else {"sampler": ALWAYS_OFF})).get_tracer("t")  # type: ignore[arg-type]
        processor = BatchLogRecordProcessor(memory) if batch else SimpleLogRecordProcessor(memory)
        with capture_audit(processors=[processor]) as log:
            with tracer.start_as_current_span("work") as span:
                receipt = audit.emit("in.span", attributes={"x": 1})
            assert log.provider.force_flush()
            (entry,) = log.entries
            (copy,) = memory.get_finished_logs()
        context = span.get_span_context()
        assert entry.trace_id == f"{context.trace_id:032x}"
        assert entry.span_id == f"{context.span_id:016x}"
        assert entry.trace_flags == f"{context.trace_flags:02x}"
        assert context.trace_flags.sampled == sampled
        record = copy.log_record
        assert (record.trace_id, record.span_id) == (context.trace_id, context.span_id)
        assert record.event_name == "in.span"
        assert record.attributes is not None
        assert [record.attributes[name] for name in STAMPS] == [
            receipt.seq,
            entry.prev_hash,
            receipt.stream_id,
            receipt.hash,
        ]
        assert not set(STAMPS) & set(entry.attributes)
        assert {name: value for name, value in record.attributes.items() if name not in STAMPS} == entry.attributes
        assert record.timestamp == receipt.time_ns

    def test_no_prev_hash_in_mode_hash(self, memory: InMemoryLogRecordExporter) -> None:
        """Copies are stamped with what their entry has: in mode ``hash`` no ``prev_hash``."""
        with capture_audit(processors=[SimpleLogRecordProcessor(memory)], integrity="hash"):
            audit.emit("e")
        (copy,) = memory.get_finished_logs()
        assert set(STAMPS) - set(copy.log_record.attributes or {}) == {"audit.sequence.prev_hash"}

    async def test_aemit(self, memory: InMemoryLogRecordExporter) -> None:
        """Records of coroutines are stamped and passed on alike."""
        tracer = TracerProvider().get_tracer("t")
        with capture_audit(processors=[SimpleLogRecordProcessor(memory)]) as log:
            with tracer.start_as_current_span("work") as span:
                receipt = await audit.aemit("in.span")
            (entry,) = log.entries
        (copy,) = memory.get_finished_logs()
        assert entry.span_id == f"{span.get_span_context().span_id:016x}"
        assert copy.log_record.attributes is not None
        assert copy.log_record.attributes["audit.integrity.hash"] == receipt.hash == entry.hash

    def test_context_argument(self, log: CapturedAudit) -> None:
        """A context that is given gives both the span and the actor, in place of the current ones."""
        span_context = SpanContext(0xA, 0xB, is_remote=True, trace_flags=TraceFlags(1))
        with acting_as("alice", type="user"):
            context = set_span_in_context(NonRecordingSpan(span_context))
        with acting_as("bob"):
            audit.emit("e", context=context)
            audit.emit("e", context=Context())
        first, second = log.entries
        assert (first.trace_id, first.span_id) == ("a".rjust(32, "0"), "b".rjust(16, "0"))
        assert (first.attributes["audit.actor.id"], first.attributes["audit.actor.type"]) == ("alice", "user")
        assert (second.trace_id, second.attributes["audit.actor.id"]) == (None, "test")

    @pytest.mark.parametrize(("trace_id", "span_id"), [(2**128, 5), (5, 2**64), (2**300, 2**300), (0, 5), (5, 0)])
    def test_invalid_span_context(self, log: CapturedAudit, trace_id: int, span_id: int) -> None:
        """A span context that is not valid leaves no ids, and a well-formed line."""
        context = set_span_in_context(NonRecordingSpan(SpanContext(trace_id, span_id, False, TraceFlags(0xFFF))))
        audit.emit("e", context=context)
        assert log.entries[0].trace_id is None

    def test_delegation(self, log: CapturedAudit) -> None:
        """Who acts is the innermost actor, and the chain stands behind, the principal first."""
        with acting_as("alice", type="user"), acting_as("agent"):
            audit.emit("e")
        attributes = log.entries[0].attributes
        assert attributes["audit.actor.id"] == "agent"
        assert attributes["audit.delegation"] == ["alice", "agent"]

    @pytest.mark.parametrize("key", ["suppress_instrumentation", "suppress_logging", "suppress_http_instrumentation"])
    def test_suppression(self, log: CapturedAudit, key: str) -> None:
        """No suppression key in the context turns a record away."""
        token = attach(set_value(key, True, get_current()))
        try:
            assert audit.emit("e").recorded
        finally:
            detach(token)
        assert len(log.entries) == 1

    def test_suppression_keys_of_the_sdk(self, log: CapturedAudit, memory: InMemoryLogRecordExporter) -> None:
        """Nor do the keys that the instrumentations themselves use."""
        from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY
        from opentelemetry.instrumentation.utils import suppress_instrumentation

        with suppress_instrumentation():
            assert audit.emit("e").recorded
        context = set_value(_SUPPRESS_INSTRUMENTATION_KEY, True, Context())
        assert audit.emit("e", context=context).recorded
        assert len(log.entries) == 2


HOSTILE_ENVIRONMENT = {
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5",
    "OTEL_ATTRIBUTE_COUNT_LIMIT": "1",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT": "1",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT": "5",
    "OTEL_TRACES_SAMPLER": "always_off",
    "OTEL_LOG_LEVEL": "fatal",
}

PROGRAM = """
import sys, otel_audit
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
memory = InMemoryLogRecordExporter()
otel_audit.configure(sys.argv[1], processors=[SimpleLogRecordProcessor(memory)])
with TracerProvider().get_tracer("t").start_as_current_span("s"):
    receipt = otel_audit.get_audit_logger("app").emit(
        "e", body="b" * 100, attributes={f"key{n}": "v" * 100 for n in range(200)}
    )
(copy,) = memory.get_finished_logs()
print(receipt.recorded, len(copy.log_record.attributes))
"""


def run(program: str, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a new interpreter with these variables."""
    return subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        check=False,
        env={"OTEL_SERVICE_NAME": "app", **environment},
        timeout=60,
    )


class TestEnvironment:
    def check(self, path: str, done: subprocess.CompletedProcess[str]) -> None:
        """The record is whole, in the file and behind it."""
        from otel_audit import read_log

        assert done.returncode == 0, done.stderr
        assert done.stdout == "True 210\n"
        (entry,) = [entry for entry in read_log(path) if entry.event_name == "e"]
        assert entry.body == "b" * 100
        assert [entry.attributes[f"key{n}"] for n in range(200)] == ["v" * 100] * 200
        assert entry.trace_flags is not None
        assert int(entry.trace_flags, 16) & 1 == 0

    def test_limits_and_sampler(self, tmp_path: Any) -> None:
        """No limit and no sampler of the environment trims a record or turns it away."""
        path = str(tmp_path / "audit.jsonl")
        self.check(path, run(PROGRAM, path, **HOSTILE_ENVIRONMENT))

    @pytest.mark.parametrize(
        "variable",
        [
            "OTEL_ATTRIBUTE_COUNT_LIMIT",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
            "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        ],
    )
    def test_nonsense(self, tmp_path: Any, variable: str) -> None:
        """A limit that is no number does not break auditing."""
        path = str(tmp_path / "audit.jsonl")
        program = PROGRAM.replace('with TracerProvider().get_tracer("t").start_as_current_span("s"):', "if True:")
        done = run(program, path, **{variable: "abc"})
        assert done.returncode == 0, done.stderr
        assert done.stdout == "True 210\n"

    def test_sdk_disabled(self, tmp_path: Any) -> None:
        """With the SDK disabled, emit fails before the action runs, and says why."""
        program = """
import sys, otel_audit
otel_audit.configure(sys.argv[1])
audit = otel_audit.get_audit_logger("app")
for begin in (lambda: audit.emit("e"), lambda: audit.start_action("e")):
    try:
        begin()
        print("the action runs")
    except otel_audit.AuditWriteError as error:
        print(error)
"""
        done = run(program, str(tmp_path / "audit.jsonl"), OTEL_SDK_DISABLED="true")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("OTEL_SDK_DISABLED=true") == 2
        assert "the action runs" not in done.stdout


class TestAemit:
    async def test_order(self, log: CapturedAudit) -> None:
        """``seq`` follows the order of the calls, though all wait at once."""
        receipts = await asyncio.gather(*(audit.aemit("e", attributes={"n": n}) for n in range(50)))
        assert [receipt.seq for receipt in receipts] == sorted(receipt.seq for receipt in receipts)
        assert [entry.attributes["n"] for entry in log.entries] == list(range(50))

    async def test_two_hundred(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two hundred coroutines that emit durably share syncs, and each has its receipt in the file."""
        with capture_audit(durability="always") as log:
            await audit.aemit("warm")
            log.clear()
            syncs = []

            def counted(fd: int, real: Any = files.sync) -> None:
                syncs.append(fd)
                real(fd)

            monkeypatch.setattr(files, "sync", counted)
            receipts = await asyncio.gather(*(audit.aemit("e", attributes={"n": n}) for n in range(200)))
            monkeypatch.undo()
            entries = log.entries
            assert [entry.attributes["n"] for entry in entries] == list(range(200))
            assert [(entry.seq, entry.hash) for entry in entries] == [(r.seq, r.hash) for r in receipts]
        assert 1 <= len(syncs) <= 100  # how many depends on how fast the disk is

    def test_without_a_loop(self, log: CapturedAudit) -> None:
        """Driven by hand, without an asyncio loop, it is `emit`."""
        coroutine = audit.aemit("e", action="READ")
        with pytest.raises(StopIteration) as stop:
            coroutine.send(None)
        assert stop.value.value.recorded
        assert log.entries[0].attributes["audit.action"] == "READ"

    async def test_record(self, log: CapturedAudit) -> None:
        """A record is taken as `emit` takes it."""
        receipt = await audit.aemit(AuditRecord(event_name="e", action="READ", record_id="mine"))
        assert receipt.record_id == "mine"
        assert log.entries[0].attributes["audit.action"] == "READ"

    async def test_refused(self, log: CapturedAudit) -> None:
        """What breaks the schema is refused."""
        with pytest.raises(AuditRecordError):
            await audit.aemit("audit.log.opened")
        assert log.entries == ()

    async def test_after_the_log_is_closed(self, log: CapturedAudit) -> None:
        """An emit that comes too late fails, it is not silently lost."""
        log.provider.shutdown()
        with pytest.raises(AuditWriteError, match="closed"):
            await audit.aemit("late")
        with pytest.raises(AuditWriteError, match="closed"):
            audit.emit("late")

    async def test_loop_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """While the disk works, other tasks run."""
        with capture_audit(durability="always") as log:
            await audit.aemit("warm")
            during = threading.Event()
            done = threading.Event()

            def slow(fd: int, real: Any = files.sync) -> None:
                during.set()
                assert done.wait(10)
                real(fd)

            monkeypatch.setattr(files, "sync", slow)
            task = asyncio.create_task(audit.aemit("slow"))
            while not during.is_set():  # noqa: ASYNC110 - the event is a thread's
                await asyncio.sleep(0.001)
            assert not task.done()
            done.set()
            assert (await task).recorded
            monkeypatch.undo()
            assert [entry.event_name for entry in log.entries] == ["warm", "slow"]


class TestHandle:
    def test_configures_nothing(self) -> None:
        """A logger can be had at import, before anything is configured."""
        assert isinstance(get_audit_logger("x"), AuditLogger)

    def test_follows_the_provider(self) -> None:
        """One handle serves one provider after another."""
        for _ in range(2):
            with capture_audit() as log:
                audit.emit("e")
                assert len(log.entries) == 1

    def test_long_scope(self, log: CapturedAudit) -> None:
        """The name of a scope is kept short."""
        get_audit_logger("n" * 5000, "v" * 5000).emit("e")
        assert log.entries[0].scope == {"name": "n" * 1024, "version": "v" * 256}

    def test_threads(self, log: CapturedAudit) -> None:
        """Many threads emit by one handle, each entry once, one chain."""

        def emit(name: str) -> None:
            for _ in range(50):
                audit.emit(name)

        threads = [threading.Thread(target=emit, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        entries = log.entries
        assert len(entries) == 400
        assert [entry.prev_hash for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]


def test_no_span_without_a_tracer(log: CapturedAudit) -> None:
    """Without a span a line has no ids."""
    assert not trace.get_current_span().get_span_context().is_valid
    audit.emit("e")
    assert (log.entries[0].trace_id, log.entries[0].span_id, log.entries[0].trace_flags) == (None, None, None)
