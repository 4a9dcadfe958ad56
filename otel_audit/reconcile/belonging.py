"""Which copied entries are this log's.

The quick way stamps the stream id on each record. A line does not carry it, so neither do exact
lines and what a file receiver makes of them; a gateway's archive may hold those of many logs. What
names an entry of this log as its predecessor, or another entry that does, is this log's. So is an
``opened`` that states its stream id, wherever it stands (each process and each segment begins with
one), and what follows that. What leads in the same way to the first ``opened`` of another log is that
log's: only lines that have the hash that they say prove it, for whoever can send to a collector can
write any other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from otel_audit import semconv
from otel_audit.chain import GENESIS
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.reconcile.copied import Copied, Judgement, is_sound
from otel_audit.reconcile.judge import hashes_of
from otel_audit.reconcile.log_index import LogIndex
from otel_audit.reconcile.otlp_json import text
from otel_audit.reconcile.sources import MAX_SOURCES, Source, Sources, source_of

MAX_WAITING: Final = 100_000
"""Entries that arrived before the one that they follow, and other logs': some 60 MiB. Then the oldest fall out."""
_NONE: Final[dict[str, Any]] = {}
MAX_ENDS: Final = 1 << 18
"""Hashes of entries that this log does not have, which others may follow; of other logs' entries likewise."""

_OPENED: Final = b'"event_name":"' + semconv.LOG_OPENED.encode() + b'"'
_EVENT_NAME_WITHIN: Final = 80
_RECORD_ID: Final = b'"' + semconv.AUDIT_RECORD_ID.encode() + b'":"'

Judge = Callable[[Copied], Judgement]
"""Judges an entry at once, so that what waits need not be kept whole."""


class Belonging:
    """Sorts copied entries: this log's, another's, or not known yet.

    Args:
        index: The log.
        judge: Of entries that wait.

    Attributes:
        others: Entries of other logs, as far as is known.
        sources: Where this log's entries come from.
    """

    def __init__(self, index: LogIndex, judge: Judge) -> None:
        self._index = index
        self._judge = judge
        self._stream_id = index.declared.stream_id
        self._chained = index.declared.mode == "chain"
        self._ends: OrderedDict[str, None] = OrderedDict()
        self._ends_of_others: OrderedDict[str, None] = OrderedDict()
        self._waiting: OrderedDict[str, list[Copied]] = OrderedDict()
        self._waits = 0
        self._fallen = 0
        self._fallen_kept: dict[tuple[Source, bool], Copied] = {}
        self.sources = Sources()
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
            self.sources.add(source_of(copied))
            yield copied
            return
        elif self._is_of_another(copied):
            self._leave_out(copied)
            return
        elif not self._is_linked(copied):
            self._wait(copied)
            return
        todo = [copied]
        while todo:
            one = todo.pop()
            self.sources.add(source_of(one) if one.judged is None else one.source)
            yield one
            if one.hash is not None and self._chained and not self._is_in_log(one):
                _remember(self._ends, one.hash)
                todo.extend(reversed(self._take_waiting(one.hash)))

    def left(self) -> int:
        """Return how many entries led nowhere: of other logs, or of this one behind some that no copy has."""
        return self._waits + self._fallen

    def led_nowhere(self) -> Iterator[Copied]:
        """Yield what of these was kept, but for what is stamped as another log's.

        Of those that fell out: of each source the first that contradicts the log, and the last of the others.
        """
        for group in (*self._waiting.values(), self._fallen_kept.values()):
            for one in group:
                if one.stream_id is None or self._stream_id is None or one.stream_id == self._stream_id:
                    yield one

    def _is_linked(self, copied: Copied) -> bool:
        if copied.seq == 1:
            return _stream_of(copied) == self._stream_id
        if copied.prev_hash is None:
            return False
        if self._states_own_stream(copied):
            return True
        return copied.prev_hash in self._ends or copied.prev_hash in hashes_of(self._index.lines(copied.seq - 1))

    def _states_own_stream(self, copied: Copied) -> bool:
        line = copied.line
        if line is None or line.find(_OPENED, 0, _EVENT_NAME_WITHIN + len(_OPENED)) < 0 or self._stream_id is None:
            return False
        return is_sound(line) and _stream_of(copied) == self._stream_id

    def _is_in_log(self, copied: Copied) -> bool:
        lines = self._index.lines(copied.seq)
        return copied.line in lines or copied.hash in hashes_of(lines)

    def _is_of_another(self, copied: Copied) -> bool:
        if copied.prev_hash is None:
            return copied.line is not None  # a log of another mode
        if copied.prev_hash in self._ends_of_others:
            return True
        if copied.seq != 1 or copied.prev_hash != GENESIS or self._stream_id is None:
            return False
        return _stream_of(copied) not in (None, self._stream_id)

    def _leave_out(self, copied: Copied) -> None:
        todo = [copied]
        while todo:
            one = todo.pop()
            self.others += 1
            if one.hash is not None and (one.sealed or (one.line is not None and is_sound(one.line))):
                _remember(self._ends_of_others, one.hash)
                todo.extend(self._take_waiting(one.hash))

    def _take_waiting(self, digits: str) -> list[Copied]:
        waited = self._waiting.pop(digits, [])
        self._waits -= len(waited)
        return waited

    def _wait(self, copied: Copied) -> None:
        judged = self._judge(copied)
        held = copied._replace(
            line=None,
            telemetry=None,
            attributes=_NONE,
            judged=judged,
            source=source_of(copied),
            sealed=copied.line is not None and is_sound(copied.line),
            same_record=judged.changed and _is_record_of(copied, self._index.lines(copied.seq)),
        )
        self._waiting.setdefault(copied.prev_hash or "", []).append(held)
        self._waits += 1
        while self._waits > MAX_WAITING:
            _, oldest = self._waiting.popitem(last=False)
            self._waits -= len(oldest)
            self._fallen += len(oldest)
            for one in oldest:
                self._keep_of_fallen(one)

    def _keep_of_fallen(self, one: Copied) -> None:
        kept = self._fallen_kept.get((one.source, one.contradicts))
        if kept is None:
            if len(self._fallen_kept) < 2 * MAX_SOURCES:
                self._fallen_kept[one.source, one.contradicts] = one
        elif one.seq < kept.seq if one.contradicts else one.seq > kept.seq:
            self._fallen_kept[one.source, one.contradicts] = one


def _remember(ends: OrderedDict[str, None], digits: str) -> None:
    ends[digits] = None
    if len(ends) > MAX_ENDS:
        ends.popitem(last=False)


def _stream_of(copied: Copied) -> str | None:
    return None if copied.line is None else _attribute(copied.line, semconv.AUDIT_STREAM_ID)


def _is_record_of(copied: Copied, lines: Sequence[bytes]) -> bool:
    name = semconv.AUDIT_RECORD_ID
    found = text(copied.attributes.get(name)) if copied.line is None else _attribute(copied.line, name)
    if found is None:
        return False
    sought = _RECORD_ID + found.encode("utf-8", "replace")
    return any(sought in line and _attribute(line, name) == found for line in lines)


def _attribute(line: bytes, name: str) -> str | None:
    try:
        attributes = parse_line(line)["attributes"]
    except MalformedLineError:
        return None
    found = attributes.get(name) if isinstance(attributes, dict) else None
    return found if isinstance(found, str) else None
