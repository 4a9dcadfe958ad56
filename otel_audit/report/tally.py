"""The entries of a stretch, counted.

Most entries differ from others in little. So what they have in common (`_Sort`, `_Chain`) is
looked at once, and after that two look-ups and two additions count an entry.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final, TypeVar

from otel_audit import semconv
from otel_audit.report.timeline import Timeline
from otel_audit.report.totals import MOST_LISTED, NUL, OTHERS, REPLACED, Flow, LogEvent, Totals

T = TypeVar("T")

_MOST_NAMES: Final = 400  # of actors, of events, of principals: beyond that they are counted together
_MOST_KEPT: Final = 100_000
_MOST_SORTS: Final = 20_000
_OUTCOMES: Final = frozenset({"success", "failure"})
_PHASES: Final = frozenset({"intent", "outcome"})
_DECISIONS: Final = frozenset({"allow", "block", "error", "override"})

Key = tuple[Any, ...]
"""Event name, actor, outcome, phase, decision, service: as they stand in the entry."""


@dataclass(slots=True)
class _Chain:
    """Entries of a sort with the same delegation.

    Attributes:
        delegation: From the principal on; empty: there is none to count.
        count: Actions so far.
    """

    flow: Flow
    delegation: tuple[str, ...]
    count: int = 0


@dataclass(slots=True)
class _Sort:
    """What many entries have in common.

    Attributes:
        actor: As it stands in the entry.
        name: As it is counted: `OTHERS` where there are too many. Likewise ``event``.
        troubled: An assessor looks at these first.
        steps: Actions so far, by step of the timeline.
        chains: By delegation.
    """

    actor: str
    name: str
    event: str
    result: str
    is_intent: bool
    is_outcome: bool
    troubled: bool
    decision: str | None
    service: str
    steps: list[int]
    alone: _Chain | None = None
    chains: dict[tuple[str, ...], _Chain] = field(default_factory=dict)


class Tally:
    """Told of the entries of a stretch, in the order of the log."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._totals = Totals(timeline.bins)
        self._sorts: dict[Key, _Sort] = {}
        self._chains: list[_Chain] = []
        self._names: tuple[set[str], set[str], set[str]] = (set(), set(), set())

    def add(self, entries: Sequence[dict[str, Any]]) -> None:
        """Count entries, each given as the members of its line."""
        if not entries:
            return
        totals, sorts = self._totals, self._sorts
        traces = totals.traces
        targets: list[str] = []
        totals.entries += len(entries)
        for members, step in zip(entries, self._steps([members["time"] for members in entries]), strict=False):
            get = members["attributes"].get
            key = (
                members["event_name"],
                get(semconv.AUDIT_ACTOR_ID),
                get(semconv.AUDIT_OUTCOME),
                get(semconv.AUDIT_PHASE),
                get(semconv.AUDIT_DECISION),
                members["resource"].get(semconv.SERVICE_NAME) if "resource" in members else None,
            )
            try:
                sort = sorts[key]
            except (KeyError, TypeError):  # not seen before; not to be hashed
                if key[0].startswith(semconv.LOG_EVENT_PREFIX):
                    self._log_event(members)
                    continue
                sort = self._sort(key)
            delegation = get(semconv.AUDIT_DELEGATION)
            if type(delegation) is not list:
                chain = sort.alone
                if chain is None:
                    chain = sort.alone = self._chain(sort, ())
            else:
                names = tuple(map(str, delegation))
                chain = sort.chains.get(names)
                if chain is None:
                    chain = self._chain(sort, names)
            if "trace_id" in members and len(traces) < _MOST_KEPT:
                traces.add(members["trace_id"])
            if sort.is_intent:
                record_id = get(semconv.AUDIT_RECORD_ID)
                if type(record_id) is str and len(totals.intents) < _MOST_KEPT:
                    totals.intents[record_id] = members["seq"], chain.flow, step
                continue
            sort.steps[step] += 1
            chain.count += 1
            target = get(semconv.AUDIT_TARGET_ID)
            if type(target) is str:
                kind = get(semconv.AUDIT_TARGET_TYPE)
                targets.append(f"{kind.replace(NUL, REPLACED) if type(kind) is str else ''}{NUL}{target}")
            if sort.is_outcome:
                self._outcome(get(semconv.AUDIT_INTENT_ID), matters=sort.troubled)
            if sort.troubled:
                self._keep(members["seq"])
                error = get(semconv.ERROR_TYPE)
                if type(error) is str:
                    _count(totals.errors, error)
        _count_all(totals.targets, targets)

    def totals(self) -> Totals:
        """Return what was counted; to be called once."""
        totals = self._totals
        for chain in self._chains:
            if chain.count:
                totals.actions += chain.count
                _count(totals.flows, chain.flow, chain.count)
                if chain.delegation:
                    _count(totals.delegations, chain.delegation, chain.count)
        for sort in self._sorts.values():
            count = sum(sort.steps)
            if count:
                _count(totals.services, sort.service, count)
                if sort.decision is not None:
                    _count(totals.decisions, sort.decision, count)
                cell = sort.name, sort.event, sort.result
                own = totals.cells.get(cell)
                totals.cells[cell] = sort.steps if own is None else list(map(operator.add, own, sort.steps))
        return totals

    def _steps(self, times: list[str]) -> Iterable[int]:
        """Return the step of each of these times, which are texts of one length."""
        first, last = min(times), max(times)
        self._totals.first_time = min(self._totals.first_time, first)
        self._totals.last_time = max(self._totals.last_time, last)
        step = self._timeline.bin(first)
        return repeat(step) if step == self._timeline.bin(last) else map(self._timeline.bin, times)

    def _sort(self, key: Key) -> _Sort:
        """Return the sort of an entry that no look-up found."""
        # What is no text says nothing, and is looked at anew in each entry: it may not be to be hashed.
        event: str = key[0]
        actor, outcome, phase, decision, service = (part if type(part) is str else None for part in key[1:])
        key = event, actor, outcome, phase, decision, service
        actor = actor or ""
        if len(self._totals.actors) < _MOST_KEPT:
            self._totals.actors.add(actor)
        decision = decision if decision in _DECISIONS else None
        result = outcome if outcome in _OUTCOMES else "unknown"
        if phase == "intent":
            result = "open"
        elif decision == "block":
            result = "blocked"
        if key not in self._sorts and len(self._sorts) >= _MOST_SORTS:  # however many there are, memory stays bounded
            event = actor = service = OTHERS
            key = result, phase == "outcome", decision
        sort = self._sorts.get(key)
        if sort is None:
            sort = self._sorts[key] = _Sort(
                actor=actor,
                name=self._known(1, actor),
                event=self._known(2, event),
                result=result,
                is_intent=phase == "intent",
                is_outcome=phase == "outcome",
                troubled=result in ("failure", "blocked"),
                decision=decision,
                service=service or "",
                steps=[0] * self._timeline.bins,
            )
        return sort

    def _chain(self, sort: _Sort, names: tuple[str, ...]) -> _Chain:
        """Return the chain of an entry that no look-up found."""
        delegation = names
        if len(self._chains) >= _MOST_KEPT:
            names, delegation = (OTHERS,), ()
        chain = sort.chains.get(names)
        if chain is None:
            principal = self._known(0, names[0] if names else sort.actor)
            chain = sort.chains[names] = _Chain((principal, sort.name, sort.event, sort.result), delegation)
            self._chains.append(chain)
        return chain

    def _outcome(self, intent_id: object, *, matters: bool) -> None:
        if type(intent_id) is not str:
            return
        intent = self._totals.intents.pop(intent_id, None)
        if intent is None:
            if len(self._totals.strays) < _MOST_KEPT:
                self._totals.strays.setdefault(intent_id, matters)  # the first of several counts
        elif matters:
            self._keep(intent[0])

    def _log_event(self, members: dict[str, Any]) -> None:
        event_name, seq = members["event_name"], members["seq"]
        _count(self._totals.log_event_counts, event_name)
        if len(self._totals.log_events) < MOST_LISTED:
            event = LogEvent(event_name, seq, members["time"], members["attributes"])
            self._totals.log_events.append(event)
        if event_name not in (semconv.LOG_OPENED, semconv.LOG_CLOSED, semconv.LOG_ROTATED):
            self._keep(seq)

    def _known(self, which: int, name: str) -> str:
        names = self._names[which]
        if name not in names:
            if len(names) >= _MOST_NAMES:
                return OTHERS
            names.add(name)
        return name

    def _keep(self, seq: int) -> None:
        if len(self._totals.seqs) < _MOST_KEPT:
            self._totals.seqs.append(seq)


def _count(counts: dict[T, int], name: T, number: int = 1) -> None:
    if name in counts:
        counts[name] += number
    elif len(counts) < _MOST_KEPT:
        counts[name] = number


def _count_all(counts: Counter[T], names: Sequence[T]) -> None:
    if len(counts) >= _MOST_KEPT:
        names = [name for name in names if name in counts]
    elif len(counts) + len(names) > _MOST_KEPT:
        for name in names:
            _count(counts, name)
        return
    counts.update(names)
