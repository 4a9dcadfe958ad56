"""What `otel-audit reconcile` says: to people, and to programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from otel_audit.cli.text import path_text, plural, visible
from otel_audit.reconcile import CopyFinding, ReconcileReport

MAX_LISTED: Final = 20
"""Findings of one kind told to people; the JSON has up to 1000."""
_MAX_CHANGED: Final = 8


def as_text(report: ReconcileReport) -> Iterator[str]:
    """Yield the lines for people: the findings, then the verdict."""
    for kind, total in report.totals.items():
        found = [finding for finding in report.findings if finding.kind == kind]
        for finding in found[:MAX_LISTED]:
            yield finding_text(finding)
            if finding.changed:
                yield f"  {_changed(finding)}"
        left = total - sum(finding.count for finding in found[:MAX_LISTED])
        if left:
            yield f"  and {plural(left, 'entry', 'entries')} more {kind} (--format json lists more)"
        if found:
            yield f"  {found[0].remedy}"
    yield f"{visible(path_text(report.path))}: {_verdict(report)}"
    yield from (f"  {visible(note)}" for note in _notes(report))


def finding_text(finding: CopyFinding) -> str:
    """Return one finding as one line."""
    place = path_text(finding.path) + ("" if finding.line is None else f":{finding.line}")
    entries = "" if finding.count == 1 else f", {plural(finding.count, 'entry', 'entries')}"
    seqs = f"{finding.seq}" if finding.count == 1 else f"{finding.seq} to {finding.last_seq}"
    return visible(f"{place}: {finding.kind}: seq {seqs}{entries}: expected {finding.expected}, got {finding.got}")


def as_json(report: ReconcileReport, copies: list[str], exit_status: int) -> dict[str, object]:
    """Return the result as docs/reconcile.schema.json describes it."""
    return {
        "schema_version": 1,
        "exit_status": exit_status,
        "path": path_text(report.path),
        "copies": [path_text(copy) for copy in copies],
        "agrees": report.agrees,
        "stream_id": report.stream_id,
        "entries": report.entries,
        "head": None if report.head is None else {"seq": report.head.seq, "hash": report.head.hash or None},
        "copied": report.copied,
        "doubles": report.doubles,
        "not_sent": report.not_sent,
        "totals": dict(report.totals),
        "log": {
            "not_entries": report.log.not_entries,
            "doubles": report.log.doubles,
            "out_of_order": report.log.out_of_order,
            "fragments": report.log.fragments,
            "torn_bytes": report.log.torn_bytes,
        },
        "findings": [
            {
                "kind": finding.kind,
                "seq": finding.seq,
                "last_seq": finding.last_seq,
                "count": finding.count,
                "path": path_text(finding.path),
                "line": finding.line,
                "expected": visible(finding.expected),
                "got": visible(finding.got),
                "changed": [[one.first, one.last] for one in finding.changed],
                "remedy": finding.remedy,
            }
            for finding in report.findings
        ],
        "read": {
            "records": report.records,
            "foreign": report.foreign,
            "other_logs": report.others,
            "unlinked": report.unlinked,
            "torn": report.torn,
            "unreadable": report.unreadable,
            "unreadable_first": None if report.unreadable_first is None else path_text(report.unreadable_first),
        },
    }


def _changed(finding: CopyFinding) -> str:
    size = sum(one.size for one in finding.changed)
    if size == finding.count:
        return "the content of each of them differs"
    named = ", ".join(str(one) for one in finding.changed[:_MAX_CHANGED])
    more = "" if len(finding.changed) <= _MAX_CHANGED else ", …"
    return f"the content differs in seq {named}{more}; of the others only the hashes that follow from it"


def _verdict(report: ReconcileReport) -> str:
    entries = plural(report.entries, "entry", "entries")
    head = "" if report.head is None else f", head seq {report.head.seq}"
    if report.agrees:
        whole = "all" if not report.not_sent else f"{report.copied:,}"
        return f"the copies agree: {whole} of {entries}{head}"
    found = [f"{count:,} {kind}" for kind, count in report.totals.items() if count]
    if report.unreadable:
        found.append(f"{plural(report.unreadable, 'line')} that cannot be read")
    found += _of_log(report)
    return f"the copies do not agree: {', '.join(found)}; {report.copied:,} of {entries} in the copies{head}"


def _of_log(report: ReconcileReport) -> Iterator[str]:
    log = report.log
    if log.not_entries:
        yield plural(log.not_entries, "line of the log that is no entry", "lines of the log that are no entries")
    if log.doubles:
        yield plural(log.doubles, "line of the log that stands there twice", "lines of the log that stand there twice")
    if log.out_of_order:
        yield plural(log.out_of_order, "line of the log out of order", "lines of the log out of order")


def _notes(report: ReconcileReport) -> Iterator[str]:
    log = report.log
    if not log.in_order:
        yield "entries are compared one by one, and such lines of the log are not: run otel-audit verify"
    if log.fragments:
        yield f"{plural(log.fragments, 'line')} that a crash left in the log, as the log says: not compared"
    if log.torn_bytes:
        end = plural(log.torn_bytes, "byte")
        yield f"{end} behind the log's last whole line, not compared: an entry that is being written, or was cut"
    if report.not_sent:
        own = plural(report.not_sent, "entry", "entries")
        yield f"{own} of the log's own (opened, closed, …) in no copy: an application does not send them"
    if report.doubles:
        yield f"{plural(report.doubles, 'double')}: at-least-once delivery"
    if report.others:
        yield f"{plural(report.others, 'entry', 'entries')} of other logs, left out"
    if report.unlinked:
        yield (
            f"{plural(report.unlinked, 'entry', 'entries')} without a stream id that no chain leads to: of other "
            "logs, or behind entries that no copy has"
        )
    if report.foreign:
        one, many = "record that is no audit entry", "records that are no audit entries"
        yield f"{plural(report.foreign, one, many)}, left out"
    if report.torn:
        yield f"{plural(report.torn, 'torn request')}: a collector was killed while it wrote"
    if report.unreadable:
        first = path_text(report.unreadable_first or "")
        lines = plural(report.unreadable, "line")
        yield f"{lines} of the copies cannot be read, and may hold what the log has lost; the first: {first}"
