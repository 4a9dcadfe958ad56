"""openai-agents: function tools.

The framework invokes every function tool in one place: those made by the decorator or by hand, of
a subclass, from MCP servers, agents as tools, in runs and in realtime sessions, and with or without a
timeout. There they are wrapped, outside what turns a tool's exception into a text for the model.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit.instrument.frameworks.act import parsed_arguments, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.openai_agents.handoff import acting, current_agent
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

WAITS: Final = "waits for an approval"

_notes: ContextVar[Notes | None] = ContextVar("otel-audit-openai-agents-notes", default=None)


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the function tools of every run and realtime session.

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    tool = import_module("agents.tool")
    execution = import_module("agents.run_internal.tool_execution")
    for module in (tool, execution):  # each calls it by a name of its own
        undo.callback(wrap(module, "_invoke_function_tool_with_metadata", _invoke(auditor)))
    undo.callback(wrap(tool, "maybe_invoke_function_tool_failure_error_function", _note_error))
    undo.callback(wrap(import_module("agents.exceptions").ToolTimeoutError, "__init__", _note_timeout))
    # Shown the result of every call to an MCP server, before it becomes a text for the model.
    undo.callback(wrap(import_module("agents.mcp.util").MCPUtil, "_extract_custom_data", _note_mcp_error))


@dataclass(slots=True)
class Notes:
    """What the framework says of a tool call in passing, and not by what the call returns.

    Attributes:
        error_type: Of the latest error that became a text for the model.
        waits: Whether the run inside of it waits for an approval.
        of_an_agent: Whether the tool is an agent.
    """

    error_type: str | None = None
    waits: bool = False
    of_an_agent: bool = False

    def judge(self, action: AuditAction, _output: object) -> None:
        """Let the outcome of the call say it."""
        if self.error_type is not None:
            action.set_outcome("failure", error_type=self.error_type)
        elif self.waits and self.of_an_agent:  # another tool may answer, whatever becomes of its runs
            action.set_outcome("unknown", reason=WAITS)


@contextmanager
def noting() -> Iterator[Notes]:
    """Collect what is said of the tool call that is made inside."""
    notes = Notes()
    with having(_notes, notes):
        yield notes


@contextmanager
def apart() -> Iterator[None]:
    """Keep what is said inside, of a run, out of the notes of the tool call that the run is in."""
    with having(_notes, None):
        yield


def passes_on() -> bool:
    """Whether this is a tool call by which an agent takes decisions over for the run inside of it."""
    notes = _notes.get()
    return notes is not None and notes.of_an_agent


def note_error(error: object) -> None:
    """Note an error that the framework is about to turn into a result.

    Args:
        error: What was raised, or the ``error.type`` itself.
    """
    notes = _notes.get()
    if notes is not None and isinstance(error, (BaseException, str)):
        notes.error_type = error if isinstance(error, str) else error_type_of(error)


def note_run(*, waits: bool) -> None:
    """Note that a run inside of the tool call has ended, or waits for an approval."""
    notes = _notes.get()
    if notes is not None:
        notes.waits = waits


def _invoke(auditor: Auditor) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], _module: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        tool, context = kwargs["function_tool"], kwargs["context"]
        agent = getattr(getattr(context, "agent", None), "name", None) or current_agent()
        act = tool_call(
            tool.name,
            call_id=getattr(context, "tool_call_id", None),
            arguments=parsed_arguments(kwargs["arguments"]) if auditor.settings.capture else None,
            agent=agent,
        )
        result: Any = None

        async def invoke() -> Any:
            nonlocal result
            result = await wrapped(*args, **kwargs)
            return result.output

        with acting(auditor, agent), noting() as notes:
            notes.of_an_agent = getattr(tool, "_is_agent_tool", False)
            await auditor.arun(act, invoke, notes.judge)
        return result

    return wrapper


def _note_error(wrapped: Callable[..., Any], _module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    note_error(kwargs.get("error"))
    return wrapped(*args, **kwargs)


def _note_timeout(wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    note_error(instance)
    return wrapped(*args, **kwargs)


def _note_mcp_error(wrapped: Callable[..., Any], _util: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result: Any = kwargs.get("result")
    # Not both: with fastmcp, asking mcp 2 for the name of mcp 1 is a warning.
    if (result.is_error if hasattr(result, "is_error") else getattr(result, "isError", None)) is True:
        note_error("tool_error")
    return wrapped(*args, **kwargs)
