"""Which copied entries are this log's.

The quick way stamps the stream id on each record. A line does not carry it, so neither do exact
lines and what a file receiver makes of them; a gateway's archive may hold those of many logs. What
names an entry of this log as its predecessor, or another entry that does, is this log's.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from otel_audit import semconv
from otel_audit.chain import GENESIS
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.reconcile.copied import Copied, Judgement
from otel_audit.reconcile.log_index import LogIndex
from otel_audit.reconcile.sources import MAX_SOURCES, Sources, source_of
from otel_audit.verify.seal import split_seal

MAX_WAITING: Final = 100_000
"""Entries that arrived before the one that they follow, and other logs': some 60 MiB. Then the oldest fall out."""
_NONE: Final[dict[str, Any]] = {}
MAX_ENDS: Final = 1 << 18
"""Hashes of entries that this log does not have, which others may follow."""

Judge = Callable[[Copied], Judgement]
"""Judges an entry at once, so that what waits need not be kept whole."""


class Belonging:
    """Sorts copied entries: this log's, another's, or not known yet.

    Args:
        index: The log.
        judge: Of entries that wait.

    Attributes:
        others: Entries of other logs, as far as is known.
    """

    def __init__(self, index: LogIndex, judge: Judge) -> None:
        self._index = index
        self._judge = judge
        self._stream_id = index.declared.stream_id
        self._chained = index.declared.mode == "chain"
        self._ends: OrderedDict[str, None] = OrderedDict()
        self._waiting: OrderedDict[str, list[Copied]] = OrderedDict()
        self._waits = 0
        self._fallen = 0
        self._sources = Sources()
        self._last_fallen: dict[object, int] = {}  # the highest seq of each source
        self.others = 0

    def ours(self, copied: Copied) -> Iterator[Copied]:
        """Yield those that are now known to be this log's: this one, and what waited for it."""
        stamped = copied.stream_id is not None and self._stream_id is not None
        if stamped and copied.stream_id != self._stream_id and copied.line is None:
            self.others += 1
            return
        if not self._chained or (stamped and copied.stream_id == self._stream_id):
            pass  # without a chain nothing else tells
        elif self._is_in_log(copied):
            self._sources.add(copied)
            yield copied
            return
        elif not self._is_linked(copied):
            if copied.prev_hash in (None, GENESIS):
                self.others += 1
            else:
                self._wait(copied)
            return
        todo = [copied]
        while todo:
            one = todo.pop()
            if one.judged is None:
                self._sources.add(one)
            yield one
            if one.hash is not None and self._chained and not self._is_in_log(one):
                self._ends[one.hash] = None
                if len(self._ends) > MAX_ENDS:
                    self._ends.popitem(last=False)
                waited = self._waiting.pop(one.hash, ())
                self._waits -= len(waited)
                todo.extend(reversed(waited))

    def left(self) -> int:
        """Return how many entries led nowhere: of other logs, or of this one behind some that no copy has."""
        return self._waits + self._fallen

    def left_behind(self, head: int) -> Iterator[int]:
        """Yield the ``seq`` of those that led nowhere, lie behind the log's end, and come from where it does.

        Of those that fell out, the last of each source.
        """
        for waited in self._waiting.values():
            for one in waited:
                if one.seq > head and one.source in self._sources:
                    yield one.seq
        for source, seq in self._last_fallen.items():
            if seq > head and source in self._sources:
                yield seq

    def _is_linked(self, copied: Copied) -> bool:
        if copied.seq == 1:
            return _stream_of(copied) == self._stream_id
        if copied.prev_hash is None:
            return False
        return copied.prev_hash in self._ends or copied.prev_hash in _hashes(self._index.lines(copied.seq - 1))

    def _is_in_log(self, copied: Copied) -> bool:
        lines = self._index.lines(copied.seq)
        return copied.line in lines or copied.hash in _hashes(lines)

    def _wait(self, copied: Copied) -> None:
        assert copied.prev_hash is not None
        held = copied._replace(
            line=None, telemetry=None, attributes=_NONE, judged=self._judge(copied), source=source_of(copied)
        )
        self._waiting.setdefault(copied.prev_hash, []).append(held)
        self._waits += 1
        while self._waits > MAX_WAITING:
            _, oldest = self._waiting.popitem(last=False)
            self._waits -= len(oldest)
            self._fallen += len(oldest)
            for one in oldest:
                if one.source in self._last_fallen or len(self._last_fallen) < MAX_SOURCES:
                    self._last_fallen[one.source] = max(one.seq, self._last_fallen.get(one.source, 0))


def _hashes(lines: Iterable[bytes]) -> list[str | None]:
    return [seal.hash for line in lines if (seal := split_seal(line)) is not None]


def _stream_of(copied: Copied) -> str | None:
    if copied.line is None:
        return None
    try:
        attributes = parse_line(copied.line)["attributes"]
    except MalformedLineError:
        return None
    found = attributes.get(semconv.AUDIT_STREAM_ID) if isinstance(attributes, dict) else None
    return found if isinstance(found, str) else None
