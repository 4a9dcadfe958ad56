"""The real ActionGate, BudgetGate and RuleGate, which need Python 3.12; see conftest.py."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_audit import AuditConfigError, AuditWriteError, Entry, acting_as, read_log, verify_log
from otel_audit.compat.auditgate import AuditPolicy, Engine, QueryFilter, Severity, Trail, Verdict
from otel_audit.instrument.gates import audit_gate
from otel_audit.testing import CapturedAudit, capture_audit

ROOT = Path(__file__).parents[2]
CANARY = "canary-9f3b"
FULL = OSError(errno.ENOSPC, "no space left on device")
NAMES = ("actiongate", "budgetgate", "rulegate")

GATES: dict[str, Any] = {name: import_module(name) for name in NAMES}
action, budget, rule = (GATES[name] for name in NAMES)


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log that is intact when the test is over."""
    with capture_audit() as log:
        yield log
        assert verify_log(log.path).intact


def no_canary(context: Any) -> bool:
    return CANARY not in context.args


def raising(context: Any) -> bool:
    raise ValueError(f"{CANARY} {context.args}")


def refusing(_secret: str, _context: Any) -> bool:
    return False


SEARCH = action.Gate("api", "search", "user:1")
TOKENS = budget.Ledger("llm", "gpt-5", "user:1")
DELETE = rule.Rule("db", "delete", "user:1")


def limited(engine: Any, function: Any) -> Any:
    return engine.guard(SEARCH, action.Policy(max_calls=1))(function)


def budgeted(engine: Any, function: Any) -> Any:
    return engine.guard(TOKENS, budget.Budget(max_spend=Decimal("1.5")), cost=Decimal(1))(function)


def ruled(engine: Any, function: Any) -> Any:
    calls = iter([True, False, False, False])
    return engine.guard(DELETE, rule.Ruleset(predicates=(lambda _: next(calls),)))(function)


KINDS: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "actiongate": (action, limited),
    "budgetgate": (budget, budgeted),
    "rulegate": (rule, ruled),
}
"""Each kind of gate, and a guard that allows one call and blocks the next."""


@pytest.fixture(params=NAMES)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of gate."""
    return str(request.param)


def engine_of(kind: str) -> Any:
    """Make an engine of a kind."""
    return KINDS[kind][0].Engine()


def attributes(entry: Entry, *names: str) -> list[object]:
    """Return some attributes of an entry."""
    return [entry.attributes.get(name) for name in names]


class TestMapping:
    @pytest.fixture(autouse=True)
    def entries(self, log: CapturedAudit, kind: str) -> tuple[Entry, Entry, str]:
        """The entries of one call that was allowed and one that was blocked, in a span, and its trace."""
        engine = audit_gate(engine_of(kind))
        guarded = KINDS[kind][1](engine, lambda: "done")
        with TracerProvider().get_tracer("test").start_as_current_span("agent") as span, acting_as("agent"):
            assert guarded() == "done"
            with pytest.raises(RuntimeError):
                guarded()
        allowed, blocked = log.entries
        return allowed, blocked, trace.format_trace_id(span.get_span_context().trace_id)

    def test_verdict_and_severity(self, entries: tuple[Entry, Entry, str]) -> None:
        """An allowed call is INFO, a blocked one WARN; the record of a decision is itself a success."""
        allowed, blocked, _ = entries
        assert (allowed.severity_text, blocked.severity_text) == ("INFO", "WARN")
        assert attributes(allowed, "audit.decision", "audit.outcome") == ["allow", "success"]
        assert attributes(blocked, "audit.decision", "audit.outcome") == ["block", "success"]

    def test_trace_and_actor(self, entries: tuple[Entry, Entry, str]) -> None:
        """Each has the ids of the span, and who acts."""
        for entry in entries[:2]:
            assert entry.trace_id == entries[2]
            assert entry.attributes["audit.actor.id"] == "agent"

    def test_identity(self, entries: tuple[Entry, Entry, str], kind: str) -> None:
        """The target is the gate's identity, the trail says which gate, for whom."""
        identity = {"actiongate": "api:search", "budgetgate": "llm:gpt-5", "rulegate": "db:delete"}[kind]
        namespace = identity.partition(":")[0]
        for entry in entries[:2]:
            assert attributes(entry, "audit.target.id", "audit.target.type", "audit.trail") == [
                f"{identity}@user:1",
                kind,
                f"{namespace}:{kind}@user:1",
            ]

    def test_reason(self, entries: tuple[Entry, Entry, str], kind: str) -> None:
        """A blocked call has the gate's reason, an allowed one none."""
        reason = {"actiongate": "RATE_LIMIT", "budgetgate": "BUDGET_EXCEEDED", "rulegate": "POLICY_VIOLATION"}[kind]
        assert [entry.attributes.get("audit.reason") for entry in entries[:2]] == [None, reason]

    def test_counters(self, entries: tuple[Entry, Entry, str], kind: str) -> None:
        """The counters are the detail, with the limit; amounts are exact."""
        allowed, blocked = (dict(entry.attributes["gate.detail"]) for entry in entries[:2])  # type: ignore[call-overload]
        assert "audit.altered" not in entries[0].attributes
        if kind == "actiongate":
            assert allowed == {"calls_in_window": 1, "time_since_last": None, "max_calls": 1}
            assert blocked.pop("time_since_last") > 0
            assert blocked == {"calls_in_window": 1, "max_calls": 1}
        elif kind == "budgetgate":
            whole = {"requested": "1", "remaining": "0.5", "spent_in_window": "1", "max_spend": "1.5"}
            assert allowed == blocked == whole
        else:
            assert allowed == {"violated_rules": [], "evaluated_count": 1}
            assert blocked == {"violated_rules": ["ruled.<locals>.<lambda>"], "evaluated_count": 1}

    def test_found_by_the_auditgate_interface(self, entries: tuple[Entry, Entry, str], kind: str) -> None:
        """An AuditGate engine over the log finds them as its own."""
        namespace = str(entries[0].attributes["audit.trail"]).partition(":")[0]
        found = Engine()._store.query(QueryFilter(trail=Trail(namespace, kind, "user:1"), gate_type=kind))
        assert [(e.verdict, e.severity) for e in found] == [
            (Verdict.ALLOW, Severity.INFO),
            (Verdict.BLOCK, Severity.WARN),
        ]
        assert found[1].detail == entries[1].attributes["gate.detail"]


