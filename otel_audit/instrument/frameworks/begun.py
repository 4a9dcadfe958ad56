"""Which run and which call the context is in, and where they began.

A run or a call can go through several methods of one object, partly in a task, or at a step of a
stream, that comes later. They are one act. `methods.entered` says the same of what happens at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.context import Context, create_key, get_current, set_value

from otel_audit.instrument.frameworks.methods import Method
from otel_audit.instrument.frameworks.reading import read
from otel_audit.pipeline.context import current_actors
from otel_audit.record import Actor

RUN = create_key("otel-audit-run")
CALL = create_key("otel-audit-call")


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """An act under way.

    Attributes:
        instance: The agent, the model's client or the tool.
        methods: Of it, that it went through so far.
        caller: Who acted when it was.
    """

    instance: object
    methods: set[Method]
    caller: tuple[Actor, ...]


def goes_on(key: str, instance: object, method: Method) -> bool:
    """Return whether a method is called for the act that the context is in, rather than for one of its own.

    What a call inside of a run calls is no part of that run.

    Args:
        key: `RUN` or `CALL`.
        instance: Whose method it is.
        method: One that the act did not go through so far, which it does now; called once more, it begins another act.
    """
    context = get_current()
    begun = context.get(key)
    if not isinstance(begun, Begun) or begun.instance is not instance or method in begun.methods:
        return False
    if key == RUN and context.get(CALL) is not None:
        return False
    begun.methods.add(method)
    return True


def values(key: str, instance: object, method: Method, caller: tuple[Actor, ...] | None = None) -> dict[str, object]:
    """Return what the context has inside of an act that begins; by who acts now, where no ``caller`` is given."""
    begun = Begun(instance, {method}, current_actors() if caller is None else caller)
    return {RUN: begun, CALL: None} if key == RUN else {key: begun}


def begin(key: str, instance: object, method: Method, caller: tuple[Actor, ...] | None = None) -> Context:
    """Return the current context, in which an act begins, as `values` has it."""
    context = get_current()
    for name, value in values(key, instance, method, caller).items():
        context = set_value(name, value, context)
    return context


def current_run() -> Begun | None:
    """Return the agent's run that goes on here."""
    begun = get_current().get(RUN)
    return begun if isinstance(begun, Begun) else None


def current_agent() -> str | None:
    """Return the name of the agent that runs here."""
    run = current_run()
    return None if run is None else name_of(run.instance)


def name_of(instance: object) -> str | None:
    """Return the name of an agent or a tool; None where it has none."""
    name = read(instance, "name")
    return name if isinstance(name, str) else None
