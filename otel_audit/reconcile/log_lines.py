"""Lines that a comparison by ``seq`` passes over, counted: no entries, doubles, and those out of order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.reconcile.judge import content
from otel_audit.reconcile.seq_set import SeqSet

if TYPE_CHECKING:
    from otel_audit.reconcile.log_index import LogIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """What the log holds besides each entry once, in ascending order.

    Attributes:
        not_entries: Lines that are none; nothing is compared with them.
        doubles: Lines that stand there before, byte for byte.
        out_of_order: Lines behind one with a higher ``seq``, doubles left out.
        fragments: Lines that a crash left and the entry behind them declares. Nothing is wrong with them.
        torn_bytes: Behind the last LF: an entry that is being written, or was cut. Likewise.
    """

    not_entries: int
    doubles: int
    out_of_order: int
    fragments: int
    torn_bytes: int

    @property
    def in_order(self) -> bool:
        """Each line is an entry, stands once and behind the one before it, but for what crashes leave."""
        return not (self.not_entries or self.doubles or self.out_of_order)


@dataclass(slots=True)
class Rivals:
    """Entries of one log that have their ``seq`` in common, and are not the same.

    Attributes:
        seqs: Theirs.
        changed: Of these, those whose content differs, not only the hashes.
    """

    seqs: SeqSet
    changed: SeqSet


def survey(index: LogIndex) -> tuple[LogLines, Rivals]:
    """Return what the log holds besides each entry once, and which entries have a rival.

    Reads again only lines with a ``seq`` that several lines have: of a sound log none.

    Raises:
        AuditVerifyError: The log became shorter since it was read.
    """
    rivals = Rivals(SeqSet(), SeqSet())
    malformed = declared = doubles = beyond_first = 0
    for stretch in index.shared_seqs():
        for seq in range(stretch.first, stretch.last + 1):
            lines = index.lines(seq)
            entries = [line for line in lines if _is_entry(line)]
            different = set(entries)
            beyond_first += len(lines) - 1
            malformed += len(lines) - len(entries)
            declared += min(len(lines) - len(entries), index.fragments.begun.get(seq, 0))
            doubles += len(entries) - len(different)
            if len(different) > 1:
                rivals.seqs.add(seq)
                if _contents_differ(list(different)):
                    rivals.changed.add(seq)
    strays = index.strays - index.fragments.strays
    lines_of_log = LogLines(
        not_entries=strays + malformed - declared,
        doubles=doubles,
        out_of_order=index.descending - beyond_first,
        fragments=index.fragments.strays + declared,
        torn_bytes=index.torn_bytes,
    )
    return lines_of_log, rivals


def _is_entry(line: bytes) -> bool:
    try:
        parse_line(line)
    except MalformedLineError:
        return False
    return True


def _contents_differ(lines: Sequence[bytes]) -> bool:
    first = content(lines[0])
    return any(content(line) != first for line in lines[1:])
