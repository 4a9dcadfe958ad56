from __future__ import annotations

import dataclasses
import errno
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import Actor, acting_as, get_audit_logger, verify_log
from otel_audit.compat.auditgate import (
    AuditEntry,
    AuditError,
    AuditPolicy,
    Engine,
    IntegrityMode,
    MemoryStore,
    QueryFilter,
    Severity,
    Trail,
    Verdict,
    verify_chain,
)
from otel_audit.errors import AuditConfigError
from otel_audit.ledger import files
from otel_audit.testing import CapturedAudit, capture_audit
from tests.auditgate import CHAIN, REFUND, TRAIL

OTHER = Trail("api", "rulegate")


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log of a service with a name."""
    with capture_audit(resource=Resource({"service.name": "shop"})) as log:
        yield log
        assert verify_log(log.path).intact


def found(engine: Engine, **wanted: Any) -> list[AuditEntry]:
    """Ask the engine's store."""
    return list(engine._store.query(QueryFilter(**wanted)))


class TestLine:
    def test_whole(self, log: CapturedAudit) -> None:
        """Everything that is known of a decision stands in its line, in the format's own members."""
        engine = Engine(recorded_by="billing-service")
        engine.record(TRAIL, **REFUND, reason="within the limit", detail={"calls": 3}, policy=CHAIN)
        [entry] = log.entries
        assert entry.event_name == "gate.decision"
        assert (entry.severity_text, entry.severity_number) == ("INFO", 9)
        attributes = dict(entry.attributes)
        assert attributes.pop("audit.record.id")
        assert 0 < attributes.pop("gate.monotonic_time") <= time.monotonic()  # type: ignore[operator]
        assert attributes == {
            "audit.actor.id": "shop",
            "audit.actor.type": "service",
            "audit.action": "EXECUTE",
            "audit.outcome": "success",
            "audit.target.id": "billing:refund@user:123",
            "audit.target.type": "actiongate",
            "audit.schema.version": "1.0.0",
            "audit.decision": "allow",
            "audit.reason": "within the limit",
            "audit.trail": "billing:actiongate@user:123",
            "gate.recorded_by": "billing-service",
            "gate.integrity": "chain",
            "gate.detail": {"calls": 3},
        }

    def test_in_a_span(self, log: CapturedAudit) -> None:
        """An entry carries the ids of the span in which it was recorded."""
        with TracerProvider().get_tracer("test").start_as_current_span("agent") as span:
            Engine().record(TRAIL, **REFUND)
        [entry] = log.entries
        assert entry.trace_id == trace.format_trace_id(span.get_span_context().trace_id)

    def test_by_an_actor(self, log: CapturedAudit) -> None:
        """Who acts is who acts in the context, with the chain of delegation."""
        with acting_as(Actor("ada", "user")), acting_as("agent"):
            Engine().record(TRAIL, **REFUND)
        [entry] = log.entries
        assert entry.attributes["audit.actor.id"] == "agent"
        assert entry.attributes["audit.delegation"] == ["ada", "agent"]

    @pytest.mark.parametrize("verdict", Verdict)
    def test_verdicts(self, log: CapturedAudit, verdict: Verdict) -> None:
        """A verdict is the entry's decision; of an error the outcome is a failure."""
        Engine().record(TRAIL, **REFUND | {"verdict": verdict})
        [entry] = log.entries
        assert entry.attributes["audit.decision"] == verdict.name.lower()
        assert entry.attributes["audit.outcome"] == ("failure" if verdict is Verdict.ERROR else "success")

    def test_altered_values_are_listed(self, log: CapturedAudit) -> None:
        """A value that is not stored as it was given is named in `audit.altered`, and only once made text."""
        Engine().record(TRAIL, **REFUND, detail={"amount": Decimal("1.5"), "raw": b"x", "$n": [1]})
        [entry] = log.entries
        assert entry.attributes["audit.altered"] == ["/attributes/gate.detail/amount"]
        assert entry.attributes["gate.detail"] == {"amount": "1.5", "raw": {"$bytes": "eA=="}, "$$n": [1]}
        assert list(entry.attributes).index("audit.altered") < list(entry.attributes).index("gate.monotonic_time")

    def test_long_reason(self, log: CapturedAudit) -> None:
        """A reason that is too long for the format is kept whole, beside its beginning."""
        reason = "because " * 4000
        engine = Engine()
        assert engine.record(TRAIL, **REFUND, reason=reason).recorded
        [entry] = log.entries
        assert len(str(entry.attributes["audit.reason"])) < 8192
        assert entry.attributes["gate.reason"] == reason
        assert found(engine)[0].reason == reason