class TestFailsClosed:
    def test_guard(self, log: CapturedAudit, kind: str) -> None:
        """An action whose decision cannot be recorded does not run, though the gate swallows what listeners raise."""
        ran: list[int] = []
        engine = engine_of(kind)
        guarded = KINDS[kind][1](engine, lambda: ran.append(1))  # made before it is audited
        audit_gate(engine)
        log.fail(FULL)
        with pytest.raises(AuditWriteError, match="no space left"):
            guarded()
        assert ran == []
        assert engine.listener_errors == 0

    def test_blocked_call(self, log: CapturedAudit, kind: str) -> None:
        """A blocked call whose decision cannot be recorded says that, and does not run either."""
        guarded = KINDS[kind][1](audit_gate(engine_of(kind)), lambda: None)
        guarded()
        log.fail(FULL)
        with pytest.raises(AuditWriteError):
            guarded()

    def test_open(self, log: CapturedAudit, kind: str) -> None:
        """With `on_failure="open"` the gate's decision stands, and the loss is counted."""
        guarded = KINDS[kind][1](audit_gate(engine_of(kind), on_failure="open"), lambda: 7)
        log.fail(FULL)
        assert guarded() == 7
        assert log.provider.exporter.ledger.drops.total == 1

    def test_reservation_is_given_back(self, log: CapturedAudit) -> None:
        """Money that was reserved for an action that does not run is free again."""
        engine = audit_gate(budget.Engine())
        engine.register(TOKENS, budget.Budget(max_spend=Decimal(1)))
        log.fail(FULL)
        with pytest.raises(AuditWriteError):
            engine.reserve(TOKENS, Decimal(1))
        assert engine.reserve(TOKENS, Decimal(1))[1].allowed

    def test_store_of_the_gate_that_fails(self, log: CapturedAudit) -> None:
        """A gate whose own store fails is on record as that, without the text of the error."""

        class Broken(action.MemoryStore):  # type: ignore[misc, name-defined]
            def check_and_reserve(self, *_: object) -> None:
                raise OSError(f"redis://{CANARY}@host")

        engine = audit_gate(action.Engine(store=Broken()))
        for mode in (action.StoreErrorMode.FAIL_CLOSED, action.StoreErrorMode.FAIL_OPEN):
            engine.check(SEARCH, action.Policy(on_store_error=mode))
        closed, opened = log.entries
        assert attributes(closed, "audit.decision", "audit.reason") == ["block", "STORE_ERROR"]
        assert attributes(opened, "audit.decision", "audit.reason") == ["allow", "STORE_ERROR"]
        assert {closed.severity_text, opened.severity_text} == {"ERROR"}
        assert CANARY not in Path(log.path).read_text(encoding="utf-8")


