"""A function whose every run is in an OpenTelemetry context of our choice."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from opentelemetry.context import Context, attach, get_current

from otel_audit.pipeline.resume import OwnContext, aresumed, resumed
from otel_audit.pipeline.wrapper import Wrapper


def in_context(
    function: Any, enter: Callable[[], Context], rewrap: Callable[[Any], Any], kind: type[Wrapper] = Wrapper
) -> Any:
    """Wrap a function so that each run of it is in a context.

    Args:
        function: A function, or another callable, of any kind.
        enter: Called at the start of each run; returns the context that it begins in.
        rewrap: Wraps a copy of the function in the same way.
        kind: The class of the wrapper.

    Raises:
        TypeError: It is a class, or cannot be called.
    """
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"expected a function, got {function!r}")

    async def aenter() -> Context:
        return enter()

    async def run(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        with OwnContext(enter()):
            return await call(*args, **kwargs)

    async def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return await run(lambda: coroutine)

    # What asyncio says of a coroutine that nobody awaited, or of a slow one, names the function.
    run.__name__ = getattr(function, "__name__", run.__name__)
    run.__qualname__ = getattr(function, "__qualname__", run.__qualname__)

    def wrap_run(wrapped: Callable[..., Any], _: object, args: Any, kwargs: Any) -> Any:
        return run(wrapped, *args, **kwargs)

    def wrap_call(wrapped: Callable[..., Any], _: object, args: Any, kwargs: Any) -> Any:
        outer = get_current()
        attach(enter())
        try:
            result = wrapped(*args, **kwargs)
        finally:
            attach(outer)
        if type(result) is CoroutineType:
            return run_coroutine(result)
        if type(result) is GeneratorType:
            return resumed(result, enter)
        if type(result) is AsyncGeneratorType:
            return aresumed(result, aenter)
        return result

    wrapper = wrap_run if inspect.iscoroutinefunction(function) else wrap_call
    return kind(function, wrapper, rewrap)
