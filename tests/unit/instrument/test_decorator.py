"""`audited` on every kind of function, and every way that a call can end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import inspect
import pickle
import threading
import traceback
import typing
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pydantic
import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource

import otel_audit
from otel_audit.errors import AuditConfigError, AuditRecordError, AuditWriteError
from otel_audit.instrument import once
from otel_audit.instrument.decorator import Call, audited, is_audited
from otel_audit.pipeline.context import acting_as
from otel_audit.reader import read_log
from otel_audit.record import Actor, Target
from otel_audit.testing import capture_audit

MODULE = __name__


@pytest.fixture
def log() -> Iterator[Any]:
    """A log of its own for each test."""
    once._told.clear()
    with capture_audit(resource=Resource({"service.name": "shop"})) as captured:
        yield captured
    once._told.clear()


def lines(log: Any) -> list[tuple[str, str, str | None]]:
    """Phase, outcome and type of error of each entry."""
    return [
        (entry.attributes["audit.phase"], entry.attributes["audit.outcome"], entry.attributes.get("error.type"))
        for entry in log.entries
        if not entry.event_name.startswith("audit.log.")
    ]


def entries(log: Any) -> list[Any]:
    """The entries that are not the log's own."""
    return [entry for entry in log.entries if not entry.event_name.startswith("audit.log.")]


INTENT = ("intent", "unknown", None)
SUCCESS = ("outcome", "success", None)
STOPPED = ("outcome", "unknown", None)


def failure(error_type: str) -> tuple[str, str, str]:
    """The outcome of a call that raised."""
    return ("outcome", "failure", error_type)


anything: Any = audited
"""`audited` where a type checker would be right to object."""


anything_actor: Any = Actor


def raw_of(function: Any) -> Any:
    """The function as it was before it was audited."""
    return function.__wrapped__


class OwnError(Exception):
    """An exception that is not built in."""


@audited
def add(a: int, b: int = 2, *, scale: float = 1.0) -> float:
    """Add two numbers."""
    return (a + b) * scale


@audited
async def aadd(a: int, b: int = 2) -> int:
    """Add two numbers, later."""
    await asyncio.sleep(0)
    return a + b


