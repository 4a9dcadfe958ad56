"""What kind of function something is: when its body runs, and when it ends."""

from __future__ import annotations

import functools
import inspect
from types import CodeType, GeneratorType
from typing import Any, Literal, TypeVar

import wrapt

Kind = Literal["call", "coroutine", "generator", "async generator"]

T = TypeVar("T")


def kind_of(function: Any) -> Kind:
    """Return the kind of a function, a descriptor of one, a partial or a callable instance.

    ``call``: its body runs when it is called. Of the other kinds it runs when somebody awaits or
    iterates what the call returns.
    """
    raw = body_of(function)
    if inspect.isasyncgenfunction(raw):
        return "async generator"
    if inspect.iscoroutinefunction(raw):
        return "coroutine"
    if inspect.isgeneratorfunction(raw):
        return "coroutine" if _is_awaitable(raw.__code__) else "generator"
    return "call"


def body_of(function: Any) -> Any:
    """Return the function that a call comes down to, as far as `inspect` does not look itself."""
    while True:
        if isinstance(function, (classmethod, staticmethod)):
            function = function.__func__
        elif isinstance(function, (functools.partial, functools.partialmethod)):
            function = function.func
        elif issubclass(type(function), (wrapt.FunctionWrapper, wrapt.BoundFunctionWrapper)):
            function = function.__wrapped__
        elif inspect.isroutine(function) or not callable(function):
            return function
        else:
            return type(function).__call__


def is_fresh(result: Any) -> bool:
    """Whether a coroutine or generator has not begun: then it is the body of the call it came from.

    One that has begun is a thing that the function had, and hands out.
    """
    if type(result) is GeneratorType:
        return inspect.getgeneratorstate(result) == inspect.GEN_CREATED
    # Python 3.11 does not tell of an async generator whether it is suspended.
    return not (inspect.isasyncgen(result) and (result.ag_frame is None or getattr(result, "ag_suspended", False)))


def is_awaitable_generator(result: object) -> bool:
    """Whether a generator is a coroutine in the form of before ``async def`` (`types.coroutine`)."""
    return type(result) is GeneratorType and _is_awaitable(result.gi_code)


def named_like(outer: T, inner: Any) -> T:
    """Give a function or a generator the names of the one that it stands in for.

    asyncio names it so where nobody awaited it, or where it was slow.
    """
    for name in ("__name__", "__qualname__"):
        if isinstance(value := getattr(inner, name, None), str):
            setattr(outer, name, value)
    return outer


def _is_awaitable(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)
