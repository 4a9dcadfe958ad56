from __future__ import annotations

import asyncio
import errno
import logging
import pickle
import threading
from typing import Any

import pytest

from otel_audit import AuditConfigError, errors
from otel_audit.compat.auditgate import (
    MISSING,
    AsyncMemoryStore,
    AuditError,
    AuditPolicy,
    Decision,
    Emitter,
    Engine,
    MemoryStore,
    Mode,
    QueryFilter,
    Result,
    Severity,
    Status,
    Trail,
    Verdict,
    verify_chain,
)
from otel_audit.testing import capture_audit
from tests.auditgate import CHAIN, POLICIES, REFUND, SOFT, TRAIL, AsyncFailingStore, FailingStore

FULL = OSError(errno.ENOSPC, "no space left on device")


class TestRecord:
    def test_in_memory(self) -> None:
        """With a store nothing goes to the audit log, which need not be configured."""
        engine = Engine(store=MemoryStore())
        decision = engine.record(TRAIL, **REFUND, reason="r", detail={"x": 1})
        assert decision == Decision(Status.RECORDED, TRAIL, AuditPolicy(), decision.entry)
        assert decision
        assert engine._store.query(QueryFilter()) == [decision.entry]

    def test_policy_of_the_trail(self) -> None:
        """A trail goes by the policy that it is registered with; others by the default."""
        engine = Engine(store=MemoryStore())
        engine.register(TRAIL, CHAIN)
        assert engine.policy_for(TRAIL) == CHAIN
        assert engine.policy_for(Trail("a", "b")) is None
        assert engine.record(TRAIL, **REFUND).policy == CHAIN
        assert engine.record(Trail("a", "b"), **REFUND).policy == AuditPolicy()

    def test_policy_of_a_call(self) -> None:
        """A policy given with a call is that call's alone."""
        engine = Engine(store=MemoryStore())
        engine.register(TRAIL, CHAIN)
        assert engine.record(TRAIL, **REFUND, policy=SOFT).policy == SOFT
        assert engine.policy_for(TRAIL) == CHAIN

    def test_below_the_severity_asked_for(self) -> None:
        """What the policy does not ask for is dropped, which is no failure, and no entry."""
        engine = Engine(store=MemoryStore())
        told: list[Decision] = []
        engine.on_decision(told.append)
        decision = engine.record(TRAIL, **REFUND, policy=AuditPolicy(min_severity=Severity.WARN))
        assert decision.dropped
        assert decision.reason == "not recorded: the policy asks for WARN and graver"
        assert told == [decision]
        engine.enforce(decision)
        assert engine._store.query(QueryFilter()) == []

    @pytest.mark.parametrize(
        ("name", "value"),
        [("trail", "billing"), ("verdict", "ALLOW"), ("severity", 2)],
        ids=["trail", "verdict", "sev"],
    )
    def test_wrong_words(self, name: str, value: Any) -> None:
        """A word of another kind is a mistake of the program, whatever the policy."""
        engine = Engine(store=MemoryStore())
        with pytest.raises(TypeError, match=f"{name}: expected a "):
            engine.record(**{"trail": TRAIL, **REFUND, name: value}, policy=SOFT)

    def test_not_configured(self, caplog: pytest.LogCaptureFixture) -> None:
        """Without a store and without a configured log a decision is dropped, and the reason says what to do."""
        with pytest.raises(AuditError, match=r"auditing is not configured: call otel_audit.configure") as raised:
            Engine().record(TRAIL, **REFUND)
        assert isinstance(raised.value.__cause__, AuditConfigError)
        with caplog.at_level(logging.WARNING):
            assert Engine().record(Trail("not", "configured"), **REFUND, policy=SOFT).dropped
        assert "the decision of not:configured@global was not recorded" in caplog.text

    def test_numbers_that_a_failure_does_not_burn(self) -> None:
        """After an append that failed, the next number follows the last one: in memory, and in the log."""
        with capture_audit() as log:
            for engine, fail in ((Engine(), log.fail), (Engine(store=(store := Flaky())), store.fail)):
                first = engine.record(TRAIL, **REFUND).entry
                fail(FULL)
                with pytest.raises(AuditError):
                    engine.record(TRAIL, **REFUND)
                second = engine.record(TRAIL, **REFUND).entry
                assert first is not None
                assert second is not None
                assert second.sequence == first.sequence + 1

    @pytest.mark.usefixtures("eager_threads")
    def test_threads_in_memory(self) -> None:
        """Four threads make one chain."""
        engine = Engine(store=MemoryStore())
        engine.register(TRAIL, CHAIN)

        def work() -> None:
            for _ in range(250):
                engine.record(TRAIL, **REFUND)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        entries = engine._store.query(QueryFilter())
        assert [entry.sequence for entry in entries] == list(range(1000))
        assert verify_chain(entries) == (True, None)


