"""How many entries have the same values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from otel_audit.entry import Entry
from otel_audit.query.fields import TIMES, Field

MAX_GROUPS: Final = 100_000
"""Counted apart; what comes with other values after so many is counted together."""

_MAX_BYTES: Final = 64 << 20  # of the values: each can be as long as a line

Group = tuple[list[object], int]
"""The values, as many as fields, and how many entries have them."""


class Groups:
    """Counts entries by the values of some fields, in bounded memory.

    Args:
        fields: What they are counted by.
        most: Groups that are counted apart.
    """

    def __init__(self, fields: Sequence[Field], most: int = MAX_GROUPS) -> None:
        self._fields = fields
        self._most = most
        self._counts: dict[bytes, int] = {}
        self._bytes = 0
        self.others = 0
        """Entries with values that came when there were as many groups as can be."""

    def add(self, entry: Entry) -> None:
        """Count one entry."""
        # As JSON: true, 1 and 1.0 are three values, and a list is one, too.
        key = orjson.dumps([field.value(entry) for field in self._fields])
        if key in self._counts:
            self._counts[key] += 1
        elif len(self._counts) < self._most and self._bytes + len(key) <= _MAX_BYTES:
            self._counts[key] = 1
            self._bytes += len(key)
        else:
            self.others += 1

    def ranked(self) -> Iterable[Group]:
        """Yield the groups: the largest first; by the time where that comes first."""
        by_time = bool(self._fields) and self._fields[0].name in TIMES
        counted = sorted(self._counts.items(), key=lambda each: each[0] if by_time else (-each[1], each[0]))
        for key, count in counted:
            yield orjson.loads(key), count
