"""`verify_log`, `read_log` and `search_log`: what a log holds, and whether it holds.

Reads bytes and splits them on LF alone, through bounded buffers. Imports no OpenTelemetry.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.errors import AuditVerifyError
from otel_audit.log_files import STDIN, find_log, open_stdin
from otel_audit.scan import Scanner
from otel_audit.selection import Selection
from otel_audit.verify.segment import Segment, read_blocks

if TYPE_CHECKING:
    from otel_audit.record import AuditReceipt
    from otel_audit.verify.report import Integrity, VerifyReport


def verify_log(
    path: str | os.PathLike[str],
    *,
    hmac_key_file: str | os.PathLike[str] | None = None,
    anchors: Iterable[str | AuditReceipt] = (),
    anchor_copies: Iterable[str | os.PathLike[str]] = (),
    expected_integrity: Integrity = "chain",
    chain_only: bool = False,
    since_seq: int | None = None,
    checkpoint_file: str | os.PathLike[str] | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Check a whole log, and say what is wrong with it.

    A log that grows meanwhile is judged as it was when this began. Memory stays within some
    40 MiB for each process, however long the log is, and grows only with the number of faults in it.
    A log of 64 MiB and more is read by several processes at the same time, which are gone when this
    returns or raises; what they are not sure of is read again in one piece, so that the report is
    the same in every case.

    Args:
        path: The log's file, any segment of it, a folder that holds one log, or a pattern with
            ``*`` that fits the files of one log.
        hmac_key_file: Holds the raw key; without it the report says that MACs were not checked.
        anchors: Receipts, or their text ``SEQ:HASH``: what the log must still agree with.
        anchor_copies: Collectors' copies, of which the same holds: OTLP JSON, or exact lines
            (`otel_audit.reconcile` tells all that differs). With entries that may be this log's and
            that no chain leads to, they anchor nothing (``report.copies.unplaced``).
        expected_integrity: A log that declares a weaker mode is ``downgraded``.
        chain_only: Look at ``seq``, hashes and links alone, until one of them is wrong.
        since_seq: Begin at the entry with this ``seq``, and believe what it names as its predecessor.
            ``report.since`` then says so. Where anything from there on is out of the ordinary, the
            whole log is checked, and ``report.since`` is None.
        checkpoint_file: Begin where the last check ended that was made with this file; the whole log
            the first time, and where the log is no longer what it was at that place (which is
            ``diverged`` or ``truncated``). An intact log is noted in the file, mode 0600, for the
            next time. A change in what was checked before is found by a check of the whole only.
        processes: How many read a log, however short it is; 1: none but this one. None: as many as
            there are processors, eight at most.
        progress: Told of the bytes that were read and of how many there are; begins anew where the
            log has to be read again.

    Raises:
        AuditVerifyError: Something cannot be read as a log (or a key, an anchor, a copy) at all. A
            log that is missing or empty is a finding.
    """
    # Here, so that searching a log starts without the verifier.
    from otel_audit.key_file import read_key
    from otel_audit.reconcile import copy_anchors
    from otel_audit.verification import Question, verify_files
    from otel_audit.verify.anchors import parse_anchor

    if since_seq is not None and checkpoint_file is not None:
        raise AuditVerifyError("expected one place to begin at, got both since_seq and checkpoint_file")
    fixed = [parse_anchor(anchor) for anchor in anchors]
    copies = list(anchor_copies)
    copied = copy_anchors(path, copies) if copies else None
    question = Question(
        key=None if hmac_key_file is None else read_key(hmac_key_file, AuditVerifyError),
        anchors=fixed,
        expected_integrity=expected_integrity,
        chain_only=chain_only,
        processes=processes,
        progress=progress,
    )
    return verify_files(find_log(path), question, copied=copied, since_seq=since_seq, checkpoint_file=checkpoint_file)


class Found(NamedTuple):
    """An entry, and where it stands.

    Attributes:
        entry: What the line says.
        line: The line's bytes without LF.
        path: Of the segment; ``stdin``.
        line_number: In the segment, from 1; 0 where lines are not numbered.
    """

    entry: Entry
    line: bytes
    path: str
    line_number: int


