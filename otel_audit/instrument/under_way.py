"""Which acts are under way, so that an act that two see is recorded once.

An act can be seen by a framework's module, through `Auditor`, and by the span that another
instrumentation opens for it, through `GenAISpanProcessor`. Whoever comes first writes the
intent. Where that is the module, the span finds the act in its parent context, or, of a module
that has no block to put it there, with the span that encloses both (the span *mirrors* the act).
Where it is the span, the module that begins the act inside of it takes over its `AuditAction`.

Only the nearest act of the same kind can be the same act, a span mirrors it once for each
instrumentation, and a module takes it over once: a call inside of a call, or beside it with
the same id, is an act of its own. No locks: each step is one operation on a dict, so threads
and forked children need none.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary, ref

from opentelemetry import trace
from opentelemetry.context import Context, attach, create_key, detach, get_current, set_value

from otel_audit.instrument.frameworks.act import Act
from otel_audit.pipeline.action import AuditAction
from otel_audit.record import Actor
from otel_audit.semconv import GEN_AI_TOOL_CALL_ID

T = TypeVar("T")
SpanKey = tuple[int, int]
"""Trace id and span id."""

MAX_LIVE: Final = 16_384
"""Spans that are kept in mind. Some are never ended: the oldest is forgotten, and its end, should it
come, is that of a span of which only the end was seen."""

_MAX_DEPTH: Final = 64
_MAX_BEGUN: Final = 64
_OWNER: Final = object()
_DATED: Final = re.compile(r"-\d{4}-?\d{2}-?\d{2}")
"""What a provider adds to the name of a model that was asked for."""

_NOWHERE: Final = nullcontext()
_CURRENT = create_key("otel-audit-act")
_live: dict[SpanKey, LiveSpan] = {}
_of_action: WeakKeyDictionary[AuditAction, UnderWay] = WeakKeyDictionary()
_taken: WeakKeyDictionary[object, object] = WeakKeyDictionary()
_listeners: set[object] = set()


class UnderWay:
    """One act that somebody records.

    Attributes:
        outer: The act of a module in which it began.
    """

    __slots__ = ("_action", "_call_id", "_claims", "_name", "event_name", "outer")

    def __init__(self, act: Act, outer: UnderWay | None, scope: str | None = None) -> None:
        self.event_name = act.event_name
        self._name = None if act.target is None else act.target.id
        self._call_id = act.attributes.get(GEN_AI_TOOL_CALL_ID)
        self._action: ref[AuditAction] | None = None
        self.outer = outer
        self._claims: dict[object, object] = {} if scope is None else {scope: None}

    def is_same(self, other: UnderWay) -> bool:
        """Whether both can be one act: the same call id, or, where one has none, no other name."""
        if self.event_name != other.event_name:
            return False
        if self._call_id is not None and other._call_id is not None:
            return self._call_id == other._call_id
        mine, its = self._name, other._name
        if mine is None or its is None or mine == its:
            return True
        longer, shorter = (mine, its) if len(mine) > len(its) else (its, mine)
        return longer.startswith(shorter) and _DATED.fullmatch(longer[len(shorter) :]) is not None

    @property
    def has_ended(self) -> bool:
        """Whether its outcome was written, or nobody is left to do so."""
        if self._action is None:
            return False
        action = self._action()
        return action is None or action.ended

    def mirror(self, scope: str) -> bool:
        """Whether a span of this instrumentation may stand for the act; once for each."""
        return self._claim(scope)

    def own(self) -> bool:
        """Whether the outcome is the caller's to write; once."""
        return self._claim(_OWNER)

    def bind(self, action: AuditAction) -> AuditAction:
        """Say by which action the act is recorded, now that its intent is; return it."""
        self._action = ref(action)
        _of_action[action] = self
        nearest = _live.get(_current_key())
        if nearest is not None:
            nearest.add(self)
        return action

    def go_on(self, members: Mapping[str, Any]) -> AuditAction | None:
        """Return the action that a span began, with what a module knows of it; None where there is none."""
        action = None if self._action is None else self._action()
        if action is None:
            return None
        action.complete(**{name: members[name] for name in ("target", "attributes", "arguments", "altered")})
        return self.bind(action)

    def _claim(self, key: object) -> bool:
        token = object()
        return self._claims.setdefault(key, token) is token


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
        act._action = ref(action)  # noqa: SLF001 - of this module

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


def listen(listener: object) -> None:
    """Have acts under way kept, as long as somebody listens."""
    _listeners.add(listener)


def unlisten(listener: object) -> None:
    """Undo `listen`."""
    _listeners.discard(listener)


def is_listened_to() -> bool:
    """Whether any span processor records acts."""
    return bool(_listeners)


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
    for span in _spans(key):
        span.first.setdefault(act.event_name, act)


def begin(act: Act) -> UnderWay:
    """Note that a framework's module begins an act in the current context.

    Returns:
        The act. Where a span's intent, durable already, is this act's, `UnderWay.go_on` has its action.
    """
    key = _current_key()
    mine = UnderWay(act, act_in(get_current()))
    for span in _spans(key):
        its = span.act
        if its is None or its.event_name != mine.event_name:
            continue
        if mine.event_name not in span.first and its.is_same(mine) and its.own():
            if span.action is not None and span.action.intent is not None and span.action.intent.recorded:
                mine = its
        break
    tell_spans(mine, key)
    return mine


def note(act: Act) -> None:
    """Note that a framework's module records an act by a single entry."""
    if _listeners:
        begin(act)


def inside(action: AuditAction) -> AbstractContextManager[object]:
    """Return the context in which an act goes on: a span that begins in it may be the act's."""
    act = _of_action.get(action) if _listeners else None
    return _NOWHERE if act is None else _attached(act)


def steps(iterator: Iterable[T], action: AuditAction) -> Iterable[T]:
    """Return an iterator each of whose steps is made inside of an act; its consumer never is."""
    return _steps(iter(iterator), action) if _listeners else iterator


def asteps(iterator: AsyncIterable[T], action: AuditAction) -> AsyncIterable[T]:
    """As `steps`, for async iterators."""
    return _asteps(aiter(iterator), action) if _listeners else iterator


def act_in(context: Context) -> UnderWay | None:
    """Return the act of a module that goes on in a context."""
    act = context.get(_CURRENT)
    return act if isinstance(act, UnderWay) else None


def _steps(iterator: Iterator[T], action: AuditAction) -> Iterator[T]:
    while True:
        with inside(action):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


async def _asteps(iterator: AsyncIterator[T], action: AuditAction) -> AsyncIterator[T]:
    while True:
        with inside(action):
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return
        yield item


@contextmanager
def _attached(act: UnderWay) -> Iterator[None]:
    token = attach(set_value(_CURRENT, act))
    try:
        yield
    finally:
        detach(token)


def _spans(key: SpanKey | None) -> Iterator[LiveSpan]:
    for _ in range(_MAX_DEPTH):
        span = None if key is None else _live.get(key)
        if span is None:
            return
        yield span
        key = span.parent


def _current_key() -> SpanKey:
    span_context = trace.get_current_span().get_span_context()
    return span_context.trace_id, span_context.span_id


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
