"""What a log amounts to: how many entries of what, from when to when, in how many bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from otel_audit.query.extent import Extent
from otel_audit.query.fields import field
from otel_audit.query.groups import Group, Groups
from otel_audit.query.tally import tally
from otel_audit.selection import Selection

COUNTED: Final = ("event_name", "actor", "action", "outcome", "decision")
"""Fields (`otel_audit.query.fields`) whose values are counted."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one field.

    Attributes:
        distinct: How many there are; at least so many where ``others`` is not 0.
        most: The most frequent, with their counts.
        others: Entries whose values came when there were too many to count apart.
    """

    distinct: int
    most: tuple[Group, ...]
    others: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a log amounts to.

    Attributes:
        whole: All of it.
        segments: Each file.
        values: Those of each field of `COUNTED`.
    """

    whole: Extent
    segments: tuple[Extent, ...]
    values: dict[str, Values]


def measure(
    path: str | os.PathLike[str],
    selection: Selection,
    *,
    most: int,
    progress: Callable[[int, int], None] | None = None,
) -> Statistics:
    """Read a log, in bounded memory (`otel_audit.query.tally`).

    Args:
        path: As of `otel_audit.reader.read_log`.
        selection: Which entries are counted.
        most: How many values of each field are kept.
        progress: Told how many bytes were read, and of how many.

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """
    counted = {name: Groups([field(name)]) for name in COUNTED}
    extents = tally(path, selection, list(counted.values()), progress=progress)
    whole = Extent(os.fsdecode(path) if len(extents) != 1 else extents[0].path)
    for extent in extents:
        whole.merge(extent)
    return Statistics(whole, tuple(extents), {name: _values(groups, most) for name, groups in counted.items()})


def _values(groups: Groups, most: int) -> Values:
    ranked = [group for group in groups.ranked() if group[0] != [None]]
    return Values(len(ranked), tuple(ranked[:most]), groups.others)
