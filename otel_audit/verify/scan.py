"""One pass over the files: runs of linked lines, unreadable regions, notes."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import Final

from otel_audit.line import MAX_LINE_BYTES
from otel_audit.verify.columns import Columns
from otel_audit.verify.finding import Kind
from otel_audit.verify.judge import Judge, Verdict
from otel_audit.verify.linked import Linked, Links
from otel_audit.verify.notes import Notes
from otel_audit.verify.pieces import Pieces
from otel_audit.verify.region import Region, Unreadable
from otel_audit.verify.run import Place, Run, line_hash
from otel_audit.verify.seal import split_seal
from otel_audit.verify.segment import Block, Segment, read_blocks
from otel_audit.verify.sound import Follower

# Lines of these kinds can follow one another by the thousand, each linked to the next.
_LINKED_KINDS: Final[frozenset[Kind | None]] = frozenset({None, "mac_missing", "mac_invalid"})
_LIFECYCLE_MARKS: Final = (b'"event_name":"audit.log.', b"\\u00")
"""What a lifecycle entry holds: a name in ASCII can be spelt otherwise only by such escapes."""


@dataclass(slots=True)
class Scan:
    """What one pass finds; `Scan.read` does it.

    Attributes:
        anchors: Their ``seq``, ascending: entries with these are kept in ``anchored``.
        anchored: (seq, hash) to the places where such an entry stands.
        closed: Names of segments that someone says are closed; all but the last are anyway.
        digests: SHA-256 of each closed segment.
        entries: Readable lines of each segment.
        firsts: The first of them.
        lasts: The last of them.
        declarations: Regions by the place of the readable line behind them.
    """

    segments: tuple[Segment, ...]
    judge: Judge
    notes: Notes
    anchors: Sequence[int] = ()
    chain_only: bool = False
    closed: Container[str] = ()
    runs: list[Run] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    declarations: dict[Place, Region] = field(default_factory=dict)
    anchored: dict[tuple[int, str], list[Place]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    entries: list[int] = field(default_factory=list)
    firsts: list[Place | None] = field(default_factory=list)
    lasts: list[Place | None] = field(default_factory=list)
    _run: Run | None = None
    _before_region: Run | None = None  # the run that unreadable lines cut off
    _observed: str = ""
    _region: Unreadable | None = None

    def read(self) -> None:
        """Read all segments, once."""
        declared = self.judge.declared
        links = Links(declared.mode, declared.key_id is not None, self.judge.key)
        pieces = Pieces(links.tail_bytes)
        ways = Columns(self.notes, pieces), Follower(self.notes, pieces)
        for number, segment in enumerate(self.segments):
            active = number == len(self.segments) - 1 and segment.name not in self.closed
            digest = None if active else hashlib.sha256()
            self.entries.append(0)
            self.firsts.append(None)
            self.lasts.append(None)
            at = 1
            for block in read_blocks(segment):
                if digest is not None:
                    digest.update(block.data + (b"" if block.kind in ("piece", "tail") else b"\n"))
                at = self._block(block, number, at, links, ways)
            self._close_region(torn=False)
            if digest is not None:
                self.digests[number] = digest.hexdigest()

    def _block(self, block: Block, number: int, at: int, links: Links, ways: tuple[Columns, Follower]) -> int:
        """Take a block; return the line after it."""
        if block.kind != "lines":
            return self._unreadable_block(block, number, at)
        data, run = block.data, self._run
        linked = None
        # A block as long as the longest line may hold one that is too long: line by line, then.
        if len(data) < MAX_LINE_BYTES and run is not None and run.kind is None and len(run.ends) <= 1:
            linked = links.follow(data, run.last_seq + 1, run.ends[0] if run.ends else "")
        if linked is not None and run is not None and self._only_links(data):
            count = len(linked.hashes)
            self._keep_anchors(linked.hashes, run.last_seq + 1, 0, count, number, at)
            self._extend(linked.hashes[-1], count, number, at, block.offset)
            return at + count
        index, offset = 0, block.offset
        if linked is not None and not self.chain_only:
            index = self._follow(ways, linked, number, at, offset)
            offset += linked.bounds[index]
            if index == len(linked.hashes):
                return at + index
        for line in data[offset - block.offset :].split(b"\n"):
            self._line(line, number, at + index, offset)
            index += 1
            offset += len(line) + 1
        return at + index

    def _only_links(self, data: bytes) -> bool:
        # The log's own entries tell how segments hang together; one segment needs none of them.
        return self.chain_only and (len(self.segments) == 1 or not any(mark in data for mark in _LIFECYCLE_MARKS))

    def _follow(self, ways: tuple[Columns, Follower], linked: Linked, number: int, at: int, offset: int) -> int:
        """Take lines that follow soundly from the current run; return the index behind them."""
        assert self._run is not None
        columns, follower = ways
        first_seq, hashes = self._run.last_seq + 1, linked.hashes
        proven = columns.prove(linked, first_seq)
        index = 0
        while index < len(hashes):
            place = Place(number, at + index)
            seq, before = first_seq + index, self._observed
            if proven is not None:
                taken, self._observed = proven.plain(index, seq, before, place, offset)
            else:
                taken, self._observed = follower.plain(linked, index, seq, before, place, offset)
            if taken > index:
                self._keep_anchors(hashes, first_seq, index, taken, number, at)
                start = offset + linked.bounds[index]
                self._extend(hashes[taken - 1], taken - index, number, at + index, start)
                index = taken
            if index < len(hashes):
                # Not of the plain form: the exact way decides, and the loop goes on behind it.
                line = linked.line(index)
                self._line(line, number, at + index, offset + linked.bounds[index])
                index += 1
                run = self._run
                if run is None or run.kind is not None or run.ends != self._ends(hashes[index - 1]):
                    break
                follower.pieces.learn(line)
        return index

    def _extend(self, end: str, count: int, number: int, at: int, offset: int) -> None:
        """Add sound lines to the current run (a run of its own in each segment)."""
        run = self._run
        assert run is not None
        self._count(Place(number, at), Place(number, at + count - 1), count)
        if run.segment != number:
            before = run.ends[0] if self.judge.declared.mode == "chain" else None
            run = Run(number, at, offset, 0, run.last_seq + 1, before, ())
            self.runs.append(run)
            self._run = run
        run.count += count
        run.ends = self._ends(end)

    def _ends(self, end: str) -> tuple[str, ...]:
        return (end,) if end else ()

    def _count(self, first: Place, last: Place, count: int) -> None:
        self.entries[first.segment] += count
        if self.firsts[first.segment] is None:
            self.firsts[first.segment] = first
        self.lasts[first.segment] = last

    def _keep_anchors(self, hashes: list[str], first_seq: int, start: int, stop: int, number: int, at: int) -> None:
        place = bisect_left(self.anchors, first_seq + start)
        while place < len(self.anchors) and self.anchors[place] < first_seq + stop:
            seq = self.anchors[place]
            index = seq - first_seq
            self.anchored.setdefault((seq, hashes[index]), []).append(Place(number, at + index))
            place += 1

    def _line(self, line: bytes, number: int, at: int, offset: int) -> None:
        verdict = self.judge.judge(line, (number, offset))
        place = Place(number, at)
        if verdict.members is None:
            if self._region is None:
                self._region = self._open_region(place, offset, verdict.got)
            self._region.add(line, whole=True)
            return
        region = self._close_region(torn=False)
        if region is not None:
            self.declarations[place] = region
        before = self._run or self._before_region
        linked = self._link(verdict, place, offset) and before is not None and before.kind is None
        self._count(place, place, 1)
        index = bisect_left(self.anchors, verdict.seq)
        if index < len(self.anchors) and self.anchors[index] == verdict.seq:
            digits = line_hash(line)
            if digits is not None:
                self.anchored.setdefault((verdict.seq, digits), []).append(place)
        members = verdict.members
        observed: str = members["observed_time"]
        if not self.chain_only:
            if linked and verdict.kind is None and observed < self._observed:
                self.notes.clock(place, offset, verdict.seq, self._observed, observed)
            self.notes.entry(members, place, offset)
        elif any(mark in line for mark in _LIFECYCLE_MARKS):
            self.notes.entry(members, place, offset)
        self._observed = observed

    def _link(self, verdict: Verdict, place: Place, offset: int) -> bool:
        """Add a readable line to the current run, or begin one; return whether it follows."""
        run, before = self._run, self._run or self._before_region
        self._before_region = None
        chain = self.judge.declared.mode == "chain"
        linked = (
            before is not None and verdict.seq == before.last_seq + 1 and (not chain or verdict.prev in before.ends)
        )
        if (
            linked
            and run is not None
            and run.segment == place.segment
            and run.kind == verdict.kind
            and verdict.kind in _LINKED_KINDS
        ):
            run.count += 1
            run.ends = verdict.ends
        else:
            self._run = Run(
                segment=place.segment,
                line=place.line,
                offset=offset,
                count=1,
                seq=verdict.seq,
                prev=verdict.prev,
                ends=verdict.ends,
                kind=verdict.kind,
                expected=verdict.expected,
                got=verdict.got,
            )
            self.runs.append(self._run)
        return linked

    def _unreadable_block(self, block: Block, number: int, at: int) -> int:
        """Take a piece of a line of more than 1 MiB, or what stands behind the last LF."""
        tail = block.kind == "tail"
        # The next segment is created before this one is finished: that it is there says nothing.
        torn = tail and not any(segment.size_bytes for segment in self.segments[number + 1 :])
        pending = self._region
        if torn and pending is not None and pending.head is None and split_seal(pending.end):
            # A whole line that was altered is not what a crash leaves: it stays malformed.
            self._close_region(torn=False)
            pending = None
        if pending is None:
            reason = "no LF at the end" if tail else "longer than 1 MiB"
            pending = self._region = self._open_region(Place(number, at), block.offset, reason)
        pending.add(block.data, whole=block.kind == "end")
        if block.kind == "piece":
            return at
        if tail:
            self._close_region(torn=torn)
        return at + 1

    def _open_region(self, place: Place, offset: int, reason: str) -> Unreadable:
        self._run, self._before_region = None, self._run or self._before_region
        return Unreadable(place, offset, reason)

    def _close_region(self, *, torn: bool) -> Region | None:
        if self._region is None:
            return None
        region = self._region.region(torn=torn)
        self.regions.append(region)
        self._region = None
        return region
