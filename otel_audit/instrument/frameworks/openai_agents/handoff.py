"""openai-agents: handoffs, and who acts in a run.

A run is one task from its first agent to its last, so the actor cannot be set once: it is
set around each act, from the agents that the run was handed to until then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from otel_audit.instrument.frameworks.act import handoff
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.delegation import shortened
from otel_audit.instrument.having import having
from otel_audit.instrument.patch import Wrapper, wrap

_run: ContextVar[_Run | None] = ContextVar("otel-audit-openai-agents-run", default=None)


@dataclass(slots=True)
class _Run:
    """A run under way. Shared by the tasks of the run, which change it one at a time.

    Attributes:
        agents: Names, the one that it started with first.
    """

    agents: tuple[str, ...]

    def chain(self, agent: str) -> tuple[str, ...]:
        """Return the agents up to this one, also where it was not seen to be handed anything."""
        for index in range(len(self.agents) - 1, -1, -1):
            if self.agents[index] == agent:
                return self.agents[: index + 1]
        return (*self.agents, agent)


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the handoffs of every run.

    Raises:
        AuditConfigError: This version lacks the function that is wrapped.
    """
    undo.callback(wrap(import_module("agents.run_internal.turn_resolution"), "execute_handoffs", _handoff(auditor)))


@contextmanager
def running(agent: str | None) -> Iterator[None]:
    """Say that a run begins here, with this agent acting already."""
    with having(_run, None if agent is None else _Run((agent,))):
        yield


@contextmanager
def acting(auditor: Auditor, agent: object) -> Iterator[None]:
    """Let an agent of the current run act, on behalf of those before it."""
    run = _run.get()
    with ExitStack() as actors:
        if isinstance(agent, str):
            for name in (agent,) if run is None else run.chain(agent):
                actors.enter_context(auditor.acting(name))
        yield


def current_agent() -> str | None:
    """Return the name of the agent that the current run was handed to last."""
    run = _run.get()
    return None if run is None else run.agents[-1]


def _handoff(auditor: Auditor) -> Wrapper:
    async def wrapper(
        wrapped: Callable[..., Awaitable[Any]], _module: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        # The framework makes the first one only, and answers the others itself.
        first = kwargs["run_handoffs"][0]
        agent = kwargs["public_agent"].name
        act = handoff(first.handoff.agent_name, from_agent=agent, call_id=getattr(first.tool_call, "call_id", None))
        with acting(auditor, agent):
            step = await auditor.arun(act, lambda: wrapped(*args, **kwargs))
        _hand_over(agent, getattr(getattr(step.next_step, "new_agent", None), "name", first.handoff.agent_name))
        return step

    return wrapper


def _hand_over(from_agent: str, to_agent: str) -> None:
    run = _run.get()
    if run is not None:
        run.agents = tuple(shortened((*run.chain(from_agent), to_agent)))
