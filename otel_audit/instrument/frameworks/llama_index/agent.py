"""llama-index's agents: a single one, or an `AgentWorkflow` of several that hand over to each other.

Both are workflows: ``run`` starts a task of its own and returns a handler at once. Who acts
inside is told by the context that this task inherits, and in an `AgentWorkflow` by its steps, as
the agent changes between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_audit.instrument.frameworks.act import agent_run
from otel_audit.instrument.frameworks.delegation import shortened
from otel_audit.instrument.frameworks.llama_index.request import current_agent, requested
from otel_audit.instrument.frameworks.methods import Method, entered, wrap_methods
from otel_audit.instrument.frameworks.reading import read
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper
from otel_audit.instrument.span import end_span, in_span
from otel_audit.pipeline.action import error_type_of

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from otel_audit.instrument.frameworks.auditor import Auditor
    from otel_audit.pipeline.action import AuditAction

UNTOLD: Final = "this version of llama-index-workflows does not tell when a run ends"

_chain: ContextVar[list[str] | None] = ContextVar("otel-audit-llama-index-chain", default=None)
"""The agents of the run under way, each handed to by the one before. One list for all its steps."""


def instrument(auditor: Auditor, refresh: Callable[[], None], undo: ExitStack) -> None:
    """Audit the runs of all agents, and tell tools and models who acts.

    Args:
        auditor: Writes the runs.
        refresh: Called before a step asks a model or calls a tool, to find those that are not wrapped.
        undo: Takes the way back.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    from llama_index.core.agent.workflow import AgentWorkflow
    from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
    from llama_index.core.workflow.workflow import WorkflowMeta

    agents = _Agents(auditor, refresh)
    wrappers = {"run": agents.wrap_run, "call_tool": agents.wrap_call_tool}
    for name in ("run_agent_step", "parse_agent_output", "aggregate_tool_results"):
        wrappers[name] = agents.wrap_step
    wrap_methods((BaseWorkflowAgent, AgentWorkflow), wrappers, undo, maker=(WorkflowMeta, "__init__"))


@dataclass(frozen=True, slots=True)
class _Agents:
    """Writes the runs of agents, and says in their steps who acts."""

    auditor: Auditor
    refresh: Callable[[], None]

    def wrap_run(self, method: Method) -> Wrapper:
        """Return the wrapper of the call that starts a run in a task of its own.

        The call is no coroutine: it waits for the intent blocking.
        """

        def wrapper(wrapped: Callable[..., Any], workflow: Any, args: Any, kwargs: Any) -> Any:
            with entered(workflow, method) as begins:
                if not begins:
                    return wrapped(*args, **kwargs)
                act = agent_run(read(workflow, "root_agent") or read(workflow, "name"))
                span = self.auditor.start_span(act)
                action = None
                try:
                    with in_span(span), having(_chain, []):
                        action = self.auditor.start(act)
                        handler = wrapped(*args, **kwargs)
                except BaseException as raised:
                    _end(action, span, raised)
                    raise
                _when_done(handler, action, span)
                return handler

        return wrapper

    def wrap_step(self, method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Any], workflow: Any, args: Any, kwargs: Any) -> Any:
            if method.name == "run_agent_step":
                self.refresh()
            name = await _agent_of(workflow, (*args, *kwargs.values()))
            with self._acting(name):
                return await wrapped(*args, **kwargs)

        return wrapper

    def wrap_call_tool(self, _method: Method) -> Wrapper:
        async def wrapper(wrapped: Callable[..., Any], workflow: Any, args: Any, kwargs: Any) -> Any:
            self.refresh()
            given = (*args, *kwargs.values())
            name = await _agent_of(workflow, given)
            call_id = next((value.tool_id for value in given if hasattr(value, "tool_id")), None)
            with self._acting(name), requested(call_id):
                return await wrapped(*args, **kwargs)

        return wrapper

    @contextmanager
    def _acting(self, name: str | None) -> Iterator[None]:
        """Let an agent act, on behalf of those who handed the run on until then."""
        with having(current_agent, name), ExitStack() as actors:
            for agent in _chain_to(name):
                actors.enter_context(self.auditor.acting(agent))
            yield


def _chain_to(name: str | None) -> list[str]:
    """Return the agents of the run up to the one that acts now, which is noted."""
    chain = _chain.get()
    if chain is None:  # a run that began before, or elsewhere
        chain = []
    if name is not None and chain[-1:] != [name]:
        chain.append(name)
        chain[:] = shortened(chain)
    return list(chain)


async def _agent_of(workflow: Any, given: tuple[Any, ...]) -> str | None:
    """Return the name of the agent that a step is of."""
    if not hasattr(workflow, "root_agent"):
        name = read(workflow, "name")
        return name if isinstance(name, str) else None
    for value in given:
        name = getattr(value, "current_agent_name", None)
        if isinstance(name, str):
            return name
    for value in given:
        if hasattr(value, "store"):
            name = await value.store.get("current_agent_name", default=None)
            return name if isinstance(name, str) else None
    return None


def _when_done(handler: Any, action: AuditAction, span: Span | None) -> None:
    """Write the outcome when the run ends, before whoever awaits it goes on."""
    # The handler is a future; since llama-index-workflows 2 it has a task.
    task = getattr(handler, "_result_task", handler)
    if not hasattr(task, "add_done_callback"):
        action.set_outcome("unknown", reason=UNTOLD)
        _end(action, span)
        return

    def done(task: asyncio.Future[Any]) -> None:
        _end(action, span, asyncio.CancelledError() if task.cancelled() else _raised(task))

    task.add_done_callback(done)


def _raised(task: asyncio.Future[Any]) -> BaseException | None:
    """Return what ended a task."""
    # Asked by exception(), asyncio would no longer say that the program never did.
    raised: BaseException | asyncio.Future[Any] | None = getattr(task, "_exception", task)
    return task.exception() if isinstance(raised, asyncio.Future) else raised


def _end(action: AuditAction | None, span: Span | None, raised: BaseException | None = None) -> None:
    """Write the outcome, of what was begun. Never raises."""
    if action is not None and raised is not None:
        action.fail(raised)
    elif action is not None:
        action.end_quietly()
    if span is not None:
        end_span(span, None if raised is None else error_type_of(raised))
