"""What a log's entries add up to: who did what, how it went, when, and for whom.

An action counts once: its outcome, or the one record that there is; an intent alone says that it
began. How it went is one of `RESULTS`.

Most entries differ from others in little. So what they have in common (`_Sort`) is looked at once,
and after that one look-up and two additions count an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from otel_audit import semconv
from otel_audit.report.timeline import Timeline

T = TypeVar("T")

RESULTS: Final = ("success", "failure", "blocked", "unknown", "open")
"""``blocked``: a decision kept it from running. ``open``: it began, and nothing says how it ended."""

OTHERS: Final = "(others)"
_MOST_NAMES: Final = 400  # of actors, of events, of principals: beyond that they are counted together
_MOST_KEPT: Final = 100_000
_MOST_LISTED: Final = 500
_MOST_SORTS: Final = 20_000
_DECISIONS: Final = frozenset({"allow", "block", "error", "override"})
_LATEST: Final = "9999-12-31T23:59:59.999999999Z"

Cell = tuple[str, str, str, int]
"""Actor, event name, result, step of the timeline."""

Flow = tuple[str, str, str, str]
"""For whom, actor, event name, result."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """An entry of the log about itself."""

    event_name: str
    seq: int
    time: str
    attributes: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Sort:
    """What many entries have in common.

    Attributes:
        troubled: An assessor looks at these first.
    """

    flow: Flow
    is_intent: bool
    is_outcome: bool
    troubled: bool
    delegation: tuple[str, ...]
    decision: str | None
    service: str


@dataclass(slots=True)
class Totals:
    """What a log, or a stretch of it, adds up to.

    Attributes:
        first_time: The earliest ``time``; likewise ``last_time``.
        cells: What the chart over time is made of.
        delegations: Chains of actors, the principal first, by how many actions.
        seqs: Of entries that an assessor looks at first: failures, blocks, losses.
        intents: Those that wait for their outcome: record id to ``seq``, cell and flow.
        strays: Outcomes of intents that stand before the stretch: intent id to whether it matters.
        actors: All of them, also those that are counted together.
        open_seqs: Of the intents that have no outcome, once `finish` has counted them.
    """

    entries: int = 0
    actions: int = 0
    first_time: str = _LATEST
    last_time: str = ""
    cells: dict[Cell, int] = field(default_factory=dict)
    flows: dict[Flow, int] = field(default_factory=dict)
    targets: dict[tuple[str, str], int] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    delegations: dict[tuple[str, ...], int] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    traces: set[str] = field(default_factory=set)
    log_events: list[LogEvent] = field(default_factory=list)
    log_event_counts: dict[str, int] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)
    intents: dict[str, tuple[int, Cell, Flow]] = field(default_factory=dict)
    strays: dict[str, bool] = field(default_factory=dict)
    actors: set[str] = field(default_factory=set)
    open_seqs: list[int] = field(default_factory=list)

    def add(self, behind: Totals) -> None:
        """Add what the stretch behind this one comes to."""
        for intent_id, matters in behind.strays.items():
            intent = self.intents.pop(intent_id, None)
            if intent is not None and matters:
                self.seqs.append(intent[0])
        self.entries += behind.entries
        self.actions += behind.actions
        self.first_time = min(self.first_time, behind.first_time)
        self.last_time = max(self.last_time, behind.last_time)
        for name in ("cells", "flows", "targets", "services", "delegations", "decisions", "errors", "log_event_counts"):
            _add_counts(getattr(self, name), getattr(behind, name))
        self.traces |= behind.traces
        self.actors |= behind.actors
        self.log_events += behind.log_events[: _MOST_LISTED - len(self.log_events)]
        self.seqs += behind.seqs
        self.intents |= behind.intents

    def finish(self, unfinished: frozenset[int] | None = None) -> None:
        """Count the intents that are still open; to be called once, behind the last entry.

        Args:
            unfinished: Those that are open in the whole log, where only a part of it was counted.
        """
        for seq, cell, flow in self.intents.values():
            if unfinished is not None and seq not in unfinished:
                continue  # its outcome is in another part
            self.open_seqs.append(seq)
            self.cells[cell] = self.cells.get(cell, 0) + 1
            self.flows[flow] = self.flows.get(flow, 0) + 1
            self.actions += 1
            self.seqs.append(seq)
        self.intents.clear()


class Tally:
    """Told of each entry of a stretch, in the order of the log."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._totals = Totals()
        self._sorts: dict[object, tuple[_Sort, list[int]]] = {}
        self._steps: dict[str, int] = {}
        self._prefix_chars = timeline.prefix_chars
        self._names: tuple[set[str], set[str], set[str]] = (set(), set(), set())

    def add(self, members: dict[str, Any]) -> None:
        """Count an entry, given as the members of its line."""
        totals = self._totals
        totals.entries += 1
        time: str = members["time"]
        totals.last_time = max(totals.last_time, time)
        totals.first_time = min(totals.first_time, time)
        event: str = members["event_name"]
        if event.startswith(semconv.LOG_EVENT_PREFIX):
            self._log_event(members)
            return
        attributes = members["attributes"]
        get = attributes.get
        delegation = get(semconv.AUDIT_DELEGATION)
        key = (
            event,
            get(semconv.AUDIT_ACTOR_ID),
            get(semconv.AUDIT_OUTCOME),
            get(semconv.AUDIT_PHASE),
            get(semconv.AUDIT_DECISION),
            tuple(delegation) if type(delegation) is list else None,
            members["resource"].get(semconv.SERVICE_NAME) if "resource" in members else None,
        )
        try:
            sort, steps = self._sorts[key]
        except (KeyError, TypeError):  # not seen before; not to be hashed
            sort, steps = self._sort(key)
        prefix = time[: self._prefix_chars]
        step = self._steps.get(prefix)
        if step is None:
            step = self._step(prefix, time)
        trace_id = members.get("trace_id")
        if trace_id is not None and len(totals.traces) < _MOST_KEPT:
            totals.traces.add(trace_id)
        if sort.is_intent:
            record_id = get(semconv.AUDIT_RECORD_ID)
            if type(record_id) is str and len(totals.intents) < _MOST_KEPT:
                totals.intents[record_id] = members["seq"], (*sort.flow[1:], step), sort.flow
            return
        steps[step] += 1
        target = get(semconv.AUDIT_TARGET_ID)
        if type(target) is str:
            kind = get(semconv.AUDIT_TARGET_TYPE)
            _count(totals.targets, (target, kind if type(kind) is str else ""))
        if sort.is_outcome:
            self._outcome(get(semconv.AUDIT_INTENT_ID), matters=sort.troubled)
        if sort.troubled:
            self._keep(members["seq"])
            error = get(semconv.ERROR_TYPE)
            if type(error) is str:
                _count(totals.errors, error)

    def totals(self) -> Totals:
        """Return what was counted; to be called once."""
        totals = self._totals
        for sort, steps in self._sorts.values():
            count = sum(steps)
            if count:
                totals.actions += count
                _count(totals.flows, sort.flow, count)
                _count(totals.services, sort.service, count)
                if sort.delegation:
                    _count(totals.delegations, sort.delegation, count)
                if sort.decision is not None:
                    _count(totals.decisions, sort.decision, count)
                for step, number in enumerate(steps):
                    if number:
                        cell = (*sort.flow[1:], step)
                        totals.cells[cell] = totals.cells.get(cell, 0) + number
        return totals

    def _sort(self, key: tuple[Any, ...]) -> tuple[_Sort, list[int]]:
        event, actor, outcome, phase, decision, delegation, service = key
        chain = tuple(map(str, delegation)) if delegation is not None else ()
        result = outcome if type(outcome) is str and outcome in ("success", "failure") else "unknown"
        if phase == "intent":
            result = "open"
        elif decision == "block":
            result = "blocked"
        actor = actor if type(actor) is str else ""
        if len(self._totals.actors) < _MOST_KEPT:
            self._totals.actors.add(actor)
        principal = self._known(0, chain[0] if chain else actor)
        sort = _Sort(
            flow=(principal, self._known(1, actor), self._known(2, event), result),
            is_intent=phase == "intent",
            is_outcome=phase == "outcome",
            troubled=result in ("failure", "blocked"),
            delegation=chain,
            decision=decision if type(decision) is str and decision in _DECISIONS else None,
            service=service if type(service) is str else "",
        )
        if not _hashable(key):
            key = (event, actor, result, phase if type(phase) is str else None, sort.decision, chain, sort.service)
        elif len(self._sorts) >= _MOST_SORTS:  # however many there are, memory stays bounded
            sort = replace(sort, flow=(OTHERS, OTHERS, OTHERS, result), delegation=(), service=OTHERS)
            key = (sort.flow, sort.is_intent, sort.is_outcome, sort.decision)
        found = self._sorts.get(key)
        if found is None:
            found = self._sorts[key] = sort, [0] * self._timeline.bins
        return found

    def _outcome(self, intent_id: object, *, matters: bool) -> None:
        if type(intent_id) is not str:
            return
        intent = self._totals.intents.pop(intent_id, None)
        if intent is None:
            if len(self._totals.strays) < _MOST_KEPT:
                self._totals.strays[intent_id] = matters
        elif matters:
            self._keep(intent[0])

    def _step(self, prefix: str, time: str) -> int:
        if len(self._steps) >= _MOST_KEPT:
            self._steps.clear()
        step = self._steps[prefix] = self._timeline.bin(time)
        return step

    def _log_event(self, members: dict[str, Any]) -> None:
        event_name, seq = members["event_name"], members["seq"]
        _count(self._totals.log_event_counts, event_name)
        if len(self._totals.log_events) < _MOST_LISTED:
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


def _hashable(key: object) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True


def _count(counts: dict[T, int], name: T, number: int = 1) -> None:
    if name in counts:
        counts[name] += number
    elif len(counts) < _MOST_KEPT:
        counts[name] = number


def _add_counts(counts: dict[T, int], more: Mapping[T, int]) -> None:
    for name, number in more.items():
        counts[name] = counts.get(name, 0) + number