class TestEveryWayToDecide:
    def test_plain(self, log: CapturedAudit) -> None:
        """Each call that decides leaves one entry, directly and under each kind of guard."""
        actions, budgets, rules = (audit_gate(engine_of(kind)) for kind in NAMES)
        spend = {"budget": budget.Budget(max_spend=Decimal(9))}
        actions.check(SEARCH)
        actions.guard_result(SEARCH)(lambda: 1)()
        budgets.check(TOKENS, Decimal(1), **spend)
        budgets.reserve(TOKENS, Decimal(1), **spend)
        bounded = {"estimate": Decimal(1), "actual": lambda _: Decimal(1), **spend}
        budgets.guard_bounded(TOKENS, **bounded)(lambda: 1)()
        budgets.guard_bounded_result(TOKENS, **bounded)(lambda: 1)()
        budgets.guard_result(TOKENS, cost=Decimal(1), **spend)(lambda: 1)()
        ruleset = rule.Ruleset(predicates=(no_canary,))
        rules.check(DELETE, ruleset)
        rules.check_all(DELETE, ruleset)
        rules.guard_result(DELETE, ruleset)(lambda: 1)()
        assert [entry.attributes["audit.target.type"] for entry in log.entries] == [
            *["actiongate"] * 2,
            *["budgetgate"] * 5,
            *["rulegate"] * 3,
        ]

    async def test_async(self) -> None:
        """Coroutines leave one entry each, shared syncs and all, and fail closed."""
        with capture_audit(durability="always") as log:
            actions, budgets, rules = (audit_gate(engine_of(kind)) for kind in NAMES)

            async def work() -> int:
                return 7

            many = action.Policy(max_calls=100)
            guarded = [
                actions.async_guard(SEARCH, many)(work),
                actions.async_guard_result(SEARCH, many)(work),
                budgets.async_guard(TOKENS, budget.Budget(max_spend=Decimal(9)), cost=Decimal(1))(work),
                rules.async_guard(DELETE, rule.Ruleset(predicates=(no_canary,)))(work),
            ]
            await asyncio.gather(*(call() for call in guarded))
            assert len(log.entries) == 4
            log.fail(FULL)
            with pytest.raises(AuditWriteError):
                await guarded[0]()
            assert len(log.entries) == 4

    def test_threads(self, log: CapturedAudit) -> None:
        """Threads that ask one engine each have their own decisions recorded, once."""
        engine = audit_gate(action.Engine())
        policy = action.Policy(max_calls=1000)

        def work(number: int) -> None:
            for _ in range(50):
                engine.check(action.Gate("api", str(number)), policy)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        targets = [entry.attributes["audit.target.id"] for entry in log.entries]
        assert {target: targets.count(target) for target in targets} == {f"api:{n}@global": 50 for n in range(4)}

    def test_shared_emitter(self, log: CapturedAudit) -> None:
        """Engines that share an emitter all hear of a decision, and it is recorded once."""
        emitter = action.Emitter()
        engines = [audit_gate(action.Engine(emitter=emitter)) for _ in range(2)]
        engines[0].check(SEARCH)
        assert len(log.entries) == 1
        action.Engine(emitter=emitter).check(SEARCH)
        assert len(log.entries) == 2
        engines[1].check(SEARCH)
        assert len(log.entries) == 3

    def test_decision_from_elsewhere(self, log: CapturedAudit) -> None:
        """A decision that another engine tells over a shared emitter is recorded, too."""
        emitter = action.Emitter()
        audit_gate(action.Engine(emitter=emitter))
        action.Engine(emitter=emitter).check(SEARCH)
        assert len(log.entries) == 1


class TestAttaching:
    def test_returns_the_engine(self, kind: str) -> None:
        """The engine is the same object, and still an engine of its package."""
        engine = engine_of(kind)
        assert audit_gate(engine) is engine
        assert isinstance(engine, KINDS[kind][0].Engine)
        assert type(engine).__name__ == "Engine"

    def test_twice(self, log: CapturedAudit, kind: str) -> None:
        """A second call adds nothing; one with other settings is refused."""
        engine = audit_gate(audit_gate(engine_of(kind)))
        KINDS[kind][1](engine, lambda: 1)()
        assert len(log.entries) == 1
        with pytest.raises(AuditConfigError, match="with other settings"):
            audit_gate(engine, on_failure="open")

    def test_others_go_unaudited(self, log: CapturedAudit, kind: str) -> None:
        """Another engine of the same package is left alone."""
        audit_gate(engine_of(kind))
        KINDS[kind][1](engine_of(kind), lambda: 1)()
        assert log.entries == ()

    @pytest.mark.parametrize("what", [object(), 3, []], ids=["object", "int", "list"])
    def test_no_engine(self, what: object) -> None:
        """What is no engine is refused."""
        with pytest.raises(AuditConfigError, match="expected an engine with on_decision and check"):
            audit_gate(what)


