"""`gate`: a policy decides, the decision is recorded, and nothing gets round either."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import threading
import types
import typing
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from opentelemetry.sdk.resources import Resource

from otel_audit import acting_as, audited, carry, gate, verify_log
from otel_audit.errors import AuditBlockedError, AuditConfigError, AuditRecordError, AuditWriteError
from otel_audit.instrument import once
from otel_audit.instrument.decorator import is_audited
from otel_audit.pipeline.context import current_actors
from otel_audit.record import Actor, Target
from otel_audit.testing import CapturedAudit, capture_audit
from tests.unit.instrument.functions import BINDINGS, OwnError, body, run

SHOP = Resource({"service.name": "shop"})

FORMS = ("function", "coroutine function", "generator", "async generator")
ENDS = {
    "function": ("returns", "raises", "is interrupted"),
    "coroutine function": ("returns", "raises", "is interrupted", "is cancelled", "has something thrown in"),
    "generator": ("returns", "raises", "is interrupted", "is closed early", "has something thrown in"),
    "async generator": ("returns", "raises", "is cancelled", "is closed early", "has something thrown in"),
}

anything: Any = gate
"""`gate` where a type checker would be right to object."""


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log of its own for each test."""
    once._told.clear()
    with capture_audit(resource=SHOP) as captured:
        yield captured
    once._told.clear()


def decisions(log: CapturedAudit) -> list[tuple[str, str | None]]:
    """Decision and reason of each entry that is a decision."""
    return [
        (entry.attributes["audit.decision"], entry.attributes.get("audit.reason"))  # type: ignore[misc]
        for entry in log.entries
        if "audit.decision" in entry.attributes
    ]


def steps(log: CapturedAudit) -> list[str]:
    """What each entry is: a decision, or the phase of an action with its outcome."""
    return [
        str(get("audit.decision") or f"{get('audit.phase')} {get('audit.outcome')}")
        for get in (entry.attributes.get for entry in log.entries)
    ]


def small(call: Any) -> object:
    """A policy: allow what is not too much."""
    return True if call.arguments["amount"] <= 100 else "over the limit"


def answering(answer: object) -> Callable[[object], object]:
    """Return a policy that always answers so."""
    return lambda call: answer


async def later(call: Any) -> object:
    """The same policy, which has to wait for its answer."""
    await asyncio.sleep(0)
    return small(call)


@gate(small, "order.refund", target=lambda call: Target(call.arguments["order_id"], "order"))
def refund(order_id: str, amount: int = 5) -> str:
    """Refund an order."""
    return f"{order_id}: {amount}"


@gate(small)
@audited
async def arefund(order_id: str, amount: int = 5) -> str:
    """Refund an order, later."""
    return f"{order_id}: {amount}"


class Desk:
    """Has a method behind a gate."""

    @gate(small)
    def refund(self, amount: int) -> int:
        """Refund."""
        return amount

    @gate(small)
    @classmethod
    def make(cls, amount: int) -> type:
        """Make one."""
        return cls


def by_name(amount: int) -> int:
    """A function that nobody decorated."""
    return amount


