"""Pieces of lines that were checked once, and are known again by their bytes.

Each piece is the text of whole members. A line is the concatenation of such texts, each either
checked by itself or equal, byte for byte, to a piece of an earlier line that was
(``resource``, the actor, the action repeat). Wherever the cuts fall, such a concatenation is an
object of the format, and an object reads in one way only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import orjson

from otel_audit import semconv
from otel_audit.entry import MAX_EVENT_NAME_BYTES, MalformedLineError, check_optional, is_time

TIME: Final = b'"time":"'
OBSERVED: Final = b',"observed_time":"'
ID: Final = b',"attributes":{"audit.record.id":"'
EVENT: Final = b'Z","event_name":'
VERSION: Final = b'"audit.schema.version":"%s"' % semconv.SCHEMA_VERSION.encode()
TRACE: Final = re.compile(rb',"trace_id":"[0-9a-f]{32}","span_id":"[0-9a-f]{16}","trace_flags":"[0-9a-f]{2}"')
TRACE_START: Final = b',"trace_id":"'
TRACE_BYTES: Final = 94
UUID_BYTES: Final = 36
HEX_DASH: Final = b"0123456789abcdef-"
MAX_BRACKETS: Final = 48
"""Far from depth 64, wherever the piece stands."""
MAX_FLAT_BYTES: Final = 2 * MAX_BRACKETS
"""Too short for more levels than that."""

# Pieces that were checked are remembered up to these bounds, some 4 MiB in all.
_MAX_KNOWN: Final = 1024
_MAX_PIECE_BYTES: Final = 2048


@dataclass(slots=True)
class Pieces:
    """What is known of lines.

    Attributes:
        tail_bytes: Length of what `otel_audit.verify.linked` proves, at the end of each line.
        starts: From behind ``time`` to the record id.
        actors: From behind the record id to the comma or brace behind the schema version, with
            the names of all these attributes.
        ends: From behind the digits of ``observed_time`` to the tail.
        seconds: ``time`` and ``observed_time`` up to their fractions.
    """

    tail_bytes: int
    starts: set[bytes] = field(default_factory=set)
    actors: dict[bytes, frozenset[str]] = field(default_factory=dict)
    ends: set[bytes] = field(default_factory=set)
    seconds: set[bytes] = field(default_factory=set)

    def learn(self, line: bytes) -> None:
        """Remember the pieces of a line that the exact way found sound."""
        width = line.find(b",") + 1
        id_at = line.find(ID, width) + len(ID)
        self._learn_start(line[width + 37 : id_at])
        rest_at = line.find(VERSION, id_at) + len(VERSION) + 1  # with the comma or brace
        self._learn_actor(line[id_at + UUID_BYTES : rest_at])
        end_at = line.rfind(OBSERVED, rest_at, -self.tail_bytes) + 47
        self._learn_end(line[end_at : -self.tail_bytes])

    def second(self, piece: bytes, name: bytes) -> bool:
        """Return whether this is a time of the format up to its fraction.

        Args:
            piece: With the member's name.
            name: With all that stands before the value.
        """
        if piece in self.seconds:
            return True
        second = piece[len(name) :]
        if not piece.startswith(name) or not is_time(second.decode("ascii", "replace") + "000000000Z"):
            return False
        _bound(self.seconds)
        self.seconds.add(piece)
        return True

    def _learn_start(self, piece: bytes) -> None:
        if not (piece.startswith(EVENT) and piece.endswith(ID)):
            return
        name = _canonical(b"[" + piece[len(EVENT) : -len(ID)] + b"]", piece)
        if not isinstance(name, list) or len(name) != 1 or not isinstance(name[0], str):
            return
        own = name[0].startswith(semconv.LOG_EVENT_PREFIX)
        if not own and 0 < len(name[0].encode()) <= MAX_EVENT_NAME_BYTES:
            _bound(self.starts)
            self.starts.add(piece)

    def _learn_actor(self, piece: bytes) -> None:
        if piece[-1:] not in (b",", b"}"):
            return
        members = _canonical(b'{"audit.record.id":"' + piece[:-1] + b"}", piece)
        if isinstance(members, dict) and members.get("audit.record.id") == "":
            names = frozenset(members)
            if names.issuperset(semconv.REQUIRED_ATTRIBUTES) and semconv.AUDIT_PHASE not in names:
                _bound(self.actors)
                self.actors[piece] = names

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
        _bound(self.ends)
        self.ends.add(piece)


def brackets(text: bytes) -> int:
    """Return how many brackets open in a text, strings included: its depth is no more."""
    return text.count(b"{") + text.count(b"[")


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
    return value if brackets(text) < MAX_BRACKETS else None


def _bound(known: set[bytes] | dict[bytes, frozenset[str]]) -> None:
    if len(known) >= _MAX_KNOWN:
        known.clear()