def read_log(
    path: str | os.PathLike[str],
    *,
    selection: Selection | None = None,
    event_name: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    outcome: str | None = None,
    decision: str | None = None,
    target: str | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    since_seq: int | None = None,
    until_seq: int | None = None,
    text: str | None = None,
) -> Iterator[Entry]:
    """Yield the entries of a log in the order of its files, lazily, in constant memory.

    Reads, and does not verify: an entry is what a line says, whether its hash is right or
    not, and lines that are malformed (fragments that a crash left among them) are passed over.
    `verify_log` tells what was wrong with them. Bytes appended after the iteration began are
    not read. Only lines that can match are parsed.

    Args:
        path: The log's file, any segment of it, a folder that holds one log, a pattern with
            ``*`` that fits the files of one log, or ``-`` for stdin.
        selection: Which entries are wanted; what the other arguments say holds, too.
        event_name: Only entries of this name; with a ``*`` at its end, of those that begin so.
        actor: Only those with this ``audit.actor.id``.
        action: Only those with this ``audit.action``.
        outcome: Only those with this ``audit.outcome``.
        decision: Only those with this ``audit.decision``.
        target: Only those with this ``audit.target.id``.
        trace_id: Only those of this trace, 32 lower-case hexadecimal digits.
        span_id: Only those of this span, 16 lower-case hexadecimal digits.
        since: Only those whose ``time`` is this or later; it needs a time zone.
        until: Only those whose ``time`` is earlier; it needs a time zone.
        since_seq: Only those from this ``seq`` on.
        until_seq: Only those up to this ``seq``.
        text: Only those that hold this text, in whatever case.

    Raises:
        AuditVerifyError: There is no log, it cannot be read, or a time has no zone.
    """
    wanted = Selection(
        event_names=_some(event_name),
        actors=_some(actor),
        actions=_some(action),
        outcomes=_some(outcome),
        decisions=_some(decision),
        targets=_some(target),
        trace_id=trace_id,
        span_id=span_id,
        since_ns=_nanoseconds("since", since),
        until_ns=_nanoseconds("until", until),
        since_seq=since_seq,
        until_seq=until_seq,
        text=text,
    )
    first, second = (selection, wanted) if selection else (wanted, None)
    for found in search_log(path, first, numbered=False):
        if second is None or second.matches(found.entry):
            yield found.entry


def search_log(
    path: str | os.PathLike[str], selection: Selection | None = None, *, numbered: bool = True
) -> Iterator[Found]:
    """Yield what is wanted of a log, with the exact lines, as `read_log` does.

    Args:
        path: As of `read_log`.
        selection: Which entries are wanted; None: all.
        numbered: Count the lines. To find a few in a long log takes three times as long so.

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """
    chosen = selection or None
    scanner = Scanner(selection or Selection())
    with contextlib.ExitStack() as stack:
        for segment in open_segments(path, stack):
            yield from _found(segment, scanner, chosen, numbered=numbered)


def open_segments(path: str | os.PathLike[str], stack: contextlib.ExitStack) -> list[Segment]:
    """Return the segments of a log as they are now, or stdin as one segment.

    Args:
        path: As of `read_log`.
        stack: Closes them.

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """
    if path == STDIN:
        return [open_stdin()]
    log = find_log(path)
    segments = log.open(stack, patient=False)
    if not segments:
        raise AuditVerifyError(f"{log.path}: expected a log, got no such file")
    return segments


def _found(segment: Segment, scanner: Scanner, selection: Selection | None, *, numbered: bool) -> Iterator[Found]:
    lines = 1  # the number of the line that the block begins with
    for block in read_blocks(segment):
        if block.kind == "lines":
            data = block.data
            counted = 0
            for at, line in scanner.lines(data):
                try:
                    entry = parse_entry(line)
                except MalformedLineError:
                    continue
                if selection is None or selection.matches(entry):
                    if numbered:
                        lines += data.count(b"\n", counted, at)
                        counted = at
                    yield Found(entry, line, segment.path, lines if numbered else 0)
            if numbered:
                lines += data.count(b"\n", counted) + 1
        elif block.kind == "end":
            lines += 1


def _some(wanted: str | None) -> tuple[str, ...]:
    return () if wanted is None else (wanted,)


def _nanoseconds(name: str, time: dt.datetime | None) -> int | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise AuditVerifyError(f"{name}: expected a time with its zone, got {time!r}")
    since = time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