@audited("tool")
class Tool:
    """A tool."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, value: int) -> tuple[str, int]:
        """Run it."""
        return self.name, value

    async def arun(self, value: int) -> tuple[str, int]:
        """Run it, later."""
        return self._private(value)

    @classmethod
    def make(cls, name: str) -> Tool:
        """Make one."""
        return cls(name)

    @staticmethod
    def double(value: int) -> int:
        """Double."""
        return value * 2

    @property
    def label(self) -> str:
        """Not a method."""
        return self.name

    def __call__(self, value: int) -> int:
        """Call it."""
        return value

    def _private(self, value: int) -> tuple[str, int]:
        return self.name, value


class TestTransparency:
    def test_result(self, log: Any) -> None:
        """The result is the function's, the same object."""
        value = object()
        assert audited(lambda: value)() is value
        assert add(1, scale=2.0) == 6.0
        assert lines(log) == [INTENT, SUCCESS] * 2

    def test_exception(self, log: Any) -> None:
        """The exception is the same object, its traceback above our frames the same."""
        error = OwnError("x")

        def inner() -> None:
            raise error

        def outer() -> None:
            inner()

        with pytest.raises(OwnError) as caught:
            audited(outer)()
        assert caught.value is error
        assert error.__cause__ is None
        assert error.__context__ is None
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert frames[-2:] == ["outer", "inner"]
        assert lines(log) == [INTENT, failure(f"{MODULE}.OwnError")]

    def test_exception_keeps_its_cause(self, log: Any) -> None:
        """Cause and context that the function set are kept."""
        cause = KeyError("k")

        @audited
        def fail() -> None:
            raise OwnError("x") from cause

        with pytest.raises(OwnError) as caught:
            fail()
        assert caught.value.__cause__ is cause

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), StopIteration(7)])
    def test_base_exception(self, log: Any, error: BaseException) -> None:
        """Exceptions that are no `Exception` come through and are recorded too."""

        @audited
        def fail() -> None:
            raise error

        with pytest.raises(type(error)) as caught:
            fail()
        assert caught.value is error
        assert lines(log) == [INTENT, failure(type(error).__name__)]

    @pytest.mark.parametrize("function", [add, aadd])
    def test_metadata(self, function: Any) -> None:
        """Name, docstring, module, annotations, signature and `__wrapped__` come through."""
        raw = raw_of(function)
        assert inspect.isfunction(raw)
        assert not is_audited(raw)
        for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "__defaults__"):
            assert getattr(function, name) == getattr(raw, name)
        assert inspect.signature(function) == inspect.signature(raw)
        assert typing.get_type_hints(function) == typing.get_type_hints(raw)
        assert inspect.getsource(function) == inspect.getsource(raw)
        assert isinstance(function, type(raw))

    def test_kinds(self) -> None:
        """`inspect` sees the kind of function that was decorated."""

        async def coroutine() -> None: ...
        def generator() -> Iterator[int]:
            yield 1

        async def async_generator() -> AsyncIterator[int]:
            yield 1

        def plain() -> None: ...

        checks = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
        for function in (plain, coroutine, generator, async_generator):
            assert [check(audited(function)) for check in checks] == [check(function) for check in checks]
            assert inspect.isfunction(audited(function))
        assert inspect.ismethod(Tool("x").run)

    def test_wrong_arguments(self, log: Any) -> None:
        """A call that does not fit the signature raises the function's own TypeError."""
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
            add()  # type: ignore[call-arg]
        captured = audited(capture="*", target=lambda call: call.arguments.get("a"))(raw_of(add))
        with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
            captured(1, nope=2)
        assert lines(log) == [INTENT, failure("TypeError")] * 2

    def test_copied(self) -> None:
        """A copy of a function is the function."""
        assert copy.copy(add) is add
        assert copy.deepcopy({"f": add})["f"] is add

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickled(self, protocol: int) -> None:
        """A function is pickled by its name, a method with its object."""
        assert pickle.loads(pickle.dumps(add, protocol)) is add
        method = pickle.loads(pickle.dumps(Tool("x").run, protocol))
        with acting_as("agent"), capture_audit() as log:
            assert method(1) == ("x", 1)
            assert pickle.loads(pickle.dumps(Tool.double, protocol))(2) == 4
            assert lines(log) == [INTENT, SUCCESS] * 2

    def test_multiprocessing(self) -> None:
        """A decorated function is sent to another process."""
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            assert pool.submit(is_audited, add).result(timeout=60)

    def test_pydantic(self, log: Any) -> None:
        """Frameworks that look into a function find what they look for."""
        checked = pydantic.validate_call(add)
        assert checked("1", b=3) == 4.0  # type: ignore[arg-type]
        with pytest.raises(pydantic.ValidationError):
            checked("x")  # type: ignore[arg-type]
        assert lines(log) == [INTENT, SUCCESS]

    def test_twice(self, log: Any) -> None:
        """What is audited already is left as it is, through other wrappers too."""
        assert audited(add) is add
        assert audited("other")(add) is add
        wrapped = functools.wraps(add)(lambda *args: [add(*args)])
        assert audited(acting_as("agent")(add))(1) == 3.0
        assert audited(wrapped)(1) == [3.0]
        assert lines(log) == [INTENT, SUCCESS] * 2
        tool = Tool("x")
        log.clear()
        audited(tool.run)(1)
        audited(audited(Tool))
        tool.run(1)
        assert lines(log) == [INTENT, SUCCESS] * 2

    def test_nested(self, log: Any) -> None:
        """An audited function that calls another, or its base's, is recorded beside it."""

        class Base:
            @audited
            def run(self) -> int:
                return 1

        class Derived(Base):
            @audited
            def run(self) -> int:
                return super().run() + 1

        assert Derived().run() == 2
        assert lines(log) == [INTENT, INTENT, SUCCESS, SUCCESS]
        assert [entry.event_name.rsplit(".", 2)[-2:] for entry in entries(log)] == [
            ["Derived", "run"], ["Base", "run"], ["Base", "run"], ["Derived", "run"],
        ]  # fmt: skip

    def test_recursion(self, log: Any) -> None:
        """Each call of a recursive function has its own pair."""

        @audited
        def down(n: int) -> int:
            return n and down(n - 1)

        down(2)
        assert lines(log) == [INTENT] * 3 + [SUCCESS] * 3
        ids = [entry.attributes["audit.record.id"] for entry in entries(log)[:3]]
        assert [entry.attributes["audit.intent.id"] for entry in entries(log)[3:]] == ids[::-1]