ODD: dict[str, dict[str, Any]] = {
    "plain": {},
    "reason": {"reason": "b\u00e9cause"},
    "surrogate": {"reason": "\ud800", "gate_identity": "\udfff"},
    "empty": {"gate_type": "", "gate_identity": "", "reason": ""},
    "detail": {"detail": {"x": [1, {"y": b"z"}], "$bytes": "no", "d": Decimal(2), "n": None, "f": 1.5}},
    "dollar": {"detail": {"$bytes": "eA=="}},
    "flat": {"detail": {"$n": 1, "n": "\u00e9", "big": 2**80, "f": float("inf")}},
    "severity": {"severity": Severity.CRITICAL, "verdict": Verdict.OVERRIDE},
    "long": {"reason": "x" * 9000},
}


class TestReadBack:
    @pytest.mark.parametrize("case", ODD)
    @pytest.mark.parametrize("integrity", IntegrityMode)
    def test_as_it_was_returned(self, log: CapturedAudit, case: str, integrity: IntegrityMode) -> None:
        """A query returns the very entry that `record` returned, whatever is in it."""
        engine = Engine(recorded_by="me")
        recorded = engine.record(TRAIL, **REFUND | ODD[case], policy=AuditPolicy(integrity=integrity)).entry
        assert found(engine) == [recorded]
        assert found(Engine()) == [recorded]
        assert verify_chain(found(engine)) == (True, None)

    @pytest.mark.parametrize(
        "trail",
        [
            Trail("a", "b", "user:1@example.com"),
            Trail("a", "b:c"),
            Trail("a:b", "c"),
            Trail("a", "b@c", "d"),
            Trail("", "", ""),
        ],
        ids=repr,
    )
    def test_trails(self, log: CapturedAudit, trail: Trail) -> None:
        """A trail is read back as it was, also where its text could be another's."""
        engine = Engine()
        engine.record(trail, **REFUND)
        engine.record(Trail("x", "y"), **REFUND)
        assert [entry.trail for entry in found(engine, trail=trail)] == [trail]

    def test_trails_with_one_text(self, log: CapturedAudit) -> None:
        """Two trails with the same text are two."""
        engine = Engine()
        engine.record(Trail("a:b", "c"), **REFUND)
        engine.record(Trail("a", "b:c"), **REFUND)
        assert [entry.trail for entry in found(engine, trail=Trail("a", "b:c"))] == [Trail("a", "b:c")]

    def test_hashes_are_the_logs(self, log: CapturedAudit) -> None:
        """An entry shows the hashes and the number of its line."""
        entry = Engine().record(TRAIL, **REFUND, policy=CHAIN).entry
        [line] = log.entries
        assert entry is not None
        assert (entry.entry_hash, entry.prev_hash, entry.sequence) == (line.hash, line.prev_hash, line.seq)
        assert verify_log(log.path, anchors=[f"{entry.sequence}:{entry.entry_hash}"]).anchored

    def test_log_without_hashes(self) -> None:
        """Where the log itself has no hashes, an entry shows none."""
        with capture_audit(integrity="none"):
            engine = Engine()
            entry = engine.record(TRAIL, **REFUND, policy=CHAIN).entry
            assert entry is not None
            assert (entry.entry_hash, entry.prev_hash) == (None, None)
            assert found(engine) == [entry]

    def test_other_entries_of_the_log(self, log: CapturedAudit) -> None:
        """Entries that are no gate's decisions are none here."""
        get_audit_logger("test").emit("file.write", decision="allow", action="WRITE")
        assert found(Engine()) == []

    @pytest.mark.parametrize(
        ("number", "severity"), [(14, Severity.WARN), (24, Severity.CRITICAL), (None, Severity.DEBUG)]
    )
    def test_decision_by_another_hand(self, log: CapturedAudit, number: int | None, severity: Severity) -> None:
        """A decision that somebody else emitted is read as far as it goes; its time is told from its wall time."""
        before = time.monotonic()
        get_audit_logger("test").emit("gate.decision", decision="block", target="t", severity_number=number)
        [entry] = found(Engine())
        assert (entry.verdict, entry.severity, entry.gate_identity) == (Verdict.BLOCK, severity, "t")
        assert before - 1 < entry.ts < time.monotonic() + 1
        assert [e.sequence for e in found(Engine(), after_ts=before - 1)] == [entry.sequence]

    def test_entry_made_elsewhere(self, log: CapturedAudit) -> None:
        """An entry can be taken over from another store: its own times, the log's place and hash."""
        memory = Engine(store=MemoryStore(), recorded_by="old")
        old = memory.record(TRAIL, **REFUND, reason="r", detail={"x": 1}, policy=CHAIN).entry
        assert old is not None
        engine = Engine()
        engine._store.append(old)
        [new] = found(engine)
        [line] = log.entries
        assert dataclasses.replace(new, sequence=0, entry_hash=old.entry_hash, prev_hash=None) == old
        assert line.time[:26] == old.wall_ts[:26]
        assert new.entry_hash == line.hash