class Flaky(MemoryStore):
    """A store that fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """Fail once."""
        self.error = error

    def append(self, entry: Any) -> None:
        """Append, or fail."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        super().append(entry)


class TestFailure:
    @pytest.mark.parametrize("name", POLICIES)
    def test_record(self, name: str) -> None:
        """HARD raises, SOFT returns the dropped decision; the listeners hear of both."""
        engine = Engine(store=FailingStore())
        told: list[Decision] = []
        engine.on_decision(told.append)
        if name.startswith("HARD"):
            with pytest.raises(AuditError) as raised:
                engine.record(TRAIL, **REFUND, policy=POLICIES[name])
            decision = raised.value.decision
            assert isinstance(raised.value.__cause__, OSError)
        else:
            decision = engine.record(TRAIL, **REFUND, policy=POLICIES[name])
        assert told == [decision]
        assert (decision.status, decision.entry, bool(decision)) == (Status.DROPPED, None, False)

    def test_reason_of_a_store(self) -> None:
        """The reason names the kind of a store's error; its text may hold a password."""
        decision = Engine(store=FailingStore()).record(TRAIL, **REFUND, policy=SOFT)
        assert decision.reason == "not recorded: OSError"
        assert "canary" not in repr(decision)
        assert isinstance(decision.error, OSError)

    def test_reason_of_the_log(self) -> None:
        """Of the audit log the reason says what is wrong with it."""
        with capture_audit() as log:
            log.fail(FULL)
            decision = Engine().record(TRAIL, **REFUND, policy=SOFT)
        assert decision.reason is not None
        assert "no space left on device" in decision.reason

    def test_enforce(self) -> None:
        """A dropped decision raises where its policy is HARD, whoever made it; a recorded one never."""
        engine = Engine(store=MemoryStore())
        engine.enforce(engine.record(TRAIL, **REFUND))
        engine.enforce(Decision(Status.DROPPED, TRAIL, SOFT, reason="why"))
        with pytest.raises(AuditError, match="why") as raised:
            engine.enforce(Decision(Status.DROPPED, TRAIL, AuditPolicy(), reason="why"))
        assert raised.value.decision.reason == "why"

    def test_error(self) -> None:
        """The error is a RuntimeError, as AuditGate's, one of this package's errors, and can be pickled."""
        error = AuditError(Decision(Status.DROPPED, TRAIL, AuditPolicy(mode=Mode.HARD), reason="why"))
        assert isinstance(error, RuntimeError)
        assert isinstance(error, errors.AuditError)
        assert str(error) == "why"
        assert pickle.loads(pickle.dumps(error)).decision == error.decision

    @pytest.mark.parametrize("name", POLICIES)
    def test_losses_are_declared(self, name: str) -> None:
        """What was lost while the action could go on is declared in the log; where nothing could, nothing is."""
        with capture_audit() as log:
            engine = Engine()
            log.fail(FULL, times=2)
            for _ in range(2):
                try:
                    engine.record(TRAIL, **REFUND, policy=POLICIES[name])
                except AuditError:
                    assert name.startswith("HARD")
            engine.record(TRAIL, **REFUND)
            declared = log.provider.exporter.ledger.drops.total
        assert declared == (0 if name == "HARD, FAIL_CLOSED" else 2)