class TestKinds:
    def test_method(self, log: Any) -> None:
        """A method is bound, called on the class or the object."""
        tool = Tool("x")
        assert tool.run(1) == ("x", 1)
        assert Tool.run(tool, 2) == ("x", 2)
        assert getattr(tool.run, "__self__") is tool  # noqa: B009
        assert lines(log) == [INTENT, SUCCESS] * 2

    @pytest.mark.parametrize("outside", [True, False])
    def test_class_and_static_method(self, log: Any, outside: bool) -> None:
        """Class and static methods work in either order of decorators."""

        def make(cls: type, value: int) -> tuple[type, int]:
            return cls, value

        def double(value: int) -> int:
            return value * 2

        seen: list[Call] = []
        decorate = anything(target=seen.append, capture="*")

        class Own:
            made = decorate(classmethod(make)) if outside else classmethod(decorate(make))
            doubled = decorate(staticmethod(double)) if outside else staticmethod(decorate(double))

        for owner in (Own, Own()):
            assert owner.made(1) == (Own, 1)
            assert owner.doubled(1) == 2
        assert lines(log) == [INTENT, SUCCESS] * 4
        assert [(call.instance, dict(call.arguments)) for call in seen] == [
            (Own, {"value": 1}),
            (None, {"value": 1}),
        ] * 2
        assert [entry.attributes["audit.arguments"] for entry in entries(log)[::2]] == [{"value": 1}] * 4

    def test_class(self, log: Any) -> None:
        """On a class its public methods are audited, and its being called; nothing else."""
        tool = Tool.make("x")
        assert type(tool) is Tool
        assert Tool.double(2) == 4
        assert tool.label == "x"
        assert tool._private(1) == ("x", 1)
        assert asyncio.run(tool.arun(1)) == ("x", 1)
        assert tool(5) == 5
        assert [entry.event_name for entry in entries(log)[::2]] == [
            "tool.make",
            "tool.double",
            "tool.arun",
            "tool.__call__",
        ]
        assert Tool.__doc__ == "A tool."

    def test_class_leaves_inherited_methods(self, log: Any) -> None:
        """Methods that a class inherits are not audited through it."""

        class Base:
            def inherited(self) -> None: ...

        @audited
        class Derived(Base):
            def own(self) -> None: ...

        Derived().inherited()
        Derived().own()
        assert [entry.event_name for entry in entries(log)] == [f"{MODULE}.{Derived.own.__qualname__}"] * 2

    def test_property(self, log: Any) -> None:
        """A property's reading, writing and deleting are audited as such."""

        class Own:
            def __init__(self) -> None:
                self._value = 1

            @audited  # type: ignore[prop-decorator]
            @property
            def value(self) -> int:
                """The value."""
                return self._value

            @value.setter
            @audited(action="WRITE", capture="*")
            def value(self, value: int) -> None:
                self._value = value

            @audited  # type: ignore[prop-decorator]
            @functools.cached_property
            def cached(self) -> int:
                return 7

        own = Own()
        assert own.value == 1
        own.value = 5
        assert own._value == 5
        assert own.cached == own.cached == 7
        assert Own.value.__doc__ == "The value."
        assert [entry.attributes["audit.action"] for entry in entries(log)] == ["READ"] * 2 + ["WRITE"] * 2 + [
            "EXECUTE"
        ] * 2
        assert entries(log)[2].attributes["audit.arguments"] == {"value": 5}

    def test_partial(self, log: Any) -> None:
        """A partial is audited under the name of its function."""
        partial = audited(capture="*")(functools.partial(raw_of(add), 1, scale=3.0))
        assert partial(b=1) == 6.0
        assert entries(log)[0].event_name == f"{MODULE}.add"
        assert entries(log)[0].attributes["audit.arguments"] == {"b": 1, "scale": 3.0}
        later = audited(functools.partial(raw_of(aadd), 1))
        assert inspect.iscoroutinefunction(later)
        assert asyncio.run(later()) == 3

    def test_partialmethod(self, log: Any) -> None:
        """A partial method is audited."""

        class Own:
            def run(self, a: int, b: int) -> tuple[Any, int, int]:
                return self, a, b

            one = anything(functools.partialmethod(run, 1))

        own = Own()
        assert own.one(2) == (own, 1, 2)
        assert lines(log) == [INTENT, SUCCESS]

    def test_callable_instance(self, log: Any) -> None:
        """A callable instance keeps its attributes, and is audited under the name of its class."""

        class Adder:
            def __init__(self, by: int) -> None:
                self.by = by

            def __call__(self, value: int) -> int:
                return value + self.by

        adder = audited(capture="*")(Adder(2))
        assert adder(1) == 3
        assert adder.by == 2
        assert entries(log)[0].event_name == f"{MODULE}.{Adder.__qualname__}"
        assert entries(log)[0].attributes["audit.arguments"] == {"value": 1}
        log.clear()
        other = copy.deepcopy(adder)
        other.by = 5
        assert (adder(1), other(1)) == (3, 6)
        assert lines(log) == [INTENT, SUCCESS] * 2

    async def test_callable_instance_async(self, log: Any) -> None:
        """An instance with an `async __call__` ends with its coroutine."""

        class Later:
            async def __call__(self) -> int:
                await asyncio.sleep(0)
                raise OwnError

        with pytest.raises(OwnError):
            await audited(Later())()
        assert lines(log) == [INTENT, failure(f"{MODULE}.OwnError")]

    def test_already_wrapped(self, log: Any) -> None:
        """Functions that others have wrapped keep what the wrapper offers."""
        cached = audited(functools.lru_cache(lambda x: x + 1))
        assert (cached(1), cached(1)) == (2, 2)
        assert cached.cache_info().hits == 1
        assert audited(len)([1]) == 1
        assert lines(log) == [INTENT, SUCCESS] * 3

    def test_bound_method(self, log: Any) -> None:
        """A method that is bound already is audited with its object as the instance."""

        class Own:
            def run(self, value: int) -> int:
                return value

        own = Own()
        seen: list[Call] = []
        assert audited(target=seen.append)(own.run)(1) == 1
        assert seen == [Call(own.run, own, {"value": 1})]

    def test_refused(self) -> None:
        """What cannot be called is refused."""
        with pytest.raises(TypeError, match="expected a function"):
            anything(7)

    def test_threads(self, log: Any) -> None:
        """Calls in many threads each have their own pair."""

        def work() -> None:
            for _ in range(20):
                add(1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(lines(log)) == 160
        intents = {e.attributes["audit.record.id"] for e in entries(log) if e.attributes["audit.phase"] == "intent"}
        assert intents == {
            e.attributes["audit.intent.id"] for e in entries(log) if e.attributes["audit.phase"] == "outcome"
        }


class TestCoroutines:
    async def test_result(self, log: Any) -> None:
        """The intent is recorded when the coroutine is awaited, the outcome when it ends."""
        coroutine = aadd(1)
        assert lines(log) == []
        assert getattr(coroutine, "__qualname__") == "aadd"  # noqa: B009
        assert await coroutine == 3
        assert lines(log) == [INTENT, SUCCESS]

    async def test_exception(self, log: Any) -> None:
        """The exception is the same object."""
        error = OwnError("x")

        @audited
        async def fail() -> None:
            await asyncio.sleep(0)
            raise error

        with pytest.raises(OwnError) as caught:
            await fail()
        assert caught.value is error
        assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"
        assert lines(log) == [INTENT, failure(f"{MODULE}.OwnError")]

    async def test_cancelled(self, log: Any) -> None:
        """A cancelled action is a failure."""
        started = asyncio.Event()

        @audited
        async def wait() -> None:
            started.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(wait())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lines(log) == [INTENT, failure("asyncio.exceptions.CancelledError")]

    async def test_timeout(self, log: Any) -> None:
        """A time-out arrives as a cancellation in the action."""

        @audited
        async def wait() -> None:
            await asyncio.sleep(60)

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await wait()
        assert lines(log) == [INTENT, failure("asyncio.exceptions.CancelledError")]

    async def test_cancelled_while_the_intent_waits(self, log: Any) -> None:
        """Cancelled before the intent is durable, the action does not run; its outcome is unknown."""
        ran = []

        @audited
        async def work() -> None:
            ran.append(1)

        with capture_audit(durability="always") as durable, acting_as("agent"):
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ran == []
            assert lines(durable) == [INTENT, STOPPED]

    async def test_cancelled_while_the_outcome_waits(self, log: Any) -> None:
        """Cancelled when it has returned, the action was a success, and its caller is cancelled."""
        ended = asyncio.Event()

        @audited
        async def work() -> None:
            ended.set()

        with capture_audit(durability="always") as durable, acting_as("agent"):
            task = asyncio.create_task(work())
            await ended.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert lines(durable) == [INTENT, SUCCESS]

    def test_closed(self, log: Any) -> None:
        """A coroutine that is closed while it waits is a failure."""

        @audited
        async def wait() -> None:
            await Suspend()

        coroutine = contextvars.copy_context().run(drive, wait())
        coroutine.close()
        assert lines(log) == [INTENT, failure("GeneratorExit")]

    async def test_plain_function_that_returns_a_coroutine(self, log: Any) -> None:
        """The action of a function that returns a coroutine ends with the coroutine."""

        async def later(value: int) -> int:
            await asyncio.sleep(0)
            return value

        coroutine = audited(lambda: later(5))()
        assert lines(log) == [INTENT]
        assert await coroutine == 5
        assert lines(log) == [INTENT, SUCCESS]

    async def test_gather(self, log: Any) -> None:
        """Fifty at once each have their own pair, and their own actor."""

        @audited(capture="*")
        async def work(number: int) -> None:
            await asyncio.sleep(0)

        async def as_user(number: int) -> None:
            async with acting_as(f"user-{number}", type="user"):
                await work(number)

        await asyncio.gather(*(as_user(number) for number in range(50)))
        assert len(entries(log)) == 100
        by_id = {}
        for entry in entries(log):
            if entry.attributes["audit.phase"] == "intent":
                number = entry.attributes["audit.arguments"]["number"]
                by_id[entry.attributes["audit.record.id"]] = number
            else:
                number = by_id.pop(entry.attributes["audit.intent.id"])
            assert entry.attributes["audit.actor.id"] == f"user-{number}"

    def test_never_awaited(self, log: Any) -> None:
        """A coroutine that nobody awaits leaves no entry, and one warning with its name."""
        call: Any = aadd
        with pytest.warns(RuntimeWarning, match="coroutine 'aadd' was never awaited"):
            call(1)
        assert lines(log) == []


class Suspend:
    """Awaited, it hands control back until it is resumed."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def drive(coroutine: Any) -> Any:
    """Run a coroutine without a loop until it waits for `Suspend`."""
    for _ in range(100):
        coroutine.send(None)
        if coroutine.cr_await is not None and "Suspend" in repr(inspect.getcoroutinelocals(coroutine)) + repr(
            stack(coroutine)
        ):
            break
    return coroutine


def stack(coroutine: Any) -> list[str]:
    """What a coroutine waits for, outermost first."""
    names = []
    while coroutine is not None and hasattr(coroutine, "cr_await"):
        names.append(coroutine.cr_code.co_name)
        coroutine = coroutine.cr_await
    return [*names, "Suspend" if inspect.isgenerator(coroutine) and "Suspend" in coroutine.__qualname__ else ""]


@audited
def count(to: int) -> Generator[int, Any, str]:
    """Count."""
    for number in range(to):
        sent = yield number
        if sent is not None:
            yield sent
    return "end"


class TestGenerators:
    def test_exhausted(self, log: Any) -> None:
        """The action of a generator begins with its first step and ends with its last."""
        generator: Any = count(2)
        assert inspect.isgenerator(count(2))
        assert generator.__qualname__ == "count"
        assert lines(log) == []
        assert next(generator) == 0
        assert lines(log) == [INTENT]
        assert generator.send(7) == 7
        assert next(generator) == 1
        with pytest.raises(StopIteration) as stopped:
            next(generator)
        assert stopped.value.value == "end"
        assert lines(log) == [INTENT, SUCCESS]

    def test_never_iterated(self, log: Any) -> None:
        """A generator that nobody iterates leaves no entry."""
        count(2).close()
        assert lines(log) == []

    def test_wrong_arguments(self, log: Any) -> None:
        """A call that does not fit fails at the call, as ever; nothing was begun."""
        with pytest.raises(TypeError, match="missing 1 required"):
            count()  # type: ignore[call-arg]
        assert lines(log) == []

    def test_break(self, log: Any) -> None:
        """A generator that its consumer closes early has an unknown outcome, and says why."""
        for _ in count(3):
            break
        assert lines(log) == [INTENT, STOPPED]
        assert entries(log)[1].attributes["audit.reason"] == "closed by its consumer before it ended"

    def test_raises(self, log: Any) -> None:
        """The exception is the same object."""
        error = OwnError("x")

        @audited
        def fail() -> Iterator[int]:
            yield 1
            raise error

        with pytest.raises(OwnError) as caught:
            list(fail())
        assert caught.value is error
        assert lines(log) == [INTENT, failure(f"{MODULE}.OwnError")]

    def test_throw(self, log: Any) -> None:
        """What is thrown in reaches the body, which may go on."""

        @audited
        def tough() -> Generator[Any, None, str]:
            try:
                yield 1
            except KeyError as error:
                yield error
            return "end"

        error = KeyError("x")
        generator = tough()
        next(generator)
        assert generator.throw(error) is error
        with pytest.raises(StopIteration):
            next(generator)
        assert lines(log) == [INTENT, SUCCESS]

    def test_throw_uncaught(self, log: Any) -> None:
        """What is thrown in and not caught comes out, and is the outcome."""
        generator = count(3)
        next(generator)
        error = OwnError("x")
        with pytest.raises(OwnError) as caught:
            generator.throw(error)
        assert caught.value is error
        assert lines(log) == [INTENT, failure(f"{MODULE}.OwnError")]

    def test_cleanup_that_fails(self, log: Any) -> None:
        """A body that fails while it is closed is a failure."""

        @audited
        def fail() -> Iterator[int]:
            try:
                yield 1
            finally:
                raise OwnError

        generator: Any = fail()
        next(generator)
        with pytest.raises(OwnError):
            generator.close()
        assert lines(log) == [INTENT, failure(f"{MODULE}.OwnError")]

    def test_actor(self, log: Any) -> None:
        """The actor of both lines is the one of the first step; the body's actors stay inside."""

        @audited
        def work() -> Iterator[int]:
            with acting_as("inner"):
                add(1)
                yield 1
            add(1)

        with acting_as("alice"):
            generator = work()
            next(generator)
        add(1)
        with acting_as("bob"):
            assert list(generator) == []
        actors = [entry.attributes["audit.actor.id"] for entry in entries(log)]
        service = actors[3]
        assert actors == ["alice", "inner", "inner", service, service, "alice", "alice", "alice"]
        assert service not in {"alice", "inner"}

    def test_contextmanager(self, log: Any) -> None:
        """Under `contextlib.contextmanager` the action is the whole block."""

        @contextlib.contextmanager
        @audited
        def session(suppress: bool) -> Iterator[int]:
            try:
                yield 1
            except OwnError:
                if not suppress:
                    raise

        with session(True) as value:
            assert value == 1
            assert lines(log) == [INTENT]
        with session(True):
            raise OwnError
        error = OwnError("x")
        with pytest.raises(OwnError) as caught, session(False):
            raise error
        assert caught.value is error
        assert lines(log) == [INTENT, SUCCESS] * 2 + [INTENT, failure(f"{MODULE}.OwnError")]

    async def test_asynccontextmanager(self, log: Any) -> None:
        """The same for `contextlib.asynccontextmanager`."""

        @contextlib.asynccontextmanager
        @audited
        async def session() -> AsyncIterator[int]:
            yield 1

        error = OwnError("x")
        async with session():
            pass
        with pytest.raises(OwnError) as caught:
            async with session():
                raise error
        assert caught.value is error
        assert lines(log) == [INTENT, SUCCESS, INTENT, failure(f"{MODULE}.OwnError")]

    def test_delegated_to(self, log: Any) -> None:
        """`yield from` passes items, sent values and the result through."""

        def outer() -> Generator[Any, Any, Any]:
            return (yield from count(1))

        generator = outer()
        assert next(generator) == 0
        assert generator.send(5) == 5
        with pytest.raises(StopIteration) as stopped:
            next(generator)
        assert stopped.value.value == "end"

    async def test_async_exhausted(self, log: Any) -> None:
        """An async generator is the same, with `asend`."""
        generator: Any = acount(2)
        assert inspect.isasyncgen(acount(2))
        assert lines(log) == []
        assert await anext(generator) == 0
        assert lines(log) == [INTENT]
        assert await generator.asend(7) == 7
        assert [item async for item in generator] == [1]
        assert lines(log) == [INTENT, SUCCESS]

    async def test_async_break(self, log: Any) -> None:
        """An async generator that its consumer closes early has an unknown outcome."""
        generator = acount(3)
        async for _ in generator:
            break
        await generator.aclose()
        assert lines(log) == [INTENT, STOPPED]

    def test_async_left_behind(self, log: Any) -> None:
        """An async generator that is forgotten is ended by the event loop."""
        kept = acount(3)

        async def main() -> None:
            await anext(kept)

        asyncio.run(main())
        assert lines(log) == [INTENT, STOPPED]

    async def test_async_raises(self, log: Any) -> None:
        """The exception of an async generator is the same object."""
        error = OwnError("x")

        @audited
        async def fail() -> AsyncIterator[int]:
            yield 1
            raise error

        with pytest.raises(OwnError) as caught:
            [item async for item in fail()]
        assert caught.value is error
        assert lines(log) == [INTENT, failure(f"{MODULE}.OwnError")]

    async def test_async_throw(self, log: Any) -> None:
        """What is thrown into an async generator reaches the body."""

        @audited
        async def tough() -> AsyncGenerator[Any, None]:
            try:
                yield 1
            except KeyError as error:
                yield error

        error = KeyError("x")
        generator = tough()
        await anext(generator)
        assert await generator.athrow(error) is error
        assert [item async for item in generator] == []
        assert lines(log) == [INTENT, SUCCESS]

    async def test_async_cancelled(self, log: Any) -> None:
        """An async generator that is cancelled while it waits is a failure."""

        @audited
        async def slow() -> AsyncIterator[int]:
            yield 1
            await asyncio.sleep(60)

        async def consume() -> None:
            async for _ in slow():
                pass

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(consume(), 0.05)
        assert lines(log) == [INTENT, failure("asyncio.exceptions.CancelledError")]

    async def test_async_never_iterated(self, log: Any) -> None:
        """An async generator that nobody iterates leaves no entry."""
        await acount(2).aclose()
        assert lines(log) == []


@audited
async def acount(to: int) -> AsyncGenerator[int, Any]:
    """Count, later."""
    for number in range(to):
        await asyncio.sleep(0)
        sent = yield number
        if sent is not None:
            yield sent


class TestDetails:
    def test_event_name(self, log: Any) -> None:
        """The event name is module and qualified name, or what is given."""
        add(1)
        audited("order.refund")(lambda: None)()
        assert [entry.event_name for entry in entries(log)] == [f"{MODULE}.add"] * 2 + ["order.refund"] * 2

    def test_static(self, log: Any) -> None:
        """Action, actor, target and attributes may be fixed."""

        @audited(action="READ", actor=Actor("bot"), target=Target("t", "order"), attributes={"team": "x"})
        def read() -> None: ...

        read()
        intent = entries(log)[0].attributes
        assert (intent["audit.action"], intent["audit.actor.id"], intent["audit.target.id"]) == ("READ", "bot", "t")
        assert intent["team"] == "x"

    def test_from_the_call(self, log: Any) -> None:
        """Actor, target and attributes may come from the call."""
        seen: list[Call] = []

        def see(call: Call) -> dict[str, object]:
            seen.append(call)
            return {"amount": call.arguments["amount"]}

        @audited(
            actor=lambda call: Actor(call.arguments["user"], "user"),
            target=lambda call: Target(call.arguments["order_id"], "order"),
            attributes=see,
        )
        def refund(user: str, order_id: str, amount: int = 5) -> None: ...

        refund("alice", order_id="o-1")
        for entry in entries(log):
            assert entry.attributes["audit.actor.id"] == "alice"
            assert entry.attributes["audit.target.id"] == "o-1"
        assert entries(log)[0].attributes["amount"] == 5
        assert seen == [Call(raw_of(refund), None, {"user": "alice", "order_id": "o-1", "amount": 5})]

    @pytest.mark.parametrize(
        ("option", "pointer"),
        [
            ("actor", "/attributes/audit.actor.id"),
            ("target", "/attributes/audit.target.id"),
            ("attributes", "/attributes"),
        ],
    )
    def test_callable_that_raises(self, log: Any, caplog: pytest.LogCaptureFixture, option: str, pointer: str) -> None:
        """The call is recorded without the part whose callable raises, and says so; one warning."""

        def broken(call: Call) -> Any:
            raise ValueError(f"canary {call.arguments}")

        function = anything(**{option: broken})(raw_of(add))
        assert function(1) == function(1) == 3.0
        assert lines(log) == [INTENT, SUCCESS] * 2
        assert entries(log)[0].attributes["audit.altered"] == [pointer]
        assert [record.levelname for record in caplog.records if record.name.startswith("otel_audit.instr")] == [
            "WARNING"
        ]
        assert "canary" not in caplog.text

    @pytest.mark.parametrize(
        ("option", "answer"),
        [
            ("actor", ""),
            ("actor", anything_actor("x", "robot")),
            ("actor", 7),
            ("target", "x" * 9000),
            ("attributes", [1]),
        ],
    )
    def test_callable_that_answers_nonsense(self, log: Any, option: str, answer: Any) -> None:
        """An answer that the format refuses counts as a failure of the callable, not of the call."""
        function = anything(**{option: lambda call: answer})(raw_of(add))
        assert function(1) == 3.0
        assert len(entries(log)[0].attributes["audit.altered"]) == 1

    async def test_coroutine_function_as_callable(self, log: Any) -> None:
        """A coroutine function cannot tell a part of a call; its coroutine is not left behind."""

        async def target(call: Call) -> str:
            return "t"

        assert anything(target=target)(raw_of(add))(1) == 3.0
        assert "audit.target.id" not in entries(log)[0].attributes

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"action": "execute"}, AuditRecordError),
            ({"phases": "all"}, AuditRecordError),
            ({"on_failure": "never"}, AuditConfigError),
            ({"actor": ""}, AuditRecordError),
            ({"target": "x" * 9000}, AuditRecordError),
            ({"attributes": [1]}, AuditConfigError),
            ({"capture": "nope"}, AuditConfigError),
            ({"nope": 1}, TypeError),
        ],
    )
    def test_refused_at_decoration(self, options: Any, error: type[Exception]) -> None:
        """A wrong setting is refused where it is written, not at the first call."""
        with pytest.raises(error):
            audited(**options)(raw_of(add))

    @pytest.mark.parametrize("name", ["", "x" * 1025, "audit.log.opened"])
    def test_event_name_refused(self, name: str) -> None:
        """An event name that the format refuses is refused where it is written."""
        with pytest.raises(AuditRecordError):
            audited(name)(raw_of(add))

    def test_capture(self, log: Any) -> None:
        """What is named is captured, with defaults; the rest is not there."""

        @audited(capture=("a", "b"), capture_result=True)
        def pay(a: int, b: int = 2, *, card: str = "canary", **rest: Any) -> dict[str, Any]:
            return {"paid": a, "token": "canary"}

        pay(1, card="canary", more="canary")
        intent, outcome = entries(log)
        assert intent.attributes["audit.arguments"] == {"a": 1, "b": 2}
        assert outcome.attributes["audit.result"] == {"paid": 1, "token": "[REDACTED]"}
        assert "canary" not in repr([entry.attributes for entry in entries(log)])

    @pytest.mark.parametrize(
        ("phases", "pointers"),
        [("both", [["/attributes/audit.arguments/a"], ["/attributes/audit.result"]]),
         ("outcome", [["/attributes/audit.arguments/a", "/attributes/audit.result"]])],
    )  # fmt: skip
    def test_altered(self, log: Any, phases: Any, pointers: list[list[str]]) -> None:
        """Each line lists what is altered in itself."""
        audited(capture="a", capture_result=True, phases=phases)(lambda a: a)({1})
        assert [entry.attributes["audit.altered"] for entry in entries(log)] == pointers

    def test_redact(self) -> None:
        """The provider's `redact` has the last word on arguments and result."""
        service = Resource({"service.name": "shop"})
        with capture_audit(resource=service, redact=lambda name, value: f"{name} hidden") as log:
            audited(capture="a", capture_result=True)(lambda a: a)(1)
            intent, outcome = entries(log)
        assert intent.attributes["audit.arguments"] == {"a": "a hidden"}
        assert outcome.attributes["audit.result"] == "result hidden"

    def test_capture_all(self, log: Any) -> None:
        """`*` captures positional, keyword and variable arguments by their names."""

        @audited(capture="*")
        def call(a: int, /, b: int, *more: int, password: str = "canary", **rest: Any) -> None: ...

        call(1, 2, 3, 4, x=5, api_key="canary")
        assert entries(log)[0].attributes["audit.arguments"] == {"x": 5, "a": 1, "b": 2, "more": [3, 4]}

    def test_capture_of_keywords(self, log: Any) -> None:
        """A name may be one that only `**rest` takes, or `rest` itself."""

        def call(**rest: Any) -> None: ...

        audited(capture="x")(call)(x=1, y=2)
        audited(capture="rest")(call)(x=1)
        assert [entry.attributes["audit.arguments"] for entry in entries(log)[::2]] == [{"x": 1}, {"rest": {"x": 1}}]

    def test_capture_of_a_method(self, log: Any) -> None:
        """The instance is not among the captured arguments."""

        class Own:
            @audited(capture="*")
            def run(self, value: int) -> None: ...

            @property
            @audited(capture="*")
            def prop(self) -> int:
                return 1

        Own().run(1)
        assert Own().prop == 1
        assert entries(log)[0].attributes["audit.arguments"] == {"value": 1}
        assert "audit.arguments" not in entries(log)[2].attributes

    def test_class_capture(self, log: Any) -> None:
        """On a class each method captures the names that it has; a name of none is refused."""

        @audited(capture=("a", "b"))
        class Own:
            def first(self, a: int) -> None: ...
            def second(self, b: int, c: int) -> None: ...

        Own().first(1)
        Own().second(1, 2)
        assert [entry.attributes["audit.arguments"] for entry in entries(log)[::2]] == [{"a": 1}, {"b": 1}]
        with pytest.raises(AuditConfigError, match="'d'"):
            audited(capture="d")(Own)

    @pytest.mark.parametrize(
        ("phases", "expected"), [("both", ["intent", "outcome"]), ("intent", ["intent"]), ("outcome", ["outcome"])]
    )
    def test_phases(self, log: Any, phases: Any, expected: list[str]) -> None:
        """One of the two lines can be left out."""
        function = audited(phases=phases)(raw_of(add))
        assert function(1) == 3.0
        assert [entry.attributes["audit.phase"] for entry in entries(log)] == expected


