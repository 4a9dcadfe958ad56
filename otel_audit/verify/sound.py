"""The quick way over lines that follow soundly: their contents (`otel_audit.verify.linked`: links).

It accepts a line only if it can prove it sound, and says nothing of the others: those go the
exact way (`otel_audit.verify.judge`), which also decides what they are. The proof is by
pieces: a line is the concatenation of texts that each stand for whole members, and each is
either checked here or equal, byte for byte, to one that was checked in an earlier line
(``resource``, the actor, the action repeat). Wherever the cuts fall, such a concatenation
is an object of the format, and an object reads in one way only.

What was measured, per line of 750 bytes: `orjson.loads` and `dumps` of the whole line 1.8 µs, of the
attributes that do not repeat 0.4 µs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import orjson

from otel_audit import semconv
from otel_audit.entry import MAX_EVENT_NAME_BYTES, MalformedLineError, check_optional, is_time
from otel_audit.verify.linked import Linked
from otel_audit.verify.notes import Notes
from otel_audit.verify.run import Place

_HEX_DASH: Final = b"0123456789abcdef-"
_UUID_BYTES: Final = 36
_TIME: Final = b'"time":"'
_OBSERVED: Final = b',"observed_time":"'
_ID: Final = b',"attributes":{"audit.record.id":"'
_EVENT: Final = b'Z","event_name":'
_VERSION: Final = b'"audit.schema.version":"%s"' % semconv.SCHEMA_VERSION.encode()
_TRACE: Final = re.compile(rb',"trace_id":"[0-9a-f]{32}","span_id":"[0-9a-f]{16}","trace_flags":"[0-9a-f]{2}"')
_TRACE_BYTES: Final = 94
_TRACE_START: Final = b',"trace_id":"'

# Pieces that were checked are remembered up to these bounds, some 4 MiB in all.
_MAX_KNOWN: Final = 1024
_MAX_PIECE_BYTES: Final = 2048
_MAX_BRACKETS: Final = 48  # far from depth 64, wherever the piece stands
_MAX_FLAT_BYTES: Final = 2 * _MAX_BRACKETS  # too short for more levels than that


@dataclass(slots=True)
class Follower:
    """Takes linked lines block by block; remembers pieces of lines that were checked.

    Attributes:
        tail_bytes: Length of what `otel_audit.verify.linked` proves, at the end of each line.
    """

    notes: Notes
    tail_bytes: int
    _starts: set[bytes] = field(default_factory=set)
    _actors: dict[bytes, frozenset[str]] = field(default_factory=dict)
    _ends: set[bytes] = field(default_factory=set)
    _seconds: set[bytes] = field(default_factory=set)

    def plain(
        self,
        linked: Linked,
        index: int,
        seq: int,
        observed: str,
        place: Place,
        offset: int,
    ) -> tuple[int, str]:
        """Return the index behind the lines that are proved sound, and the last observed time.

        Args:
            linked: The lines.
            index: Where to begin.
            seq: Of the line there.
            observed: ``observed_time`` of the line before.
            place: Of the line there.
            offset: Of the first of all the lines.
        """
        starts, actors, ends, seconds = self._starts, self._actors, self._ends, self._seconds
        loads, dumps, strict = orjson.loads, orjson.dumps, orjson.OPT_STRICT_INTEGER
        trace_form, trace_bytes, trace_start = _TRACE.fullmatch, _TRACE_BYTES, _TRACE_START
        hex_dash, behind, flat_bytes = _HEX_DASH, -self.tail_bytes, _MAX_FLAT_BYTES
        time_at = len('{"seq":,') + len(str(seq))
        nanos_at = time_at + 28
        name_at = nanos_at + 9
        before = observed.encode()[:-1]
        # The pieces of the line before, which are most likely those of this one, too.
        start = actor = end = trace = b"\n"
        names: frozenset[str] | None = None
        end_bytes = 0
        second = observed_second = b"\n"
        first, bounds, data = index, linked.bounds, linked.data
        stopped = len(linked.hashes)
        # One line at a time: as many copies at once as there are lines would leave the cache.
        number = index - 1
        for at, following in zip(bounds[index:], bounds[index + 1 :], strict=False):
            number += 1
            line = data[at : following - 1]
            if not line.startswith(second, time_at):
                second = line[time_at:nanos_at]
                if second not in seconds:
                    stopped = number
                    break
            if not line[nanos_at:name_at].isdigit():
                stopped = number
                break
            if not line.startswith(start, name_at):
                start = line[name_at : line.find(_ID, name_at) + 34]
                if start not in starts:
                    stopped = number
                    break
            id_at = name_at + len(start)
            actor_at = id_at + 36
            if not line.startswith(actor, actor_at):
                actor = line[actor_at : line.find(_VERSION, actor_at) + 31]
                names = actors.get(actor)
            if names is None or line[id_at:actor_at].translate(None, hex_dash):
                stopped = number
                break
            rest_at = actor_at + len(actor)
            end_at = len(line) - end_bytes
            if line[end_at:behind] != end:
                end_at = line.rfind(_OBSERVED, rest_at, behind) + 47
                end = line[end_at:behind]
                end_bytes = len(end) - behind
                if end not in ends:
                    stopped = number
                    break
            now = line[end_at - 29 : end_at]
            stop = end_at - 47
            if not line.startswith(observed_second, stop):
                observed_second = line[stop : end_at - 9]
                if observed_second not in seconds:
                    stopped = number
                    break
            if now < before or not line[end_at - 9 : end_at].isdigit():
                stopped = number
                break
            if line.startswith(trace_start, stop - trace_bytes):
                context = line[stop - trace_bytes : stop]
                stop -= trace_bytes
                if context != trace:
                    if trace_form(context) is None:
                        stopped = number
                        break
                    trace = context
            if stop != rest_at or actor[-1] != 125:  # }
                # What the actor's piece, ending in a comma, leaves of the attributes.
                text = b"{" + line[rest_at:stop]
                try:
                    members = loads(text)
                    same = dumps(members, option=strict) == text
                except (orjson.JSONDecodeError, orjson.JSONEncodeError):
                    same = False
                if (
                    not same
                    or actor[-1] != 44  # ,
                    or len(text) < 3
                    or not names.isdisjoint(members)
                    or (len(text) > flat_bytes and _brackets(text) > _MAX_BRACKETS)
                ):
                    stopped = number
                    break
                if "audit.phase" in members:
                    self.notes.phase(
                        members,
                        line[id_at:actor_at].decode(),
                        now.decode() + "Z",
                        Place(place.segment, place.line + number - first),
                        offset + at,
                        seq + number - first,
                    )
            before = now
        return stopped, before.decode() + "Z"

    def learn(self, line: bytes) -> None:
        """Remember the pieces of a line that the exact way found sound, so that `plain` knows them."""
        width = line.find(b",") + 1
        self._learn_second(line[width : width + 28], _TIME)
        id_at = line.find(_ID, width) + len(_ID)
        self._learn_start(line[width + 37 : id_at])
        rest_at = line.find(_VERSION, id_at) + len(_VERSION) + 1  # with the comma or brace
        self._learn_actor(line[id_at + _UUID_BYTES : rest_at])
        end_at = line.rfind(_OBSERVED, rest_at, -self.tail_bytes) + 47
        self._learn_second(line[end_at - 47 : end_at - 9], _OBSERVED)
        self._learn_end(line[end_at : -self.tail_bytes])

    def _learn_second(self, piece: bytes, name: bytes) -> None:
        second = piece[len(name) :]
        if piece.startswith(name) and is_time(second.decode("ascii", "replace") + "000000000Z"):
            _bound(self._seconds)
            self._seconds.add(piece)

    def _learn_start(self, piece: bytes) -> None:
        if not (piece.startswith(_EVENT) and piece.endswith(_ID)):
            return
        name = _canonical(b"[" + piece[len(_EVENT) : -len(_ID)] + b"]", piece)
        if not isinstance(name, list) or len(name) != 1 or not isinstance(name[0], str):
            return
        own = name[0].startswith(semconv.LOG_EVENT_PREFIX)
        if not own and 0 < len(name[0].encode()) <= MAX_EVENT_NAME_BYTES:
            _bound(self._starts)
            self._starts.add(piece)

    def _learn_actor(self, piece: bytes) -> None:
        if piece[-1:] not in (b",", b"}"):
            return
        members = _canonical(b'{"audit.record.id":"' + piece[:-1] + b"}", piece)
        if isinstance(members, dict) and members.get("audit.record.id") == "":
            names = frozenset(members)
            if names.issuperset(semconv.REQUIRED_ATTRIBUTES) and semconv.AUDIT_PHASE not in names:
                _bound(self._actors)
                self._actors[piece] = names

    def _learn_end(self, piece: bytes) -> None:
        members = _canonical(b'{"":"' + piece + b"}", piece)
        if not isinstance(members, dict) or members.pop("", None) != "Z":
            return
        if list(members) not in ([], ["resource"], ["scope"], ["resource", "scope"]):
            return
        try:
            check_optional(members)
        except MalformedLineError:
            return
        _bound(self._ends)
        self._ends.add(piece)


def _canonical(text: bytes, piece: bytes) -> object:
    """Return the value of a text that orjson writes in the same way, else None."""
    if not 0 < len(piece) <= _MAX_PIECE_BYTES:
        return None
    try:
        value: object = orjson.loads(text)
        if orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER) != text:
            return None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return value if _brackets(text) < _MAX_BRACKETS else None


def _brackets(text: bytes) -> int:
    return text.count(b"{") + text.count(b"[")


def _bound(known: set[bytes] | dict[bytes, frozenset[str]]) -> None:
    if len(known) >= _MAX_KNOWN:
        known.clear()
