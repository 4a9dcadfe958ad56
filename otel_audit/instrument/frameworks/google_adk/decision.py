"""Google ADK: what people decide of tool calls, and callbacks and plugins that answer in an act's place.

A person's answer to a confirmation comes with the message that goes on with the turn, so it is by
whoever sends that. A callback that lets an act go on is no guardrail by that, most of them only
look: one entry tells of each that keeps a model from being asked, a tool or an agent from being run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib import import_module
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current

from otel_audit.instrument.frameworks.act import approval, guardrail
from otel_audit.instrument.frameworks.google_adk.turn import current_turn
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import current_actors, with_actors
from otel_audit.pipeline.resume import OwnContext

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor

_AFTERWARDS: Final = frozenset({"llm_response", "response", "tool_response", "error"})
"""What only a callback is given that comes after the act."""

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit confirmations, callbacks and plugins.

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    from google.adk.plugins.base_plugin import BasePlugin

    confirmation = import_module("google.adk.flows.llm_flows.tools._confirmation")
    undo.callback(wrap(confirmation, "_resolve_confirmation_targets", _confirmed(auditor)))
    pipeline = import_module("google.adk.utils._callback_pipeline")
    undo.callback(wrap(pipeline, "_invoke_callback", _called_back(auditor)))
    names = ("before_run_callback", "before_agent_callback", "before_model_callback", "before_tool_callback")
    wrappers = dict.fromkeys(names, lambda method: _plugged_in(auditor, method))
    wrap_methods((BasePlugin,), wrappers, undo, maker=(BasePlugin, "__init_subclass__"))


def _confirmed(auditor: Auditor) -> Wrapper:
    async def wrapper(wrapped: Callable[..., Awaitable[Any]], _module: object, args: Args, kwargs: Kwargs) -> Any:
        confirmations, calls = await wrapped(*args, **kwargs)
        turn = current_turn()
        invocation = args[0] if args else kwargs.get("invocation_context")
        agent = getattr(getattr(invocation, "agent", None), "name", None)
        callers = () if turn is None else current_actors(turn.context)
        with OwnContext(with_actors(callers, get_current())):
            for call_id, answer in confirmations.items():
                act = approval(getattr(calls.get(call_id), "name", None), call_id=call_id, agent=agent)
                await auditor.adecide(act, "allow" if answer.confirmed is True else "block")
        return confirmations, calls

    return wrapper


def _called_back(auditor: Auditor) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _module: object, args: Args, kwargs: Kwargs) -> Any:
        result = wrapped(*args, **kwargs)
        context = kwargs.get("tool_context") or kwargs.get("callback_context")
        if context is None or not _AFTERWARDS.isdisjoint(kwargs):
            return result
        callback = args[0]
        if kwargs.keys() == {"callback_context"} and not _is_before_agent(callback, context):
            return result
        name = getattr(callback, "__name__", None) or type(callback).__name__
        return _decided(auditor, result, name, getattr(context, "agent_name", None))

    return wrapper


def _is_before_agent(callback: object, context: Any) -> bool:
    agent = getattr(getattr(context, "_invocation_context", None), "agent", None)
    return callback in getattr(agent, "canonical_before_agent_callbacks", ())


def _plugged_in(auditor: Auditor, method: Method) -> Wrapper:
    async def wrapper(wrapped: Callable[..., Awaitable[Any]], plugin: Any, args: Args, kwargs: Kwargs) -> Any:
        with entered(plugin, method) as begins:
            result = await wrapped(*args, **kwargs)
        if not begins:
            return result
        context = kwargs.get("tool_context") or kwargs.get("callback_context")
        return await _decided(auditor, _made(result), read(plugin, "name"), getattr(context, "agent_name", None))

    return wrapper


async def _made(result: object) -> object:
    return result


def _decided(auditor: Auditor, result: Any, name: object, agent: object) -> Any:
    """Return a callback's result, of which there is an entry where it is an answer in the act's place."""
    if not isawaitable(result):
        if result is not None:
            auditor.decide(guardrail(name, agent=agent), "block")
        return result

    async def awaited() -> Any:
        answer = await result
        if answer is not None:
            await auditor.adecide(guardrail(name, agent=agent), "block")
        return answer

    return awaited()
