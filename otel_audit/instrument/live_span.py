"""The spans for generative AI that have begun and not ended, and the acts around and inside of them.

No locks: each step is one operation on a dict, so threads and forked children need none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

from opentelemetry import trace
from opentelemetry.context import Context

from otel_audit.instrument.act_under_way import UnderWay, act_in
from otel_audit.pipeline.action import AuditAction
from otel_audit.record import Actor

SpanKey = tuple[int, int]
"""Trace id and span id."""

MAX_LIVE: Final = 16_384
"""Spans that are kept in mind. Some are never ended: the oldest is forgotten, and its end, should it
come, is that of a span of which only the end was seen."""

_MAX_DEPTH: Final = 64
_MAX_BEGUN: Final = 64

_live: dict[SpanKey, LiveSpan] = {}
_taken: WeakKeyDictionary[object, object] = WeakKeyDictionary()


class LiveSpan:
    """A span that has begun and not ended.

    Attributes:
        name: The name that it began with.
        scope: Name of the instrumentation that made it.
        parent: The span that encloses it; None of a root.
        context: In which it began.
        outer: The act of a module in which it began.
        context_actors: Who acts in its context.
        actors: Who does what the span stands for: those of the context, and agents whose spans enclose it.
        inner_actors: Who acts inside of it.
        act: What is recorded of it; None where it mirrors an act, is none, or does not yet say.
        action: Its intent, where there is one.
        mirrors: Whether it is a module's act, or another instrumentation's.
        first: Of each kind the first act that began inside of it.
        begun: Acts of modules whose nearest span it is; those that have ended are cleared away now and then.
    """

    __slots__ = (
        "act",
        "action",
        "actors",
        "begun",
        "context",
        "context_actors",
        "first",
        "inner_actors",
        "mirrors",
        "name",
        "outer",
        "parent",
        "scope",
    )

    def __init__(
        self,
        name: str,
        scope: str,
        parent: SpanKey | None,
        context: Context,
        context_actors: tuple[Actor, ...],
    ) -> None:
        self.name = name
        self.parent = parent
        self.scope = scope
        self.context = context
        self.outer = act_in(context)
        self.context_actors = context_actors
        self.actors = self.inner_actors = _actors(context_actors, parent)
        self.act: UnderWay | None = None
        self.action: AuditAction | None = None
        self.mirrors = False
        self.first: dict[str, UnderWay] = {}
        self.begun: dict[UnderWay, None] = {}

    @property
    def parent_name(self) -> str | None:
        """Name of the span that encloses it, where the same instrumentation made that."""
        parent = None if self.parent is None else _live.get(self.parent)
        return parent.name if parent is not None and parent.scope == self.scope else None

    def bind(self, act: UnderWay, action: AuditAction) -> None:
        """Say that the act of this span has its intent."""
        self.act, self.action = act, action
        act.bind(action)

    def is_mirror_of_another(self, act: UnderWay) -> bool:
        """Whether this span's act is one that is recorded already: the nearest of its kind around it."""
        for nearest in self._around():
            same_kind = [other for other in nearest if other.event_name == act.event_name]
            if same_kind:
                return any(other.is_same(act) and other.mirror(self.scope) for other in same_kind)
        return False

    def is_of_what_began_inside(self, act: UnderWay) -> bool:
        """Whether this span's act is the first of its kind that began inside of it."""
        other = self.first.get(act.event_name)
        return other is not None and other.is_same(act) and other.mirror(self.scope)

    def add(self, act: UnderWay) -> None:
        """Note an act that a module began directly inside of this span."""
        if len(self.begun) >= _MAX_BEGUN:
            for other in list(self.begun):
                if other.has_ended:
                    self.begun.pop(other, None)
            if len(self.begun) >= _MAX_BEGUN:
                return  # it may be recorded twice, rather than never
        self.begun[act] = None

    def _around(self) -> Iterator[list[UnderWay]]:
        """Yield what is recorded around this span, the nearest first; side by side what may be either."""
        outer, key = self.outer, self.parent
        for _ in range(_MAX_DEPTH):
            parent = None if key is None else _live.get(key)
            limit = None if parent is None else parent.outer
            while outer is not None and outer is not limit:
                yield [outer]
                outer = outer.outer
            if parent is None:
                return
            yield [other for other in list(parent.begun) if not other.has_ended]
            if parent.act is not None:
                yield [parent.act]
            outer, key = parent.outer, parent.parent


def take(span: object) -> bool:
    """Whether no other span processor has this span: two of ours can be in one tracer provider."""
    token = object()
    return _taken.setdefault(span, token) is token


def enter(key: SpanKey, span: LiveSpan) -> None:
    """Keep a span that has begun."""
    if len(_live) >= MAX_LIVE:
        with suppress(StopIteration, KeyError, RuntimeError):  # another thread was faster
            del _live[next(iter(_live))]
    _live[key] = span


def leave(key: SpanKey) -> LiveSpan | None:
    """Return a span that has ended; None where its begin was not seen, or is forgotten."""
    return _live.pop(key, None)


def tell_spans(act: UnderWay, key: SpanKey | None) -> None:
    """Tell this span and those around it that an act began inside of them."""
    for span in spans_from(key):
        span.first.setdefault(act.event_name, act)


def spans_from(key: SpanKey | None) -> Iterator[LiveSpan]:
    """Yield a span and those that enclose it, the nearest first."""
    for _ in range(_MAX_DEPTH):
        span = None if key is None else _live.get(key)
        if span is None:
            return
        yield span
        key = span.parent


def current_key() -> SpanKey:
    """Return the key of the current span, live or not."""
    span_context = trace.get_current_span().get_span_context()
    return span_context.trace_id, span_context.span_id


def live_span(key: SpanKey) -> LiveSpan | None:
    """Return the span of this key, if it is live."""
    return _live.get(key)


def _actors(context_actors: tuple[Actor, ...], parent: SpanKey | None) -> tuple[Actor, ...]:
    """Return who acts: the chain inside the enclosing span, and who was added to the context since."""
    around = None if parent is None else _live.get(parent)
    if around is None or context_actors[: len(around.context_actors)] != around.context_actors:
        return context_actors
    actors = around.inner_actors
    for actor in context_actors[len(around.context_actors) :]:
        if not actors or actors[-1] != actor:
            actors = (*actors, actor)
    return actors