class TestDecision:
    def test_allowed(self, log: CapturedAudit) -> None:
        """The decision is in the log before the function runs."""
        seen: list[int] = []
        function = gate(lambda call: True)(lambda: seen.append(len(log.entries)))
        function()
        assert seen == [1]
        assert decisions(log) == [("allow", None)]

    def test_blocked(self, log: CapturedAudit) -> None:
        """A blocked call raises, with decision, reason and the receipt of the entry; the function does not run."""
        ran: list[int] = []
        with pytest.raises(AuditBlockedError, match="^work: blocked: too late$") as caught:
            gate(lambda call: "too late", "work")(lambda: ran.append(1))()
        assert ran == []
        [entry] = log.entries
        error = caught.value
        assert error.receipt is not None
        assert (error.decision, error.reason, str(error.receipt)) == ("block", "too late", f"{entry.seq}:{entry.hash}")
        assert entry.attributes["audit.outcome"] == "success"
        assert verify_log(log.path, anchors=[error.receipt]).anchored

    def test_without_reason(self, log: CapturedAudit) -> None:
        """A policy need not give a reason."""
        with pytest.raises(AuditBlockedError, match="^work: blocked$") as caught:
            gate(lambda call: False, "work")(lambda: None)()
        assert caught.value.reason is None

    def test_override(self, log: CapturedAudit) -> None:
        """Somebody's override lets the call run, and is recorded as one."""
        assert gate(lambda call: ("override", "by maya"))(lambda: 7)() == 7
        assert decisions(log) == [("override", "by maya")]

    def test_entry(self, log: CapturedAudit) -> None:
        """The decision says who, on whose behalf, upon what, with action, attributes and event name."""

        @gate(small, action="WRITE", target=lambda call: call.arguments["order_id"], attributes={"team": "x"})
        def work(order_id: str, amount: int) -> None: ...

        with acting_as("ada", type="user"), acting_as("agent"):
            work("o-1", 5)
        [entry] = log.entries
        assert entry.event_name == f"{__name__}.{work.__qualname__}"
        expected = {
            "audit.actor.id": "agent",
            "audit.delegation": ["ada", "agent"],
            "audit.action": "WRITE",
            "audit.target.id": "o-1",
            "audit.decision": "allow",
            "team": "x",
        }
        assert {name: entry.attributes[name] for name in expected} == expected
        assert "audit.arguments" not in entry.attributes
        assert "audit.phase" not in entry.attributes

    def test_actor(self, log: CapturedAudit) -> None:
        """Who acts may be told from the call."""
        gate(lambda call: True, actor=lambda call: Actor(call.arguments["user"], "user"))(lambda user: None)("ada")
        assert log.entries[0].attributes["audit.actor.id"] == "ada"

    def test_target_that_fails(self, log: CapturedAudit) -> None:
        """A callable that fails costs its part of the entry, and neither the decision nor the entry."""
        gate(lambda call: True, target=lambda call: call.arguments["nope"])(lambda: None)()
        assert log.entries[0].attributes["audit.altered"] == ["/attributes/audit.target.id"]

    def test_call(self, log: CapturedAudit) -> None:
        """The policy sees function, instance and arguments, defaults applied."""
        seen: list[Any] = []

        class Own:
            @gate(lambda call: seen.append(call) or True)  # type: ignore[func-returns-value]
            def run(self, value: int, more: int = 2) -> None: ...

        own = Own()
        own.run(1)
        [call] = seen
        assert call.instance is own
        assert dict(call.arguments) == {"value": 1, "more": 2}
        assert call.function.__name__ == "run"

    def test_wrong_arguments(self, log: CapturedAudit) -> None:
        """A call that does not fit the signature has no arguments to decide by: it is not let through."""
        call: Any = refund
        with pytest.raises(AuditBlockedError) as caught:
            call()
        assert isinstance(caught.value.__cause__, KeyError)
        assert decisions(log) == [("error", "the policy raised KeyError")]

    def test_several(self, log: CapturedAudit) -> None:
        """Gates over one another are each asked, the outermost first, up to the one that blocks."""
        first, second, third = gate(lambda call: True), gate(lambda call: "second"), gate(lambda call: "third")
        with pytest.raises(AuditBlockedError, match="second"):
            first(second(third(lambda: None)))()
        assert decisions(log) == [("allow", None), ("block", "second")]

    def test_threads(self, log: CapturedAudit) -> None:
        """Calls in many threads are each decided on, and each decision is recorded."""
        blocked: list[int] = []

        def work() -> None:
            for amount in range(95, 105):
                try:
                    refund("o", amount)
                except AuditBlockedError:
                    blocked.append(amount)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(blocked) == 16
        assert sorted(decisions(log), key=str) == [("allow", None)] * 24 + [("block", "over the limit")] * 16


