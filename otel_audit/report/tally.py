"""The entries of a stretch, counted, a block of them at a time.

Most entries differ from others in little: what they have in common is looked at once (`otel_audit.report.sorts`).
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, Final, TypeVar, cast

from otel_audit import semconv
from otel_audit.report.sorts import Key, Sort, Sorts
from otel_audit.report.timeline import Timeline
from otel_audit.report.totals import MOST_KEPT, MOST_LISTED, NUL, OTHERS, REPLACED, Flow, LogEvent, Pending, Totals
from otel_audit.verify.onlooker import Seen

T = TypeVar("T")

_TARGET_ID, _TARGET_TYPE = semconv.AUDIT_TARGET_ID, semconv.AUDIT_TARGET_TYPE
_TEXT_OR_NONE: Final = frozenset({str, type(None)})


class Tally:
    """Told of the entries of a stretch, in the order of the log: an `otel_audit.verify.onlooker.Onlooker`.

    What is kept of entries by the thousand is kept once: the fewer objects outlive the block that they
    came with, the quicker the next block is parsed.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._totals = Totals(timeline.bins)
        self._sorts = Sorts(timeline.bins)
        self._step = 0
        self._in_step: Counter[Sort] = Counter()  # entries of one step
        self._principals: dict[str, str] = {}
        self._delegated: Counter[tuple[Sort, str]] = Counter()  # by principal
        self._intents: dict[str, tuple[int, Sort, str | None, int]] = {}  # with its seq, principal and step
        self._strays: dict[str, bool] = {}

    def add(self, seen: Seen) -> None:
        """Count entries."""
        if not seen.members:
            return
        totals = self._totals
        totals.entries += len(seen.members)
        first, last = min(seen.times), max(seen.times)
        totals.first_time, totals.last_time = min(totals.first_time, first), max(totals.last_time, last)
        keys = _keys(seen)
        if any(name.startswith(semconv.LOG_EVENT_PREFIX) for name in {key[0] for key in keys}):
            seen = self._without_log_events(seen)
            keys = _keys(seen)
        sorts = self._sorts.of(keys)
        step = self._timeline.bin(first)
        if step == self._timeline.bin(last):
            steps = [step] * len(sorts)
            self._count(step, sorts)
        else:
            steps = list(map(self._timeline.bin, seen.times))
            for step, group in groupby(zip(steps, sorts, strict=True), key=itemgetter(0)):
                self._count(step, map(itemgetter(1), group))
        attributes = [each["attributes"] for each in seen.members]
        self._delegate(sorts, attributes)
        if len(totals.traces) < MOST_KEPT:
            totals.traces.update([members["trace_id"] for members in seen.members if "trace_id" in members])
        totals.targets.update(_targets(sorts, attributes))
        if len(totals.targets) > MOST_KEPT:
            self._forget_rare_targets()
        for place, sort in enumerate(sorts):
            if not sort.is_plain:
                self._look(sort, attributes[place], seen.seqs[place], steps[place])
        if self._sorts.are_too_many:
            self._end_step()
            self._end_delegated()
            self._sorts.put_rare_together()

    def part(self) -> Pending:
        """Return, and forget, the intents and outcomes so far that found no other."""
        intents = {
            record_id: (seq, self._flow(sort, principal), step)
            for record_id, (seq, sort, principal, step) in self._intents.items()
        }
        pending = Pending(intents, self._strays)
        self._intents, self._strays = {}, {}
        return pending

    def totals(self) -> Totals:
        """Return what was counted; to be called once."""
        totals = self._totals
        self._end_step()
        self._end_delegated()
        totals.pending = self.part()
        totals.actors = self._sorts.actors
        for sort in self._sorts:
            count = sum(sort.steps)
            if not count:
                continue
            totals.actions += count
            _count(totals.services, sort.service, count)
            if sort.decision is not None:
                _count(totals.decisions, sort.decision, count)
            cell = sort.actor, sort.event, sort.result
            own = totals.cells.get(cell)
            totals.cells[cell] = sort.steps if own is None else list(map(operator.add, own, sort.steps))
            if count > sort.delegated:
                flow = self._flow(sort, None)
                totals.flows[flow] = totals.flows.get(flow, 0) + count - sort.delegated
        return totals

    def _without_log_events(self, seen: Seen) -> Seen:
        """Count entries of the log about itself, and return the others."""
        others = []
        for members, seq, time, resource in zip(*seen, strict=True):
            name = members["event_name"]
            if not name.startswith(semconv.LOG_EVENT_PREFIX):
                others.append((members, seq, time, resource))
                continue
            _count(self._totals.log_event_counts, name)
            if len(self._totals.log_events) < MOST_LISTED:
                self._totals.log_events.append(LogEvent(name, seq, time, members["attributes"]))
            if name not in (semconv.LOG_OPENED, semconv.LOG_CLOSED, semconv.LOG_ROTATED):
                self._keep(seq)
        return Seen(*zip(*others, strict=True)) if others else Seen((), (), (), ())

    def _count(self, step: int, sorts: Iterable[Sort]) -> None:
        if step != self._step:
            self._end_step()
            self._step = step
        self._in_step.update(sorts)

    def _end_step(self) -> None:
        for sort, count in self._in_step.items():
            if not sort.is_intent:
                sort.steps[self._step] += count
        self._in_step.clear()

    def _delegate(self, sorts: Sequence[Sort], attributes: Sequence[Mapping[str, Any]]) -> None:
        """Count the actions that were done for somebody."""
        if len(self._delegated) >= MOST_KEPT:
            self._end_delegated()
        name, once = semconv.AUDIT_DELEGATION, self._principals.setdefault
        self._delegated.update(
            [
                (sort, once(principal, principal))
                for sort, each in zip(sorts, attributes, strict=True)
                if name in each and not sort.is_intent and (principal := _principal(each[name])) is not None
            ]
        )

    def _end_delegated(self) -> None:
        flows = self._totals.flows
        for (sort, principal), count in self._delegated.items():
            sort.delegated += count
            flow = self._flow(sort, principal)
            flows[flow] = flows.get(flow, 0) + count
        self._delegated.clear()
        self._principals.clear()

    def _forget_rare_targets(self) -> None:
        """Forget those of the targets that came least often: one that comes often is found, however late it begins."""
        totals = self._totals
        least = sorted(totals.targets.values())[len(totals.targets) // 2]
        totals.targets = Counter({target: count for target, count in totals.targets.items() if count > least})
        totals.targets_missed += least

    def _flow(self, sort: Sort, principal: str | None) -> Flow:
        flow = sort.actor if principal is None else principal, sort.actor, sort.event, sort.result
        is_kept = len(self._totals.flows) < MOST_KEPT or flow in self._totals.flows
        return flow if is_kept else (OTHERS, OTHERS, OTHERS, sort.result)

    def _look(self, sort: Sort, attributes: Mapping[str, Any], seq: int, step: int) -> None:
        """Take what matters of an entry by itself."""
        get = attributes.get
        if sort.is_intent:
            record_id = get(semconv.AUDIT_RECORD_ID)
            if type(record_id) is str and record_id not in self._intents:  # of two copies the first is the entry
                self._intents[record_id] = seq, sort, _principal(get(semconv.AUDIT_DELEGATION)), step
            return
        if sort.is_outcome and type(intent_id := get(semconv.AUDIT_INTENT_ID)) is str:
            intent = self._intents.pop(intent_id, None)
            if intent is None:
                self._strays.setdefault(intent_id, sort.is_troubled)  # the first of several counts
            elif sort.is_troubled:
                self._keep(intent[0])
        if sort.is_troubled:
            self._keep(seq)
            if type(error := get(semconv.ERROR_TYPE)) is str:
                _count(self._totals.errors, error)

    def _keep(self, seq: int) -> None:
        if len(self._totals.seqs) < MOST_KEPT:
            self._totals.seqs.append(seq)


def _keys(seen: Seen) -> list[Key]:
    """Return the key of each entry."""
    keys = [
        (
            members["event_name"],
            (get := members["attributes"].get)(semconv.AUDIT_ACTOR_ID),
            get(semconv.AUDIT_OUTCOME),
            get(semconv.AUDIT_PHASE),
            get(semconv.AUDIT_DECISION),
            resource.get(semconv.SERVICE_NAME),
        )
        for members, resource in zip(seen.members, seen.resources, strict=True)
    ]
    if set(map(type, chain.from_iterable(keys))) <= _TEXT_OR_NONE:
        return keys
    return [cast(Key, tuple([each if type(each) is str else None for each in key])) for key in keys]


def _principal(delegation: object) -> str | None:
    return str(delegation[0]) if type(delegation) is list and delegation else None


def _targets(sorts: Sequence[Sort], attributes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the targets of actions, as `Totals` has them."""
    return [
        f"{kind if type(kind) is str and NUL not in kind else _readable(kind)}{NUL}{target}"
        for sort, each in zip(sorts, attributes, strict=True)
        if not sort.is_intent and type(target := each.get(_TARGET_ID)) is str
        for kind in (each.get(_TARGET_TYPE),)
    ]


def _readable(kind: object) -> str:
    return kind.replace(NUL, REPLACED) if type(kind) is str else ""


def _count(counts: dict[T, int], name: T, number: int = 1) -> None:
    if name in counts:
        counts[name] += number
    elif len(counts) < MOST_KEPT:
        counts[name] = number
