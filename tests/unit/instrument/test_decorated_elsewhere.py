"""Decorated functions in the hands of others: frameworks that copy, look into, wrap or keep what they are given."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import copy
import dataclasses
import enum
import functools
import gc
import inspect
import sys
import types
import typing
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pydantic
import pytest
from opentelemetry.sdk.resources import Resource

from otel_audit import audited, gate
from otel_audit.testing import CapturedAudit, capture_audit
from tests.unit.instrument.functions import OwnError


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log of its own for each test."""
    with capture_audit(resource=Resource({"service.name": "shop"})) as captured:
        yield captured


def outcomes(log: CapturedAudit) -> list[tuple[str, str]]:
    """Event name and outcome of each action, in the order of their ends; each has its intent."""
    ends = [entry for entry in log.entries if entry.attributes["audit.phase"] == "outcome"]
    assert len(log.entries) == 2 * len(ends)
    return [(entry.event_name.rpartition(".")[2], str(entry.attributes["audit.outcome"])) for entry in ends]


anything: Any = audited


@audited
def add(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


class Tool:
    """Has audited methods of each kind."""

    def __init__(self) -> None:
        self.calls = [0]
        self.handler = self.run

    @audited
    def run(self, value: int, *, more: list[int] | None = None) -> int:
        """Run."""
        self.calls[0] += 1
        return value

    @anything
    @classmethod
    def make(cls, value: int) -> Tool:
        """Make one."""
        return cls()

    @anything
    @staticmethod
    def double(value: int) -> int:
        """Double."""
        return value * 2


class TestIntrospection:
    @pytest.mark.parametrize("name", ["run", "make", "double"])
    @pytest.mark.parametrize("owner", [Tool, Tool()], ids=["class", "object"])
    def test_methods(self, name: str, owner: Any) -> None:
        """Signature and type hints of methods of each kind are those of the methods as they were."""
        bare_class = type("Bare", (), {name: vars(Tool)[name].__wrapped__})
        method, bare = getattr(owner, name), getattr(bare_class if owner is Tool else bare_class(), name)
        assert inspect.signature(method) == inspect.signature(bare)
        assert typing.get_type_hints(method) == typing.get_type_hints(bare)
        assert inspect.ismethod(method) == inspect.ismethod(bare)
        assert inspect.isfunction(method) == inspect.isfunction(bare)
        assert inspect.isroutine(method)
        assert inspect.getdoc(method) == inspect.getdoc(bare)

    def test_wraps(self) -> None:
        """What is made of a decorated function by `functools.wraps` looks like it."""

        @functools.wraps(add)
        def outer(*args: int) -> int:
            return add(*args)

        assert inspect.signature(outer) == inspect.signature(add)
        assert outer.__name__ == "add"

    def test_abstract(self) -> None:
        """An abstract method stays abstract."""

        class Base(abc.ABC):
            @audited
            @abc.abstractmethod
            def run(self) -> None: ...

        with pytest.raises(TypeError, match="abstract"):
            Base()  # type: ignore[abstract]

    def test_classes(self, log: CapturedAudit) -> None:
        """Data classes, enumerations and models may be audited as a whole."""

        @audited
        @dataclasses.dataclass
        class Data:
            value: int

            def run(self) -> int:
                return self.value

        @audited
        class Color(enum.Enum):
            RED = 1

            def run(self) -> int:
                return self.value

        @audited
        class Model(pydantic.BaseModel):
            value: int

            def run(self) -> int:
                return self.value

        assert dataclasses.replace(Data(1), value=2).run() == 2
        assert [color.run() for color in Color] == [1]
        assert Model.model_validate({"value": "3"}).run() == 3
        assert Model.model_json_schema()["required"] == ["value"]
        assert outcomes(log) == [("run", "success")] * 3

    def test_singledispatch(self, log: CapturedAudit) -> None:
        """Generic functions and methods are audited under their own names."""

        class Own:
            @anything
            @functools.singledispatchmethod
            def show(self, value: object) -> str:
                return "object"

            @show.register
            def _(self, value: int) -> str:
                return "int"

        assert (Own().show(None), Own().show(1)) == ("object", "int")
        assert anything(functools.singledispatch(add))(1) == 3
        assert outcomes(log) == [("show", "success")] * 2 + [("add", "success")] * 1


class TestCopies:
    def test_deep_copy_of_an_object(self, log: CapturedAudit) -> None:
        """A deep copy of an object that keeps one of its own audited methods keeps its copy's."""
        tool = Tool()
        copied = copy.deepcopy(tool)
        assert copied.handler(5) == 5
        assert (tool.calls, copied.calls) == ([0], [1])
        assert outcomes(log) == [("run", "success")]

    def test_model(self, log: CapturedAudit) -> None:
        """Models hold decorated functions and methods, copy them deeply, and have audited methods themselves."""

        class Model(pydantic.BaseModel):
            function: Callable[..., Any] = add
            method: Callable[..., Any] = pydantic.Field(default_factory=lambda: Tool().run)

            @audited
            def run(self, value: int) -> int:
                return value

        model = Model().model_copy(deep=True)
        assert (model.function(1), model.method(2), model.run(3)) == (3, 2, 3)
        assert outcomes(log) == [("add", "success"), ("run", "success"), ("run", "success")]

    def test_validate_call(self, log: CapturedAudit) -> None:
        """`validate_call` around and inside of a decorated function checks the arguments."""
        outside: Any = pydantic.validate_call(add)
        inside = anything(pydantic.validate_call(inspect.unwrap(add)))
        assert outside("1", b=3) == inside("1", b=3) == 4
        tool = Tool()
        assert pydantic.validate_call(tool.run)("5") == 5  # type: ignore[arg-type]
        assert pydantic.TypeAdapter(outside).json_schema()["required"] == ["a"]
        assert outcomes(log) == [("add", "success")] * 2 + [("run", "success")]

    def test_rebound(self, log: CapturedAudit) -> None:
        """A method that a framework takes apart and binds anew is still audited."""
        tool, other = Tool(), Tool()
        method: Any = tool.run
        assert types.MethodType(method.__func__, other)(5) == 5
        assert (tool.calls, other.calls) == ([0], [1])
        assert outcomes(log) == [("run", "success")]


class TestBodies:
    def test_old_coroutine(self, log: CapturedAudit) -> None:
        """A coroutine in the form of before `async def` can still be awaited."""

        @anything
        @types.coroutine
        def old() -> Generator[Any, None, int]:
            yield from asyncio.sleep(0).__await__()
            return 7

        @audited
        def returning() -> Any:
            return inspect.unwrap(old)()

        async def main() -> list[int]:
            return [await old(), await returning()]

        assert asyncio.run(main()) == [7, 7]
        assert outcomes(log) == [("old", "success"), ("returning", "success")]

    def test_named_instance(self, log: CapturedAudit) -> None:
        """A callable instance that has a name, as tools do, is of the kind of its `__call__`."""

        class Stream:
            __name__ = "stream"

            def __call__(self) -> Iterator[int]:
                yield 1
                raise OwnError

        with pytest.raises(OwnError):
            list(audited(Stream())())
        assert outcomes(log) == [("Stream", "failure")]

    def test_generator_that_was_there_before(self, log: CapturedAudit) -> None:
        """A generator that has begun is handed out as it is: it is no part of the call."""

        def items() -> Iterator[int]:
            yield from range(3)

        kept = items()
        next(kept)
        assert anything(lambda: kept)() is kept
        assert [entry.attributes["audit.outcome"] for entry in log.entries] == ["unknown", "success"]

    def test_stream_that_breaks(self, log: CapturedAudit) -> None:
        """A plain function that returns a generator ends with that: an error in the middle is its failure."""

        def items() -> Iterator[int]:
            yield 1
            raise OwnError

        stream = audited(lambda: items())()  # noqa: PLW0108
        assert next(stream) == 1
        assert len(log.entries) == 1
        with pytest.raises(OwnError):
            next(stream)
        assert outcomes(log)[0][1] == "failure"

    @pytest.mark.parametrize("wrap", [audited, gate(lambda call: True)], ids=["audited", "gate"])
    def test_generator_exit_thrown_in(self, log: CapturedAudit, wrap: Any) -> None:
        """A body that catches a `GeneratorExit` thrown in may go on, and its end is its own."""

        def stubborn() -> Generator[int, None, str]:
            try:
                yield 1
            except GeneratorExit:
                yield 2
            return "end"

        made = wrap(stubborn)()
        assert next(made) == 1
        assert made.throw(GeneratorExit()) == 2
        with pytest.raises(StopIteration, match="end"):
            next(made)
        assert log.entries[-1].attributes["audit.outcome"] == "success"

    async def test_async_generator_exit_thrown_in(self, log: CapturedAudit) -> None:
        """The same for async generators."""

        @audited
        async def stubborn() -> AsyncGenerator[int, None]:
            try:
                yield 1
            except GeneratorExit:
                yield 2

        made = stubborn()
        assert await anext(made) == 1
        assert await made.athrow(GeneratorExit()) == 2
        with pytest.raises(StopAsyncIteration):
            await anext(made)
        assert outcomes(log)[0][1] == "success"

    @pytest.mark.parametrize("wrap", [audited, gate(lambda call: True)], ids=["audited", "gate"])
    def test_result_of_close(self, log: CapturedAudit, wrap: Any) -> None:
        """`close` gives what the body returns, where this Python's generators do."""

        def items() -> Generator[int, None, str]:
            try:
                yield 1
            except GeneratorExit:
                return "closed"
            return "end"

        bare, wrapped = items(), wrap(items)()
        results: list[Any] = []
        for made in (bare, wrapped):
            next(made)
            results.append(made.close())
        assert results == ["closed" if sys.version_info >= (3, 13) else None] * 2
        if wrap is audited:
            assert outcomes(log)[0][1] == "unknown"

    def test_stop_iteration_thrown_in(self, log: CapturedAudit) -> None:
        """A `StopIteration` thrown in comes out as the `RuntimeError` that a generator makes of it."""

        @audited
        def items() -> Generator[int, None, None]:
            yield 1

        made = items()
        next(made)
        with pytest.raises(RuntimeError, match="generator raised StopIteration"):
            made.throw(StopIteration(5))
        assert log.entries[-1].attributes["error.type"] == "RuntimeError"

    def test_send_before_the_start(self, log: CapturedAudit) -> None:
        """A value sent to a generator that has not begun is refused as ever, and nothing is recorded."""
        made: Any = audited(lambda: (yield))()
        with pytest.raises(TypeError, match="just-started generator"):
            made.send(1)
        assert log.entries == ()

    def test_thrown_before_the_start(self, log: CapturedAudit) -> None:
        """What is thrown into a generator that has not begun comes out, and nothing is recorded."""
        made: Any = audited(lambda: (yield))()
        with pytest.raises(OwnError):
            made.throw(OwnError())
        assert log.entries == ()

    @pytest.mark.parametrize("form", ["generator", "async generator"])
    @pytest.mark.parametrize("wrap", [audited, gate(lambda call: True)], ids=["audited", "gate"])
    def test_exception_is_let_go(self, log: CapturedAudit, form: str, wrap: Any) -> None:
        """An exception that was thrown in is freed with its last user, without the garbage collector's help."""

        def items() -> Generator[int, None, None]:
            yield 1

        async def aitems() -> AsyncGenerator[int, None]:
            yield 1

        def throw() -> None:
            if form == "generator":
                made = wrap(items)()
                next(made)
                made.throw(OwnError())
            else:
                later = wrap(aitems)()
                with contextlib.suppress(StopIteration):
                    later.__anext__().send(None)
                later.athrow(OwnError()).send(None)

        def freed() -> weakref.ref[OwnError]:
            try:
                throw()
            except OwnError as error:
                return weakref.ref(error)
            raise AssertionError

        gc.collect()
        gc.disable()
        try:
            assert freed()() is None
        finally:
            gc.enable()