class TestFailures:
    def test_intent_fails(self, log: Any) -> None:
        """Where the intent cannot be written the function does not run."""
        ran = []
        log.fail(OSError(28, "full"))
        with pytest.raises(AuditWriteError):
            audited(lambda: ran.append(1))()
        assert ran == []

    async def test_intent_fails_async(self, log: Any) -> None:
        """The same for coroutines and generators."""
        ran = []

        @audited
        async def work() -> None:
            ran.append(1)

        @audited
        def items() -> Iterator[int]:
            ran.append(1)
            yield 1

        @audited
        async def aitems() -> AsyncIterator[int]:
            ran.append(1)
            yield 1

        log.fail(OSError(28, "full"), times=3)
        with pytest.raises(AuditWriteError):
            await work()
        with pytest.raises(AuditWriteError):
            list(items())
        with pytest.raises(AuditWriteError):
            [item async for item in aitems()]
        assert ran == []

    def test_open(self, log: Any) -> None:
        """With `on_failure="open"` it runs all the same."""
        log.fail(OSError(28, "full"))
        function = audited(on_failure="open")(raw_of(add))
        assert function(1) == 3.0

    def test_outcome_fails(self, log: Any, caplog: pytest.LogCaptureFixture) -> None:
        """Where the outcome cannot be written, the result comes through; the loss is logged and counted."""

        @audited
        def work() -> str:
            log.fail(OSError(28, "full"))
            return "done"

        assert work() == "done"
        assert "is not in the audit log" in caplog.text
        assert [entry.attributes.get("audit.phase") for entry in log.entries] == ["intent"]
        with otel_audit.get_audit_logger("next").start_action("next"):
            pass
        dropped = [entry for entry in read_log(log.path) if entry.event_name == "audit.log.dropped"]
        assert [entry.attributes["audit.dropped.count"] for entry in dropped] == [1]

    async def test_outcome_fails_async(self, log: Any, caplog: pytest.LogCaptureFixture) -> None:
        """The same for coroutines and generators, at their last step."""

        @audited
        async def work() -> str:
            log.fail(OSError(28, "full"))
            return "done"

        @audited
        def items() -> Iterator[int]:
            yield 1
            log.fail(OSError(28, "full"))

        @audited
        async def aitems() -> AsyncIterator[int]:
            yield 1
            log.fail(OSError(28, "full"))

        assert await work() == "done"
        assert list(items()) == [1]
        assert [item async for item in aitems()] == [1]
        assert caplog.text.count("is not in the audit log") == 3

    def test_outcome_of_a_failure_fails(self, log: Any, caplog: pytest.LogCaptureFixture) -> None:
        """Where the outcome of a call that raised cannot be written, its own exception goes on."""
        error = OwnError("canary")

        @audited
        def work() -> None:
            log.fail(OSError(28, "full"))
            raise error

        with pytest.raises(OwnError) as caught:
            work()
        assert caught.value is error
        assert error.__context__ is None
        assert "is not in the audit log" in caplog.text
        assert "canary" not in caplog.text

    def test_not_configured(self) -> None:
        """Without auditing configured a call is an error, unless it is not required."""
        ran = []
        with pytest.raises(AuditConfigError):
            audited(lambda: ran.append(1))()
        assert ran == []
        audited(required=False)(lambda: ran.append(1))()
        assert ran == [1]

    async def test_not_required(self) -> None:
        """Not required and not configured, every kind is called straight through."""
        optional = audited(required=False)
        assert await optional(raw_of(aadd))(1) == 3
        assert list(optional(raw_of(count))(2)) == [0, 1]
        assert [item async for item in optional(raw_of(acount))(2)] == [0, 1]

    def test_not_required_but_configured(self, log: Any) -> None:
        """Not required and configured, it is recorded."""
        audited(required=False)(lambda: None)()
        assert lines(log) == [INTENT, SUCCESS]


