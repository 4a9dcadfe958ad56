"""One act that somebody records, and who else may take it for theirs."""

from __future__ import annotations

import re
from typing import Final
from weakref import ref

from opentelemetry.context import Context, create_key

from otel_audit.instrument.frameworks.act import Act
from otel_audit.pipeline.action import AuditAction
from otel_audit.semconv import GEN_AI_TOOL_CALL_ID

CURRENT = create_key("otel-audit-act")
"""Under which a context has the act that goes on in it."""

_OWNER: Final = object()
_DATED: Final = re.compile(r"-\d{4}-?\d{2}-?\d{2}")
"""What a provider adds to the name of a model that was asked for."""


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
        action = self.action
        return self._action is not None and (action is None or action.ended)

    def mirror(self, scope: str) -> bool:
        """Whether a span of this instrumentation may stand for the act; once for each."""
        return self._claim(scope)

    def own(self) -> bool:
        """Whether the outcome is the caller's to write; once."""
        return self._claim(_OWNER)

    @property
    def action(self) -> AuditAction | None:
        """By which action it is recorded, once its intent is, and as long as that is kept."""
        return None if self._action is None else self._action()

    def bind(self, action: AuditAction) -> None:
        """Say by which action it is recorded."""
        self._action = ref(action)

    def _claim(self, key: object) -> bool:
        token = object()
        return self._claims.setdefault(key, token) is token


def act_in(context: Context) -> UnderWay | None:
    """Return the act of a module that goes on in a context."""
    act = context.get(CURRENT)
    return act if isinstance(act, UnderWay) else None
