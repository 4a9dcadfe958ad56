"""Whoever is told of entries while a log is verified, so that nobody has to parse it a second time.

Only a log in which nothing is out of the ordinary, read in parts (`otel_audit.workers`), is told of;
any other has to be read again by whoever wants its entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class Seen(NamedTuple):
    """Entries that follow one another; all members have one element for each.

    Attributes:
        members: ``event_name``, ``attributes``, ``trace_id`` where there is one, and perhaps more.
        seqs: Of each.
        times: ``time`` of each.
        resources: Attributes of the resource of each.
    """

    members: Sequence[Mapping[str, Any]]
    seqs: Sequence[int]
    times: Sequence[str]
    resources: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, entries: Sequence[Mapping[str, Any]]) -> Seen:
        """Return whole entries, each given as the members of its line."""
        nothing: dict[str, Any] = {}
        return cls(
            entries,
            [each["seq"] for each in entries],
            [each["time"] for each in entries],
            [each.get("resource", nothing) for each in entries],
        )


class Onlooker(Protocol):
    """Is told of the entries of some units of a log, in their order; each worker has its own."""

    def add(self, seen: Seen) -> None:
        """Take entries that follow those before, or begin a unit."""

    def part(self) -> object:
        """Return, at the end of a unit, what means something only in the order of the units."""

    def totals(self) -> object:
        """Return all else, of all units; called once."""


@dataclass(slots=True)
class Watch:
    """What all onlookers together were told of; between processes all of it is pickled.

    Attributes:
        onlooker: Makes one.
        join: Takes what one said of a unit, in the order of the log.
        totals: What each said at the end, in no order.
        complete: They were told of all entries of the log. If not, the others mean nothing.
    """

    onlooker: Callable[[], Onlooker]
    join: Callable[[Any], None]
    totals: list[Any] = field(default_factory=list)
    complete: bool = False