def test_nothing_of_an_argument(log: CapturedAudit) -> None:
    """No argument of a guarded function reaches the log, though a rule quotes it in its own exception."""
    actions, budgets, rules = (audit_gate(engine_of(kind)) for kind in NAMES)
    guards = [
        actions.guard(SEARCH),
        budgets.guard(TOKENS, budget.Budget(max_spend=Decimal(9)), cost=Decimal(1)),
        rules.guard(rule.Rule("db", "1"), rule.Ruleset(predicates=(no_canary,))),
        rules.guard(rule.Rule("db", "2"), rule.Ruleset(predicates=(raising,))),
        rules.guard(rule.Rule("db", "3"), rule.Ruleset(predicates=(rule.NamedPredicate("a name", raising),))),
        rules.guard(rule.Rule("db", "4"), rule.Ruleset(predicates=(functools.partial(refusing, CANARY),))),
    ]
    for guard in guards:
        with contextlib.suppress(rule.PolicyViolationError):
            guard(lambda _: None)(CANARY)
    assert len(log.entries) == 6
    assert CANARY not in Path(log.path).read_text(encoding="utf-8")
    rules_broken = [entry.value("gate.detail")["violated_rules"] for entry in log.entries[2:]]  # type: ignore[index]
    assert rules_broken == [
        ["no_canary"],
        ["raising (raised: ValueError)"],
        ["a name (raised: ValueError)"],
        ["unnamed rule"],
    ]


COMPOSED = """
from actiongate import Engine as ActionEngine, Gate, Policy
from auditgate import Engine as AuditEngine, Trail, AuditPolicy, Verdict, Severity

action_engine = ActionEngine()
audit_engine = AuditEngine()

trail = Trail("api", "actiongate", "global")
audit_engine.register(trail, AuditPolicy())

# Listen to ActionGate decisions and auto-audit them
def audit_listener(action_decision):
    audit_engine.record(
        trail=trail,
        verdict=Verdict.ALLOW if action_decision.allowed else Verdict.BLOCK,
        severity=Severity.INFO if action_decision.allowed else Severity.WARN,
        gate_type="actiongate",
        gate_identity=str(action_decision.gate),
        reason=str(action_decision.reason) if action_decision.reason else None,
    )

action_engine.on_decision(audit_listener)
"""


def test_composed_as_on_the_page(tmp_path: Path) -> None:
    """The page's code runs with one import line changed, and both decisions of a gate are in a log that verifies."""
    calls = """
gate = Gate("api", "search")
print([action_engine.check(gate, Policy(max_calls=1)).allowed for _ in range(2)], action_engine.listener_errors)
"""
    program = COMPOSED.replace("from auditgate import", "from otel_audit.compat.auditgate import") + calls
    path = tmp_path / "audit.jsonl"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    settings = {"PYTHONPATH": str(ROOT), "OTEL_AUDIT_FILE": str(path), "OTEL_SERVICE_NAME": "page"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, env=kept | settings
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "[True, False] 0\n")
    assert verify_log(path).intact
    decisions = [entry.attributes["audit.decision"] for entry in read_log(path, event_name="gate.decision")]
    assert decisions == ["allow", "block"]


def test_composed_with_trace_ids(log: CapturedAudit) -> None:
    """A listener that records as the page's does writes entries with the caller's span."""
    engine, audit = action.Engine(), Engine()
    trail = Trail("api", "actiongate")
    audit.register(trail, AuditPolicy())

    def listener(decision: Any) -> None:
        verdict = Verdict.ALLOW if decision.allowed else Verdict.BLOCK
        audit.record(
            trail, verdict=verdict, severity=Severity.INFO, gate_type="actiongate", gate_identity=str(decision.gate)
        )

    engine.on_decision(listener)
    with TracerProvider().get_tracer("test").start_as_current_span("agent") as span:
        for _ in range(2):
            engine.check(SEARCH, action.Policy(max_calls=1))
    assert [entry.attributes["audit.decision"] for entry in log.entries] == ["allow", "block"]
    assert {entry.span_id for entry in log.entries} == {trace.format_span_id(span.get_span_context().span_id)}
