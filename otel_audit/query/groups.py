"""How many entries have the same values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Self

import orjson

from otel_audit.entry import Entry
from otel_audit.query.fields import TIMES, Field

MAX_GROUPS: Final = 100_000
"""Counted apart; what comes with other values after so many is counted together."""

_MAX_BYTES: Final = 64 << 20  # of the values: each can be as long as a line
_MAX_PLAIN_BYTES: Final = 256
_PLAIN: Final = frozenset((str, type(None)))
_PACK: Final = 1000

Group = tuple[list[object], int]
"""The values, as many as fields, and how many entries have them."""

_Values = tuple[object, ...]


class Groups:
    """Counts entries by the values of some fields, in bounded memory.

    Args:
        fields: What they are counted by.
        most: Groups that are counted apart.
    """

    def __init__(self, fields: Sequence[Field], most: int = MAX_GROUPS) -> None:
        self._fields = fields
        self._most = most
        self._values = [field.value for field in fields]
        # In the order in which they came. Their values, where these are short text; else these as JSON, in which
        # true, 1 and 1.0 are three values, and a list is one, too.
        self._counts: dict[_Values | bytes, int] = {}
        self._bytes = 0
        self.others = 0
        """Entries with values that came when there were as many groups as can be."""

    def add(self, entries: Iterable[Entry]) -> None:
        """Count some entries."""
        counts, fields = self._counts, self._values
        for entry in entries:
            values = tuple([value(entry) for value in fields])
            try:
                # Only text and null are in there as they are, and nothing else is equal to these.
                counts[values] += 1
            except (KeyError, TypeError):
                self._add(values, 1)

    def empty(self) -> Self:
        """Return one that counts the same, and has counted nothing."""
        return type(self)(self._fields, self._most)

    def packed(self) -> Iterator[bytes]:
        """Yield what was counted apart, for `merge`."""
        counts = iter(self._counts.items())
        while lines := [b"%d %b\n" % (count, _json(key)) for key, count in islice(counts, _PACK)]:
            yield b"".join(lines)

    def merge(self, packed: bytes) -> None:
        """Count what another one has counted apart.

        As if its entries were added here, if it has none counted together, and all that it packed is merged in order.
        """
        for line in packed.split(b"\n")[:-1]:
            count, _, text = line.partition(b" ")
            self._add(tuple(orjson.loads(text)), int(count))

    def ranked(self) -> Iterable[Group]:
        """Yield the groups: the largest first; by the time where that comes first."""
        by_time = bool(self._fields) and self._fields[0].name in TIMES
        counted = [(_json(key), count) for key, count in self._counts.items()]
        counted.sort(key=lambda each: each[0] if by_time else (-each[1], each[0]))
        for text, count in counted:
            yield orjson.loads(text), count

    def _add(self, values: _Values, count: int) -> None:
        text = orjson.dumps(values)
        key = values if len(text) <= _MAX_PLAIN_BYTES and _PLAIN.issuperset(map(type, values)) else text
        if key in self._counts:
            self._counts[key] += count
        elif len(self._counts) < self._most and self._bytes + len(text) <= _MAX_BYTES:
            self._counts[key] = count
            self._bytes += len(text)
        else:
            self.others += count


def _json(key: _Values | bytes) -> bytes:
    return key if isinstance(key, bytes) else orjson.dumps(key)
