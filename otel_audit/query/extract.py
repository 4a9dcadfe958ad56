"""A verifiable extract: chosen entries, and what links them up to the head (docs/export.md, "The extract").

The hash of an entry covers its ``prev_hash`` as the last thing of all. So of an entry that is left
out it is enough to give the state of SHA-256 before its last bytes, and these bytes: whoever has
the hash of the entry before computes the hash of this one, and never sees what it says.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import orjson

from otel_audit.chain import Head, entry_hash
from otel_audit.entry import MalformedLineError, parse_entry
from otel_audit.errors import AuditRecordError, AuditVerifyError
from otel_audit.line_form import format_time
from otel_audit.query.midstate import BLOCK_BYTES, INITIAL_STATE, go_on
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.declared import Declared
from otel_audit.verify.seal import Seal, split_seal
from otel_audit.verify.segment import Segment, read_blocks

VERSION: Final = 1
BEGINS: Final = b'{"extract":'
"""The first bytes of an extract; a line of a log begins otherwise."""
SUFFIX: Final = ".extract"
"""What the name of an extract ends in; a log's ends in ``.jsonl``."""
DIGITS_END: Final = 65
"""The digits of ``prev_hash`` and a quote are the last bytes that a hash covers."""

_HEAD: Final = re.compile(rb'\{"seq":([1-9][0-9]{0,15}),')
_PREV: Final = re.compile(rb',"prev_hash":"([0-9a-f]{64})"')
_PREV_BYTES: Final = 79
_MAX_WAITING: Final = 4096
_MAX_WAITING_BYTES: Final = 8 << 20


class Extract(NamedTuple):
    """What was written.

    Attributes:
        chosen: Entries whose lines it has.
        left_out: Entries behind the first of these that it has not.
        head: Where it ends; None where nothing was chosen.
    """

    chosen: int
    left_out: int
    head: Head | None


class BrokenChainError(AuditVerifyError):
    """The log's own chain does not hold where the extract would need it."""


def write_extract(
    segments: Iterable[Segment],
    declared: Declared,
    selection: Selection,
    write: Callable[[bytes], object],
    *,
    linked: bool = True,
    anchor: Head | None = None,
    progress: Callable[[int], None] | None = None,
) -> Extract:
    """Write the extract of a log; nothing at all where no entry is chosen.

    Memory: some MiB. Of each entry that is left out behind the first chosen one, all blocks are hashed
    here, some 100 µs; not so with ``linked=False``.

    Args:
        segments: Of the log, in order.
        declared: What it says of itself.
        selection: Which entries are chosen.
        write: Takes bytes.
        linked: Over entries that are left out, too; False: of these only the seqs are told.
        anchor: Where to end, in place of the head.
        progress: Told how many bytes of the log were read.

    Raises:
        BrokenChainError: A line between the first chosen and the end does not follow the one before, a
            chosen one lacks the hmac that the log declares (or has one that it does not), or the anchor
            is not in the log.
    """
    if anchor is not None:
        last = anchor.seq if selection.until_seq is None else min(anchor.seq, selection.until_seq)
        selection = dataclasses.replace(selection, until_seq=last)
    return _Writer(declared, selection, write, linked, anchor).run(segments, progress)


class _LeftOut(NamedTuple):
    """An entry whose line is not written."""

    seq: int
    hash: str
    line: bytes
    length: int  # of what its hash covers


