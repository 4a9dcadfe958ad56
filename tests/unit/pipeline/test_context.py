"""Who acts: `acting_as`, `carry` and the chain in baggage."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import inspect
import logging
import pickle
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from multiprocessing import get_context
from typing import Any

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from otel_audit.errors import AuditRecordError
from otel_audit.pipeline import actor_baggage
from otel_audit.pipeline.context import acting_as, carry, current_actors, set_baggage_policy
from otel_audit.record import Actor


def names() -> list[str]:
    """The ids of the current chain."""
    return [actor.id for actor in current_actors()]


@acting_as("robot")
def by_robot(value: int = 0) -> list[str]:
    """At the top of a module, so that it can be pickled."""
    return names()


@pytest.fixture(autouse=True)
def no_errors_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry logs an error where a context is detached in the wrong place."""
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert current_actors() == ()


@pytest.fixture
def baggage_policy() -> Iterator[Any]:
    """`set_baggage_policy`, undone afterwards."""
    yield set_baggage_policy
    set_baggage_policy(propagate_actor=False, trust_baggage=False)


class TestBlock:
    def test_nobody(self) -> None:
        """Without `acting_as` the chain is empty."""
        assert current_actors() == ()

    def test_chain(self) -> None:
        """Nested blocks make a chain, the originating principal first."""
        with acting_as("alice", type="user"), acting_as(Actor("agent")):
            assert current_actors() == (Actor("alice", "user"), Actor("agent", "service"))
        assert current_actors() == ()

    def test_context_argument(self) -> None:
        """The chain of a context that is given is read from it, not from the current one."""
        with acting_as("alice"):
            then = context.get_current()
        assert current_actors(then) == (Actor("alice"),)
        assert current_actors(context.Context()) == ()

    def test_same_instance_nested(self) -> None:
        """One instance may be entered twice; each leaving undoes one entering."""
        agent = acting_as("agent")
        with agent:
            with agent:
                assert names() == ["agent", "agent"]
            assert names() == ["agent"]

    def test_left_in_another_order(self) -> None:
        """Blocks left in the order of entering each take away their own actor only."""
        first, second = acting_as("first"), acting_as("second")
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert names() == ["second"]
        second.__exit__(None, None, None)

    def test_leaves_the_rest_of_the_context(self) -> None:
        """Leaving takes the actor away and leaves what else was set in the meantime."""
        key = context.create_key("test")
        token = context.attach(context.get_current())
        agent = acting_as("agent")
        agent.__enter__()
        context.attach(context.set_value(key, "kept"))
        agent.__exit__(None, None, None)
        assert context.get_value(key) == "kept"
        context.detach(token)

    def test_exception_passes(self) -> None:
        """An exception leaves the block unchanged, and the actor with it."""
        error = ValueError("x")
        with pytest.raises(ValueError, match="x") as caught, acting_as("agent"):
            raise error
        assert caught.value is error
        assert current_actors() == ()

    def test_left_in_another_context(self) -> None:
        """A block left in a context that it was not entered in changes nothing there."""
        agent = acting_as("agent")
        contextvars.Context().run(agent.__enter__)
        with acting_as("agent"):
            agent.__exit__(None, None, None)
            assert names() == ["agent"]

    def test_left_in_a_copied_context(self) -> None:
        """A block left in a copy of its context ends there, and goes on in the original."""
        with acting_as("agent") as actor:
            left: list[str] = []

            def leave() -> None:
                agent.__exit__(None, None, None)
                left.extend(names())

            agent = acting_as("inner")
            with agent:
                contextvars.copy_context().run(leave)
                assert left == [actor.id]
                assert names() == ["agent", "inner"]

    def test_threads_share_an_instance(self) -> None:
        """One instance in many threads at once keeps each thread's chain apart."""
        agent = acting_as("agent")
        barrier = threading.Barrier(8)

        def work(number: int) -> list[str]:
            with acting_as(f"user-{number}"), agent:
                barrier.wait()
                seen = names()
                barrier.wait()
            return [*seen, *names()]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == [[f"user-{n}", "agent"] for n in range(8)]

    async def test_fifty_tasks_share_an_instance(self) -> None:
        """One instance in fifty interleaved tasks gives each its own chain."""
        agent = acting_as("agent")

        async def work(number: int) -> list[str]:
            async with acting_as(f"user-{number}", type="user"):
                await asyncio.sleep(0)
                with agent:
                    await asyncio.sleep(number % 3 / 1000)
                    return names()

        chains = await asyncio.gather(*(work(number) for number in range(50)))
        assert chains == [[f"user-{number}", "agent"] for number in range(50)]

    async def test_task_inherits(self) -> None:
        """A task started in the block keeps the actor after the block is left."""

        async def work() -> list[str]:
            await asyncio.sleep(0.001)
            return names()

        async with acting_as("agent"):
            task = asyncio.create_task(work())
        assert await task == ["agent"]

    async def test_async_generator_left_by_another_task(self) -> None:
        """A block in an async generator that another task closes is left in silence."""

        @asynccontextmanager
        async def dependency() -> AsyncIterator[None]:
            async with acting_as("agent"):
                yield

        manager = dependency()
        await asyncio.create_task(manager.__aenter__())
        await asyncio.create_task(manager.__aexit__(None, None, None))
        assert current_actors() == ()

    def test_generator_collected(self) -> None:
        """A generator that is collected inside a block leaves its own in silence."""

        def items() -> Iterator[int]:
            with acting_as("generator"):
                yield 1

        generator = items()
        contextvars.copy_context().run(next, generator)
        with acting_as("agent"):
            del generator
            gc.collect()
            assert names() == ["agent"]

    def test_exit_stack(self) -> None:
        """It works in an `ExitStack`."""
        with ExitStack() as stack:
            stack.enter_context(acting_as("agent"))
            assert names() == ["agent"]

    def test_repr(self) -> None:
        """Its representation is the call that made it."""
        assert repr(acting_as("agent", type="user")) == "acting_as('agent', type='user')"


