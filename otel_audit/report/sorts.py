"""What many entries have in common, looked at once."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from otel_audit.report.totals import MOST_KEPT, OTHERS

MOST_SORTS: Final = 20_000
_OUTCOMES: Final = frozenset({"success", "failure"})
_DECISIONS: Final = frozenset({"allow", "block", "error", "override"})
_PHASES: Final = frozenset({"intent", "outcome"})

Key = tuple[str, str | None, str | None, str | None, str | None, str | None]
"""Event name, actor, outcome, phase, decision, service; what is no text in an entry is None."""


@dataclass(slots=True, eq=False)
class Sort:
    """Entries with the same key.

    Attributes:
        actor: `OTHERS` where it is not told who acted; likewise ``event`` and ``service``.
        is_troubled: An assessor looks at these first.
        is_plain: Nothing is left to be looked at in an entry once it was counted.
        steps: Actions so far, by step of the timeline.
        delegated: How many of them were done for somebody else.
    """

    event: str
    actor: str
    service: str
    result: str
    decision: str | None
    is_intent: bool
    is_outcome: bool
    is_troubled: bool
    is_plain: bool
    steps: list[int]
    delegated: int = 0


class Sorts:
    """The sorts of a stretch.

    Attributes:
        actors: All of them, also those that are not told apart.
    """

    def __init__(self, bins: int) -> None:
        """Begin.

        Args:
            bins: How many steps the timeline has.
        """
        self.actors: set[str] = set()
        self._bins = bins
        self._sorts: dict[Key, Sort] = {}

    def __iter__(self) -> Iterator[Sort]:
        """All of them."""
        return iter(self._sorts.values())

    @property
    def are_too_many(self) -> bool:
        """Whether some are to be put together."""
        return len(self._sorts) > MOST_SORTS

    def of(self, keys: Iterable[Key]) -> list[Sort]:
        """Return the sort of each key."""
        known = self._sorts.get
        return [known(key) or self._sort(key) for key in keys]

    def put_rare_together(self) -> None:
        """Count half of them together, those with the fewest actions.

        Who acted is forgotten first; what was done, and for which service, only where that does not help.
        """
        for keeps_event in (True, False):
            counts = {key: sum(sort.steps) for key, sort in self._sorts.items()}
            least = sorted(counts.values())[len(counts) // 2]
            for key in [key for key, count in counts.items() if count <= least]:
                rare = self._sorts.pop(key)
                others = self._sort(_of_others(key, keeps_event=keeps_event))
                others.steps = list(map(operator.add, others.steps, rare.steps))
                others.delegated += rare.delegated
            if len(self._sorts) <= MOST_SORTS * 3 // 4:
                return

    def _sort(self, key: Key) -> Sort:
        sort = self._sorts.get(key)
        if sort is not None:
            return sort
        event, actor, outcome, phase, decision, service = key
        if len(self.actors) < MOST_KEPT and actor != OTHERS:
            self.actors.add(actor or "")
        decision = decision if decision in _DECISIONS else None
        result = outcome if outcome in _OUTCOMES else "unknown"
        if phase == "intent":
            result = "open"
        elif decision == "block":
            result = "blocked"
        is_troubled = result in ("failure", "blocked")
        sort = self._sorts[key] = Sort(
            event=event,
            actor=actor or "",
            service=service or "",
            result=result,
            decision=decision,
            is_intent=phase == "intent",
            is_outcome=phase == "outcome",
            is_troubled=is_troubled,
            is_plain=phase not in _PHASES and not is_troubled,
            steps=[0] * self._bins,
        )
        return sort


def _of_others(key: Key, *, keeps_event: bool) -> Key:
    """Return the key that entries of several sorts have together."""
    event, _, outcome, phase, decision, service = key
    return (
        event if keeps_event else OTHERS,
        OTHERS,
        outcome if outcome in _OUTCOMES else None,
        phase if phase in _PHASES else None,
        decision if decision in _DECISIONS else None,
        service if keeps_event else OTHERS,
    )
