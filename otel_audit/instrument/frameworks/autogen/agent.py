"""autogen: runs of agents, and their handoffs.

An agent is run by ``run``, ``run_stream``, ``on_messages`` or ``on_messages_stream``, which call each other: the
outermost is the act. What a team has to do with it stands in `turn`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from opentelemetry.context import get_value, set_value

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.act import agent_run, handoff
from otel_audit.instrument.frameworks.acted_stream import acted, asking
from otel_audit.instrument.frameworks.auditor import Auditor
from otel_audit.instrument.frameworks.autogen.model import AGENT, CALL, RUN
from otel_audit.instrument.frameworks.autogen.turn import RunWatcher, TeamRun, taking_part, taking_turns
from otel_audit.instrument.frameworks.methods import Method, wrap_methods
from otel_audit.instrument.patch import Wrapper, wrap
from otel_audit.pipeline.context import made_current


@dataclass(slots=True)
class _Run:
    """An agent's run under way.

    Attributes:
        team: The run that it is a turn of.
        handed: The handoff that was recorded last.
        error: What could not be recorded of a tool call.
    """

    agent: Any
    team: TeamRun | None
    handed: object = None
    error: AuditError | None = None


def instrument(auditor: Auditor, undo: ExitStack) -> None:
    """Audit the runs of all agents.

    Raises:
        AuditConfigError: This version lacks a method that is wrapped.
    """
    base = import_module("autogen_agentchat.agents._base_chat_agent").BaseChatAgent
    agents = _Agents(auditor, import_module("autogen_agentchat.messages").HandoffMessage)
    wrap_methods(
        (base,),
        {
            "run": agents.run,
            "on_messages": agents.run,
            "run_stream": agents.stream,
            "on_messages_stream": agents.stream,
        },
        undo,
        maker=(base, "__init_subclass__"),
    )


def instrument_tool_calls(_auditor: Auditor, undo: ExitStack) -> None:
    """Have the run of an `AssistantAgent` end where a tool call cannot be recorded.

    Raises:
        AuditConfigError: This version lacks the method that is wrapped.
    """
    agent = import_module("autogen_agentchat.agents._assistant_agent").AssistantAgent
    undo.callback(wrap(agent, "_execute_tool_call", _execute))


class _Agents:
    """The wrappers around an agent's methods."""

    def __init__(self, auditor: Auditor, handoff_message: type[Any]) -> None:
        self._auditor = auditor
        self._handoff_message = handoff_message

    def run(self, _method: Method) -> Wrapper:
        """Return the wrapper of a coroutine."""

        async def wrapper(wrapped: Callable[..., Awaitable[Any]], agent: Any, args: Any, kwargs: Any) -> Any:
            run = _run_of(agent)
            if run is not None:
                return await self._handing(run, wrapped(*args, **kwargs))
            run = _Run(agent, taking_part.get(agent))

            async def call() -> Any:
                with made_current(set_value(CALL, None, set_value(AGENT, agent.name, set_value(RUN, run)))):
                    return await self._handing(run, wrapped(*args, **kwargs))

            with taking_turns(self._auditor, run.team, agent.name):
                return await self._auditor.arun(agent_run(agent.name), call, agent=agent.name)

        return wrapper

    def stream(self, _method: Method) -> Wrapper:
        """Return the wrapper of a method that returns a stream."""

        def wrapper(wrapped: Callable[..., Any], agent: Any, args: Any, kwargs: Any) -> Any:
            ask = asking(wrapped, args, kwargs)
            run = _run_of(agent)
            if run is not None:
                return self._handing_in(run, ask)
            run = _Run(agent, taking_part.get(agent))
            return acted(
                self._auditor,
                agent_run(agent.name),
                lambda: self._handing_in(run, ask),
                RunWatcher(run.team),
                within=taking_turns(self._auditor, run.team, agent.name),
                agent=agent.name,
                values={RUN: run, AGENT: agent.name, CALL: None},
            )

        return wrapper

    async def _handing(self, run: _Run, answer: Awaitable[Any]) -> Any:
        result = await answer
        await self._hand_over(run, result)
        return result

    async def _handing_in(self, run: _Run, ask: Callable[[], Any]) -> AsyncIterator[Any]:
        events = ask()
        try:
            async for event in events:
                await self._hand_over(run, event)
                yield event
        finally:
            if hasattr(events, "aclose"):
                await events.aclose()

    async def _hand_over(self, run: _Run, answer: Any) -> None:
        """Record a handoff before anybody learns of it; end the run of which something could not be recorded."""
        if run.error is not None:
            raise run.error
        message: Any = getattr(answer, "chat_message", None)
        if not isinstance(message, self._handoff_message) or run.handed is message:
            return
        run.handed = message
        await self._auditor.arun(handoff(message.target, from_agent=run.agent.name), _nothing)
        if run.team is not None:
            run.team.hand_over(run.agent.name, message.target)


async def _execute(
    wrapped: Callable[..., Awaitable[Any]], _agent: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Keep what could not be recorded for the run's next event: the agent would wait for ever if this raised."""
    try:
        return await wrapped(*args, **kwargs)
    except AuditError as error:
        run = get_value(RUN)
        if not isinstance(run, _Run):
            raise
        run.error = error
        call = args[0] if args else kwargs["tool_call"]
        result = import_module("autogen_core.models").FunctionExecutionResult
        return call, result(content=str(error), call_id=call.id, is_error=True, name=call.name)


def _run_of(agent: object) -> _Run | None:
    run = get_value(RUN)
    return run if isinstance(run, _Run) and run.agent is agent else None


async def _nothing() -> None:
    pass
