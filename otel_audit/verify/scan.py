"""One pass over the files: runs of linked lines, unreadable regions, notes."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from otel_audit.line_form import MAX_LINE_BYTES
from otel_audit.verify.contents import Contents
from otel_audit.verify.finding import Kind
from otel_audit.verify.judge import Judge, Verdict
from otel_audit.verify.linked import Linked, Links
from otel_audit.verify.notes import Notes
from otel_audit.verify.onlooker import Onlooker, Seen
from otel_audit.verify.region import Region, Unreadable
from otel_audit.verify.run import Place, Run, line_hash
from otel_audit.verify.seal import split_seal
from otel_audit.verify.segment import Block, Segment, read_blocks

# Lines of these kinds can follow one another by the thousand, each linked to the next.
_LINKED_KINDS: Final[frozenset[Kind | None]] = frozenset({None, "mac_missing", "mac_invalid"})
_LIFECYCLE_MARKS: Final = (b'"event_name":"audit.log.', b"\\u00")
"""What a lifecycle entry holds: a name in ASCII can be spelt otherwise only by such escapes."""


class Way(NamedTuple):
    """The quick way over sound lines: their links, then what they hold."""

    links: Links
    contents: Contents


@dataclass(slots=True)
class Scan:
    """What one pass finds; `Scan.read` does it.

    Attributes:
        anchors: Their ``seq``, ascending: entries with these are kept in ``anchored``.
        anchored: (seq, hash) to the places where such an entry stands.
        closed: Names of segments that someone says are closed; all but the last are anyway.
        digests: SHA-256 of each segment of which it is wanted.
        entries: Readable lines of each segment.
        firsts: The first of them.
        lasts: The last of them.
        declarations: Regions by the place of the readable line behind them.
        first_observed: ``observed_time`` of the first line that went the exact way.
        observed: Of the last line.
        progress: Told of bytes as they are read.
        onlooker: Told of entries, if contents are looked at.
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
    first_observed: str = ""
    observed: str = ""
    progress: Callable[[int], None] | None = None
    onlooker: Onlooker | None = None
    _run: Run | None = None
    _before_region: Run | None = None  # the run that unreadable lines cut off
    _region: Unreadable | None = None

    def read(self) -> None:
        """Read all segments, once."""
        way = self.way()
        for number, segment in enumerate(self.segments):
            digest = hashlib.sha256() if self.wants_digest(number) else None
            self.begin()
            at = 1
            for block in read_blocks(segment):
                if digest is not None:
                    digest.update(block.data + (b"" if block.kind in ("piece", "tail") else b"\n"))
                at = self.block(block, number, at, way)
                if self.progress is not None:
                    self.progress(len(block.data) + 1)
            self._close_region(torn=False)
            if digest is not None:
                self.digests[number] = digest.hexdigest()

    @property
    def is_one_run(self) -> bool:
        """Whether all that was read so far are sound lines of one segment, each linked to the next."""
        return len(self.runs) == 1 and self.runs[0].kind is None and not self.regions and self._region is None

    def way(self) -> Way:
        """Return the quick way over the lines of this log."""
        declared = self.judge.declared
        links = Links(declared.mode, declared.key_id is not None, self.judge.key)
        return Way(links, Contents(self.notes, links.tail_bytes))

    def wants_digest(self, number: int) -> bool:
        """Return whether SHA-256 of a segment is wanted: of all that someone may say it of.

        That is each but the last, and the last where it is noted. Where links alone are looked at,
        they prove a segment as well as its digest does, up to the next one that has a byte.
        """
        if number == len(self.segments) - 1:
            return self.segments[number].name in self.closed
        linked = self.chain_only and self.judge.declared.mode == "chain"
        return not (linked and self.segments[number + 1].size_bytes)

    def begin(self) -> None:
        """Begin the next segment."""
        self.entries.append(0)
        self.firsts.append(None)
        self.lasts.append(None)

    def block(self, block: Block, number: int, at: int, way: Way) -> int:
        """Take a block of the segment that was begun last; return the line after it."""
        if block.kind != "lines":
            return self._unreadable_block(block, number, at)
        data, offset = block.data, block.offset
        if self._run is None:
            line, *rest = data.split(b"\n", 1)
            self._line(line, number, at, offset)
            if not rest:
                return at + 1
            data, offset, at = rest[0], offset + len(line) + 1, at + 1
        linked = self._linked(data, way.links)
        if linked is not None and self.chain_only and not _is_marked(data):
            return self._extend_by(linked, number, at, offset)
        index = 0
        if linked is not None and not self.chain_only:
            index = self._follow(way.contents, linked, number, at, offset)
            if index == len(linked.hashes):
                return at + index
            data, offset = data[linked.bounds[index] :], offset + linked.bounds[index]
        for line in data.split(b"\n"):
            # What is looked at must not depend on where a block ends.
            linked = self._linked(line, way.links) if self.chain_only and not _is_marked(line) else None
            if linked is not None:
                self._extend_by(linked, number, at + index, offset)
            else:
                self._line(line, number, at + index, offset)
            index += 1
            offset += len(line) + 1
        return at + index

    def _linked(self, data: bytes, links: Links) -> Linked | None:
        run = self._run
        # A block as long as the longest line may hold one that is too long: line by line, then.
        if len(data) >= MAX_LINE_BYTES or run is None or run.kind is not None or len(run.ends) > 1:
            return None
        return links.follow(data, run.last_seq + 1, run.ends[0] if run.ends else "")

    def _extend_by(self, linked: Linked, number: int, at: int, offset: int) -> int:
        """Add lines of which nothing but their links is looked at; return the line after them."""
        assert self._run is not None
        count = len(linked.hashes)
        self._keep_anchors(linked.hashes, self._run.last_seq + 1, 0, count, number, at)
        self._extend(linked.hashes[-1], count, number, at, offset)
        return at + count

    def _follow(self, contents: Contents, linked: Linked, number: int, at: int, offset: int) -> int:
        """Take lines that follow soundly from the current run; return the index behind them."""
        assert self._run is not None
        first_seq, hashes = self._run.last_seq + 1, linked.hashes
        proven = contents.prove(linked, first_seq)
        index = 0
        while index < len(hashes):
            place = Place(number, at + index)
            taken, self.observed = proven.plain(index, first_seq + index, self.observed, place, offset)
            if taken > index:
                self._keep_anchors(hashes, first_seq, index, taken, number, at)
                start = offset + linked.bounds[index]
                self._extend(hashes[taken - 1], taken - index, number, at + index, start)
                if self.onlooker is not None:
                    self.onlooker.add(proven.seen(index, taken, first_seq + index))
                index = taken
            if index < len(hashes):
                # Not of the plain form: the exact way decides, and the loop goes on behind it.
                self._line(linked.line(index), number, at + index, offset + linked.bounds[index])
                index += 1
                run = self._run
                if run is None or run.kind is not None or run.ends != self._ends(hashes[index - 1]):
                    break
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
            if linked and verdict.kind is None and observed < self.observed:
                self.notes.clock(place, offset, verdict.seq, self.observed, observed)
            self.notes.entry(members, place, offset)
            if self.onlooker is not None:
                self.onlooker.add(Seen.of([members]))
        elif _is_marked(line):
            self.notes.entry(members, place, offset)
        self.observed = observed
        self.first_observed = self.first_observed or observed

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


def _is_marked(data: bytes) -> bool:
    """Return whether there may be an entry of the log's own, which tells how segments hang together."""
    name, escape = _LIFECYCLE_MARKS
    return name in data or (b"\\" in data and escape in data)  # one byte is found at a tenth of the cost
