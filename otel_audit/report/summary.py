"""What a page says besides the lines: the tally, and the verification, as one JSON value."""

from __future__ import annotations

import heapq
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from otel_audit import semconv
from otel_audit.report.timeline import Timeline
from otel_audit.report.totals import MOST_KEPT, NUL, OTHERS, RESULTS, Totals

_MOST_ACTORS: Final = 60
_MOST_EVENTS: Final = 40
_MOST_LISTED: Final = 40
_MOST_FINDINGS: Final = 500


def summarize(tally: Totals, timeline: Timeline, verification: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tally in the form that the page's script reads.

    Args:
        tally: Finished.
        timeline: Its steps.
        verification: One element of ``logs`` in docs/verify.schema.json.
    """
    actions = list(map(sum, tally.cells.values()))
    actors = _leading((cell[0] for cell in tally.cells), actions, _MOST_ACTORS)
    events = _leading((cell[1] for cell in tally.cells), actions, _MOST_EVENTS)
    principals = _leading((flow[0] for flow in tally.flows), tally.flows.values(), _MOST_ACTORS)
    actor_at, event_at, principal_at, result_at = map(_Places, (actors, events, principals, RESULTS))
    rows: dict[tuple[int, int, int], list[int]] = {}
    for (actor, event, result), steps in tally.cells.items():
        row = actor_at[actor], event_at[event], result_at[result]
        rows[row] = list(map(operator.add, rows[row], steps)) if row in rows else steps
    cells = [[step, *row, count] for row, steps in rows.items() for step, count in enumerate(steps) if count]
    flows: Counter[tuple[int, int, int, int]] = Counter()
    for (principal, actor, event, result), count in tally.flows.items():
        flows[principal_at[principal], actor_at[actor], event_at[event], result_at[result]] += count
    # Errors first: however many warnings stand before one, a page has it.
    findings = sorted(verification["findings"], key=lambda finding: finding["severity"] != "error")
    return {
        "period": {"first": tally.first_time if tally.entries else "", "last": tally.last_time},
        "timeline": {
            "start_ms": timeline.start_ns // 1_000_000,
            "step_ms": timeline.step_ns // 1_000_000,
            "bins": timeline.bins,
        },
        "entries": tally.entries,
        "actions": tally.actions,
        "traces": min(len(tally.traces), MOST_KEPT),
        "actor_count": min(len(tally.actors), MOST_KEPT),
        "most_told_apart": MOST_KEPT,
        "results": RESULTS,
        "actors": actors,
        "events": events,
        "principals": principals,
        "cells": sorted(cells),
        "flows": [[*key, count] for key, count in sorted(flows.items())],
        "targets": [[*_target(key), count] for key, count in _most(tally.targets)],
        "targets_missed": tally.targets_missed,
        "together": sum(count for flow, count in tally.flows.items() if OTHERS in flow[:3]),
        "services": _most(tally.services),
        "decisions": _most(tally.decisions),
        "errors": _most(tally.errors),
        "log_event_counts": dict(tally.log_event_counts),
        "log_events": [
            {
                "event_name": event.event_name,
                "seq": event.seq,
                "time": event.time,
                "attributes": {
                    name: value if isinstance(value, int | float | str | bool) else str(value)
                    for name, value in event.attributes.items()
                    if name in _OF_LOG_EVENTS
                },
            }
            for event in tally.log_events
        ],
        "verification": {
            **verification,
            "findings": findings[:_MOST_FINDINGS],
            "errors": sum(finding["severity"] == "error" for finding in findings),
            "findings_left_out": max(0, len(findings) - _MOST_FINDINGS),
            "unfinished": verification["unfinished"][:_MOST_FINDINGS],
        },
    }


_OF_LOG_EVENTS: Final = frozenset(
    {
        semconv.AUDIT_WRITER_ID,
        semconv.AUDIT_DROPPED_COUNT,
        semconv.AUDIT_DROPPED_FIRST_TIME,
        semconv.AUDIT_DROPPED_LAST_TIME,
        semconv.AUDIT_VOIDED_FIRST,
        semconv.AUDIT_VOIDED_LAST,
        semconv.AUDIT_FRAGMENT_LENGTH,
        semconv.AUDIT_SEGMENT_NUMBER,
        semconv.AUDIT_SEGMENT_NEXT,
        semconv.ERROR_TYPE,
        semconv.AUDIT_WRITER_ENTRIES,
        semconv.AUDIT_WRITER_DROPPED,
    }
)


def _most(counts: Mapping[str, int], most: int = _MOST_LISTED) -> list[tuple[str, int]]:
    """Return the names with the highest counts; of equals, the first by name: not by chance."""
    least = min(heapq.nlargest(most, counts.values()), default=0)
    return heapq.nsmallest(
        most, [item for item in counts.items() if item[1] >= least], key=lambda item: (-item[1], item[0])
    )


def _target(key: str) -> tuple[str, str]:
    kind, _, name = key.partition(NUL)
    return name, kind


def _leading(names: Iterable[str], counts: Iterable[int], most: int) -> list[str]:
    totals: Counter[str] = Counter()
    for name, count in zip(names, counts, strict=True):
        totals[name] += count
    leading = [name for name, _ in _most(totals, most) if name != OTHERS]
    return [*leading, OTHERS] if len(totals) > len(leading) else leading


class _Places(dict[str, int]):
    """Where each of some names stands; whatever is not among them stands where the last does."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__((name, place) for place, name in enumerate(names))

    def __missing__(self, name: str) -> int:
        return len(self) - 1
