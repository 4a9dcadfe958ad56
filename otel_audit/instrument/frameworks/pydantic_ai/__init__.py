"""Pydantic AI: tool calls, output functions and approvals; agent runs and model calls stand in modules beside.

Every tool, made by a decorator, a class or an MCP server, and however its toolset is wrapped, is
run by `ToolManager.execute_tool_call`, which is public and returns what the tool returns: it is
wrapped there, outside of all capabilities, so that none of them runs where the intent could not
be written. What a capability answers in a tool's place, and what is refused because of its
arguments, never gets to `ToolManager._raw_execute`: the outcome says that the tool did not run.

There are no handoffs in this framework: an agent that works for another is run by a tool or an
output function of that one, which is then the actor of its run. Nor are there guardrails: a
capability that blocks does so by an exception, or by an answer of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import Act, parsed_arguments, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.pydantic_ai import model
from otel_audit.instrument.frameworks.pydantic_ai import run as pydantic_ai_run
from otel_audit.instrument.frameworks.pydantic_ai.approval import resolve_wrapper
from otel_audit.instrument.frameworks.pydantic_ai.context import agent_name, part
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "pydantic-ai-slim"
"""What ``pydantic-ai`` consists of; both have the same versions."""
MODULE: Final = "pydantic_ai"
VERSIONS: Final = ">=2.30,<3"

NOT_RUN: Final = "the tool did not run"
DEFERRED: Final = "deferred: the result comes from outside of the run"
NEEDS_APPROVAL: Final = "the tool asks for an approval"


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit all agents, tools and models of this process, those that exist already too.

    Raises:
        AuditConfigError: This version of Pydantic AI lacks something that is wrapped.
    """
    auditor = Auditor(logger, settings)
    manager = part("pydantic_ai.tool_manager", "ToolManager")
    tools = _Tools(auditor)
    undo.callback(wrap(manager, "execute_tool_call", tools.execute))
    undo.callback(wrap(manager, "_raw_execute", tools.reach))
    undo.callback(wrap(manager, "resolve_deferred_tool_calls", resolve_wrapper(auditor)))
    output = part("pydantic_ai._output")
    undo.callback(wrap(output, "execute_output_function", _output_function_wrapper(auditor)))
    if hasattr(output, "execute_choice_action"):  # newer than the oldest version
        undo.callback(wrap(output, "execute_choice_action", _choice_wrapper(auditor)))
    pydantic_ai_run.instrument(auditor, undo)
    model.instrument(auditor, undo)


class _Tools:
    """The wrappers around a tool call. Thread-safe."""

    def __init__(self, auditor: Auditor) -> None:
        self._auditor = auditor
        self._reached: set[int] = set()
        """Ids of the run contexts, one for each call, whose tool was really called."""

    async def execute(
        self, wrapped: Callable[..., Awaitable[Any]], _manager: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run a tool call between its two entries."""
        validated = args[0] if args else kwargs.get("validated")
        call = getattr(validated, "call", None)
        if validated is None or call is None:
            return await wrapped(*args, **kwargs)  # which raises
        agent = agent_name(validated.ctx)
        arguments = None
        if self._auditor.settings.capture:
            valid = validated.validated_args
            arguments = valid if isinstance(valid, Mapping) else parsed_arguments(call.args)
        act = tool_call(call.tool_name, call_id=call.tool_call_id, arguments=arguments, agent=agent)

        def reached() -> bool:
            return key in self._reached

        key = id(validated.ctx)
        try:
            return await _run(self._auditor, act, agent, lambda: wrapped(*args, **kwargs), reached)
        finally:
            self._reached.discard(key)

    def reach(
        self, wrapped: Callable[..., Any], _manager: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Remember that a tool is really called: past validation and the capabilities' hooks."""
        validated = args[0] if args else kwargs["validated"]
        self._reached.add(id(validated.ctx))
        return wrapped(*args, **kwargs)


async def _run(
    auditor: Auditor, act: Act, agent: str | None, call: Callable[[], Awaitable[Any]], reached: Callable[[], bool]
) -> Any:
    with auditor.acting(agent), auditor.span(act):
        action = await auditor.astart(act)
        try:
            result = await call()
        except BaseException as raised:
            _set_failure(action, raised, reached=reached())
            action.fail(raised)
            raise
        if not reached():
            action.set_outcome("unknown", reason=NOT_RUN)
        auditor.judge(action, result, None)
        await action.aend_quietly()
    return result


def _set_failure(action: AuditAction, raised: BaseException, *, reached: bool) -> None:
    """Say why there is no result, in words of ours: an exception's own can hold anything."""
    from pydantic_ai import exceptions

    if isinstance(raised, exceptions.ApprovalRequired):
        action.set_outcome("unknown", reason=NEEDS_APPROVAL)
    elif isinstance(raised, exceptions.CallDeferred):
        action.set_outcome("unknown", reason=DEFERRED)
    else:
        # What goes back to the model as a message is wrapped; the cause is what the tool raised.
        wrapped = isinstance(raised, (exceptions.ToolRetryError, getattr(exceptions, "ToolFailedError", ())))
        cause = raised.__cause__ if wrapped and raised.__cause__ is not None else raised
        action.set_outcome("failure", error_type=error_type_of(cause), reason=None if reached else NOT_RUN)


def _output_function_wrapper(auditor: Auditor) -> Wrapper:
    """Audit functions that make an agent's output, which the model calls as it calls tools."""

    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        schema = args[0] if args else kwargs.get("function_schema")
        run_context = kwargs.get("run_context")
        agent = agent_name(run_context)
        arguments = kwargs.get("args")
        act = tool_call(
            getattr(getattr(schema, "function", None), "__name__", None),
            call_id=getattr(run_context, "tool_call_id", None),
            arguments=arguments if isinstance(arguments, Mapping) else None,
            agent=agent,
        )
        return await _run(auditor, act, agent, lambda: wrapped(*args, **kwargs), lambda: True)

    return wrapper


def _choice_wrapper(auditor: Auditor) -> Wrapper:
    """Audit actions that the model picks as its output."""
    current_run_context = part("pydantic_ai._run_context", "get_current_run_context")

    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        action = args[0] if args else kwargs.get("action")
        agent = agent_name(current_run_context())
        act = tool_call(getattr(action, "__name__", None), agent=agent)
        return await _run(auditor, act, agent, lambda: wrapped(*args, **kwargs), lambda: True)

    return wrapper
