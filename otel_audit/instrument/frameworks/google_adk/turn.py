"""Google ADK: what its wrappers tell each other of a turn, which is one `Runner.run_async`.

It travels in OpenTelemetry's context, into the tasks that the framework runs agents and tools in.
An agent to which the work is transferred is run by the framework, not by the agent that
transferred it: who acts there is told by what that one left here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from opentelemetry.context import Context, create_key, get_current, set_value

from otel_audit.errors import AuditError
from otel_audit.instrument.frameworks.delegation import shortened
from otel_audit.pipeline.context import current_actors, with_actors
from otel_audit.record import Actor

_TURN = create_key("otel-audit-google-adk-turn")
_RUN = create_key("otel-audit-google-adk-run")


class Turn:
    """One turn. Used by the tasks of one event loop: no lock.

    Attributes:
        context: Of OpenTelemetry, that the turn was asked for in.
        handed: By the name of an agent that was handed the work: who acts, up to the agent that handed it over.
        runs: By the name of an agent: its latest run, and who acts in it.
        refusals: Why acts were not done: some tools make a text for the model of an error inside of them.
    """

    __slots__ = ("context", "handed", "refusals", "runs")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.handed: dict[str, tuple[Actor, ...]] = {}
        self.runs: dict[object, tuple[AgentRun, tuple[Actor, ...]]] = {}
        self.refusals: list[AuditError] = []

    def hand_over(self, to_agent: str) -> None:
        """Note that who acts now has handed the work to an agent; where it goes back, the chain is cut back."""
        actors = current_actors()
        caller = len(current_actors(self.context))
        for index in range(caller, len(actors)):
            if actors[index].id == to_agent:
                actors = actors[:index]
                break
        self.handed[to_agent] = (*actors[:caller], *shortened(actors[caller:]))

    def context_of(self, agent: object) -> Context:
        """Return the context in which an agent is run."""
        actors = self.handed.pop(agent, None) if isinstance(agent, str) else None
        return get_current() if actors is None else with_actors(actors, get_current())


class AgentRun:
    """One run of an agent.

    Attributes:
        agent: Its name.
        has_handed_on: Whether it has handed the work over, or ended the task that it was given.
        has_answered: Whether its latest event was its answer.
    """

    __slots__ = ("agent", "has_answered", "has_handed_on")

    def __init__(self, agent: object) -> None:
        self.agent = agent
        self.has_handed_on = False
        self.has_answered = False

    @property
    def has_ended(self) -> bool:
        """Whether who reads its events need not read on."""
        return self.has_handed_on or self.has_answered

    def see(self, event: Any) -> None:
        """Note what an event tells. Never raises."""
        is_final = getattr(event, "is_final_response", None)
        if callable(is_final) and getattr(event, "author", None) == self.agent:
            self.has_answered = bool(is_final())


def current_turn() -> Turn | None:
    """Return the turn that goes on in the current context."""
    turn = get_current().get(_TURN)
    return turn if isinstance(turn, Turn) else None


def refuse(error: AuditError) -> None:
    """Note why an act was not done, where that is in a turn."""
    turn = current_turn()
    if turn is not None:
        turn.refusals.append(error)


def current_run() -> AgentRun | None:
    """Return the run that goes on in the current context."""
    run = get_current().get(_RUN)
    return run if isinstance(run, AgentRun) else None


def in_turn(turn: Turn, context: Context) -> Context:
    """Return the context in which a turn goes on."""
    return set_value(_TURN, turn, context)


def in_run(run: AgentRun, context: Context) -> Context:
    """Return the context in which a run goes on."""
    return set_value(_RUN, run, context)


async def closed(parts: AsyncGenerator[Any, Any]) -> None:
    """Close an async generator, or an iterator that need not be one."""
    close = getattr(parts, "aclose", None)
    if close is not None:
        await close()