class TestUndecided:
    @pytest.mark.parametrize("answer", [None, 1, object(), SimpleNamespace(allowed=None)])
    def test_unclear_answer(self, log: CapturedAudit, answer: object) -> None:
        """An answer that does not clearly allow or block is an error that blocks, and says what was expected."""
        ran: list[int] = []
        with pytest.raises(AuditBlockedError, match="not decided, and so blocked: expected .* got") as caught:
            gate(answering(answer))(lambda: ran.append(1))()
        assert ran == []
        assert caught.value.decision == "error"
        [entry] = log.entries
        assert entry.attributes["audit.decision"] == "error"
        assert entry.attributes["audit.outcome"] == "failure"
        assert entry.attributes["audit.reason"] == caught.value.reason

    def test_policy_raises(self, log: CapturedAudit) -> None:
        """A policy that raises blocks; the entry has the type of the exception, and nothing of its text."""
        ran: list[int] = []
        cause = OwnError("canary")

        def broken(call: object) -> object:
            raise cause

        with pytest.raises(AuditBlockedError) as caught:
            gate(broken)(lambda: ran.append(1))()
        assert ran == []
        assert caught.value.__cause__ is cause
        assert "canary" not in str(caught.value)
        kind = f"{OwnError.__module__}.OwnError"
        assert decisions(log) == [("error", f"the policy raised {kind}")]
        assert log.entries[0].attributes["error.type"] == kind
        assert b"canary" not in log.entries[0].raw

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
    def test_policy_is_interrupted(self, log: CapturedAudit, error: BaseException) -> None:
        """An interruption of the policy goes on unchanged, and is recorded; the function does not run."""
        ran: list[int] = []

        def broken(call: object) -> object:
            raise error

        with pytest.raises(type(error)) as caught:
            gate(broken)(lambda: ran.append(1))()
        assert caught.value is error
        assert ran == []
        assert decisions(log) == [("error", f"the policy raised {type(error).__name__}")]

    def test_policy_is_interrupted_on_a_full_disk(self, log: CapturedAudit) -> None:
        """An interruption goes on also where it cannot be recorded."""
        log.fail(OSError(28, "full"))

        def broken(call: object) -> object:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            gate(broken)(lambda: None)()

    def test_policy_is_interrupted_when_nobody_acts(self) -> None:
        """An interruption goes on also where no actor can be named."""

        def broken(call: object) -> object:
            raise KeyboardInterrupt

        with capture_audit(resource=SHOP, require_actor=True) as log:
            with pytest.raises(KeyboardInterrupt):
                gate(broken)(lambda: None)()
            assert log.entries == ()

    async def test_policy_is_cancelled(self, log: CapturedAudit) -> None:
        """A cancellation in an async policy goes on unchanged, and is recorded; the function does not run."""
        ran: list[int] = []
        asked = asyncio.Event()

        async def slow(call: object) -> bool:
            asked.set()
            await asyncio.Event().wait()
            return True

        @gate(slow)
        async def work() -> None:
            ran.append(1)

        task = asyncio.create_task(work())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ran == []
        assert decisions(log) == [("error", "the policy raised asyncio.exceptions.CancelledError")]

    async def test_async_policy_raises(self, log: CapturedAudit) -> None:
        """An async policy that raises blocks too."""

        async def broken(call: object) -> bool:
            await asyncio.sleep(0)
            raise OwnError

        @gate(broken)
        async def work() -> None: ...

        with pytest.raises(AuditBlockedError):
            await work()
        assert decisions(log)[0][0] == "error"

    @pytest.mark.parametrize("policy", [later, functools.partial(later)])
    def test_async_policy_of_a_plain_function(self, policy: Any) -> None:
        """An async policy cannot decide of what cannot await: refused where it is written."""

        def generator(amount: int) -> Iterator[int]:
            yield amount

        class Own:
            def run(self, amount: int) -> None: ...

        for function in (by_name, generator, Own, property(by_name)):
            with pytest.raises(AuditConfigError, match="cannot await"):
                anything(policy)(function)

    def test_plain_policy_that_answers_later(self, log: CapturedAudit) -> None:
        """A coroutine as the answer on a plain function is no answer, and is not left behind."""
        with pytest.raises(AuditBlockedError, match="got something to await"):
            gate(lambda call: later(call))(by_name)(1)  # noqa: PLW0108

    @pytest.mark.parametrize(
        ("check", "options", "error"),
        [
            (7, {}, TypeError),
            (small, {"action": "execute"}, AuditRecordError),
            (small, {"on_failure": "never"}, AuditConfigError),
            (small, {"actor": ""}, AuditRecordError),
            (small, {"attributes": [1]}, AuditConfigError),
            (small, {"required": False}, TypeError),
        ],
    )
    def test_refused_at_decoration(self, check: Any, options: Any, error: type[Exception]) -> None:
        """A wrong setting is refused where it is written; that auditing is optional is no setting at all."""
        with pytest.raises(error):
            gate(check, **options)(by_name)

    @pytest.mark.parametrize("name", ["", "x" * 1025, "audit.log.opened"])
    def test_event_name_refused(self, name: str) -> None:
        """An event name that the format refuses is refused where it is written."""
        with pytest.raises(AuditRecordError):
            gate(small, name)(by_name)

    def test_used_without_a_policy(self) -> None:
        """Written bare, it takes the function for the policy; the function can then not be called at all."""
        bare: Any = anything(by_name)
        with pytest.raises(TypeError, match="expected a function"):
            bare(1)