class TestValidation:
    @pytest.mark.parametrize(
        ("actor", "type_", "message"),
        [
            ("", "service", "non-empty string"),
            (None, "service", "non-empty string"),
            (7, "service", "non-empty string"),
            ("x" * 8193, "service", "at most 8192 bytes, got 8193"),
            ("é" * 4097, "service", "at most 8192 bytes, got 8194"),
            ("agent", "robot", "one of service, system, user"),
            ("agent", ["user"], "one of service, system, user"),
            (Actor(""), "service", "non-empty string"),
            (Actor("x", "robot"), "service", "one of service, system, user"),  # type: ignore[arg-type]
        ],
    )
    def test_refused_at_once(self, actor: Any, type_: Any, message: str) -> None:
        """An id or a type that the format refuses is refused before anything runs."""
        with pytest.raises(AuditRecordError, match=message):
            acting_as(actor, type=type_)

    def test_limit(self) -> None:
        """An id of exactly 8 KiB is taken."""
        with acting_as("x" * 8192):
            assert len(current_actors()[0].id) == 8192


class TestDecorator:
    def test_function(self) -> None:
        """A function runs as the actor, in the chain of its caller."""
        with acting_as("alice"):
            assert by_robot() == ["alice", "robot"]
            assert names() == ["alice"]

    def test_transparent(self) -> None:
        """Name, docstring, signature and `__wrapped__` come through."""
        assert by_robot.__name__ == "by_robot"
        assert by_robot.__doc__ == "At the top of a module, so that it can be pickled."
        assert str(inspect.signature(by_robot)) == "(value: 'int' = 0) -> 'list[str]'"
        assert inspect.isfunction(by_robot.__wrapped__)  # type: ignore[attr-defined]

    def test_copied_and_pickled(self) -> None:
        """A decorated function is copied and pickled as a function is."""
        assert copy.copy(by_robot) is by_robot
        assert copy.deepcopy([by_robot])[0] is by_robot
        assert pickle.loads(pickle.dumps(by_robot)) is by_robot

    def test_method(self) -> None:
        """A method is bound as usual."""

        class Service:
            @acting_as("robot")
            def run(self) -> tuple[Any, list[str]]:
                return self, names()

        service = Service()
        assert service.run() == (service, ["robot"])

    def test_class_refused(self) -> None:
        """A class is refused: nothing would run as the actor."""
        with pytest.raises(TypeError, match="expected a function"):
            acting_as("robot")(dict)

    async def test_coroutine_function(self) -> None:
        """A coroutine runs as the actor when it is awaited, not when it is called."""

        @acting_as("robot")
        async def work(call: str) -> list[str]:
            await asyncio.sleep(0)
            return [call, *names()]

        assert inspect.iscoroutinefunction(work)
        coroutine = work(call="x")
        assert getattr(coroutine, "__qualname__").endswith("work")  # noqa: B009
        assert names() == []
        with acting_as("alice"):
            assert await coroutine == ["x", "alice", "robot"]
            assert names() == ["alice"]

    async def test_function_that_returns_a_coroutine(self) -> None:
        """A plain function that returns a coroutine has the coroutine run as the actor."""

        async def work(value: str) -> list[str]:
            return [value, *names()]

        assert await acting_as("robot")(lambda: work("x"))() == ["x", "robot"]

    def test_coroutine_closed_in_another_context(self) -> None:
        """A waiting coroutine that is closed elsewhere leaves the context there alone."""

        @acting_as("robot")
        async def work() -> None:
            await asyncio.sleep(1)

        async def main() -> None:
            coroutine = work()
            asyncio.get_running_loop().call_soon(lambda: None)
            contextvars.Context().run(coroutine.send, None)
            with acting_as("alice"):
                coroutine.close()
                assert names() == ["alice"]

        asyncio.run(main())

    def test_generator(self) -> None:
        """A generator's body runs as the actor; its consumer never does."""

        @acting_as("robot")
        def items() -> Generator[list[str], str, str]:
            sent = yield names()
            yield [sent, *names()]
            return "end"

        assert inspect.isgeneratorfunction(items)
        generator = items()
        with acting_as("alice"):
            assert next(generator) == ["alice", "robot"]
            assert names() == ["alice"]
            assert generator.send("x") == ["x", "alice", "robot"]
            with pytest.raises(StopIteration) as stopped:
                next(generator)
        assert stopped.value.value == "end"

    def test_generator_keeps_its_own_context(self) -> None:
        """A block open across a `yield` in the body is the body's, not the consumer's."""

        @acting_as("robot")
        def items() -> Iterator[list[str]]:
            with acting_as("inner"):
                yield names()
                yield names()
            yield names()

        seen = []
        for item in items():
            seen.append(item)
            assert names() == []
        assert seen == [["robot", "inner"], ["robot", "inner"], ["robot"]]

    def test_generator_throw_and_close(self) -> None:
        """What is thrown into the generator reaches the body as the actor; so does closing."""
        closed: list[list[str]] = []

        @acting_as("robot")
        def items() -> Iterator[Any]:
            try:
                yield 1
            except KeyError as error:
                yield error, names()
            finally:
                closed.append(names())

        generator = items()
        next(generator)
        error = KeyError("x")
        assert generator.throw(error) == (error, ["robot"])  # type: ignore[attr-defined]
        generator.close()  # type: ignore[attr-defined]
        assert closed == [["robot"]]

    def test_generator_that_ignores_close(self) -> None:
        """A body that goes on after `close` is told off, as any generator is."""

        @acting_as("robot")
        def items() -> Iterator[int]:
            try:
                yield 1
            except GeneratorExit:
                yield 2

        generator = items()
        next(generator)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            generator.close()  # type: ignore[attr-defined]

    def test_generator_error(self) -> None:
        """An exception of the body comes through as the same object."""
        error = ValueError("x")

        @acting_as("robot")
        def items() -> Iterator[int]:
            yield 1
            raise error

        with pytest.raises(ValueError, match="x") as caught:
            list(items())
        assert caught.value is error

    def test_generator_in_contextmanager(self) -> None:
        """It works under `contextlib.contextmanager`."""

        @contextmanager
        @acting_as("robot")
        def session() -> Iterator[list[str]]:
            yield names()

        with session() as inside:
            assert inside == ["robot"]
            assert names() == []

    async def test_async_generator(self) -> None:
        """An async generator's body runs as the actor; its consumer never does."""

        @acting_as("robot")
        async def items() -> AsyncGenerator[Any, str]:
            await asyncio.sleep(0)
            sent = yield names()
            try:
                yield sent, names()
            except KeyError:
                yield "thrown", names()

        assert inspect.isasyncgenfunction(items)
        generator = items()
        assert await anext(generator) == ["robot"]
        assert names() == []
        assert await generator.asend("x") == ("x", ["robot"])
        assert await generator.athrow(KeyError()) == ("thrown", ["robot"])
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    async def test_async_generator_closed(self) -> None:
        """`aclose` runs the body's cleanup as the actor."""
        closed = []

        @acting_as("robot")
        async def items() -> AsyncGenerator[int, None]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                closed.append(names())

        generator = items()
        await anext(generator)
        await generator.aclose()
        assert closed == [["robot"]]

    def test_async_generator_left_behind(self) -> None:
        """The event loop closes an async generator that was left behind, once."""
        closed = []

        @acting_as("robot")
        async def items() -> AsyncGenerator[int, None]:
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                closed.append(names())

        kept = items()

        async def main() -> None:
            await anext(kept)
            async for _ in items():
                break
            await asyncio.sleep(0.01)

        asyncio.run(main())
        assert closed == [["robot"], ["robot"]]


