"""openai-agents: what guardrails and approvers decide.

A decision is on disk before it takes effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import Act, approval, guardrail
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.openai_agents.handoff import acting
from otel_audit.instrument.frameworks.openai_agents.tool import passes_on
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of
from otel_audit.record import Decision


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit every guardrail and every approval.

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    guardrails = import_module("agents.guardrail")
    undo.callback(wrap(guardrails.InputGuardrail, "run", _check(auditor, 0, "agent")))
    undo.callback(wrap(guardrails.OutputGuardrail, "run", _check(auditor, 1, "agent")))
    tool_guardrails = import_module("agents.tool_guardrails")
    for name in ("ToolInputGuardrail", "ToolOutputGuardrail"):
        undo.callback(wrap(getattr(tool_guardrails, name), "run", _check(auditor, 0, "data")))
    context = import_module("agents.run_context").RunContextWrapper
    undo.callback(wrap(context, "approve_tool", _decide(auditor, "allow")))
    undo.callback(wrap(context, "reject_tool", _decide(auditor, "block")))


def _check(auditor: Auditor, position: int, parameter: str) -> Wrapper:
    """Return the wrapper of a guardrail's check.

    Args:
        position: Of the parameter that is the agent, or has it.
        parameter: Its name.
    """

    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        given = args[position] if len(args) > position else kwargs.get(parameter)
        agent = getattr(getattr(given, "agent", given), "name", None)
        tool = getattr(getattr(given, "context", None), "tool_name", None)
        act = guardrail(instance.get_name(), agent=agent, **{semconv.GEN_AI_TOOL_NAME: tool})
        with acting(auditor, agent):
            return await _checked(auditor, act, lambda: wrapped(*args, **kwargs))

    return wrapper


async def _checked(auditor: Auditor, act: Act, check: Callable[[], Awaitable[Any]]) -> Any:
    try:
        result = await check()
    except Exception as raised:
        await auditor.adecide(act, "error", reason=error_type_of(raised))
        raise
    decision, reason = _decision(result)
    await auditor.adecide(act, decision, reason=reason)
    return result


def _decision(result: Any) -> tuple[Decision, str | None]:
    behavior = getattr(result, "behavior", None)
    if behavior is not None:  # of a tool's guardrail
        return ("allow", None) if behavior["type"] == "allow" else ("block", behavior["type"])
    return ("block", "tripwire_triggered") if result.output.tripwire_triggered else ("allow", None)


def _decide(auditor: Auditor, decision: Decision) -> Wrapper:
    def wrapper(wrapped: Callable[..., Any], _context: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        item = args[0] if args else kwargs.get("approval_item")
        always = next((value for key, value in kwargs.items() if key.startswith("always_")), len(args) > 1 and args[1])
        raw = getattr(item, "raw_item", None)
        call_id = raw.get("call_id") if isinstance(raw, dict) else getattr(raw, "call_id", None)
        act = approval(
            getattr(item, "tool_name", None),
            call_id=call_id,
            agent=getattr(getattr(item, "agent", None), "name", None),
        )
        if not passes_on():
            auditor.decide(act, decision, reason="always" if always is True else None)
        return wrapped(*args, **kwargs)

    return wrapper
