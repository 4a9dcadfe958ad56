"""Approvals of tool calls: by the program's own handler during a run, or by who resumes a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from otel_audit.instrument.frameworks.act import approval
from otel_audit.instrument.frameworks.pydantic_ai.context import agent_name
from otel_audit.instrument.patch import Wrapper

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor


def resolve_wrapper(auditor: Auditor) -> Wrapper:
    """Return the wrapper of `ToolManager.resolve_deferred_tool_calls`, which asks the program's handlers."""

    async def resolve(
        wrapped: Callable[..., Awaitable[Any]], manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        results = await wrapped(*args, **kwargs)
        if results is not None:
            requests = args[0] if args else kwargs["requests"]
            names = {call.tool_call_id: call.tool_name for call in requests.approvals}
            await record_approvals(auditor, results, names, agent_name(manager.ctx))
        return results

    return resolve


async def record_approvals(auditor: Auditor, results: Any, names: Mapping[str, str], agent: str | None) -> None:
    """Write one entry for each answer, by whoever acts now, durable before the answer takes effect.

    Args:
        auditor: Writes them.
        results: A `DeferredToolResults`; anything else has no answers in it.
        names: Each call's tool.
        agent: Name of the agent that wants to call.

    Raises:
        AuditError: One could not be written. The answers must not take effect.
    """
    from pydantic_ai import ToolApproved

    answers = getattr(results, "approvals", None)
    if not isinstance(answers, Mapping):
        return
    for call_id, answer in answers.items():
        allowed = answer is True or isinstance(answer, ToolApproved)
        act = approval(names.get(call_id), call_id=call_id, agent=agent)
        await auditor.adecide(act, "allow" if allowed else "block")


def called_tools(messages: Iterable[Any] | None) -> dict[str, str]:
    """Return the name of the tool for each call in a message history."""
    return {
        part.tool_call_id: part.tool_name
        for message in messages or ()
        for part in getattr(message, "parts", ())
        if getattr(part, "part_kind", None) == "tool-call"
    }
