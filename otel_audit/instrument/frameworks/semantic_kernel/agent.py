"""Semantic Kernel: agents' runs, and handoffs of an orchestration.

Every class of agents has ways of its own to be run, three of them; one that comes to another is one run.
The agents of an orchestration are run by its runtime, on behalf of whoever started that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from otel_audit.instrument.frameworks.act import Act, agent_run, handoff
from otel_audit.instrument.frameworks.acted_stream import Watcher, acted
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.begun import RUN, begin, goes_on, name_of, values
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import current_actors, made_current


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the runs of all agents.

    Raises:
        AuditConfigError: This version lacks something that is wrapped.
    """
    agent: Any = import_module("semantic_kernel.agents.agent").Agent
    wrap_methods(
        (agent,),
        {
            "get_response": lambda method: _respond(auditor, method),
            "invoke": lambda method: _stream(auditor, method),
            "invoke_stream": lambda method: _stream(auditor, method),
        },
        undo,
        maker=(agent, "__init_subclass__"),
    )


def instrument_handoffs(auditor: Auditor, undo: ExitStack) -> None:
    """Audit what agents of an orchestration hand to others.

    Raises:
        AuditConfigError: This version lacks something that is wrapped.
    """
    actor: Any = import_module("semantic_kernel.agents.orchestration.handoffs").HandoffAgentActor

    async def hand_over(
        wrapped: Callable[..., Awaitable[Any]], giver: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        to_agent = args[0] if args else kwargs.get("agent_name")
        act = handoff(to_agent, from_agent=name_of(getattr(giver, "_agent", None)))
        return await auditor.arun(act, lambda: wrapped(*args, **kwargs))

    undo.callback(wrap(actor, "_handoff_to_agent", hand_over))


def _respond(auditor: Auditor, method: Method) -> Wrapper:
    """Return the wrapper of a method that returns the last message."""

    def wrapper(wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if goes_on(RUN, agent, method):
            return wrapped(*args, **kwargs)
        caller = current_actors()

        async def run() -> Any:
            with made_current(begin(RUN, agent, method, caller)):
                return await wrapped(*args, **kwargs)

        return auditor.arun(_act(agent, kwargs), run, agent=name_of(agent))

    return wrapper


def _stream(auditor: Auditor, method: Method) -> Wrapper:
    """Return the wrapper of a method that returns the messages, or their bits, as an iterator."""

    def wrapper(wrapped: Callable[..., Any], agent: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if goes_on(RUN, agent, method):
            return wrapped(*args, **kwargs)
        stream = lambda: wrapped(*args, **kwargs)  # noqa: E731
        inside = values(RUN, agent, method)
        return acted(auditor, _act(agent, kwargs), stream, Watcher(), agent=name_of(agent), values=inside)

    return wrapper


def _act(agent: Any, kwargs: dict[str, Any]) -> Act:
    thread = getattr(kwargs.get("thread"), "id", None)
    return agent_run(name_of(agent), agent_id=agent.id, conversation_id=thread if isinstance(thread, str) else None)
