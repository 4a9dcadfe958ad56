"""Google ADK: tools, transfers to other agents, and code that models write.

Every way to call a tool ends in `BaseTool.run_async`, of whichever class: that of a function, of an
agent, of an MCP server and so on. The tool by which the work is transferred is recorded as a handoff, and
what another tool transfers as a handoff after it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import Act, handoff, tool_call
from otel_audit.instrument.frameworks.google_adk.turn import current_run, current_turn, refuse
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import with_actors
from otel_audit.pipeline.resume import OwnContext

if TYPE_CHECKING:
    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction

HANDOFF_REFUSED: Final = "handoff_refused"
CONFIRMATION: Final = "waits for a confirmation"
CREDENTIALS: Final = "waits for credentials"
ELSEWHERE: Final = "the result comes from outside of the run"
FINISH: Final = "finish_task"
"""The tool by which an agent ends a task that it was given."""

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all tools, and all code executors.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from google.adk.code_executors.base_code_executor import BaseCodeExecutor
    from google.adk.tools.agent_tool import AgentTool
    from google.adk.tools.base_tool import BaseTool
    from google.adk.tools.transfer_to_agent_tool import transfer_to_agent

    tools = _Tools(auditor, transfer_to_agent, AgentTool)
    wrap_methods((BaseTool,), {"run_async": tools.wrap}, undo, maker=(BaseTool, "__init_subclass__"))
    wrapper = import_module("google.adk.workflow._llm_agent_wrapper")
    undo.callback(wrap(wrapper, "_dispatch_task_fc", tools.delegate))
    wrap_methods(
        (BaseCodeExecutor,), {"execute_code": tools.wrap_code}, undo, maker=(BaseCodeExecutor, "__init_subclass__")
    )


@dataclass(frozen=True, slots=True)
class _Tools:
    """Writes what tools do.

    Attributes:
        auditor: Writes with it.
        transfer: The function of the tool by which the work is transferred.
        agent_tool: The class of tools that run an agent, some of which make a text of its errors.
    """

    auditor: Auditor
    transfer: object
    agent_tool: type

    def wrap(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Any], tool: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(tool, method) as begins:
                if not begins:
                    return await wrapped(*args, **kwargs)
                context = kwargs.get("tool_context")
                return await self._run(tool, context, kwargs.get("args"), lambda: wrapped(*args, **kwargs))

        return wrapper

    async def _run(self, tool: Any, context: Any, arguments: Any, call: Callable[[], Any]) -> Any:
        transfers = getattr(tool, "func", None) is self.transfer
        target = _agent_named(context, arguments) if transfers else None
        called = False
        before = _transferred(context)

        async def run() -> Any:
            nonlocal called
            called = True
            turn = current_turn()
            refused = 0 if turn is None else len(turn.refusals)
            result = await call()
            if turn is not None and isinstance(tool, self.agent_tool) and len(turn.refusals) > refused:
                raise turn.refusals[refused]
            return result

        def judge(action: AuditAction, result: object) -> None:
            if transfers and target is None:
                action.set_outcome("failure", error_type=HANDOFF_REFUSED)
            else:
                _judge(action, tool, context, result)

        act = self._act(tool, context, arguments, target, transfers=transfers)
        try:
            result = await self.auditor.arun(act, run, judge)
        except AuditError as error:
            if not called:
                refuse(error)
            raise
        to_agent = _transferred(context)
        if not transfers and to_agent != before and (target := _agent_named(context, to_agent)) is not None:
            act = handoff(target, from_agent=_agent(context), call_id=_call_id(context))
            try:
                await self.auditor.arun(act, _nothing)
            except AuditError as error:
                refuse(error)
                raise
        _note_end(tool, target)
        return result

    def _act(self, tool: Any, context: Any, arguments: Any, target: str | None, *, transfers: bool) -> Act:
        if transfers:
            return handoff(target, from_agent=_agent(context), call_id=_call_id(context))
        return tool_call(
            read(tool, "name"),
            call_id=_call_id(context),
            agent=_agent(context),
            arguments=arguments if isinstance(arguments, dict) else None,
        )

    async def delegate(
        self, wrapped: Callable[..., Awaitable[Any]], _module: object, args: Args, kwargs: Kwargs
    ) -> Any:
        """Record that an agent gives another one a task, which the framework does outside of the agent's run."""
        agent, request = getattr(args[0], "name", None), args[1]
        turn = current_turn()
        context = get_current()
        if turn is not None and agent in turn.runs:
            run, actors = turn.runs[agent]
            run.has_handed_on = True
            turn.handed[request.name] = actors  # its tasks begin in a context of the framework's
            context = with_actors(actors, context)
        act = tool_call(request.name, call_id=request.id, agent=agent, arguments=request.args)
        with OwnContext(context):
            return await self.auditor.arun(act, lambda: wrapped(*args, **kwargs))

    def wrap_code(self, method: Method) -> Wrapper:
        def wrapper(wrapped: Callable[..., Any], executor: Any, args: Args, kwargs: Kwargs) -> Any:
            with entered(executor, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                code = args[1] if len(args) > 1 else kwargs.get("code_execution_input")
                run = current_run()
                act = tool_call(
                    type(executor).__name__,
                    agent=None if run is None else run.agent,
                    arguments={"code": getattr(code, "code", None)},
                )
                return self.auditor.run(act, lambda: wrapped(*args, **kwargs))

        return wrapper


async def _nothing() -> None:
    pass


def _note_end(tool: Any, target: str | None) -> None:
    """Note what a tool call means for the agent that made it."""
    run, turn = current_run(), current_turn()
    if target is not None and turn is not None:
        turn.hand_over(target)
    if run is not None and (target is not None or read(tool, "name") == FINISH):
        run.has_handed_on = True


def _judge(action: AuditAction, tool: Any, context: Any, result: object) -> None:
    actions = getattr(context, "actions", None)
    call_id = _call_id(context)
    detect = getattr(tool, "_detect_error_in_response", None)
    if call_id in (getattr(actions, "requested_tool_confirmations", None) or ()):
        action.set_outcome("unknown", reason=CONFIRMATION)
    elif call_id in (getattr(actions, "requested_auth_configs", None) or ()):
        action.set_outcome("unknown", reason=CREDENTIALS)
    elif _defers(tool, result):
        action.set_outcome("unknown", reason=ELSEWHERE)
    elif detect is not None and isinstance(error_type := detect(result), str):
        action.set_outcome("failure", error_type=error_type[:256])


def _defers(tool: Any, result: object) -> bool:
    """Whether a call has no result yet, as the framework sees it."""
    later = getattr(tool, "is_long_running", False) or getattr(tool, "_defers_response", False)
    return bool(later) and not result


def _transferred(context: Any) -> object:
    return getattr(getattr(context, "actions", None), "transfer_to_agent", None)


def _agent_named(context: Any, named: Any) -> str | None:
    """Return the name of an agent, where there is one with it: a model can write any text.

    Args:
        context: The tool's.
        named: The name, or the arguments of the tool by which the work is transferred.
    """
    name = named.get("agent_name") if isinstance(named, dict) else named
    agent = getattr(getattr(context, "_invocation_context", None), "agent", None)
    root = getattr(agent, "root_agent", None)
    found = root.find_agent(name) if isinstance(name, str) and root is not None else None
    return name if found is not None else None


def _agent(context: Any) -> object:
    return getattr(context, "agent_name", None)


def _call_id(context: Any) -> str | None:
    call_id = getattr(context, "function_call_id", None)
    return call_id if isinstance(call_id, str) and call_id else None
