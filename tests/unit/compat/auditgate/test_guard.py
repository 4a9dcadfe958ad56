from __future__ import annotations

import asyncio
import copy
import errno
import functools
import inspect
import json
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from otel_audit import verify_log
from otel_audit.compat.auditgate import (
    AsyncMemoryStore,
    AuditEntry,
    AuditError,
    AuditPolicy,
    Decision,
    Engine,
    MemoryStore,
    Mode,
    QueryFilter,
    Result,
    Severity,
    Status,
    StoreErrorMode,
    Verdict,
    verify_chain,
)
from otel_audit.testing import CapturedAudit, capture_audit
from tests.auditgate import CHAIN, POLICIES, SOFT, TRAIL, AsyncFailingStore, FailingStore

FULL = OSError(errno.ENOSPC, "no space left on device")
OPEN = AuditPolicy(on_store_error=StoreErrorMode.FAIL_OPEN)
MODULE_ENGINE = Engine(store=MemoryStore())


@MODULE_ENGINE.guard(TRAIL)
def by_name(value: int) -> int:
    """Add one."""
    return value + 1


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log that is intact when the test is over."""
    with capture_audit() as log:
        yield log
        assert verify_log(log.path).intact


def entries(engine: Engine) -> list[AuditEntry]:
    """Return all that is in the engine's store."""
    return list(engine._store.query(QueryFilter()))


@pytest.fixture(params=["memory", "log"])
def engine(request: pytest.FixtureRequest, log: CapturedAudit) -> Engine:
    """An engine over either store."""
    return Engine(store=MemoryStore()) if request.param == "memory" else Engine()


class TestGuard:
    def test_decision_before_and_outcome_after(self, engine: Engine) -> None:
        """The decision is on record when the function runs, how it ended after it."""
        seen: list[int] = []

        @engine.guard(TRAIL, policy=CHAIN, gate_type="combined", meta={"order": 7})
        def work() -> str:
            seen.append(len(entries(engine)))
            return "done"

        assert work() == "done"
        assert seen == [1]
        decision, outcome = entries(engine)
        assert (decision.verdict, decision.severity, decision.gate_type) == (Verdict.ALLOW, Severity.INFO, "combined")
        assert (decision.gate_identity, decision.reason) == (str(TRAIL), "guard:work")
        assert decision.detail == {"order": 7}
        assert outcome.verdict is Verdict.ALLOW
        assert outcome.reason == "guard:work"
        detail = dict(outcome.detail)
        assert detail.pop("duration") > 0
        assert detail == {"outcome": "success", "decision": decision.sequence}
        assert verify_chain([decision, outcome]) == (True, None)

    def test_function_that_raises(self, engine: Engine) -> None:
        """Its exception goes on, the same object, and the outcome is an ERROR with its type, not its text."""
        error = ValueError("canary")

        @engine.guard(TRAIL)
        def work() -> None:
            raise error

        with pytest.raises(ValueError, match="canary") as raised:
            work()
        assert raised.value is error
        _, outcome = entries(engine)
        assert (outcome.verdict, outcome.severity) == (Verdict.ERROR, Severity.ERROR)
        assert outcome.detail["outcome"] == "failure"
        assert outcome.detail["error_type"] == "ValueError"
        assert "canary" not in json.dumps(outcome.to_dict())

    def test_graver_than_an_error(self, engine: Engine) -> None:
        """The outcome of a critical function that raises is still critical."""

        @engine.guard(TRAIL, severity=Severity.CRITICAL, verdict=Verdict.OVERRIDE)
        def work() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            work()
        decision, outcome = entries(engine)
        assert (decision.verdict, outcome.severity) == (Verdict.OVERRIDE, Severity.CRITICAL)

    def test_intent_and_outcome_in_the_log(self, log: CapturedAudit) -> None:
        """In the log the two entries are an action's intent and outcome, so that a crash leaves proof."""
        Engine().guard(TRAIL)(lambda: None)()
        intent, outcome = log.entries
        assert [entry.attributes["audit.phase"] for entry in log.entries] == ["intent", "outcome"]
        assert [entry.attributes["audit.outcome"] for entry in log.entries] == ["unknown", "success"]
        assert outcome.attributes["audit.intent.id"] == intent.attributes["audit.record.id"]
        assert "audit.duration" in outcome.attributes
        assert str(intent.attributes["code.function.name"]).endswith("<lambda>")

    def test_crash_leaves_an_open_intent(self, log: CapturedAudit) -> None:
        """A decision whose outcome was never written is named by the verifier."""
        engine = Engine()

        @engine.guard(TRAIL)
        def work() -> None:
            log.fail(FULL)

        work()
        kinds = [finding.kind for finding in verify_log(log.path).findings]
        assert kinds.count("intent_without_outcome") == 1

    def test_lost_outcome(self, log: CapturedAudit) -> None:
        """Where the outcome cannot be written, the result goes on; listeners hear of it, and it is counted."""
        engine = Engine()
        told: list[Decision] = []
        engine.on_decision(told.append)

        @engine.guard(TRAIL)
        def work() -> int:
            log.fail(FULL)
            return 7

        assert work() == 7
        assert [decision.status for decision in told] == [Status.RECORDED, Status.DROPPED]
        assert log.provider.exporter.ledger.drops.total == 1

    def test_below_the_severity_asked_for(self, engine: Engine) -> None:
        """What the policy does not ask for keeps nothing from running; a failure is grave enough again."""
        policy = AuditPolicy(min_severity=Severity.ERROR)

        @engine.guard(TRAIL, policy=policy)
        def work(fail: bool) -> int:
            return 1 // (not fail)

        assert work(False) == 1
        assert entries(engine) == []
        with pytest.raises(ZeroDivisionError):
            work(True)
        assert [entry.detail["outcome"] for entry in entries(engine)] == ["failure"]

    def test_policy_of_the_trail(self) -> None:
        """Without a policy of its own a guard goes by the trail's, as it is at the call."""
        engine = Engine(store=FailingStore())
        guarded = engine.guard(TRAIL)(lambda: 7)
        with pytest.raises(AuditError):
            guarded()
        engine.register(TRAIL, SOFT)
        assert guarded() == 7


