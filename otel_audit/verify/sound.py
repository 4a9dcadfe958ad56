"""The quick way over lines that follow soundly, in mode ``chain`` without a key.

It accepts a line only if it can prove it sound, and says nothing of the others: those go the
exact way (`otel_audit.verify.judge`), which also decides what they are. The proof is by
pieces: a line is the concatenation of texts that each stand for whole members, and each is
either checked here or equal, byte for byte, to one that was checked in an earlier line
(``resource``, the actor, the action repeat). Wherever the cuts fall, such a concatenation
is an object of the format, and an object reads in one way only.

What was measured, per line of 750 bytes: SHA-256 of it 0.8 µs, `orjson.loads` and `dumps` of
the whole line 1.9 µs, of only the attributes that do not repeat 0.4 µs; comparing seals one
by one 0.6 µs, block by block 0.3 µs.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

import orjson

from otel_audit import semconv
from otel_audit.entry import MalformedLineError, check_optional, is_time
from otel_audit.verify.notes import Notes
from otel_audit.verify.run import Place

_TAIL_BYTES: Final = 154  # ,"prev_hash":"…","hash":"…"}
_SEAL_BYTES: Final = 75  # ,"hash":"…"}
_HEX_DASH: Final = b"0123456789abcdef-"
_UUID_BYTES: Final = 36
_TIME: Final = b'"time":"'
_OBSERVED: Final = b',"observed_time":"'
_ID: Final = b',"attributes":{"audit.record.id":"'
_EVENT: Final = b'Z","event_name":'
_VERSION: Final = b'"audit.schema.version":"%s"' % semconv.SCHEMA_VERSION.encode()
_TRACE: Final = re.compile(rb',"trace_id":"[0-9a-f]{32}","span_id":"[0-9a-f]{16}","trace_flags":"[0-9a-f]{2}"')
_TRACE_BYTES: Final = 94
_LIFECYCLE: Final = b'"event_name":"audit.log.'

# Pieces that were checked are remembered up to these bounds, some 4 MiB in all.
_MAX_KNOWN: Final = 1024
_MAX_PIECE_BYTES: Final = 2048
_MAX_BRACKETS: Final = 48  # far from depth 64, wherever the piece stands


@dataclass(slots=True)
class Follower:
    """Follows a chain block by block; remembers pieces of lines that were checked."""

    notes: Notes
    chain_only: bool
    _starts: set[bytes] = field(default_factory=set)
    _actors: dict[bytes, frozenset[str]] = field(default_factory=dict)
    _ends: set[bytes] = field(default_factory=set)
    _seconds: set[bytes] = field(default_factory=set)

    def links(self, lines: list[bytes], seq: int, prev: str) -> list[str] | None:
        """Return the hash of each line, if each follows from the one before and its own is right.

        The first has ``seq`` and names ``prev``. None: one of them does not (or lines of so many
        digits that the comparison in one piece does not fit).
        """
        count = len(lines)
        digits = len(str(seq))
        if len(str(seq + count - 1)) != digits:
            return None
        sha256 = hashlib.sha256
        hashes = [sha256(line[:-_SEAL_BYTES]).hexdigest() for line in lines]
        # One comparison for all seals and one for all heads: a third of the cost of many.
        named: list[str] = [prev] * (2 * count)
        named[1::2] = hashes
        named[2::2] = hashes[:-1]
        expected = ',"prev_hash":"%s","hash":"%s"}' * count % tuple(named)
        if b"".join([line[-_TAIL_BYTES:] for line in lines]) != expected.encode():
            return None
        width = len('{"seq":,') + digits
        heads = '{"seq":' + ',{"seq":'.join(map(str, range(seq, seq + count))) + ","
        if b"".join([line[:width] for line in lines]) != heads.encode():
            return None
        return hashes

    def plain(
        self,
        lines: list[bytes],
        index: int,
        seq: int,
        observed: str,
        place: Place,
        offset: int,
    ) -> tuple[int, str]:
        """Return the index behind the lines that are proved sound, and the last observed time.

        Args:
            lines: `links` holds for them.
            index: Where to begin.
            seq: Of the line there.
            observed: ``observed_time`` of the line before.
            place: Of the line there.
            offset: Likewise.
        """
        if self.chain_only:
            while index < len(lines) and _LIFECYCLE not in lines[index]:
                index += 1
            return index, observed
        starts, actors, ends, seconds = self._starts, self._actors, self._ends, self._seconds
        loads, dumps, strict = orjson.loads, orjson.dumps, orjson.OPT_STRICT_INTEGER
        trace_form = _TRACE.fullmatch
        width = len('{"seq":,') + len(str(seq))
        start_at, start_ns, start_name = width + 28, width + 37, width + 37 + len(_EVENT)
        before = observed.encode()[:-1]
        end, trace = b"", b""
        first, counted = index, index
        for index in range(index, len(lines)):  # noqa: B020
            line = lines[index]
            if line[width:start_at] not in seconds or not line[start_at:start_ns].isdigit():
                break
            id_at = line.find(_ID, start_name) + 34
            if line[start_ns:id_at] not in starts:
                break
            rest_at = line.find(_VERSION, id_at) + 30
            names = actors.get(line[id_at + 36 : rest_at])
            if names is None or line[id_at : id_at + 36].translate(None, _HEX_DASH):
                break
            end_at = len(line) - _TAIL_BYTES - len(end)
            if not end or line[end_at:-_TAIL_BYTES] != end:
                end_at = line.rfind(_OBSERVED, rest_at, -_TAIL_BYTES) + 47
                end = line[end_at:-_TAIL_BYTES]
                if end not in ends:
                    break
            now = line[end_at - 29 : end_at]
            if line[end_at - 47 : end_at - 9] not in seconds or not line[end_at - 9 : end_at].isdigit() or now < before:
                break
            stop = end_at - 47
            if line[stop - _TRACE_BYTES : stop - 81] == b',"trace_id":"':
                context = line[stop - _TRACE_BYTES : stop]
                stop -= _TRACE_BYTES
                if context != trace:
                    if trace_form(context) is None:
                        break
                    trace = context
            text = line[rest_at:stop]
            if text != b"}":
                text = b"{" + text[1:] if text[:1] == b"," else b""
                try:
                    members = loads(text)
                    if dumps(members, option=strict) != text:
                        break
                except (orjson.JSONDecodeError, orjson.JSONEncodeError):
                    break
                if not members or not names.isdisjoint(members):
                    break
                if text.find(b"{", 1) > 0 or b"[" in text:
                    if text.count(b"{") + text.count(b"[") > _MAX_BRACKETS:
                        break
                if "audit.phase" in members:
                    offset += sum(map(len, lines[counted:index])) + index - counted
                    counted = index
                    self.notes.phase(
                        members,
                        line[id_at : id_at + 36].decode(),
                        now.decode() + "Z",
                        Place(place.segment, place.line + index - first),
                        offset,
                        seq + index - first,
                    )
            before = now
        else:
            index += 1
        return index, before.decode() + "Z"

    def learn(self, line: bytes) -> None:
        """Remember the pieces of a line that the exact way found sound, so that `plain` knows them."""
        if self.chain_only:
            return
        width = line.find(b",") + 1
        self._learn_second(line[width : width + 28], _TIME)
        id_at = line.find(_ID, width) + len(_ID)
        self._learn_start(line[width + 37 : id_at])
        rest_at = line.find(_VERSION, id_at) + len(_VERSION)
        self._learn_actor(line[id_at + _UUID_BYTES : rest_at])
        end_at = line.rfind(_OBSERVED, rest_at, -_TAIL_BYTES) + 47
        self._learn_second(line[end_at - 47 : end_at - 9], _OBSERVED)
        self._learn_end(line[end_at:-_TAIL_BYTES])

    def _learn_second(self, piece: bytes, name: bytes) -> None:
        second = piece[len(name) :]
        if piece.startswith(name) and is_time(second.decode("ascii", "replace") + "000000000Z"):
            _bound(self._seconds)
            self._seconds.add(piece)

    def _learn_start(self, piece: bytes) -> None:
        if not (piece.startswith(_EVENT) and piece.endswith(_ID)):
            return
        name = _canonical(b"[" + piece[len(_EVENT) : -len(_ID)] + b"]", piece)
        if isinstance(name, list) and len(name) == 1 and isinstance(name[0], str) and name[0]:
            if not name[0].startswith(semconv.LOG_EVENT_PREFIX) and len(name[0].encode()) <= 1024:
                _bound(self._starts)
                self._starts.add(piece)

    def _learn_actor(self, piece: bytes) -> None:
        members = _canonical(b'{"audit.record.id":"' + piece + b"}", piece)
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
    return value if text.count(b"{") + text.count(b"[") < _MAX_BRACKETS else None


def _bound(known: set[bytes] | dict[bytes, frozenset[str]]) -> None:
    if len(known) >= _MAX_KNOWN:
        known.clear()
