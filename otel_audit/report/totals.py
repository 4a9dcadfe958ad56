"""What a log, or a stretch of it, adds up to: who did what, how it went, when, and for whom.

An action counts once: its outcome, or the one record that there is; an intent alone says that it
began. How it went is one of `RESULTS`.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

T = TypeVar("T")

RESULTS: Final = ("success", "failure", "blocked", "unknown", "open")
"""``blocked``: a decision kept it from running. ``open``: it began, and nothing says how it ended."""

OTHERS: Final = "(others)"

NUL: Final = "\0"
REPLACED: Final = "\ufffd"
"""What a browser shows for NUL."""

MOST_KEPT: Final = 100_000
"""Of anything else that grows with the log: more are not told apart, or not kept."""

MOST_LISTED: Final = 500
"""Entries of the log about itself that are kept."""

_LATEST: Final = "9999-12-31T23:59:59.999999999Z"

Cell = tuple[str, str, str]
"""Actor, event name, result."""

Flow = tuple[str, str, str, str]
"""For whom, actor, event name, result."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """An entry of the log about itself."""

    event_name: str
    seq: int
    time: str
    attributes: Mapping[str, object]


@dataclass(slots=True)
class Pending:
    """Intents and outcomes that found no other in their stretch of a log.

    Attributes:
        intents: Those that wait for their outcome: record id to ``seq``, flow and step.
        strays: Outcomes that found no intent before them: intent id to whether it matters.
    """

    intents: dict[str, tuple[int, Flow, int]] = field(default_factory=dict)
    strays: dict[str, bool] = field(default_factory=dict)

    def add(self, behind: Pending) -> list[int]:
        """Add the stretch behind this one; return the ``seq`` of intents whose outcome is in it and matters."""
        found = []
        for intent_id, matters in behind.strays.items():
            intent = self.intents.pop(intent_id, None)
            if intent is None:
                self.strays.setdefault(intent_id, matters)
            elif matters:
                found.append(intent[0])
        for record_id, intent in behind.intents.items():
            self.intents.setdefault(record_id, intent)  # of two copies the first is the entry
        return found


@dataclass(slots=True)
class Totals:
    """What a log, or a stretch of it, adds up to.

    Attributes:
        first_time: The earliest ``time``; likewise ``last_time``.
        bins: Steps of the timeline.
        cells: What the chart over time is made of: actions by step.
        targets: Each as its type, NUL, and its name: text is passed between processes at a third of
            what pairs cost. NUL in a type is `REPLACED`.
        targets_missed: How many actions more there may be of each.
        seqs: Of entries that an assessor looks at first: failures, blocks, losses.
        pending: Intents and outcomes without the other.
        actors: All of them, also those that are counted together.
        open_seqs: Of the intents that have no outcome, once `finish` has counted them.
    """

    bins: int
    entries: int = 0
    actions: int = 0
    first_time: str = _LATEST
    last_time: str = ""
    cells: dict[Cell, list[int]] = field(default_factory=dict)
    flows: dict[Flow, int] = field(default_factory=dict)
    targets: Counter[str] = field(default_factory=Counter)
    targets_missed: int = 0
    services: dict[str, int] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    traces: set[str] = field(default_factory=set)
    log_events: list[LogEvent] = field(default_factory=list)
    log_event_counts: dict[str, int] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)
    pending: Pending = field(default_factory=Pending)
    actors: set[str] = field(default_factory=set)
    open_seqs: list[int] = field(default_factory=list)

    def add(self, behind: Totals) -> None:
        """Add what the stretch behind this one comes to."""
        self.seqs += self.pending.add(behind.pending)
        self.entries += behind.entries
        self.actions += behind.actions
        self.first_time = min(self.first_time, behind.first_time)
        self.last_time = max(self.last_time, behind.last_time)
        for cell, steps in behind.cells.items():
            own = self.cells.get(cell)
            self.cells[cell] = steps if own is None else list(map(operator.add, own, steps))
        for name in ("flows", "targets", "services", "decisions", "errors", "log_event_counts"):
            _add_counts(getattr(self, name), getattr(behind, name))
        self.targets_missed += behind.targets_missed
        self.traces |= behind.traces
        self.actors |= behind.actors
        self.log_events += behind.log_events[: MOST_LISTED - len(self.log_events)]
        self.seqs += behind.seqs

    def finish(self, unfinished: frozenset[int] | None = None) -> None:
        """Count the intents that are still open; to be called once, behind the last entry.

        Args:
            unfinished: Those that are open in the whole log, where only a part of it was counted.
        """
        for record_id, (seq, flow, step) in self.pending.intents.items():
            if record_id in self.pending.strays if unfinished is None else seq not in unfinished:
                continue  # its outcome came before it; its outcome is in another part
            self.open_seqs.append(seq)
            self.cells.setdefault(flow[1:], [0] * self.bins)[step] += 1
            self.flows[flow] = self.flows.get(flow, 0) + 1
            self.actions += 1
            self.seqs.append(seq)
        self.pending.intents.clear()


def _add_counts(counts: dict[T, int], more: dict[T, int]) -> None:
    sums = {name: counts[name] + more[name] for name in counts.keys() & more.keys()}
    dict.update(counts, more)  # a Counter adds
    dict.update(counts, sums)