class TestListeners:
    def test_in_order_and_before_the_return(self) -> None:
        """Listeners are called in their order, with the decision that is returned."""
        engine = Engine(store=MemoryStore())
        heard: list[tuple[int, Decision]] = []
        for number in range(2):
            engine.on_decision(lambda decision, number=number: heard.append((number, decision)))  # type: ignore[misc]
        decision = engine.record(TRAIL, **REFUND)
        assert heard == [(0, decision), (1, decision)]

    def test_errors_are_counted(self) -> None:
        """A listener that raises stops nobody, and is counted."""
        engine = Engine(store=MemoryStore())
        heard: list[Decision] = []

        def broken(_: Decision) -> None:
            raise ValueError

        engine.on_decision(broken)
        engine.on_decision(heard.append)
        assert engine.record(TRAIL, **REFUND).recorded
        assert engine.record(TRAIL, **REFUND).recorded
        assert (len(heard), engine.listener_errors) == (2, 2)

    def test_shared_emitter(self) -> None:
        """Engines with one emitter tell the same listeners."""
        emitter = Emitter()
        heard: list[Any] = []
        emitter.add(heard.append)
        for _ in range(2):
            Engine(store=MemoryStore(), emitter=emitter).record(TRAIL, **REFUND)
        emitter.emit("anything")
        assert len(heard) == 3
        assert emitter.error_count == 0

    def test_interrupt(self) -> None:
        """A `KeyboardInterrupt` in a listener goes on."""
        engine = Engine(store=MemoryStore())

        def interrupted(_: Decision) -> None:
            raise KeyboardInterrupt

        engine.on_decision(interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.record(TRAIL, **REFUND)

    def test_counted_over_threads(self) -> None:
        """No error is missed where many threads raise."""
        emitter = Emitter()

        def broken(_: object) -> None:
            raise ValueError

        def work() -> None:
            for _ in range(500):
                emitter.emit(1)

        emitter.add(broken)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert emitter.error_count == 2000


class TestResult:
    DECISION = Decision(Status.DROPPED, TRAIL, SOFT, reason="why")

    def test_with_a_value(self) -> None:
        """A result of a function that ran gives its value, None too."""
        assert Result(self.DECISION, 3).unwrap() == 3
        assert Result[int | None](self.DECISION, None).unwrap_or(3) is None
        assert Result(self.DECISION, None).ok

    def test_without_a_value(self) -> None:
        """A result of a function that did not run gives the default, or raises with the reason."""
        result: Result[int] = Result(self.DECISION)
        assert not result.ok
        assert result.unwrap_or(3) == 3
        with pytest.raises(RuntimeError, match="did not run: why"):
            result.unwrap()

    def test_shows_no_value(self) -> None:
        """Its text does not show the value, which may be a secret."""
        assert "canary" not in repr(Result(self.DECISION, "canary"))

    def test_missing_is_one(self) -> None:
        """The sentinel is one object, pickled too."""
        assert pickle.loads(pickle.dumps(Result(self.DECISION))).ok is False
        assert repr(MISSING) == "<MISSING>"


class TestAsync:
    async def test_to_the_log(self) -> None:
        """Coroutines write to the audit log; its entries are in the order of the calls, one chain."""
        with capture_audit(durability="always") as log:
            engine = Engine()
            decisions = await asyncio.gather(*(engine.async_record(TRAIL, **REFUND) for _ in range(20)))
            assert [d.entry and d.entry.sequence for d in decisions] == [entry.seq for entry in log.entries]
            assert await engine._async_store.query(QueryFilter()) == [d.entry for d in decisions]  # type: ignore[union-attr]

    async def test_in_memory(self) -> None:
        """With a store in memory the coroutines use that, as the others do."""
        store = MemoryStore()
        engine = Engine(store=store)
        await engine.async_record(TRAIL, **REFUND)
        engine.record(TRAIL, **REFUND)
        assert [entry.sequence for entry in store.query(QueryFilter())] == [0, 1]

    async def test_store_of_its_own(self) -> None:
        """With an async store the coroutines use that, and the others the audit log."""
        store = AsyncMemoryStore()
        engine = Engine(async_store=store)
        with capture_audit() as log:
            await engine.async_record(TRAIL, **REFUND)
            assert log.entries == ()
            engine.record(TRAIL, **REFUND)
            assert len(log.entries) == 1
        assert await store.count(TRAIL) == 1

    @pytest.mark.parametrize("name", POLICIES)
    async def test_failure(self, name: str) -> None:
        """The four failure modes are those of `record`."""
        engine = Engine(async_store=AsyncFailingStore())
        if name.startswith("HARD"):
            with pytest.raises(AuditError, match="not recorded: OSError") as raised:
                await engine.async_record(TRAIL, **REFUND, policy=POLICIES[name])
            decision = raised.value.decision
        else:
            decision = await engine.async_record(TRAIL, **REFUND, policy=POLICIES[name])
            await engine.async_enforce(decision)
        assert decision.dropped

    async def test_below_the_severity_asked_for(self) -> None:
        """What the policy does not ask for is dropped, and enforcing that raises nothing."""
        engine = Engine(async_store=AsyncFailingStore())
        decision = await engine.async_record(TRAIL, **REFUND, policy=AuditPolicy(min_severity=Severity.ERROR))
        await engine.async_enforce(decision)
        assert decision.dropped

    async def test_store_in_a_log_for_coroutines(self) -> None:
        """The async store of an engine over the log answers, and hides, as the plain one."""
        with capture_audit():
            engine = Engine()
            store = engine._async_store
            assert store is not None
            entry = (await engine.async_record(TRAIL, **REFUND, policy=CHAIN)).entry
            assert entry is not None
            await store.append(entry)
            assert await store.count(TRAIL) == 2
            assert await store.last_entry(TRAIL) != entry
            assert await store.prune(TRAIL, entry.ts) == 0
            await store.clear(TRAIL)
            assert await store.count(TRAIL) == 0
            await engine.async_record(TRAIL, **REFUND | {"verdict": Verdict.BLOCK})
            await store.clear_all()
            assert await store.query(QueryFilter()) == []
