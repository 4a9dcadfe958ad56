"""Functions of each form, bound in each way, whose calls end in each way."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import warnings
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final

from otel_audit import acting_as

Call = Callable[[], Any]

RESULT: Final = object()


class OwnError(Exception):
    """An exception that is not built in."""


class Suspend:
    """Awaited, it hands control back until it is resumed, with no loop."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def body(form: str, way: str, error: BaseException) -> Callable[..., Any]:
    """Return a function of a form that ends in a way; what it is called with does not matter to it."""

    def end() -> object:
        if way in ("raises", "is interrupted"):
            raise error
        return RESULT

    def function(*_: object) -> object:
        return end()

    async def coroutine(*_: object) -> object:
        await asyncio.sleep(0) if way not in ("is closed early", "has something thrown in") else await Suspend()
        if way == "is cancelled":
            await asyncio.Event().wait()
        return end()

    def generator(*_: object) -> Generator[object, object, object]:
        assert (yield 1) == "sent"
        yield 2
        return end()

    async def async_generator(*_: object) -> AsyncGenerator[object, object]:
        assert (yield 1) == "sent"
        yield 2
        if way == "is cancelled":
            await asyncio.Event().wait()
        end()

    bodies: dict[str, Callable[..., Any]] = {
        "function": function,
        "coroutine function": coroutine,
        "generator": generator,
        "async generator": async_generator,
        "function that returns a coroutine": returning(coroutine),
        "function that returns a generator": returning(generator),
        "function that returns an async generator": returning(async_generator),
    }
    return bodies[form]


def returning(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plain function that returns what another does."""

    def plain(*args: object) -> Any:
        return function(*args)

    return plain


def of_class(**members: Any) -> Any:
    """Return an object of a new class with these members."""
    return type("Own", (), members)()


def on_class(method: Any) -> Call:
    """Return a way to call a method on its class, with an object."""
    owner: Any = type("Own", (), {"run": method})
    return functools.partial(owner.run, owner())


def with_name(descriptor: Any) -> Any:
    """Return what an object's attribute of this descriptor gives."""
    owner = type("Own", (), {"member": descriptor})
    return lambda: owner().member


BINDINGS: Final[dict[str, Callable[[Any, Any], Call]]] = {
    "a function": lambda decorate, function: decorate(function),
    "a method": lambda decorate, function: of_class(run=decorate(function)).run,
    "a method, called on its class": lambda decorate, function: on_class(decorate(function)),
    "a class method, outside": lambda decorate, function: of_class(run=decorate(classmethod(function))).run,
    "a class method, inside": lambda decorate, function: of_class(run=classmethod(decorate(function))).run,
    "a static method, outside": lambda decorate, function: of_class(run=decorate(staticmethod(function))).run,
    "a static method, inside": lambda decorate, function: of_class(run=staticmethod(decorate(function))).run,
    "a property": lambda decorate, function: with_name(decorate(property(function))),
    "a cached property": lambda decorate, function: (
        lambda: (
            cached := decorate(functools.cached_property(function)),
            cached.__set_name__(owner := type("Own", (), {"member": cached}), "member"),
            owner().member,
        )[-1]
    ),
    "a partial": lambda decorate, function: decorate(functools.partial(function, 1)),
    "a partial method": lambda decorate, function: of_class(run=decorate(functools.partialmethod(function, 1))).run,
    "a callable instance": lambda decorate, function: decorate(of_class(__call__=function)),
    "a whole class": lambda decorate, function: decorate(type("Own", (), {"run": function}))().run,
    "a bound method": lambda decorate, function: decorate(of_class(run=function).run),
    "a wrapped function": lambda decorate, function: decorate(acting_as("inner")(function)),
}


async def exhaust(items: Any) -> object:
    """Take all of an async generator as its consumers do."""
    assert await anext(items) == 1
    assert await items.asend("sent") == 2
    with contextlib.suppress(StopAsyncIteration):
        await anext(items)
    return RESULT


async def cancelled(work: Any, started: int) -> None:
    """Cancel a task that has run for some turns of the loop."""
    task = asyncio.ensure_future(work)
    for _ in range(started):
        await asyncio.sleep(0)
    task.cancel()
    await task


def run(form: str, way: str, call: Call, error: BaseException) -> object:
    """Make the call, and let it end in a way."""
    if form == "function":
        return call()
    made = call()
    if way == "is never awaited or iterated":
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            del made
            gc.collect()
        return None
    if way == "is cancelled before its intent is on disk":
        asyncio.run(cancelled(exhaust(made) if "generator" in form else made, 1))
    if form.endswith("async generator"):
        return asyncio.run(run_async_generator(way, made, error))
    if form.endswith("generator"):
        return run_generator(way, made, error)
    if way == "is cancelled":
        asyncio.run(cancelled(made, 20))
    if way in ("is closed early", "has something thrown in"):
        made.send(None)
        return made.close() if way == "is closed early" else made.throw(error)

    async def awaited() -> object:
        return await made

    return asyncio.run(awaited())


def run_generator(way: str, items: Any, error: BaseException) -> object:
    """Let a generator end in a way; give what it returned."""
    assert next(items) == 1
    assert items.send("sent") == 2
    if way == "is closed early":
        return items.close()
    if way == "has something thrown in":
        return items.throw(error)
    try:
        next(items)
    except StopIteration as stop:
        return stop.value
    raise AssertionError


async def run_async_generator(way: str, items: Any, error: BaseException) -> object:
    """Let an async generator end in a way."""
    if way == "is cancelled":
        await cancelled(exhaust(items), 20)
    if way not in ("is closed early", "has something thrown in"):
        return await exhaust(items)
    await anext(items)
    return await (items.aclose() if way == "is closed early" else items.athrow(error))
