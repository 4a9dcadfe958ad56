"""Guarded functions: the decision on record before the call, how it ended after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any, Final

from opentelemetry.context import Context, get_current

from otel_audit.instrument.kind import kind_of, named_like
from otel_audit.instrument.members import dotted_name
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.resume import aresumed, resumed
from otel_audit.pipeline.wrapper import Wrapper
from otel_audit.record import Outcome

from .call import Decided, GuardedCall
from .decision import AuditError, Decision, Result
from .policy import AuditPolicy, Mode, Severity, StoreErrorMode, Trail, Verdict
from .recorder import Recorder

Args = tuple[Any, ...]
Kwargs = dict[str, Any]

_CANCELLED: Final = "cancelled before it began"


class Guard:
    """How the calls of one function are guarded. Immutable; serves any number of threads and tasks.

    Args:
        policy: In place of the trail's own.
        meta: The detail of the decisions.
        returns_result: Whether a call returns a `Result`.
    """

    def __init__(
        self,
        recorder: Recorder,
        trail: Trail,
        policy: AuditPolicy | None,
        verdict: Verdict,
        severity: Severity,
        gate_type: str,
        meta: Mapping[str, Any] | None,
        returns_result: bool,
        function: Any,
    ) -> None:
        self._recorder = recorder
        self._trail = trail
        self._policy = policy
        self._verdict = verdict
        self._severity = severity
        self._gate_type = gate_type
        self._meta = meta
        self.returns_result = returns_result
        self._function_name = dotted_name(function)
        kind = "guard_result" if returns_result else "guard"
        self._reason = f"{kind}:{self._function_name.rpartition('.')[2]}"

    def call(self, wrapped: Callable[..., Any], _instance: object, args: Args, kwargs: Kwargs) -> Any:
        """Call a function."""
        call = GuardedCall(self._function_name)
        decision = self._decide(call)
        if not self._may_run(decision):
            return Result(decision)
        call.begin()
        try:
            value = wrapped(*args, **kwargs)
        except BaseException as error:
            self._recorder.attempt(*self._failure(call, error))
            raise
        self._recorder.attempt(*self._outcome(call, "success"))
        return self._answer(decision, value)

    async def acall(self, wrapped: Callable[..., Any], args: Args, kwargs: Kwargs) -> Any:
        """Await a coroutine function. After an exception its outcome is written blocking."""
        call = GuardedCall(self._function_name)
        decision = await self._adecide(call)
        if not self._may_run(decision):
            return Result(decision)
        call.begin()
        try:
            value = await wrapped(*args, **kwargs)
        except BaseException as error:
            with contextlib.suppress(asyncio.CancelledError):  # the first exception goes on
                await self._recorder.async_attempt(*self._failure(call, error), at_once=True)
            raise
        await self._recorder.async_attempt(*self._outcome(call, "success"))
        return self._answer(decision, value)

    def iterate(self, inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Guard a generator: it is decided upon at its first step."""
        call = GuardedCall(self._function_name)
        decision: Decision | None = None

        def enter() -> Context:
            nonlocal decision
            decision = self._decide(call)
            self._may_run(decision)
            call.begin()
            return get_current()

        def finish(_: object) -> None:
            self._recorder.attempt(*self._outcome(call, "success"))

        def fail(error: BaseException, closed: bool) -> None:
            self._recorder.attempt(*(self._outcome(call, "unknown") if closed else self._failure(call, error)))

        result = yield from resumed(inner, enter, finish, fail)
        if decision is not None:
            self._answer(decision, result)
        return result

    def aiterate(self, inner: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
        """Guard an async generator: it is decided upon at its first step."""
        call = GuardedCall(self._function_name)
        decision: Decision | None = None

        async def enter() -> None:
            nonlocal decision
            decision = await self._adecide(call)
            self._may_run(decision)
            call.begin()

        async def finish() -> None:
            await self._recorder.async_attempt(*self._outcome(call, "success"))
            if decision is not None:
                self._answer(decision, None)

        def fail(error: BaseException, closed: bool) -> None:
            outcome = self._outcome(call, "unknown") if closed else self._failure(call, error)
            self._recorder.attempt_at_once(*outcome)

        return aresumed(inner, enter, finish, fail)

    def _decide(self, call: GuardedCall) -> Decision:
        decision = self._recorder.attempt(*self._intent(call))
        call.decided = None if decision.entry is None else decision.entry.sequence
        return decision

    async def _adecide(self, call: GuardedCall) -> Decision:
        try:
            decision = await self._recorder.async_attempt(*self._intent(call))
        except BaseException:
            if call.intent_id is not None:  # cancelled: the decision may stand, and the function does not run
                self._recorder.attempt_at_once(*self._outcome(call, "unknown", reason=_CANCELLED))
            raise
        call.decided = None if decision.entry is None else decision.entry.sequence
        return decision

    def _may_run(self, decision: Decision) -> bool:
        """Whether the function runs.

        Raises:
            AuditError: It must not, and the policy is HARD.
        """
        policy = decision.policy
        if not decision.failed or policy.on_store_error is StoreErrorMode.FAIL_OPEN:
            return True
        self._recorder.enforce(decision)
        return not self.returns_result

    def _answer(self, decision: Decision, value: Any) -> Any:
        """Return what a call returns whose function did; raise where nothing proves that it was let through."""
        result = Result(decision, value)
        if decision.failed and decision.policy.mode is Mode.HARD:
            raise AuditError(decision, result) from decision.error
        return result if self.returns_result else value

    def _intent(self, call: GuardedCall) -> tuple[AuditPolicy, Decided, GuardedCall]:
        identity = str(self._trail)
        decided = (self._trail, self._verdict, self._severity, self._gate_type, identity, self._reason, self._meta)
        return self._recorder.policy_of(self._trail, self._policy), decided, call

    def _failure(self, call: GuardedCall, error: BaseException) -> tuple[AuditPolicy, Decided, GuardedCall]:
        return self._outcome(call, "failure", error_type_of(error))

    def _outcome(
        self, call: GuardedCall, outcome: Outcome, error_type: str | None = None, reason: str | None = None
    ) -> tuple[AuditPolicy, Decided, GuardedCall]:
        failed = outcome == "failure"
        verdict = Verdict.ERROR if failed else self._verdict
        severity = max(self._severity, Severity.ERROR, key=lambda s: s.value) if failed else self._severity
        detail = call.end(outcome, error_type)
        identity = str(self._trail)
        decided = (self._trail, verdict, severity, self._gate_type, identity, reason or self._reason, detail)
        return self._recorder.policy_of(self._trail, self._policy), decided, call


def guard_function(guard: Guard, function: Any, asynchronous: bool, again: Callable[[Any], Any]) -> Any:
    """Return what stands in for a guarded function.

    Args:
        asynchronous: Whether what it returns is awaited, whatever kind it looks like.
        again: Guards a copy of it in the same way.

    Raises:
        TypeError: It is a class, cannot be called, or is a generator of which a `Result` is asked.
    """
    if isinstance(function, type) or not (callable(function) or hasattr(type(function), "__get__")):
        raise TypeError(f"expected a function, got {function!r}")
    kind = kind_of(function)
    if "generator" in kind and guard.returns_result:
        raise TypeError("expected a function that returns its result, got a generator function: use guard")

    def wrap_coroutine(wrapped: Callable[..., Any], _: object, args: Args, kwargs: Kwargs) -> Any:
        return named_like(guard.acall(wrapped, args, kwargs), wrapped)

    def wrap_generator(wrapped: Callable[..., Any], _: object, args: Args, kwargs: Kwargs) -> Any:
        inner = wrapped(*args, **kwargs)
        return named_like(guard.iterate(inner), inner)

    def wrap_async_generator(wrapped: Callable[..., Any], _: object, args: Args, kwargs: Kwargs) -> Any:
        inner = wrapped(*args, **kwargs)
        return named_like(guard.aiterate(inner), inner)

    wrapper: Callable[..., Any] = guard.call
    if kind == "generator":
        wrapper = wrap_generator
    elif kind == "async generator":
        wrapper = wrap_async_generator
    elif kind == "coroutine" or asynchronous:
        wrapper = wrap_coroutine
    return Wrapper(function, wrapper, again)