class TestCarry:
    def test_executor(self) -> None:
        """A thread of an executor sees the actors and the span of the place of `carry`."""
        span = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
        with ThreadPoolExecutor(1) as pool, acting_as("alice"), trace.use_span(span):
            assert pool.submit(names).result() == []
            assert pool.submit(carry(names)).result() == ["alice"]
            assert pool.submit(carry(trace.get_current_span)).result() is span
            assert pool.submit(names).result() == []

    def test_bound_at_carry(self) -> None:
        """The context is that of the call of `carry`, whoever runs the function."""
        with acting_as("alice"):
            carried = carry(names)
        with acting_as("bob"):
            assert carried() == ["alice"]
            assert names() == ["bob"]

    async def test_coroutine_function(self) -> None:
        """A coroutine function run by the loop of another thread has the context."""

        async def work() -> list[str]:
            await asyncio.sleep(0)
            return names()

        with acting_as("alice"):
            carried = carry(work)
        assert inspect.iscoroutinefunction(carried)
        assert await asyncio.to_thread(lambda: asyncio.run(carried())) == ["alice"]

    def test_generator(self) -> None:
        """A generator that different threads take turns to resume keeps the context."""

        def items() -> Iterator[list[str]]:
            yield names()
            yield names()

        with acting_as("alice"):
            generator = carry(items)()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(next, generator).result() == ["alice"]
        assert next(generator) == ["alice"]

    def test_method(self) -> None:
        """A bound method is carried with its instance."""

        class Service:
            def run(self) -> tuple[Any, list[str]]:
                return self, names()

        service = Service()
        with acting_as("alice"):
            carried = carry(service.run)
        assert carried() == (service, ["alice"])

    def test_process(self) -> None:
        """Pickled, a carried function takes actors, span and baggage into another process."""
        span = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
        with acting_as("alice", type="user"), acting_as("agent"), trace.use_span(span):
            token = context.attach(baggage.set_baggage("tenant", "x"))
            carried = carry(seen_elsewhere)
            context.detach(token)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            assert pool.submit(carried).result(timeout=60) == (["alice", "agent"], "1:2", {"tenant": "x"})
        assert seen_elsewhere() == ([], "0:0", {})

    def test_exception(self) -> None:
        """An exception comes through, and the caller's context is put back."""
        error = ValueError("x")

        def fail() -> None:
            raise error

        with acting_as("alice"):
            carried = carry(fail)
        with acting_as("bob"):
            with pytest.raises(ValueError, match="x") as caught:
                carried()
            assert caught.value is error
            assert names() == ["bob"]