class TestUnrecorded:
    @pytest.mark.parametrize("answer", [True, False, None])
    def test_log_fails(self, log: CapturedAudit, answer: object) -> None:
        """Where the decision cannot be written nothing runs, whatever was decided."""
        ran: list[int] = []
        log.fail(OSError(28, "full"))
        with pytest.raises(AuditWriteError):
            gate(answering(answer))(lambda: ran.append(1))()
        assert ran == []

    async def test_log_fails_later(self, log: CapturedAudit) -> None:
        """The same for every other form."""
        ran: list[int] = []

        @gate(later)
        async def work(amount: int) -> None:
            ran.append(1)

        @gate(small)
        def items(amount: int) -> Iterator[int]:
            ran.append(1)
            yield 1

        @gate(later)
        async def aitems(amount: int) -> AsyncIterator[int]:
            ran.append(1)
            yield 1

        log.fail(OSError(28, "full"), times=3)
        with pytest.raises(AuditWriteError):
            await work(1)
        with pytest.raises(AuditWriteError):
            list(items(1))
        with pytest.raises(AuditWriteError):
            [item async for item in aitems(1)]
        assert ran == []

    @pytest.mark.parametrize("of", ["gate", "provider"])
    def test_open(self, of: str) -> None:
        """With `on_failure="open"` an allowed call runs unrecorded, and a blocked one is blocked all the same."""
        options: Any = {"on_failure": "open"} if of == "gate" else {}
        with capture_audit(resource=SHOP, on_failure="closed" if of == "gate" else "open") as log:
            log.fail(OSError(28, "full"), times=3)
            assert gate(lambda call: True, **options)(lambda: 7)() == 7
            for answer in ("no", None):
                with pytest.raises(AuditBlockedError) as caught:
                    gate(answering(answer), **options)(lambda: 7)()
                assert caught.value.receipt is not None
                assert not caught.value.receipt.recorded
            assert decisions(log) == []

    def test_closed_over_open(self) -> None:
        """With `on_failure="closed"` the gate is stricter than its provider."""
        with capture_audit(resource=SHOP, on_failure="open") as log:
            log.fail(OSError(28, "full"))
            with pytest.raises(AuditWriteError):
                gate(lambda call: True, on_failure="closed")(lambda: None)()

    def test_not_configured(self) -> None:
        """Without auditing configured nothing runs, and the policy is not even asked."""
        ran: list[int] = []
        with pytest.raises(AuditConfigError):
            gate(lambda call: ran.append(1))(lambda: ran.append(1))()
        assert ran == []

    def test_nobody_acts(self) -> None:
        """Where an actor is required and nobody said who acts, nothing runs."""
        ran: list[int] = []
        with capture_audit(resource=SHOP, require_actor=True):
            with pytest.raises(AuditRecordError):
                gate(lambda call: True)(lambda: ran.append(1))()
            assert ran == []
            with acting_as("agent"):
                gate(lambda call: True)(lambda: ran.append(1))()
        assert ran == [1]


CELLS = [(form, way) for form in FORMS for way in ENDS[form]]