RAN = {
    "HARD, FAIL_CLOSED": (False, False),
    "HARD, FAIL_OPEN": (True, True),
    "SOFT, FAIL_CLOSED": (True, False),
    "SOFT, FAIL_OPEN": (True, True),
}
"""Whether a function runs whose decision could not be recorded: with `guard`, with `guard_result`."""


class TestFailureModes:
    @pytest.mark.parametrize("name", POLICIES)
    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_guard(self, name: str, asynchronous: bool) -> None:
        """With FAIL_CLOSED in HARD mode the function does not run; HARD raises, in any case."""
        ran: list[int] = []
        engine = Engine(store=FailingStore(), async_store=AsyncFailingStore())
        call = _guarded(engine.async_guard if asynchronous else engine.guard, POLICIES[name], ran)
        if name.startswith("HARD"):
            with pytest.raises(AuditError) as raised:
                call()
            assert raised.value.result.ok == bool(ran)
            assert raised.value.result.unwrap_or(0) == (7 if ran else 0)
        else:
            assert call() == 7
        assert bool(ran) == RAN[name][0]

    @pytest.mark.parametrize("name", POLICIES)
    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_guard_result(self, name: str, asynchronous: bool) -> None:
        """HARD raises; SOFT never does: the result holds the dropped decision, and a value where there is one."""
        ran: list[int] = []
        engine = Engine(store=FailingStore(), async_store=AsyncFailingStore())
        call = _guarded(engine.async_guard_result if asynchronous else engine.guard_result, POLICIES[name], ran)
        if name.startswith("HARD"):
            with pytest.raises(AuditError) as raised:
                call()
            assert raised.value.result.unwrap_or(0) == (7 if ran else 0)
        else:
            result = call()
            assert isinstance(result, Result)
            assert result.decision.dropped
            assert result.ok == bool(ran)
            assert result.unwrap_or(0) == (7 if ran else 0)
        assert bool(ran) == RAN[name][1]

    def test_outcome_of_a_lost_decision(self, log: CapturedAudit) -> None:
        """Where only the decision was lost, the outcome is recorded, and names no decision."""
        engine = Engine()
        log.fail(FULL)
        engine.guard(TRAIL, policy=SOFT)(lambda: None)()
        [outcome] = [entry for entry in log.entries if entry.event_name == "gate.decision"]
        assert outcome.attributes["audit.phase"] == "outcome"
        assert "audit.intent.id" not in outcome.attributes
        assert "decision" not in outcome.attributes["gate.detail"]  # type: ignore[operator]

    def test_own_exception_comes_first(self) -> None:
        """Where a function ran unaudited and raised, that is what its caller gets."""
        engine = Engine(store=FailingStore())

        @engine.guard(TRAIL, policy=OPEN)
        def work() -> None:
            raise ValueError("own")

        with pytest.raises(ValueError, match="own"):
            work()

    def test_result_of_what_ran(self) -> None:
        """A result carries the recorded decision and the value."""
        engine = Engine(store=MemoryStore())
        result = engine.guard_result(TRAIL)(lambda: 7)()
        assert (result.ok, result.decision.recorded, result.unwrap()) == (True, True, 7)