def seen_elsewhere() -> tuple[list[str], str, dict[str, object]]:
    """Actors, span and baggage; at the top of the module, so that it can be pickled."""
    span = trace.get_current_span().get_span_context()
    return names(), f"{span.trace_id:x}:{span.span_id:x}", dict(baggage.get_all())


def roundtrip() -> context.Context:
    """The context that a callee in another process has from our headers."""
    headers: dict[str, str] = {}
    W3CBaggagePropagator().inject(headers)
    return W3CBaggagePropagator().extract(headers, context.Context())


class TestBaggage:
    def test_off(self) -> None:
        """Nobody learns of the actors unless that was asked for."""
        with acting_as("alice"):
            assert dict(baggage.get_all()) == {}
            assert "audit" not in str(propagate_headers())

    def test_propagated(self, baggage_policy: Any) -> None:
        """With `propagate_actor` the chain goes out, and whole through percent encoding."""
        baggage_policy(propagate_actor=True, trust_baggage=True)
        chain = (Actor('alice +&=;,%"\\ é\n', "user"), Actor("agent"))
        with acting_as(chain[0]), acting_as(chain[1]):
            there = roundtrip()
        assert current_actors(there) == chain

    def test_not_trusted(self, baggage_policy: Any) -> None:
        """Without `trust_baggage` inbound baggage is not looked at."""
        there = baggage.set_baggage(actor_baggage.KEY, '[["mallory","user"]]', context.Context())
        baggage_policy(propagate_actor=True, trust_baggage=False)
        assert current_actors(there) == ()
        baggage_policy(propagate_actor=False, trust_baggage=True)
        assert current_actors(there) == (Actor("mallory", "user"),)

    def test_untrusted_is_replaced(self, baggage_policy: Any) -> None:
        """With `propagate_actor` alone, what came in is not passed on as ours."""
        baggage_policy(propagate_actor=True, trust_baggage=False)
        there = baggage.set_baggage(actor_baggage.KEY, '[["mallory","user"]]', context.Context())
        token = context.attach(there)
        with acting_as("agent"):
            assert actor_baggage.text(context.get_current()) == '[["agent","service"]]'
        context.detach(token)

    @pytest.mark.parametrize("propagate_actor", [False, True])
    def test_inbound_comes_first(self, baggage_policy: Any, propagate_actor: bool) -> None:
        """The inbound chain stands before ours once, whenever ours was entered."""
        baggage_policy(propagate_actor=propagate_actor, trust_baggage=True)
        inbound = '[["alice","user"]]'
        with acting_as("server"):
            there = baggage.set_baggage(actor_baggage.KEY, inbound)
            assert [actor.id for actor in current_actors(there)] == ["alice", "server"]
            token = context.attach(there)
            with acting_as("tool"):
                assert names() == ["alice", "server", "tool"]
            assert names() == ["alice", "server"]
            context.detach(token)

    def test_left(self, baggage_policy: Any) -> None:
        """Leaving a block takes its actor out of the baggage too."""
        baggage_policy(propagate_actor=True, trust_baggage=False)
        with acting_as("alice"):
            with acting_as("agent"):
                pass
            assert baggage.get_baggage(actor_baggage.KEY) == '[["alice","service"]]'
        assert dict(baggage.get_all()) == {}

    def test_too_long(self, baggage_policy: Any, caplog: pytest.LogCaptureFixture) -> None:
        """A chain too long for baggage is not sent at all, rather than in part."""
        baggage_policy(propagate_actor=True, trust_baggage=False)
        with acting_as("alice"), acting_as("x" * 5000):
            assert baggage.get_baggage(actor_baggage.KEY) is None
            assert len(current_actors()) == 2
        assert "too long" in caplog.text

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "alice",
            "null",
            "[]",
            "{}",
            "[1]",
            '["alice"]',
            '[["alice"]]',
            '[["alice","robot"]]',
            '[["","user"]]',
            '[[1,"user"]]',
            '[["alice",1]]',
            '[["alice",["user"]]]',
            '[["alice","user","x"]]',
            '[["alice","user"],null]',
            "[" * 4000,
            '[["' + "x" * 5000 + '","user"]]',
            "[" + ",".join(['["a","user"]'] * 65) + "]",
            "\x00\x1b[31m",
        ],
    )
    def test_hostile(self, baggage_policy: Any, caplog: pytest.LogCaptureFixture, value: str) -> None:
        """Baggage that is not a chain is ignored, with a warning that does not repeat it."""
        baggage_policy(propagate_actor=False, trust_baggage=True)
        actor_baggage.decode.cache_clear()
        there = baggage.set_baggage(actor_baggage.KEY, value, context.Context())
        assert current_actors(there) == ()
        assert current_actors(there) == ()
        [record] = caplog.records
        assert record.getMessage().startswith("actors in baggage ignored: ")
        assert "alice" not in record.getMessage()

    def test_lone_surrogate(self, baggage_policy: Any) -> None:
        """An id that is not valid text does not break the propagator."""
        baggage_policy(propagate_actor=True, trust_baggage=True)
        with acting_as("a\ud800b"):
            there = roundtrip()
        assert current_actors(there) == (Actor("a\ud800b"),)


def propagate_headers() -> dict[str, str]:
    """What the globally configured propagators would send."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
