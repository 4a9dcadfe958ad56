"""strands-agents: tool calls.

Every tool, a function, a module, one of an MCP server or an agent, comes to `_run_tool`: by a model, by the
program through ``agent.tool``, in the background and in bidirectional sessions, behind all hooks and
middleware. It is wrapped there, each attempt for itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import parsed_arguments, tool_call
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted, asking
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.strands.model import AGENT
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

WAITS: Final = "waits for the answer to an interrupt"


@dataclass(slots=True)
class Stop:
    """Why a tool call may not go on. One for each call.

    Attributes:
        error: What could not be recorded. The framework would make a text for the model of it.
        of_an_agent: Whether the tool is an agent, which would make one too.
    """

    error: AuditError | None = None
    of_an_agent: bool = False


_stop: ContextVar[Stop | None] = ContextVar("otel-audit-strands-stop", default=None)


def current_stop() -> Stop | None:
    """Return that of the tool call that this is in."""
    return _stop.get()


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all tools.

    Raises:
        AuditConfigError: This version lacks a function that is wrapped.
    """
    executor = import_module("strands.tools.executors._executor")
    undo.callback(wrap(executor, "_run_tool", _run(auditor)))
    undo.callback(wrap(executor.ToolExecutor, "_stream", _stream))


def _run(auditor: Auditor) -> Wrapper:
    agent_class = import_module("strands.agent.agent").Agent
    agent_tool = import_module("strands.agent._agent_as_tool")._AgentAsTool  # noqa: SLF001

    def wrapper(wrapped: Callable[..., Any], _module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        context = args[0] if args else kwargs["ctx"]
        if context.tool is None:  # no such tool: the model is told
            return wrapped(*args, **kwargs)
        stop = current_stop()
        if stop is not None:
            stop.error = None  # of an attempt before
            stop.of_an_agent = isinstance(context.tool, agent_tool)
        agent = getattr(context.agent, "name", None)
        act = tool_call(
            context.tool_use.get("name"),
            call_id=context.tool_use.get("toolUseId"),
            arguments=parsed_arguments(context.tool_use.get("input")) if auditor.settings.capture else None,
            agent=agent,
        )
        # What the program calls through ``agent.tool`` is its own act.
        direct = isinstance(context.agent, agent_class) and "event_loop_cycle_id" not in context.invocation_state
        return acted(
            auditor,
            act,
            asking(wrapped, args, kwargs),
            _ToolWatcher(stop),
            within=None if direct else auditor.acting(agent),
            values={} if direct else {AGENT: agent},
        )

    return wrapper


async def _stream(
    wrapped: Callable[..., Any], _executor: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncIterator[Any]:
    """Let the events of a tool call through, but raise in place of a result that tells of a missing record."""
    result_event = import_module("strands.types._events").ToolResultEvent
    stop = Stop()
    events = wrapped(*args, **kwargs)
    try:
        while True:
            with having(_stop, stop):
                try:
                    event = await anext(events)
                except StopAsyncIteration:
                    return
            if stop.error is not None and isinstance(event, result_event):
                raise stop.error
            yield event
    finally:
        await events.aclose()


class _ToolWatcher(Watcher):
    """Learns from a tool's last event how the call ended."""

    def __init__(self, stop: Stop | None) -> None:
        self._stop = stop
        self._last: Any = None

    def see(self, item: Any) -> None:
        self._last = item

    def result(self) -> object:
        result = getattr(self._last, "tool_result", None)
        return result.get("content") if isinstance(result, Mapping) else None

    def judge(self, action: AuditAction) -> None:
        if getattr(self._last, "interrupts", None):
            action.set_outcome("unknown", reason=WAITS)
            return
        result = getattr(self._last, "tool_result", None)
        if not isinstance(result, Mapping):
            return  # closed before its end
        if result.get("status") == "error":
            raised = getattr(self._last, "exception", None)
            action.set_outcome("failure", error_type="tool_error" if raised is None else error_type_of(raised))
        else:
            action.set_outcome("success")

    def excuse(self, action: AuditAction, raised: BaseException) -> None:
        if hasattr(raised, "interrupt"):
            action.set_outcome("unknown", reason=WAITS)

    def unrecorded(self, error: AuditError) -> None:
        if self._stop is not None:
            self._stop.error = error
