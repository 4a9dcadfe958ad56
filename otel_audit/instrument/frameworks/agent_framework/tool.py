"""Microsoft's Agent Framework: tools, and what people answer to requests for approval.

`FunctionTool.invoke` is where every tool that runs here runs: functions, agents and workflows as
tools, those of MCP servers and skills, inside of all function middleware. What middleware
answers in a tool's place never gets there. An answer to an approval request is recorded when
the framework has found which answers are new and bound to a request, before it acts on them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_current

from otel_audit.instrument.frameworks.act import approval, tool_call
from otel_audit.instrument.frameworks.agent_framework.part import part
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.begun import CALL, begin, current_agent, current_run, goes_on
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.action import error_type_of
from otel_audit.pipeline.context import made_current, with_actors

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

NOT_RUN: Final = "the tool did not run"
WAITS: Final = "waits for an answer"


@dataclass(slots=True)
class _Reached:
    """Whether a tool's own function was called."""

    yet: bool = False


_reached: ContextVar[_Reached | None] = ContextVar("otel-audit-agent-framework-reached", default=None)


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all tools and approvals.

    Raises:
        AuditConfigError: This version lacks something that is wrapped.
    """
    tool = part("agent_framework", "FunctionTool")
    wrap_methods((tool,), {"invoke": lambda method: _invoke(auditor, method)}, undo, maker=(tool, "__init_subclass__"))
    undo.callback(wrap(tool, "_invoke_function", _reach))
    tools = import_module("agent_framework._tools")
    undo.callback(wrap(tools, "_collect_approval_responses", _answered(auditor)))


def _invoke(auditor: Auditor, method: Method) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if goes_on(CALL, tool, method):
            return await wrapped(*args, **kwargs)
        act = tool_call(
            read(tool, "name"),
            call_id=kwargs.get("tool_call_id"),
            arguments=_arguments(kwargs) if auditor.settings.capture else None,
            agent=current_agent(),
        )
        reached = _Reached()
        result: Any = None

        async def invoke() -> Any:
            nonlocal result
            with made_current(begin(CALL, tool, method)), having(_reached, reached):
                result = await wrapped(*args, **kwargs)
            return _plain(result) if auditor.settings.capture_result else None

        def excuse(action: AuditAction, raised: BaseException) -> None:
            if isinstance(raised, part("agent_framework.exceptions", "UserInputRequiredException")):
                action.set_outcome("unknown", reason=WAITS)
            elif not reached.yet and isinstance(raised, Exception):
                action.set_outcome("failure", error_type=error_type_of(raised), reason=NOT_RUN)

        await auditor.arun(act, invoke, excuse=excuse)
        return result

    return wrapper


def _reach(wrapped: Callable[..., Any], _tool: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Remember that a tool is really called: past the checks of its arguments."""
    reached = _reached.get()
    if reached is not None:
        reached.yet = True
    return wrapped(*args, **kwargs)


def _arguments(kwargs: Mapping[str, Any]) -> Mapping[str, object] | None:
    """Return a call's arguments: a mapping, a model of pydantic's, those of the context, or given one by one."""
    given = kwargs.get("arguments")
    if given is None:
        own = {name: value for name, value in kwargs.items() if name not in ("context", "tool_call_id", "skip_parsing")}
        given = own or getattr(kwargs.get("context"), "arguments", None)
    if isinstance(given, Mapping):
        return given
    fields = getattr(given, "__dict__", None)
    return fields if isinstance(fields, dict) else None


def _plain(result: Any) -> object:
    """Return what a tool gave as it can be recorded: the texts of its contents, what has none by its type."""
    content = part("agent_framework", "Content")
    if isinstance(result, list) and all(isinstance(item, content) for item in result):
        texts = [item.text if item.type == "text" else {"type": item.type} for item in result]
        return texts[0] if len(texts) == 1 else texts
    return result


def _answered(auditor: Auditor) -> Wrapper:
    """Return the wrapper of what collects the answers that are to take effect.

    It is no coroutine: it waits for the entries blocking.
    """

    def wrapper(wrapped: Callable[..., Any], _module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        answers = wrapped(*args, **kwargs)
        if "protected_response_ids" in kwargs:  # the call whose answers are acted upon; others only look
            run = current_run()
            # By who resumes the run, not by the agent.
            context = get_current() if run is None else with_actors(run.caller, get_current())
            with made_current(context):
                for answer in answers.values():
                    call = answer.function_call
                    act = approval(call.name, call_id=call.call_id, agent=current_agent())
                    auditor.decide(act, "allow" if answer.approved is True else "block")
        return answers

    return wrapper
