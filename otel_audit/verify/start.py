"""Where to begin in a log of which a part was verified before: a place, and what must follow there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from otel_audit.chain import GENESIS, entry_hash
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.errors import AuditVerifyError
from otel_audit.line_form import MAX_LINE_BYTES
from otel_audit.verify.seal import split_seal
from otel_audit.verify.segment import Segment, lines_from, read_blocks


@dataclass(frozen=True, slots=True)
class Start:
    """A place between two lines.

    Attributes:
        segment: Index of the segment.
        offset: In the segment, of the first line behind it.
        line: That line's number.
        seq: That the line must have.
        ends: What it may name as its predecessor; empty in the modes without.
        observed: ``observed_time`` of the line before; empty where that is not known.
    """

    segment: int = 0
    offset: int = 0
    line: int = 1
    seq: int = 1
    ends: tuple[str, ...] = (GENESIS,)
    observed: str = ""


@dataclass(frozen=True, slots=True)
class Since:
    """What a verification of a part began with.

    Attributes:
        seq: The first that was looked at.
        verified_at: When what is before was verified; None: it was not, as far as is known.
        in_full_at: When the whole log was last read for that.
    """

    seq: int
    verified_at: str | None = None
    in_full_at: str | None = None


def start_at(segments: Sequence[Segment], seq: int) -> Start:
    """Return the place before the first entry with a ``seq``; what it names as its predecessor is believed.

    Raises:
        AuditVerifyError: No readable line has it.
    """
    # In a sound log it is the last segment that begins no later; in any other, any.
    first_seqs = [_first_seq(segment) for segment in segments]
    likely = max((n for n, first in enumerate(first_seqs) if first is not None and first <= seq), default=0)
    head = b'{"seq":%d,' % seq
    for number in sorted(range(len(segments)), key=lambda n: n != likely):
        line = 1
        for block in read_blocks(segments[number]):
            if block.kind != "lines":
                line += block.kind == "end"
                continue
            at = 0 if block.data.startswith(head) else block.data.find(b"\n" + head) + 1
            if at or block.data.startswith(head):
                stop = block.data.find(b"\n", at)
                try:
                    members = parse_line(block.data[at : stop if stop >= 0 else None])
                except MalformedLineError:
                    members = {}
                if members.get("seq") == seq:
                    prev = members.get("prev_hash")
                    ends = (prev,) if isinstance(prev, str) else ()
                    return Start(number, block.offset + at, line + block.data.count(b"\n", 0, at), seq, ends)
            line += block.data.count(b"\n") + 1
    raise AuditVerifyError(f"{segments[0].path}: expected an entry with seq {seq}, got none")


def holds(segments: Sequence[Segment], start: Start) -> bool:
    """Return whether the line before a place is still the one that was there when the place was taken."""
    segment = segments[start.segment]
    if not 0 < start.offset <= segment.size_bytes:
        return False
    begin = max(0, start.offset - MAX_LINE_BYTES - 1)
    data = segment.read(begin, start.offset - begin)
    if len(data) != start.offset - begin or not data.endswith(b"\n"):
        return False
    line = data[data.rfind(b"\n", 0, -1) + 1 : -1]
    seal = split_seal(line)
    return (
        seal is not None
        and line.startswith(b'{"seq":%d,' % (start.seq - 1))
        and (seal.hash,) == start.ends
        and entry_hash(line[: seal.start]) == seal.hash
    )


def _first_seq(segment: Segment) -> int | None:
    _, line = next(lines_from(segment, 0), (0, b""))
    digits = line[len(b'{"seq":') : line.find(b",")] if line.startswith(b'{"seq":') else b""
    return int(digits) if digits.isdigit() and len(digits) < 17 else None