class TestQuery:
    @pytest.fixture
    def engine(self, log: CapturedAudit) -> Engine:
        """An engine with one decision of each kind."""
        clock = iter([1.0, 2.0, 3.0, 4.0])
        engine = Engine(clock=lambda: next(clock, 9.0))
        engine.record(TRAIL, **REFUND)
        engine.record(TRAIL, **REFUND | {"verdict": Verdict.BLOCK, "severity": Severity.WARN})
        engine.record(OTHER, **REFUND | {"severity": Severity.CRITICAL, "gate_type": "rulegate"})
        engine.record(TRAIL, **REFUND | {"verdict": Verdict.BLOCK, "severity": Severity.ERROR})
        return engine

    @pytest.mark.parametrize(
        ("wanted", "ts"),
        [
            ({}, [1, 2, 3, 4]),
            ({"trail": TRAIL}, [1, 2, 4]),
            ({"verdict": Verdict.BLOCK}, [2, 4]),
            ({"min_severity": Severity.ERROR}, [3, 4]),
            ({"gate_type": "rulegate"}, [3]),
            ({"after_ts": 2.0, "before_ts": 3.0}, [2, 3]),
            ({"offset": 1, "limit": 2}, [2, 3]),
        ],
        ids=str,
    )
    def test_each_member(self, engine: Engine, wanted: dict[str, Any], ts: list[int]) -> None:
        """A filter asks of the log what it asks of a store in memory."""
        assert [entry.ts for entry in found(engine, **wanted)] == ts

    def test_count_and_last(self, engine: Engine) -> None:
        """It counts a trail's entries and knows the newest."""
        last = engine._store.last_entry(TRAIL)
        assert last is not None
        assert (engine._store.count(TRAIL), last.ts) == (3, 4.0)
        assert engine._store.last_entry(Trail("no", "no")) is None

    def test_not_configured(self) -> None:
        """Where no log is configured, a question says so."""
        with pytest.raises(AuditConfigError, match="auditing is not configured"):
            Engine()._store.query(QueryFilter())


