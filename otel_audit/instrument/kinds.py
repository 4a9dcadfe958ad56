"""How a call of each kind of function is surrounded by its intent and its outcome."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final

from opentelemetry.context import Context

from otel_audit.instrument.kind import body_of, is_awaitable_generator, is_fresh, kind_of, named_like
from otel_audit.instrument.plan import Plan
from otel_audit.instrument.run import Run
from otel_audit.instrument.span import current_tracer
from otel_audit.pipeline.resume import OwnContext, aresumed, resumed

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
Wrap = Callable[[Callable[..., Any], Any, Args, Kwargs], Any]
"""A wrapper in wrapt's form: ``(wrapped, instance, args, kwargs)``."""

_RUNS_LATER: Final = frozenset({CoroutineType, GeneratorType, AsyncGeneratorType})
"""What a plain function may return that is a body of its own, and ends after it."""


def wrapper_for(function: Any, plan: Plan) -> Wrap:
    """Return the wrapper for a function, by its kind."""
    match kind_of(function):
        case "async generator":
            return _around_async_generator(plan)
        case "coroutine":
            return _around_coroutine(plan, function)
        case "generator":
            return _around_generator(plan)
        case "call":
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
        if type(result) in _RUNS_LATER and is_fresh(result):
            return _rest_of(Run.of(action), result)
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
    if type(result) in _RUNS_LATER and is_fresh(result):
        return _rest_of(run, result)
    run.finish(result)
    return result


def _rest_of(run: Run, result: Any) -> Any:
    """Return what a plain function returned: its action ends with that."""
    if type(result) is GeneratorType and not is_awaitable_generator(result):
        return named_like(resumed(result, run.enter, run.finish, run.close), result)
    if type(result) is AsyncGeneratorType:
        return named_like(aresumed(result, run.aenter, run.aclose, run.close), result)
    return named_like(_rest_of_coroutine(run, result), result)


async def _rest_of_coroutine(run: Run, coroutine: Awaitable[Any]) -> Any:
    try:
        with OwnContext(run.enter()):
            result = await coroutine
    except BaseException as error:
        run.fail(error)
        raise
    await run.afinish(result)
    return result


def _around_coroutine(plan: Plan, function: Any) -> Wrap:
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

    named_like(run_audited, body_of(function))

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        if plan.optional and not plan.logger.enabled():
            return wrapped(*args, **kwargs)
        return run_audited(wrapped, instance, args, kwargs)

    return wrapper


def _around_generator(plan: Plan) -> Wrap:
    def audited_steps(inner: Generator[Any, Any, Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        run: Run

        def enter() -> Context:
            nonlocal run
            run = plan.begin(instance, args, kwargs)
            return run.enter()

        def finish(result: object) -> None:
            run.finish(result)

        def close(error: BaseException, closed: bool) -> None:
            run.close(error, closed)

        return resumed(inner, enter, finish, close)

    return _around_steps(plan, audited_steps)


def _around_async_generator(plan: Plan) -> Wrap:
    def audited_steps(inner: AsyncGenerator[Any, Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        run: Run

        async def enter() -> Context:
            nonlocal run
            run = await plan.abegin(instance, args, kwargs)
            return run.enter()

        async def finish() -> None:
            await run.aclose()

        def close(error: BaseException, closed: bool) -> None:
            run.close(error, closed)

        return aresumed(inner, enter, finish, close)

    return _around_steps(plan, audited_steps)


def _around_steps(plan: Plan, audited_steps: Callable[[Any, Any, Args, Kwargs], Any]) -> Wrap:
    def wrapper(wrapped: Callable[..., Any], instance: Any, args: Args, kwargs: Kwargs) -> Any:
        inner = wrapped(*args, **kwargs)
        if plan.optional and not plan.logger.enabled():
            return inner
        return named_like(audited_steps(inner, instance, args, kwargs), inner)

    return wrapper