class _Writer:
    def __init__(
        self,
        declared: Declared,
        selection: Selection,
        write: Callable[[bytes], object],
        linked: bool,
        anchor: Head | None,
    ) -> None:
        self._declared = declared
        self._selection = selection
        self._scanner = Scanner(selection)
        self._write = write
        self._chained = declared.mode == "chain"
        self._linked = linked and self._chained
        self._anchor = anchor
        self._waiting: list[bytes | _LeftOut] = []
        self._waiting_bytes = 0
        self._gap: tuple[int, int] | None = None
        self._chosen = 0
        self._left_out = 0
        self._head: Head | None = None

    def run(self, segments: Iterable[Segment], progress: Callable[[int], None] | None) -> Extract:
        done = 0
        for segment in segments:
            lines = 0
            for block in read_blocks(segment):
                if progress is not None:
                    progress(done + block.offset)
                if block.kind == "lines":
                    self._take(block.data, segment.path, lines)
                    lines += block.data.count(b"\n") + 1
                lines += block.kind == "end"
                if self._is_over():
                    return self._finished()
            done += segment.size_bytes
        if self._anchor is not None and self._head is not None:
            raise BrokenChainError(f"expected the anchor {self._anchor}, got the end of the log behind {self._head}")
        return self._finished()

    def _is_over(self) -> bool:
        return self._anchor is not None and self._head is not None and self._head.seq >= self._anchor.seq

    def _take(self, data: bytes, path: str, lines: int) -> None:
        """Take in the whole lines of a block."""
        chosen = set(self._chosen_in(data))
        if not chosen and self._head is None:
            return
        at = 0
        for number, line in enumerate(data.split(b"\n"), lines + 1):
            if self._head is not None or at in chosen:
                self._entry(line, at in chosen, f"{path}:{number}")
                if self._is_over():
                    return
            at += len(line) + 1

    def _chosen_in(self, data: bytes) -> Iterable[int]:
        for at, line in self._scanner.lines(data):
            try:
                entry = parse_entry(line)
            except MalformedLineError:
                continue
            if self._selection.matches(entry):
                yield at

    def _entry(self, line: bytes, wanted: bool, place: str) -> None:
        match = _HEAD.match(line)
        seal = split_seal(line)
        if match is None or (seal is None and self._declared.mode != "none"):
            return  # a fragment: no entry, and nothing that the chain knows of
        head = Head(int(match[1]), "" if seal is None else seal.hash)
        self._check(head, line, seal, place)
        self._head = head
        if self._anchor is not None and head.seq >= self._anchor.seq and head != self._anchor:
            raise BrokenChainError(f"{place}: expected the anchor {self._anchor}, got {head}")
        if wanted:
            self._check_key(head, seal, place)
            if not self._chosen:
                key = {} if self._declared.place is None else {"key_id": self._declared.key_id}
                self._write_members(
                    {
                        "extract": VERSION,
                        "stream_id": self._declared.stream_id,
                        "integrity": self._declared.mode,
                        **key,
                        "selection": as_members(self._selection),
                    }
                )
            self._chosen += 1
            self._close_gap()
            self._put(line + b"\n", len(line))
            return
        self._left_out += 1
        if self._linked:
            assert seal is not None  # the mode has one
            self._put(_LeftOut(head.seq, head.hash, line, seal.start), len(line))
        else:
            self._gap = (head.seq if self._gap is None else self._gap[0], head.seq)

    def _check(self, head: Head, line: bytes, seal: Seal | None, place: str) -> None:
        before = self._head
        if seal is not None and entry_hash(line[: seal.start]) != seal.hash:
            raise BrokenChainError(f"{place}: seq {head.seq}: expected a line that fits its hash, got another")
        if before is not None and head.seq != before.seq + 1:
            raise BrokenChainError(f"{place}: expected seq {before.seq + 1}, got {head.seq}")
        if not self._chained:
            return
        assert seal is not None  # the mode has one
        prev = _PREV.fullmatch(line, max(0, seal.start - _PREV_BYTES), seal.start)
        if prev is None or (before is not None and prev[1].decode() != before.hash):
            got = "none" if prev is None else prev[1].decode()
            expected = "a prev_hash" if before is None else f"prev_hash {before.hash}"
            raise BrokenChainError(f"{place}: seq {head.seq}: expected {expected}, got {got}")

    def _check_key(self, head: Head, seal: Seal | None, place: str) -> None:
        key_id, hmac = self._declared.key_id, None if seal is None else seal.hmac
        if self._declared.place is not None and (hmac is None) != (key_id is None):
            expected = "no hmac" if key_id is None else "an hmac"
            got = "none" if hmac is None else "one"
            raise BrokenChainError(f"{place}: seq {head.seq}: expected {expected}, as the log declares, got {got}")

    def _put(self, item: bytes | _LeftOut, size: int) -> None:
        self._waiting.append(item)
        self._waiting_bytes += size
        if len(self._waiting) >= _MAX_WAITING or self._waiting_bytes >= _MAX_WAITING_BYTES:
            self._flush()

    def _flush(self) -> None:
        left_out = [item for item in self._waiting if isinstance(item, _LeftOut)]
        ends = [(item.length - DIGITS_END) // BLOCK_BYTES * BLOCK_BYTES for item in left_out]
        blocks = [item.line[:end] for item, end in zip(left_out, ends, strict=True)]
        states = iter(zip(go_on([INITIAL_STATE] * len(blocks), blocks), ends, strict=True))
        for item in self._waiting:
            if isinstance(item, bytes):
                self._write(item)
                continue
            state, end = next(states)
            rest = item.line[end : item.length - DIGITS_END]
            self._write_members(
                {
                    "left_out": item.seq,
                    "hash": item.hash,
                    "length": item.length,
                    "state": state.hex(),
                    "rest": rest.hex(),
                }
            )
        self._waiting.clear()
        self._waiting_bytes = 0

    def _close_gap(self) -> None:
        if self._gap is not None:
            first, last = self._gap
            line = orjson.dumps({"left_out": first, "to": last}) + b"\n"
            self._put(line, len(line))
            self._gap = None

    def _finished(self) -> Extract:
        self._close_gap()
        self._flush()
        head = self._head
        if head is None:
            return Extract(0, 0, None)
        self._write_members(
            {
                "head": {"seq": head.seq, "hash": head.hash or None},
                "chosen": self._chosen,
                "left_out": self._left_out,
            }
        )
        return Extract(self._chosen, self._left_out, head)

    def _write_members(self, members: dict[str, object]) -> None:
        self._write(orjson.dumps(members) + b"\n")


def as_members(selection: Selection) -> dict[str, object]:
    r"""Return what a selection says, as any reader of JSON takes it.

    Times are spelled as in a line; left out where no time of a line lies beyond, as what was not
    asked for is. A lone surrogate, which an argument that is no UTF-8 becomes, is spelled ``\udcff``.
    """
    members = {
        field.name.removesuffix("_ns"): _time_text(value) if field.name.endswith("_ns") else _encodable(value)
        for field in dataclasses.fields(selection)
        if (value := getattr(selection, field.name)) != field.default
    }
    return {name: value for name, value in members.items() if value is not None}


def _time_text(time_ns: int) -> str | None:
    try:
        return format_time(time_ns).decode()
    except AuditRecordError:  # outside the years 1 to 9999
        return None


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return [_encodable(one) for one in value] if isinstance(value, tuple) else value