class TestSpans:
    """In tests/integration: they need a tracer provider, which is global."""

    def test_without_tracing(self, log: Any) -> None:
        """Where tracing is not set up there is no span, and no trace in the lines."""
        assert audited(trace.get_current_span)() is trace.INVALID_SPAN
        assert [entry.trace_id for entry in entries(log)] == [None, None]


def test_what_a_class_body_makes_of_a_name(log: Any) -> None:
    """Functions that Python makes class or static methods by their name alone still are, when they are audited."""

    class Base:
        registered = False

        @audited("plugin.register")
        def __init_subclass__(cls) -> None:
            cls.registered = True

        @audited("plugin.item")
        def __class_getitem__(cls, key: object) -> object:
            return cls, key

        @audited("plugin.new")
        def __new__(cls, value: int) -> Any:
            made = object.__new__(cls)
            made.value = value  # type: ignore[attr-defined]
            return made

    class Derived(Base):
        pass

    assert (Base.registered, Derived.registered) == (False, True)
    assert Derived[int] == (Derived, int)  # type: ignore[misc]
    assert Derived(3).value == 3
    assert [entry.event_name for entry in log.entries if entry.attributes["audit.phase"] == "outcome"] == [
        "plugin.register",
        "plugin.item",
        "plugin.new",
    ]