def _guarded(decorator: Callable[..., Any], policy: AuditPolicy, ran: list[int]) -> Callable[[], Any]:
    """Return a way to call a guarded function that notes that it ran."""

    async def awork() -> int:
        ran.append(1)
        return 7

    def work() -> int:
        ran.append(1)
        return 7

    if "async" in decorator.__name__:
        guarded = decorator(TRAIL, policy=policy)(awork)
        return lambda: asyncio.run(guarded())
    return decorator(TRAIL, policy=policy)(work)  # type: ignore[no-any-return]


class TestKinds:
    """Functions of every kind: what comes out is unchanged, and both entries are written."""

    def outcomes(self, engine: Engine) -> list[str]:
        """Return how the calls ended."""
        return [entry.detail["outcome"] for entry in entries(engine) if "outcome" in entry.detail]

    def test_methods(self, engine: Engine) -> None:
        """Methods, class methods, static methods and properties keep their binding."""
        guard = engine.guard(TRAIL)

        class Shop:
            @guard
            def method(self, x: int) -> tuple[Any, int]:
                return self, x

            @classmethod
            @guard
            def klass(cls, x: int) -> tuple[Any, int]:
                return cls, x

            @staticmethod
            @guard
            def static(x: int) -> int:
                return x

            @property
            @guard
            def size(self) -> int:
                return 3

        shop = Shop()
        assert shop.method(1) == (shop, 1)
        assert Shop.klass(2) == (Shop, 2)
        assert shop.static(3) == 3
        assert shop.size == 3
        assert self.outcomes(engine) == ["success"] * 4

    def test_partials_and_instances(self, engine: Engine) -> None:
        """Partials, built-in functions and callable objects are guarded, too."""

        class Adder:
            def __call__(self, x: int) -> int:
                return x + 1

        for function in (functools.partial(max, 3), Adder(), abs):
            engine.guard(TRAIL)(function)(4)
        assert self.outcomes(engine) == ["success"] * 3

    def test_looks_the_same(self, engine: Engine) -> None:
        """Name, docstring, signature and kind are the function's."""

        async def work(a: int, *, b: str = "") -> None:
            """Do it."""

        guarded = engine.async_guard(TRAIL)(work)
        assert (guarded.__name__, guarded.__doc__) == ("work", "Do it.")
        assert inspect.signature(guarded) == inspect.signature(work)
        assert inspect.iscoroutinefunction(guarded)

    def test_pickled_and_copied(self) -> None:
        """A guarded function of a module is pickled by its name, and copied as functions are."""
        assert pickle.loads(pickle.dumps(by_name)) is by_name
        assert copy.deepcopy(by_name) is by_name
        assert by_name(1) == 2

    async def test_coroutine_under_guard(self, engine: Engine) -> None:
        """`guard` on a coroutine function records when it is awaited, the outcome after it."""

        @engine.guard(TRAIL)
        async def work() -> int:
            await asyncio.sleep(0)
            assert len(entries(engine)) == 1
            return 7

        assert await work() == 7
        assert self.outcomes(engine) == ["success"]

    async def test_coroutine_that_raises(self, engine: Engine) -> None:
        """Its exception goes on, and the outcome is a failure."""

        @engine.async_guard(TRAIL)
        async def work() -> None:
            raise ValueError("own")

        with pytest.raises(ValueError, match="own"):
            await work()
        assert self.outcomes(engine) == ["failure"]

    async def test_cancelled(self, engine: Engine) -> None:
        """A coroutine that is cancelled has a failure as its outcome, and stays cancelled."""
        begun = asyncio.Event()

        @engine.async_guard(TRAIL)
        async def work() -> None:
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert self.outcomes(engine) == ["failure"]

    async def test_cancelled_before_it_began(self) -> None:
        """Cancelled while the decision waits for the disk, the function does not run, and its outcome is unknown."""
        ran: list[int] = []
        with capture_audit(durability="always") as log:
            engine = Engine()

            @engine.async_guard(TRAIL)
            async def work() -> None:
                ran.append(1)

            await engine.async_guard(TRAIL)(asyncio.sleep)(0)
            log.clear()
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ran == []
            assert [entry.attributes["audit.outcome"] for entry in log.entries] == ["unknown", "unknown"]
            assert log.entries[1].attributes["audit.reason"] == "cancelled before it began"

    async def test_awaited_result(self, engine: Engine) -> None:
        """`async_guard_result` gives a result with the value; a plain function that returns a coroutine is fine."""

        async def later() -> int:
            return 7

        guarded = engine.async_guard_result(TRAIL)(lambda: later())  # noqa: PLW0108
        assert (await guarded()).unwrap() == 7

    async def test_failure_of_an_async_store(self) -> None:
        """With an async store the outcome of a coroutine that raised is awaited."""
        store = AsyncMemoryStore()

        class Awaiting(AsyncMemoryStore):
            async def append(self, entry: AuditEntry) -> None:
                await asyncio.sleep(0)
                await store.append(entry)

        @Engine(async_store=Awaiting()).async_guard(TRAIL)
        async def work() -> None:
            raise ValueError("own")

        with pytest.raises(ValueError, match="own"):
            await work()
        found = await store.query(QueryFilter())
        assert [entry.detail.get("outcome") for entry in found] == [None, "failure"]

    async def test_cancelled_while_the_outcome_is_stored(self) -> None:
        """Where an async store is cancelled in the middle of an outcome, the function's own exception goes on."""

        class Cancelled(AsyncMemoryStore):
            async def append(self, entry: AuditEntry) -> None:
                if "outcome" in entry.detail:
                    raise asyncio.CancelledError
                await super().append(entry)

        @Engine(async_store=Cancelled()).async_guard(TRAIL)
        async def work() -> None:
            raise ValueError("own")

        with pytest.raises(ValueError, match="own"):
            await work()

    def test_generator(self, engine: Engine) -> None:
        """A generator is decided upon at its first step, and ends with its last."""

        @engine.guard(TRAIL)
        def count() -> Iterator[int]:
            yield 1
            yield 2

        steps = count()
        assert entries(engine) == []
        assert next(steps) == 1
        assert len(entries(engine)) == 1
        assert list(steps) == [2]
        assert self.outcomes(engine) == ["success"]

    def test_generator_ends(self, engine: Engine) -> None:
        """Closed early its outcome is unknown; when it raises, a failure."""

        @engine.guard(TRAIL)
        def count() -> Iterator[int]:
            yield 1
            raise ValueError("own")

        for _ in count():
            break
        with pytest.raises(ValueError, match="own"):
            list(count())
        assert self.outcomes(engine) == ["unknown", "failure"]

    def test_generator_that_must_not_run(self) -> None:
        """A generator whose decision cannot be recorded runs as the table says."""
        ran: list[int] = []
        engine = Engine(store=FailingStore())

        def count() -> Iterator[int]:
            ran.append(1)
            yield 1

        with pytest.raises(AuditError):
            list(engine.guard(TRAIL)(count)())
        assert ran == []
        taken: list[int] = []
        with pytest.raises(AuditError):
            taken.extend(engine.guard(TRAIL, policy=OPEN)(count)())
        assert ran == [1]
        assert list(engine.guard(TRAIL, policy=SOFT)(count)()) == [1]

    async def test_async_generator(self, engine: Engine) -> None:
        """An async generator is decided upon at its first step; each way to end is told."""

        @engine.guard(TRAIL)
        async def count(fail: bool) -> AsyncIterator[int]:
            yield 1
            if fail:
                raise ValueError("own")

        assert [item async for item in count(False)] == [1]
        with pytest.raises(ValueError, match="own"):
            [item async for item in count(True)]
        steps = count(False)
        await anext(steps)
        await steps.aclose()  # type: ignore[attr-defined]
        assert self.outcomes(engine) == ["success", "failure", "unknown"]

    async def test_async_generator_of_an_async_store(self) -> None:
        """How an async generator failed cannot be awaited: listeners hear that it is not on record."""
        told: list[Decision] = []

        class Own(AsyncMemoryStore):
            """Not the one that never waits."""

        engine = Engine(async_store=Own())
        engine.on_decision(told.append)

        @engine.guard(TRAIL)
        async def count() -> AsyncIterator[int]:
            yield 1
            raise ValueError("own")

        with pytest.raises(ValueError, match="own"):
            [item async for item in count()]
        assert [decision.status for decision in told] == [Status.RECORDED, Status.DROPPED]

    @pytest.mark.parametrize("what", [int, 3])
    def test_no_function(self, what: Any) -> None:
        """What is no function is refused at once."""
        with pytest.raises(TypeError, match="expected a function"):
            Engine(store=MemoryStore()).guard(TRAIL)(what)

    def test_generator_result(self) -> None:
        """A result of a generator is refused at once: it is not there when the function returns."""

        def count() -> Iterator[int]:
            yield 1

        with pytest.raises(TypeError, match="got a generator function: use guard"):
            Engine(store=MemoryStore()).guard_result(TRAIL)(count)

    def test_wrong_words(self) -> None:
        """A word of another kind is refused where the guard is made."""
        with pytest.raises(TypeError, match="verdict: expected a Verdict"):
            Engine(store=MemoryStore()).guard(TRAIL, verdict="allow")  # type: ignore[arg-type]


def test_soft_never_raises(log: CapturedAudit) -> None:
    """In SOFT mode `guard_result` raises nothing of its own, whatever fails: before, in between, or after."""
    engine = Engine()
    for on_store_error in StoreErrorMode:
        guarded = engine.guard_result(TRAIL, policy=AuditPolicy(Mode.SOFT, on_store_error))(lambda: 7)
        for failures in range(3):
            log.fail(FULL, times=failures)
            assert guarded().unwrap_or(7) == 7