class TestTimes:
    def test_both_kept(self, log: CapturedAudit) -> None:
        """An entry keeps the monotonic time and the wall time of one moment."""
        before = time.monotonic(), time.time()
        entry = Engine().record(TRAIL, **REFUND).entry
        after = time.monotonic(), time.time()
        [line] = log.entries
        assert entry is not None
        assert before[0] <= entry.ts <= after[0]
        assert line.time[:26] == entry.wall_ts[:26]
        assert line.attributes["gate.monotonic_time"] == entry.ts

    def test_the_last_hour_is_the_last_hour(self, log: CapturedAudit) -> None:
        """Entries from before the machine's last boot, whose clock began anew, are told by their wall time."""
        engine = Engine()
        template = engine.record(TRAIL, **REFUND).entry
        assert template is not None
        # two hours ago in wall time; by a clock that would put it into the future
        old = dataclasses.replace(template, wall_ts="2020-01-01T00:00:00+00:00", ts=template.ts + 5000)
        recent_ns = time.time_ns() - 60_000_000_000
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(recent_ns // 10**9))
        recent = dataclasses.replace(template, wall_ts=f"{seconds}+00:00", ts=template.ts - 900_000)
        engine._store.append(old)
        engine._store.append(recent)
        now = time.monotonic()
        assert [e.wall_ts for e in found(engine, after_ts=now - 3600)] == [template.wall_ts, recent.wall_ts]
        assert [e.wall_ts for e in found(engine, before_ts=now - 3600)] == [old.wall_ts]

    def test_clocks_of_ones_own(self, log: CapturedAudit) -> None:
        """A program's own clocks are kept, and compared as they are; the line has the machine's time, too."""
        engine = Engine(clock=lambda: 1e9, wall_clock_fn=lambda: "noon")
        entry = engine.record(TRAIL, **REFUND).entry
        [line] = log.entries
        assert entry is not None
        assert (entry.ts, entry.wall_ts) == (1e9, "noon")
        assert found(engine, after_ts=1e9) == [entry]
        assert found(engine, after_ts=1e9 + 1) == []
        assert line.time[:4].isdigit()
        assert "gate.monotonic_time" not in line.attributes


class TestHidden:
    def test_clear(self, log: CapturedAudit) -> None:
        """`clear` hides a trail's entries from all questions, leaves others, and is an entry itself."""
        engine = Engine()
        for trail in (TRAIL, OTHER):
            engine.record(trail, **REFUND)
        engine.clear(TRAIL)
        assert [entry.trail for entry in found(engine)] == [OTHER]
        assert engine._store.count(TRAIL) == 0
        assert engine._store.last_entry(TRAIL) is None
        assert found(Engine(), trail=TRAIL) == []
        clear = log.entries[-1]
        assert clear.event_name == "gate.clear"
        assert clear.attributes["audit.trail"] == str(TRAIL)
        assert clear.attributes["audit.reason"] == "hidden from queries; nothing is erased"

    def test_nothing_is_erased(self, log: CapturedAudit) -> None:
        """What is hidden stands in the file as before."""
        engine = Engine()
        engine.record(TRAIL, **REFUND, reason="stays")
        [before] = log.entries
        engine.clear_all()
        assert log.entries[0].raw == before.raw

    def test_what_comes_after_is_seen(self, log: CapturedAudit) -> None:
        """Entries that follow are seen, and their numbers go on."""
        engine = Engine()
        first = engine.record(TRAIL, **REFUND).entry
        engine.clear(TRAIL)
        second = engine.record(TRAIL, **REFUND).entry
        assert first is not None
        assert second is not None
        assert found(engine) == [second]
        assert second.sequence == first.sequence + 2

    def test_clear_all_forgets_policies(self, log: CapturedAudit) -> None:
        """`clear_all` hides every trail, and the policies are forgotten, as in AuditGate."""
        engine = Engine()
        engine.register(TRAIL, CHAIN)
        engine.record(TRAIL, **REFUND)
        engine.clear_all()
        assert found(engine) == []
        assert engine.policy_for(TRAIL) is None

    def test_prune(self, log: CapturedAudit) -> None:
        """`prune` hides what is older, says how many in its result and in its entry, and is silent where none is."""
        engine = Engine()
        entries = [engine.record(TRAIL, **REFUND).entry for _ in range(3)]
        engine.record(OTHER, **REFUND)
        cutoff = entries[2]
        assert cutoff is not None
        assert engine._store.prune(TRAIL, cutoff.ts) == 2
        assert found(engine, trail=TRAIL) == [cutoff]
        assert engine._store.count(OTHER) == 1
        assert log.entries[-1].attributes["gate.clear.entries"] == 2
        before = len(log.entries)
        assert engine._store.prune(TRAIL, cutoff.ts) == 0
        assert len(log.entries) == before

    def test_prune_by_a_clock_of_ones_own(self, log: CapturedAudit) -> None:
        """With a program's own clock `prune` goes by that clock, also for who asks with another."""
        now = [1.0]
        engine = Engine(clock=lambda: now[0])
        for now[0] in (1.0, 2.0, 3.0):
            engine.record(TRAIL, **REFUND)
        assert engine._store.prune(TRAIL, 3.0) == 2
        assert [entry.ts for entry in found(Engine())] == [3.0]

    def test_retention(self, log: CapturedAudit) -> None:
        """A retention leaves older entries out of questions, and writes nothing."""
        now = [0.0]
        engine = Engine(clock=lambda: now[0])
        engine.register(TRAIL, AuditPolicy(retention_seconds=10))
        for now[0] in (0.0, 5.0, 12.0):
            engine.record(TRAIL, **REFUND)
            engine.record(OTHER, **REFUND)
        assert [entry.ts for entry in found(engine, trail=TRAIL)] == [5.0, 12.0]
        assert len(found(engine, trail=OTHER)) == 3
        assert len(log.entries) == 6

    def test_voided_entries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An entry whose sync failed, and whose caller was told so, is not found, though its line stands."""
        with capture_audit(durability="always") as log:
            engine = Engine()
            kept = engine.record(TRAIL, **REFUND).entry
            sync = files.sync

            def fail(fd: int) -> None:
                monkeypatch.setattr(files, "sync", sync)
                raise OSError(errno.EIO, "input/output error")

            monkeypatch.setattr(files, "sync", fail)
            with pytest.raises(AuditError, match="input/output error"):
                engine.record(TRAIL, **REFUND, reason="void")
            last = engine.record(TRAIL, **REFUND).entry
            assert "void" in [entry.attributes.get("audit.reason") for entry in log.entries]
            assert found(engine) == [kept, last]
