"""strands-agents: what hooks, interventions and people decide of tool calls.

All of them are callbacks of one registry. What they decided is written when they have returned, and
before the framework acts on it: no ``on_error`` of a handler lets a call go on whose approval is not recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from opentelemetry.context import get_current, get_value

from otel_audit.instrument.frameworks.act import Act, approval, guardrail
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.strands.model import CALLER
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import made_current, with_actors
from otel_audit.record import Decision

BY_HOOK: Final = "hook"
"""The reason of a refusal that no person was asked about."""

_METHODS: Final = ("before_invocation", "before_tool_call", "after_tool_call", "before_model_call", "after_model_call")
_BLOCKS: Final = {
    "deny": frozenset({"before_invocation", "before_tool_call", "before_model_call"}),
    "guide": frozenset({"before_invocation", "before_tool_call", "after_model_call"}),
}
"""Where an intervention keeps what it is asked about from happening, or its result from being used."""


@dataclass(slots=True)
class _Heard:
    """What was decided while the callbacks of one event ran.

    Attributes:
        answered: Whether a person answered, or an answer was there already.
        checked: What interventions say: the handler's name, the decision, and the kind of intervention.
    """

    answered: bool = False
    checked: list[tuple[str | None, Decision, str]] = field(default_factory=list)


_heard: ContextVar[_Heard | None] = ContextVar("otel-audit-strands-heard", default=None)


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit what is decided.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    events = import_module("strands.hooks.events")
    for event in (events.BeforeToolCallEvent, events.BeforeToolsEvent):
        undo.callback(wrap(event, "interrupt", _interrupt))
    undo.callback(
        wrap(import_module("strands.hooks.registry").HookRegistry, "invoke_callbacks_async", _invoke(auditor))
    )
    registry = import_module("strands.interventions.registry").InterventionRegistry
    for method in _METHODS:
        undo.callback(wrap(registry, f"_apply_{method}", _apply(method)))


def _interrupt(wrapped: Callable[..., Any], _event: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Note that a person's answer is there; where there is none, this raises."""
    answer = wrapped(*args, **kwargs)
    heard = _heard.get()
    if heard is not None:
        heard.answered = True
    return answer


def _apply(method: str) -> Wrapper:
    """Return the wrapper of what lets an intervention take effect on the event."""

    def wrapper(wrapped: Callable[..., Any], registry: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = wrapped(*args, **kwargs)
        heard = _heard.get()
        kind = args[1].type
        if heard is not None and kind != "confirm":  # that one is an approval
            name = args[2] or None
            if name is None and len(registry.handlers) == 1:  # what guides say is applied together
                name = registry.handlers[0].name
            blocks = method in _BLOCKS.get(kind, ())
            heard.checked.append((name, "block" if blocks else "allow", kind))
        return result

    return wrapper


def _invoke(auditor: Auditor) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], _registry: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        event = args[0] if args else kwargs.get("event")
        heard = _Heard()
        with having(_heard, heard):
            result = await wrapped(*args, **kwargs)
        agent = getattr(getattr(event, "agent", None), "name", None)
        for name, decision, kind in heard.checked:
            await auditor.adecide(guardrail(name, agent=agent), decision, reason=kind)
        if not result[1]:  # else it waits for an answer
            with _by_caller() if heard.answered else nullcontext():
                for act, decision, reason in _approvals(event, heard, agent):
                    await auditor.adecide(act, decision, reason=reason)
        return result

    return wrapper


def _by_caller() -> AbstractContextManager[object]:
    """Return the context in which whoever started the run acts: an answer is theirs."""
    actors = get_value(CALLER)
    if not isinstance(actors, tuple):
        return nullcontext()
    return made_current(with_actors(actors, get_current()))


def _approvals(event: Any, heard: _Heard, agent: object) -> list[tuple[Act, Decision, str | None]]:
    """Return what was decided of the tool calls that an event is about."""
    if hasattr(event, "cancel_tool"):
        refused, tool_uses = bool(event.cancel_tool), [event.tool_use]
    elif type(event).__name__ == "BeforeToolsEvent":
        refused, tool_uses = bool(event.cancel), _tool_uses(event.message)
    else:
        return []
    checked = any(decision == "block" for _, decision, _ in heard.checked)
    if not heard.answered and (not refused or checked):
        return []
    decision: Decision = "block" if refused else "allow"
    reason = None if heard.answered else BY_HOOK
    return [
        (approval(tool_use.get("name"), call_id=tool_use.get("toolUseId"), agent=agent), decision, reason)
        for tool_use in tool_uses
    ]


def _tool_uses(message: Mapping[str, Any]) -> list[Any]:
    return [content["toolUse"] for content in message.get("content", ()) if "toolUse" in content]
