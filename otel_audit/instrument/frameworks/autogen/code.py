"""autogen: code that a model wrote and an agent runs, and its approval."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import get_value, set_value

from otel_audit.instrument.frameworks.act import approval, tool_call
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.autogen.model import AGENT, CALL, RUN
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import made_current

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction

TOOL: Final = "execute_code_blocks"
"""What running code is called: it has no name of its own."""


@dataclass(slots=True)
class _Approval:
    """An agent that asks for approval of its code.

    Attributes:
        given: Whether it was.
    """

    agent: str
    given: bool = False


_approval: ContextVar[_Approval | None] = ContextVar("otel-audit-autogen-approval", default=None)


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit all code executors.

    Raises:
        AuditConfigError: This version lacks the method that is wrapped.
    """
    executor = import_module("autogen_core.code_executor").CodeExecutor

    def execute(method: Method) -> Wrapper:
        return _execute(auditor, method)

    wrap_methods((executor,), {"execute_code_blocks": execute}, undo, maker=(executor, "__init_subclass__"))


def instrument_agent(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the approvals that a `CodeExecutorAgent` asks for.

    Raises:
        AuditConfigError: This version lacks the method that is wrapped.
    """
    agent = import_module("autogen_agentchat.agents._code_executor_agent").CodeExecutorAgent
    undo.callback(wrap(agent, "execute_code_block", _approve(auditor)))


def _execute(auditor: Auditor, method: Method) -> Wrapper:
    async def wrapper(wrapped: Callable[..., Awaitable[Any]], executor: Any, args: Any, kwargs: Any) -> Any:
        with entered(executor, method) as begins:
            if not begins:
                return await wrapped(*args, **kwargs)
            asked = _approval.get()
            if asked is not None:
                # It is only executed where it was approved.
                asked.given = True
                await auditor.adecide(approval(TOOL, agent=asked.agent), "allow")
            blocks = args[0] if args else kwargs.get("code_blocks")
            arguments = {"code_blocks": blocks} if auditor.settings.capture else None
            act = tool_call(TOOL, arguments=arguments, agent=get_value(AGENT), tool_type="extension")

            async def run() -> Any:
                with made_current(set_value(RUN, None, set_value(CALL, None))):
                    return await wrapped(*args, **kwargs)

            with having(_approval, None):
                return await auditor.arun(act, run, _judge)

    return wrapper


def _judge(action: AuditAction, result: Any) -> None:
    if getattr(result, "exit_code", 0) != 0:
        action.set_outcome("failure", error_type="tool_error")


def _approve(auditor: Auditor) -> Wrapper:
    async def wrapper(wrapped: Callable[..., Awaitable[Any]], agent: Any, args: Any, kwargs: Any) -> Any:
        if agent._approval_func is None:  # noqa: SLF001
            return await wrapped(*args, **kwargs)
        asked = _Approval(agent.name)
        with having(_approval, asked):
            result = await wrapped(*args, **kwargs)
        if not asked.given:
            await auditor.adecide(approval(TOOL, agent=agent.name), "block")
        return result

    return wrapper
