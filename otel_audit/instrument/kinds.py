"""How a call of each kind of function is surrounded by its intent and its outcome."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import CoroutineType
from typing import Any

from opentelemetry.context import Context, get_current

from otel_audit.instrument.plan import Plan
from otel_audit.instrument.run import Run
from otel_audit.instrument.span import current_tracer
from otel_audit.pipeline.resume import OwnContext, aresumed, resumed

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Wrap = Callable[[Callable[..., Any], Any, Args, Kwargs], Any]
"""A wrapper in wrapt's form: ``(wrapped, instance, args, kwargs)``."""


def wrapper_for(function: Any, plan: Plan) -> Wrap:
    """Return the wrapper for a function, by its kind."""
    raw = function.__func__ if isinstance(function, (classmethod, staticmethod)) else function
    if not hasattr(raw, "__name__") and callable(raw):
        # `inspect` does not look into a callable instance; it does into a partial.
        raw = raw if hasattr(raw, "func") else type(raw).__call__
    if inspect.isasyncgenfunction(raw):
        return _around_async_generator(plan)
    if inspect.iscoroutinefunction(raw):
        return _around_coroutine(plan, raw)
    if inspect.isgeneratorfunction(raw):
        return _around_generator(plan)
    return _around_call(plan)


def _around_call(plan: Plan) -> Wrap:
    def wrapper(wrapped: Callable[..., Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        if plan.optional and not plan.logger.enabled():
            return wrapped(*args, **kwargs)
        if plan.dynamic or (plan.span and current_tracer() is not None):
            return _call(plan, wrapped, instance, args, kwargs)
        # The same as `_call` without what most calls do not need.
        action = plan.logger.start_action(plan.event_name, **plan.static)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            action.fail(error)
            raise
        if type(result) is CoroutineType:
            return _rest_of_coroutine(Run.of(action), result)
        action.end_quietly()
        return result

    return wrapper


def _call(plan: Plan, wrapped: Callable[..., Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
    run = plan.begin(instance, args, kwargs)
    try:
        if run.context is None:
            result = wrapped(*args, **kwargs)
        else:
            with OwnContext(run.context):
                result = wrapped(*args, **kwargs)
    except BaseException as error:
        run.fail(error)
        raise
    if type(result) is CoroutineType:
        return _rest_of_coroutine(run, result)
    run.finish(result)
    return result


async def _rest_of_coroutine(run: Run, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await what a plain function returned: its action ends with the coroutine."""
    try:
        with OwnContext(run.context or get_current()):
            result = await coroutine
    except BaseException as error:
        run.fail(error)
        raise
    await run.afinish(result)
    return result


def _around_coroutine(plan: Plan, raw: Any) -> Wrap:
    async def run_audited(wrapped: Callable[..., Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        run = await plan.abegin(instance, args, kwargs)
        try:
            if run.context is None:
                result = await wrapped(*args, **kwargs)
            else:
                with OwnContext(run.context):
                    result = await wrapped(*args, **kwargs)
        except BaseException as error:
            run.fail(error)
            raise
        await run.afinish(result)
        return result

    # What asyncio says of a coroutine that nobody awaited, or of a slow one, names the function.
    run_audited.__name__ = getattr(raw, "__name__", run_audited.__name__)
    run_audited.__qualname__ = getattr(raw, "__qualname__", run_audited.__qualname__)

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        if plan.optional and not plan.logger.enabled():
            return wrapped(*args, **kwargs)
        return run_audited(wrapped, instance, args, kwargs)

    return wrapper


def _around_generator(plan: Plan) -> Wrap:
    def audited_steps(inner: Generator[Any, Any, Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        run = plan.begin(instance, args, kwargs)
        try:
            result = yield from resumed(inner, lambda: run.context or get_current())
        except GeneratorExit:
            run.stop()
            raise
        except BaseException as error:
            run.fail(error)
            raise
        run.finish(result)
        return result

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        inner = wrapped(*args, **kwargs)
        if plan.optional and not plan.logger.enabled():
            return inner
        return _named(audited_steps(inner, instance, args, kwargs), inner)

    return wrapper


def _around_async_generator(plan: Plan) -> Wrap:
    def audited_steps(inner: AsyncGenerator[Any, Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        run: Run

        async def enter() -> Context:
            nonlocal run
            run = await plan.abegin(instance, args, kwargs)
            return run.context or get_current()

        async def finish() -> None:
            await run.afinish(None)

        def fail(error: BaseException, closed: bool) -> None:
            if closed:
                run.stop()
            else:
                run.fail(error)

        return aresumed(inner, enter, finish, fail)

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        inner = wrapped(*args, **kwargs)
        if plan.optional and not plan.logger.enabled():
            return inner
        return _named(audited_steps(inner, instance, args, kwargs), inner)

    return wrapper


def _named(outer: Any, inner: Any) -> Any:
    """Give a generator the name of the one that it stands in for."""
    outer.__name__ = inner.__name__
    outer.__qualname__ = inner.__qualname__
    return outer
