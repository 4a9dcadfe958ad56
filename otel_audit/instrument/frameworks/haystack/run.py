"""Haystack: what its wrappers tell each other of a run under way.

It travels in OpenTelemetry's context, which the framework takes along into the threads and tasks of tools.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry.context import create_key, get_current, set_value

from otel_audit.errors import AuditError
from otel_audit.pipeline.context import current_actors, made_current
from otel_audit.record import Actor

_RUN = create_key("otel-audit-haystack-run")
_REQUEST = create_key("otel-audit-haystack-request")
_NAMED = create_key("otel-audit-haystack-named")
_REFUSALS = create_key("otel-audit-haystack-refusals")


class Run:
    """One run of an agent.

    Attributes:
        agent: The agent's name.
        callers: Who asked for the outermost run that it is in.
    """

    __slots__ = ("_begun", "agent", "callers")

    def __init__(self, agent: str) -> None:
        outer = current_run()
        self.agent = agent
        self.callers: tuple[Actor, ...] = current_actors() if outer is None else outer.callers
        self._begun = False

    def inside(self) -> AbstractContextManager[None]:
        """Return the context in which the run goes on."""
        self._begun = True
        return made_current(set_value(_REQUEST, None, set_value(_RUN, self)))

    def refused(self, error: AuditError) -> None:
        """Note why the run did not begin; where it did, who raised has noted it."""
        if not self._begun:
            refuse(error)


def current_run() -> Run | None:
    """Return the run that goes on in the current context."""
    run = get_current().get(_RUN)
    return run if isinstance(run, Run) else None


def current_agent() -> str | None:
    """Return the name of the agent that acts."""
    run = current_run()
    return None if run is None else run.agent


def name_of(agent: Any) -> str:
    """Return an agent's name: of the tool that it is run by, else of its pipeline's component, else of its class."""
    named = get_current().get(_NAMED)
    if isinstance(named, tuple) and named[0] is agent:
        return str(named[1])
    name = getattr(agent, "__component_name__", None)
    return name if isinstance(name, str) and name else type(agent).__name__


def answering(request: object) -> AbstractContextManager[None]:
    """Return the context in which a tool call is made that a model asked for."""
    return made_current(set_value(_REQUEST, request))


def requested() -> Any:
    """Return the tool call that a model asked for, where the one that is made now answers it; None where not."""
    return get_current().get(_REQUEST)


def in_tool(name: object, component: object) -> AbstractContextManager[None]:
    """Return the context inside a tool call: calls there are not what the model asked for.

    Args:
        name: The tool's.
        component: That the tool runs, which goes by its name; None where it runs none.
    """
    context = get_current()
    if context.get(_REQUEST) is not None:
        context = set_value(_REQUEST, None, context)
    if component is not None:
        context = set_value(_NAMED, (component, name), context)
    return nullcontext() if context is get_current() else made_current(context)


@contextmanager
def collecting_refusals() -> Iterator[list[AuditError]]:
    """Collect, for a block, why acts inside of it were not done."""
    refusals: list[AuditError] = []
    with made_current(set_value(_REFUSALS, refusals)):
        yield refusals


def refuse(error: AuditError) -> None:
    """Note why an act was not done, where somebody collects it."""
    refusals = get_current().get(_REFUSALS)
    if isinstance(refusals, list):
        refusals.append(error)
