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

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry.context import get_current, set_value

from otel_audit.instrument.act_under_way import CURRENT, UnderWay, act_in
from otel_audit.instrument.frameworks.act import Act
from otel_audit.instrument.live_span import current_key, live_span, spans_from, tell_spans
from otel_audit.pipeline.action import AuditAction
from otel_audit.pipeline.context import made_current

_NOWHERE: Final = nullcontext()
_of_action: WeakKeyDictionary[AuditAction, UnderWay] = WeakKeyDictionary()
_listeners: set[object] = set()


def listen(listener: object) -> None:
    """Have acts under way kept, as long as somebody listens."""
    _listeners.add(listener)


def unlisten(listener: object) -> None:
    """Undo `listen`."""
    _listeners.discard(listener)


def is_listened_to() -> bool:
    """Whether any span processor records acts."""
    return bool(_listeners)


def begin(act: Act) -> UnderWay:
    """Note that a framework's module begins an act in the current context.

    Returns:
        The act. Where a span's intent, durable already, is this act's, `go_on` has its action.
    """
    key = current_key()
    mine = UnderWay(act, act_in(get_current()))
    for span in spans_from(key):
        its = span.act
        if its is None or its.event_name != mine.event_name:
            continue
        if mine.event_name not in span.first and its.is_same(mine) and its.own():
            if span.action is not None and span.action.intent is not None and span.action.intent.recorded:
                mine = its
        break
    tell_spans(mine, key)
    return mine


def bind(act: UnderWay, action: AuditAction) -> None:
    """Say by which action a module's act is recorded, now that its intent is."""
    act.bind(action)
    _of_action[action] = act
    nearest = live_span(current_key())
    if nearest is not None:
        nearest.add(act)


def go_on(act: UnderWay, members: Mapping[str, Any]) -> AuditAction | None:
    """Return the action that a span began, with what a module knows of it; None where there is none."""
    action = act.action
    if action is not None:
        action.complete(**{name: members[name] for name in ("target", "attributes", "arguments", "altered")})
        bind(act, action)
    return action


def note(act: Act) -> None:
    """Note that a framework's module records an act by a single entry."""
    if _listeners:
        begin(act)


def inside(action: AuditAction) -> AbstractContextManager[object]:
    """Return the context in which an act goes on: a span that begins in it may be the act's."""
    act = _of_action.get(action) if _listeners else None
    return _NOWHERE if act is None else made_current(set_value(CURRENT, act))
