"""`verify_log` and `read_log`: what a log holds, and whether it holds.

Reads bytes and splits them on LF alone, through bounded buffers. Imports no OpenTelemetry.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

from otel_audit import semconv
from otel_audit.entry import Entry, MalformedLineError, is_time, parse_entry
from otel_audit.errors import AuditVerifyError
from otel_audit.key_file import read_key
from otel_audit.log_files import find_log
from otel_audit.reconcile import copy_anchors
from otel_audit.record import AuditReceipt
from otel_audit.verify.anchors import parse_anchor
from otel_audit.verify.finding import REMEDIES, Finding
from otel_audit.verify.report import Integrity, VerifyReport
from otel_audit.verify.segment import Segment, read_blocks
from otel_audit.verify.verifier import verify


def verify_log(
    path: str | os.PathLike[str],
    *,
    hmac_key_file: str | os.PathLike[str] | None = None,
    anchors: Iterable[str | AuditReceipt] = (),
    anchor_copies: Iterable[str | os.PathLike[str]] = (),
    expected_integrity: Integrity = "chain",
    chain_only: bool = False,
) -> VerifyReport:
    """Check a whole log, and say what is wrong with it.

    A log that grows meanwhile is judged as it was when this began. Memory stays within some
    40 MiB however long the log is, and grows only with the number of faults in it.

    Args:
        path: The log's file, any segment of it, a folder that holds one log, or a pattern with
            ``*`` that fits the files of one log.
        hmac_key_file: Holds the raw key; without it the report says that MACs were not checked.
        anchors: Receipts, or their text ``SEQ:HASH``: what the log must still agree with.
        anchor_copies: Collectors' copies, of which the same holds: OTLP JSON, or exact lines
            (`otel_audit.reconcile` tells all that differs).
        expected_integrity: A log that declares a weaker mode is ``downgraded``.
        chain_only: Look at ``seq``, hashes and links alone, until one of them is wrong.

    Raises:
        AuditVerifyError: Something cannot be read as a log (or a key, an anchor, a copy) at all. A
            log that is missing or empty is a finding.
    """
    fixed = [parse_anchor(anchor) for anchor in anchors]
    copies = list(anchor_copies)
    if copies:
        fixed += copy_anchors(path, copies)
    key = None if hmac_key_file is None else read_key(hmac_key_file, AuditVerifyError)
    log = find_log(path)
    with contextlib.ExitStack() as stack:
        now = _format_now()
        checksums = log.checksums()
        segments = log.open(stack)
        if not segments:
            return _missing(log.path)
        return verify(
            segments,
            path=log.path,
            first_name=log.first_name,
            key=key,
            anchors=fixed,
            expected_integrity=expected_integrity,
            chain_only=chain_only,
            now=now,
            checksums=checksums,
        )


def read_log(
    path: str | os.PathLike[str],
    *,
    event_name: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    outcome: str | None = None,
    trace_id: str | None = None,
    since_seq: int = 1,
) -> Iterator[Entry]:
    """Yield the entries of a log in the order of its files, lazily, in constant memory.

    Reads, and does not verify: an entry is what a line says, whether its hash is right or
    not, and lines that are malformed (fragments that a crash left among them) are passed over.
    `verify_log` tells what was wrong with them. Bytes appended after the iteration began are
    not read.

    Args:
        path: The log's file, any segment of it, a folder that holds one log, or a pattern with
            ``*`` that fits the files of one log.
        event_name: Only entries of this name.
        actor: Only those with this ``audit.actor.id``.
        action: Only those with this ``audit.action``.
        outcome: Only those with this ``audit.outcome``.
        trace_id: Only those of this trace, 32 lower-case hexadecimal digits.
        since_seq: Only those from this ``seq`` on.

    Raises:
        AuditVerifyError: There is no log, or it cannot be read.
    """
    log = find_log(path)
    wanted = {
        name: value
        for name, value in (
            (semconv.AUDIT_ACTOR_ID, actor),
            (semconv.AUDIT_ACTION, action),
            (semconv.AUDIT_OUTCOME, outcome),
        )
        if value is not None
    }
    with contextlib.ExitStack() as stack:
        segments = log.open(stack, patient=False)
        if not segments:
            raise AuditVerifyError(f"{log.path}: expected a log, got no such file")
        for segment in segments:
            for entry in _entries(segment):
                if (
                    entry.seq >= since_seq
                    and (event_name is None or entry.event_name == event_name)
                    and (trace_id is None or entry.trace_id == trace_id)
                    and all(entry.attributes.get(name) == value for name, value in wanted.items())
                ):
                    yield entry


def _entries(segment: Segment) -> Iterator[Entry]:
    for block in read_blocks(segment):
        if block.kind == "lines":
            for line in block.data.split(b"\n"):
                try:
                    entry = parse_entry(line)
                except MalformedLineError:
                    continue
                yield entry


def _missing(path: str) -> VerifyReport:
    finding = Finding(
        kind="missing",
        severity="error",
        path=path,
        line=None,
        offset=None,
        seq=None,
        expected="a log",
        got="no such file",
        remedy=REMEDIES["missing"],
    )
    return VerifyReport(path=path, entries=0, head=None, findings=(finding,), integrity=None)


def _format_now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
    assert is_time(now)
    return now
