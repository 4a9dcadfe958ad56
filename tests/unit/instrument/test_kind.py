"""What kind of function something is, whatever it is wrapped in."""

from __future__ import annotations

import functools
import types
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest

from otel_audit import acting_as, audited, gate
from otel_audit.instrument.kind import body_of, is_fresh, kind_of, named_like


def call() -> None:
    """A plain function."""


async def coroutine() -> None:
    """A coroutine function."""


def generator() -> Iterator[int]:
    """A generator."""
    yield 1


async def async_generator() -> AsyncIterator[int]:
    """An async generator."""
    yield 1


@types.coroutine
def old_coroutine() -> Generator[None, None, int]:
    """A coroutine in the form of before `async def`."""
    yield
    return 7


def with_call(function: Any, **members: Any) -> Any:
    """Return an instance that is called by a function, with other attributes besides."""
    return type("Own", (), {"__call__": staticmethod(function), **members})()


FUNCTIONS: dict[str, Any] = {
    "call": call,
    "coroutine": coroutine,
    "generator": generator,
    "async generator": async_generator,
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_bound(kind: str) -> None:
    """The kind is seen through descriptors, partials, wrappers and callable instances."""
    function = FUNCTIONS[kind]
    nested = functools.partial(functools.partial(function))
    bound: tuple[Any, ...] = (
        function,
        classmethod(function),
        staticmethod(function),
        nested,
        staticmethod(nested),
        functools.partialmethod(function),
        with_call(function),
        acting_as("agent")(function),
        audited(function),
        gate(lambda call: True)(function),
        audited(with_call(function)),
        functools.partial(audited(with_call(function))),
    )
    for each in bound:
        assert kind_of(each) == kind


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_instance_that_looks_like_something_else(kind: str) -> None:
    """Attributes that functions and partials have do not hide what a callable instance is called by."""
    for members in ({"__name__": "tool"}, {"func": call}, {"__wrapped__": call}, {"__func__": call}):
        assert kind_of(with_call(FUNCTIONS[kind], **members)) == kind


def test_others() -> None:
    """Built-in functions, classes behind partials and cached functions are plain calls."""
    plain: tuple[Any, ...] = (
        len,
        str.upper,
        [].append,
        functools.partial(dict),
        functools.lru_cache(call),
        functools.lru_cache,
    )
    for each in plain:
        assert kind_of(each) == "call"


def test_old_coroutine() -> None:
    """A generator that can be awaited is a coroutine."""
    assert kind_of(old_coroutine) == "coroutine"


def test_body() -> None:
    """What a call comes down to is found through all that is around it."""
    assert body_of(staticmethod(functools.partial(call))) is call
    assert body_of(with_call(call)) is call


def test_fresh() -> None:
    """A generator that has begun or ended is not fresh."""
    items = generator()
    assert is_fresh(items)
    next(items)
    assert not is_fresh(items)
    items.close()  # type: ignore[attr-defined]
    assert not is_fresh(items)


async def test_fresh_async() -> None:
    """An async generator that has ended is not fresh, nor one that has begun where Python tells."""
    items = async_generator()
    assert is_fresh(items)
    await anext(items)
    assert is_fresh(items) == (not hasattr(items, "ag_suspended"))
    await items.aclose()  # type: ignore[attr-defined]
    assert not is_fresh(items)


def test_named() -> None:
    """Names are taken over where there are any."""
    items: Any = named_like(generator(), call)
    assert (items.__name__, items.__qualname__) == ("call", "call")
    assert named_like(generator(), 7).__name__ == "generator"  # type: ignore[attr-defined]
