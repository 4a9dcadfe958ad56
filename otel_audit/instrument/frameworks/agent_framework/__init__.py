"""Microsoft's Agent Framework: agents' runs; tools, approvals and model calls stand in modules beside.

Its middleware can be left out, is asked anew for each agent and ends where another one does not
go on, so nothing here hangs on it: the methods themselves are wrapped, in every class that has one.

The core has neither handoffs nor guardrails. A workflow runs its agents one by one, by whoever runs the
workflow; an agent as a tool is run by the agent that calls it. A workflow as an agent is one itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from otel_audit.instrument.frameworks import FrameworkSettings
from otel_audit.instrument.frameworks.act import agent_run
from otel_audit.instrument.frameworks.agent_framework import model, tool
from otel_audit.instrument.frameworks.agent_framework.part import part
from otel_audit.instrument.frameworks.agent_framework.stream import Watcher, streamed
from otel_audit.instrument.frameworks.agent_framework.tool import WAITS
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.begun import RUN, begin, goes_on, name_of
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.patch import Wrapper
from otel_audit.pipeline.context import current_actors, made_current

if TYPE_CHECKING:
    from otel_audit.pipeline.action import AuditAction
    from otel_audit.pipeline.logger import AuditLogger

PACKAGE: Final = "agent-framework-core"
"""What ``agent-framework`` consists of, beside integrations."""
MODULE: Final = "agent_framework"
VERSIONS: Final = ">=1.21,<2"


def instrument(logger: AuditLogger, settings: FrameworkSettings, undo: ExitStack) -> None:
    """Audit all agents, tools and models of this process, those that exist already too.

    Raises:
        AuditConfigError: This version of the framework lacks something that is wrapped.
    """
    auditor = Auditor(logger, settings)
    agent = part("agent_framework", "BaseAgent")
    # Imported here: their runs are methods of their own.
    for name in ("Agent", "WorkflowAgent"):
        part("agent_framework", name)
    wrap_methods((agent,), {"run": lambda method: _run(auditor, method)}, undo, maker=(agent, "__init_subclass__"))
    tool.instrument(auditor, undo)
    model.instrument(auditor, undo)


class _Waiting(Watcher):
    """Says of a run that it waits for a person."""

    _waits = False

    def see(self, update: Any) -> None:
        """Look whether an update asks for something."""
        self._waits = self._waits or bool(getattr(update, "user_input_requests", None))

    def judge(self, action: AuditAction, result: Any = None) -> None:
        """Let the outcome say it."""
        self.see(result)
        if self._waits:
            action.set_outcome("unknown", reason=WAITS)


def _run(auditor: Auditor, method: Method) -> Wrapper:
    """Return the wrapper of a method that returns an awaitable or, asked for a stream, a ``ResponseStream``."""

    def wrapper(wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if goes_on(RUN, agent, method):
            return wrapped(*args, **kwargs)
        name = name_of(agent)
        act = agent_run(name, agent_id=agent.id, conversation_id=_conversation(kwargs.get("session")))
        waiting = _Waiting()
        if kwargs.get("stream"):
            call = lambda: wrapped(*args, **kwargs)  # noqa: E731
            return streamed(auditor, act, call, waiting, key=RUN, instance=agent, method=method, agent=name)

        async def run() -> Any:
            with made_current(begin(RUN, agent, method, caller)):
                answer = wrapped(*args, **kwargs)
                return await answer if isawaitable(answer) else answer

        caller = current_actors()
        return auditor.arun(act, run, waiting.judge, agent=name)

    return wrapper


def _conversation(session: Any) -> str | None:
    """Return the id of a session: the provider's, where it keeps one, else the framework's."""
    for name in ("service_session_id", "session_id"):
        if isinstance(value := getattr(session, name, None), str):
            return value
    return None