class TestKinds:
    @pytest.mark.parametrize(("form", "way"), CELLS)
    def test_allowed(self, log: CapturedAudit, form: str, way: str) -> None:
        """Allowed, each form ends as it would without the gate, however it is bound; one decision each."""
        error: BaseException = KeyboardInterrupt() if way == "is interrupted" else OwnError("x")
        for number, bind in enumerate(BINDINGS.values(), start=1):
            bare, gated = (bind(wrap, body(form, way, error)) for wrap in (as_it_is, gate(lambda call: True)))
            assert ended(form, way, bare, error) == ended(form, way, gated, error)
            assert len(log.entries) == number
        assert set(decisions(log)) == {("allow", None)}

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("policy", ["plain", "async"])
    def test_blocked(self, log: CapturedAudit, form: str, policy: str) -> None:
        """Blocked, no form runs, however it is bound."""
        if policy == "async" and form in ("function", "generator"):
            with pytest.raises(AuditConfigError):
                gate(later)(body(form, "returns", OwnError()))
            return

        async def never(call: object) -> str:
            await asyncio.sleep(0)
            return "no"

        check = never if policy == "async" else lambda call: "no"
        for name, bind in BINDINGS.items():
            ran: list[int] = []
            call = bind(gate(check), noticing(form, ran))
            assert isinstance(ended(form, "returns", call, OwnError()), AuditBlockedError), name
            assert ran == []
        assert decisions(log) == [("block", "no")] * len(BINDINGS)

    @pytest.mark.parametrize("form", FORMS)
    def test_with_audited(self, log: CapturedAudit, form: str) -> None:
        """Outside `audited` a blocked call leaves the decision alone; inside, the action failed by it."""
        for answer in (True, False):
            for outside in (True, False):
                decide, record = gate(answering(answer)), audited("work")
                function = body(form, "returns", OwnError())
                call = decide(record(function)) if outside else record(decide(function))
                assert is_audited(call)
                ended(form, "returns", call, OwnError())
        assert steps(log) == [
            *("allow", "intent unknown", "outcome success"),
            *("intent unknown", "allow", "outcome success"),
            "block",
            *("intent unknown", "block", "outcome failure"),
        ]
        assert log.entries[-1].attributes["error.type"] == "otel_audit.errors.AuditBlockedError"

    @pytest.mark.parametrize("outside", [True, False])
    def test_class_with_audited(self, log: CapturedAudit, outside: bool) -> None:
        """A whole class may be audited and behind a gate, in either order: its public methods are both."""

        class Own:
            def run(self, amount: int) -> int:
                return amount

            def _private(self, amount: int) -> int:
                return amount

        both = gate(small, "desk")(audited("desk")(Own)) if outside else audited("desk")(gate(small, "desk")(Own))
        assert both is Own
        assert Own().run(1) == 1
        assert Own()._private(1000) == 1000
        with pytest.raises(AuditBlockedError):
            Own().run(1000)
        assert {entry.event_name for entry in log.entries} == {"desk.run"}
        decided = ["allow", "intent unknown", "outcome success", "block"]
        inside = ["intent unknown", "allow", "outcome success", "intent unknown", "block", "outcome failure"]
        assert steps(log) == (decided if outside else inside)

    def test_property(self, log: CapturedAudit) -> None:
        """A property's reading and writing are decided on as such."""

        class Own:
            _value = 1

            def _get(self) -> int:
                return self._value

            def _set(self, value: int) -> None:
                self._value = value

            value = anything(lambda call: call.arguments.get("value") != 7)(property(_get, _set))

        own = Own()
        own.value = 5
        assert own.value == 5
        with pytest.raises(AuditBlockedError):
            own.value = 7
        assert own._value == 5
        assert [entry.attributes["audit.action"] for entry in log.entries] == ["WRITE", "READ", "WRITE"]

    def test_asked_when_the_body_runs(self, log: CapturedAudit) -> None:
        """What is never awaited or iterated is never decided on."""
        body("generator", "returns", OwnError())
        made = gate(lambda call: True)(body("generator", "returns", OwnError()))()
        made.close()
        coroutine = gate(lambda call: True)(body("coroutine function", "returns", OwnError()))()
        coroutine.close()
        assert log.entries == ()

    def test_context_of_each_step(self, log: CapturedAudit) -> None:
        """A generator's body runs in its consumer's context at each step, as without the gate."""

        def items() -> Iterator[list[str]]:
            while True:
                yield [actor.id for actor in current_actors()]

        for made in (items(), gate(lambda call: True)(items)()):
            with acting_as("alice"):
                assert next(made) == ["alice"]
            with acting_as("bob"):
                assert next(made) == ["bob"]
            assert next(made) == []

    async def test_context_of_each_async_step(self, log: CapturedAudit) -> None:
        """The same for async generators."""

        async def items() -> AsyncIterator[list[str]]:
            while True:
                yield [actor.id for actor in current_actors()]

        for made in (items(), gate(lambda call: True)(items)()):
            with acting_as("alice"):
                assert await anext(made) == ["alice"]
            with acting_as("bob"):
                assert await anext(made) == ["bob"]

    def test_generator_ignores_close(self, log: CapturedAudit) -> None:
        """A generator that goes on after a `GeneratorExit` thrown in does so behind a gate too."""

        def stubborn() -> Generator[int, None, str]:
            try:
                yield 1
            except GeneratorExit:
                yield 2
            return "end"

        made = gate(lambda call: True)(stubborn)()
        assert next(made) == 1
        assert made.throw(GeneratorExit()) == 2
        with pytest.raises(StopIteration, match="end"):
            next(made)


