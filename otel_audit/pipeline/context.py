"""Who acts: the chain of actors in the OpenTelemetry context.

The chain is one immutable tuple under a private key, the originating principal first. It goes
wherever the context goes: into tasks, copied contexts, and with `carry` into threads and
executors. Over process borders it goes in baggage, and only where the provider's
``propagate_actor`` and ``trust_baggage`` say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import baggage
from opentelemetry.context import Context, attach, create_key, get_current, set_value
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_audit.attributes import check_actor
from otel_audit.pipeline import actor_baggage
from otel_audit.pipeline.in_context import in_context
from otel_audit.pipeline.wrapper import Wrapper
from otel_audit.record import Actor, ActorType

P = ParamSpec("P")
R = TypeVar("R")

_ACTORS = create_key("otel-audit-actors")
_ACCOUNTED = create_key("otel-audit-baggage")
"""The baggage text whose actors are in the chain already."""

_propagate = False
_trust = False


def set_baggage_policy(*, propagate_actor: bool, trust_baggage: bool) -> None:
    """Say what this process does with actors in baggage; the global provider's settings.

    Args:
        propagate_actor: `acting_as` puts the chain in baggage, for every callee to read.
        trust_baggage: The chain in inbound baggage is believed, and comes before our own.
    """
    global _propagate, _trust  # noqa: PLW0603
    _propagate = propagate_actor
    _trust = trust_baggage


def current_actors(context: Context | None = None) -> tuple[Actor, ...]:
    """Return the chain of actors, the originating principal first.

    Args:
        context: Where to look; the current context if None.

    Returns:
        The actors; the last one acts. Empty if nobody said who.
    """
    if context is None:
        context = get_current()
    actors: tuple[Actor, ...] = context.get(_ACTORS, ())  # type: ignore[assignment]
    return _with_inbound(actors, context) if _trust else actors


class _ActingContext(Context):
    """The context that a block begins in: as long as it is current, leaving is going back.

    Whatever sets a value makes a plain `Context` of it.
    """

    __slots__ = ("actor", "before")
    actor: Actor
    before: Context


class acting_as:  # noqa: N801
    """Say who acts: in a ``with`` or ``async with`` block, or in a function.

    Nested, it makes the delegation chain. On coroutine, generator and async generator
    functions it surrounds the run, not the call, and the actor is never seen by the consumer
    of a generator. Nothing is kept in the object: one instance serves any number of tasks and
    threads. A block may be left in another context than it was entered in.

    In FastAPI it belongs in an async dependency: a sync one runs in a thread of its own, and
    what it sets ends with that thread's part.

    Args:
        actor: An `Actor`, or an id.
        type: ``user``, ``service`` or ``system``, for an id.

    Raises:
        AuditRecordError: The id is empty or over 8 KiB, or the type is another word.
    """

    __slots__ = ("_actor",)

    def __init__(self, actor: Actor | str, *, type: ActorType = "service") -> None:  # noqa: A002
        if not isinstance(actor, Actor):
            actor = Actor(actor, type)
        # An object of its own: leaving looks for it by identity.
        self._actor = Actor(actor.id, actor.type)
        check_actor(self._actor)

    def __enter__(self) -> Actor:
        attach(self._entered())
        return self._actor

    def __exit__(self, *exc_info: object) -> None:
        """Take this actor, where it was added last, out of the current chain.

        What else is in the context stays. Not by token: a block that is left in another
        context than it was entered in (an async dependency of FastAPI, a collected generator)
        has nothing to undo there, and OpenTelemetry would log an error.
        """
        context = get_current()
        if type(context) is _ActingContext and context.actor is self._actor:
            attach(context.before)
            return
        actors = cast("tuple[Actor, ...]", context.get(_ACTORS, ()))
        for index in range(len(actors) - 1, -1, -1):
            if actors[index] is self._actor:
                attach(with_actors(actors[:index] + actors[index + 1 :], context))
                return

    async def __aenter__(self) -> Actor:
        return self.__enter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.__exit__()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function, each run of which is by this actor."""
        return cast("Callable[P, R]", in_context(function, self._entered, self))

    def __repr__(self) -> str:
        return f"acting_as({self._actor.id!r}, type={self._actor.type!r})"

    def _entered(self) -> Context:
        before = get_current()
        entered = _ActingContext(with_actors((*current_actors(before), self._actor), before))
        entered.actor = self._actor
        entered.before = before
        return entered


@contextmanager
def made_current(context: Context) -> Iterator[None]:
    """Make a context current that was made of the current one; behind the block take its values out again.

    What else was set meanwhile stays. Not by token: a block that is left in another context than it
    was entered in (a coroutine that is collected) has nothing to undo there, and OpenTelemetry would
    log an error.
    """
    before = get_current()
    attach(context)
    try:
        yield
    finally:
        current = get_current()
        if current is context:
            attach(before)
        else:
            own = [key for key, value in context.items() if before.get(key) is not value]
            left = [key for key in own if current.get(key) is context[key]]
            if left:
                kept = {key: value for key, value in current.items() if key not in left}
                attach(Context(kept | {key: before[key] for key in left if key in before}))


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function bound to the current OpenTelemetry context.

    For threads and executors, which do not inherit it: ``executor.submit(carry(f), x)``. Each
    run, in whatever thread, has the actors, the span and the baggage of the place where
    `carry` was called. Works on functions, coroutine, generator and async generator functions.

    Pickled, for a pool of processes, it takes the actors, the ids of the span and the baggage.
    """
    return cast("Callable[P, R]", _Carry(get_current())(function))


class _Carry:
    """Binds functions to one context, and takes it into another process."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, function: Any) -> Any:
        return in_context(function, lambda: self._context, self, kind=_CarriedFunction)

    def __reduce__(self) -> Any:
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, self._context)
        return _carry_in, (current_actors(self._context), carrier, dict(baggage.get_all(self._context)))


class _CarriedFunction(Wrapper):
    """A function that takes the context that it is bound to into another process."""

    def __reduce__(self) -> Any:
        return self._self_rewrap, (self.__wrapped__,)


def _carry_in(actors: tuple[Actor, ...], carrier: dict[str, str], members: dict[str, object]) -> _Carry:
    context = TraceContextTextMapPropagator().extract(carrier, Context())
    for name, value in members.items():
        context = baggage.set_baggage(name, value, context)
    return _Carry(with_actors(actors, context))


def with_actors(actors: tuple[Actor, ...], context: Context) -> Context:
    """Return a context that has this chain, in its baggage too where `set_baggage_policy` says so."""
    if _propagate:
        text = actor_baggage.encode(actors)
        context = actor_baggage.replaced(text, context)
        context = set_value(_ACCOUNTED, text, context)
    elif _trust:
        context = set_value(_ACCOUNTED, actor_baggage.text(context), context)
    if not actors:
        return Context({key: value for key, value in context.items() if key != _ACTORS})
    return set_value(_ACTORS, actors, context)


def _with_inbound(actors: tuple[Actor, ...], context: Context) -> tuple[Actor, ...]:
    """Return the chain behind the one that baggage brought in, unless it is in it already."""
    text = actor_baggage.text(context)
    if text is None or text == context.get(_ACCOUNTED):
        return actors
    return actor_baggage.decode(text) + actors
