"""LangChain: who decides whether a tool call may run.

A person's decisions come back from the `interrupt` that `HumanInTheLoopMiddleware` calls. A policy
is a ``wrap_tool_call``, of a middleware or given to a `ToolNode`, that answers in the tool's place.
Each decision is on record before it takes effect.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from otel_audit.instrument.frameworks.act import approval
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.langchain.graph import current_agent, interrupted, named
from otel_audit.instrument.patch import wrap
from otel_audit.pipeline.wrapper import Wrapper
from otel_audit.record import Decision

ANSWERED: Final = "answered in the tool's place"

_APPROVALS: Final[Mapping[object, Decision]] = {
    "approve": "allow",
    "edit": "allow",
    "reject": "block",
    "respond": "block",
}
"""What becomes of the tool call: it runs, with other arguments perhaps, or does not."""

_tool_calls: ContextVar[Sequence[Any]] = ContextVar("otel-audit-langchain-tool-calls", default=())
"""Those that a person is about to be asked about."""
_decided: ContextVar[set[object] | None] = ContextVar("otel-audit-langchain-decided", default=None)
"""The ids of those that a person has decided on, inside of a policy."""


def instrument_people(auditor: Auditor, undo: ExitStack) -> None:
    """Audit what people decide, in all agents.

    Raises:
        AuditConfigError: This version of langchain lacks what is wrapped.
    """
    middleware = named("langchain.agents.middleware", "HumanInTheLoopMiddleware")
    undo.callback(wrap(middleware, "after_model", _with_tool_calls))
    undo.callback(wrap(sys.modules[middleware.__module__], "interrupt", _approvals(auditor)))


def instrument_policies(auditor: Auditor, undo: ExitStack) -> None:
    """Audit what policies refuse, in agents that are made from now on; what they allow is audited as it runs.

    Raises:
        AuditConfigError: This version of langgraph lacks what is wrapped.
    """
    enabled = True

    def stop() -> None:
        nonlocal enabled
        enabled = False

    def watched(watch: Any, policy: Any) -> Any:
        return Wrapper(policy, watch, partial(watched, watch), lambda: enabled)

    def init(wrapped: Callable[..., Any], _node: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        policies = {name: watched(watch, kwargs[name]) for name, watch in watches.items() if kwargs.get(name)}
        return wrapped(*args, **kwargs | policies)

    watches = {"wrap_tool_call": _watch(auditor), "awrap_tool_call": _awatch(auditor)}

    undo.callback(stop)
    undo.callback(wrap(named("langgraph.prebuilt", "ToolNode"), "__init__", init))


def tool_calls(state: object) -> Sequence[Any]:
    """Return the tool calls of the last message that has any, out of an agent's state."""
    messages = state.get("messages") if isinstance(state, Mapping) else None
    if not isinstance(messages, Sequence):
        return ()
    return next((calls for message in reversed(messages) if (calls := getattr(message, "tool_calls", None))), ())


def _with_tool_calls(
    wrapped: Callable[..., Any], _middleware: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    token = _tool_calls.set(tool_calls(args[0] if args else kwargs.get("state")))
    try:
        return wrapped(*args, **kwargs)
    finally:
        _tool_calls.reset(token)


def _approvals(auditor: Auditor) -> Callable[..., Any]:
    def interrupt(wrapped: Callable[..., Any], _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            answer = wrapped(*args, **kwargs)
        except Exception:  # nobody has answered yet
            interrupted()
            raise
        request = args[0] if args else kwargs.get("value")
        for name, call_id, decision in _decisions(request, answer):
            decided = _decided.get()
            if decided is not None:
                decided.add(call_id)
            auditor.decide(
                approval(name, call_id=call_id, agent=current_agent()),
                _APPROVALS.get(decision, "error"),
                reason=decision if decision in _APPROVALS else None,
            )
        return answer

    return interrupt


def _decisions(request: Any, answer: Any) -> list[tuple[object, object, Any]]:
    """Return tool, call id and kind of each decision; none where they do not fit, which the framework refuses."""
    if not isinstance(request, Mapping) or not isinstance(answer, Mapping):
        return []
    if "action_requests" not in request:
        return [(request.get("name"), request.get("tool_call_id"), answer.get("type"))]
    asked, decisions = request["action_requests"], answer.get("decisions")
    if not isinstance(decisions, Sequence) or len(decisions) != len(asked):
        return []
    # The requests are in the calls' order, each with the very arguments of its call.
    ids = [next((call["id"] for call in _tool_calls.get() if call["args"] is one["args"]), None) for one in asked]
    kinds = [decision.get("type") if isinstance(decision, Mapping) else None for decision in decisions]
    return [(one["name"], call_id, kind) for one, call_id, kind in zip(asked, ids, kinds, strict=True)]


def _watch(auditor: Auditor) -> Callable[..., Any]:
    def watch(wrapped: Any, _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request, execute = args
        ran = False

        def executed(given: Any) -> Any:
            nonlocal ran
            ran = True
            return execute(given)

        token = _decided.set(set())
        try:
            result = wrapped(request, executed, **kwargs)
            if not ran:
                _refused(auditor, request)
        finally:
            _decided.reset(token)
        return result

    return watch


def _awatch(auditor: Auditor) -> Callable[..., Any]:
    async def watch(wrapped: Any, _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request, execute = args
        ran = False

        async def executed(given: Any) -> Any:
            nonlocal ran
            ran = True
            return await execute(given)

        token = _decided.set(set())
        try:
            result = await wrapped(request, executed, **kwargs)
            if not ran:
                _refused(auditor, request)
        finally:
            with suppress(ValueError):  # closed in another context than it began in
                _decided.reset(token)
        return result

    return watch


def _refused(auditor: Auditor, request: Any) -> None:
    call = request.tool_call
    if call["id"] not in (_decided.get() or ()):
        act = approval(call["name"], call_id=call["id"], agent=current_agent())
        auditor.decide(act, "block", reason=ANSWERED)