class TestTransparency:
    @pytest.mark.parametrize("function", [refund, arefund, Desk.refund], ids=["function", "coroutine", "method"])
    def test_metadata(self, function: Any) -> None:
        """Name, docstring, signature, annotations and kind come through."""
        raw = inspect.unwrap(function)
        assert inspect.isfunction(raw)
        for name in ("__name__", "__qualname__", "__doc__", "__module__"):
            assert getattr(function, name) == getattr(raw, name)
        assert inspect.signature(function) == inspect.signature(raw)
        assert typing.get_type_hints(function) == typing.get_type_hints(raw)
        assert inspect.iscoroutinefunction(function) == inspect.iscoroutinefunction(raw)

    def test_copied_and_pickled(self, log: CapturedAudit) -> None:
        """Copies and pickles of a function are the function; those of a method are behind the gate, too."""
        assert copy.deepcopy(refund) is copy.copy(refund) is refund
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(refund, protocol)) is refund
        desk = Desk()
        copies = [copy.deepcopy(desk.refund), pickle.loads(pickle.dumps(desk.refund)), copy.copy(desk.refund)]
        for method in (*copies, types.MethodType(desk.refund.__func__, desk)):  # type: ignore[attr-defined]
            with pytest.raises(AuditBlockedError):
                method(1000)
        assert decisions(log) == [("block", "over the limit")] * 4

    def test_of_another_function(self, log: CapturedAudit) -> None:
        """What was decorated under another name is pickled with its gate."""
        copied = pickle.loads(pickle.dumps(gate(small)(by_name)))
        assert copied(1) == 1
        with pytest.raises(AuditBlockedError):
            copied(1000)

    def test_pydantic(self, log: CapturedAudit) -> None:
        """`validate_call` checks the arguments, the gate decides, in either order."""
        for function in (pydantic.validate_call(gate(small)(by_name)), gate(small)(pydantic.validate_call(by_name))):
            assert function(1) == 1
            with pytest.raises(AuditBlockedError):
                function(1000)
        with pytest.raises(pydantic.ValidationError):
            pydantic.validate_call(gate(small)(by_name))("x")  # type: ignore[arg-type]

    def test_spawned(self) -> None:
        """In a spawned process the gate stands, and the error comes back with all that it carries."""
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            error = pool.submit(blocked_elsewhere).result(timeout=60)
            assert isinstance(error, AuditBlockedError)
            assert (error.decision, error.reason) == ("block", "over the limit")
            assert error.receipt is not None
            assert error.receipt.recorded

    def test_carried(self, log: CapturedAudit) -> None:
        """It goes with `carry` and `acting_as` like any function."""
        with acting_as("ada"):
            carried = carry(acting_as("agent")(gate(small)(by_name)))
        assert carried(1) == 1
        assert log.entries[0].attributes["audit.delegation"] == ["ada", "agent"]


def blocked_elsewhere() -> AuditBlockedError:
    """Be blocked in this process."""
    with capture_audit(resource=SHOP):
        try:
            refund("o", 1000)
        except AuditBlockedError as error:
            return error
    raise AssertionError


def as_it_is(function: Any) -> Any:
    """Decorate nothing."""
    return function


def noticing(form: str, ran: list[int]) -> Callable[..., Any]:
    """Return a function of a form that notes that it ran."""

    def function(*_: object) -> None:
        ran.append(1)

    async def coroutine(*_: object) -> None:
        ran.append(1)

    def generator(*_: object) -> Iterator[None]:
        ran.append(1)
        yield

    async def async_generator(*_: object) -> AsyncIterator[None]:
        ran.append(1)
        yield

    forms: dict[str, Callable[..., Any]] = dict(
        zip(FORMS, (function, coroutine, generator, async_generator), strict=True)
    )
    return forms[form]


def ended(form: str, way: str, call: Callable[[], Any], error: BaseException) -> object:
    """Return what a call gives, or what it raises: itself, or the type of a cancellation."""
    try:
        return run(form, way, call, error)
    except asyncio.CancelledError as cancelled:
        return type(cancelled)
    except BaseException as raised:
        return raised
