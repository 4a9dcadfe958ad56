"""What `otel-audit verify` says of one log: to people, and to programs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import Final

from otel_audit.cli import unfinished_text
from otel_audit.cli.text import path_text, plural, visible
from otel_audit.verify import Finding, VerifyReport
from otel_audit.verify.report import CopiesRead
from otel_audit.verify.start import Since

UNANCHORED: Final = (
    "nothing outside the file proves its tail complete: lines cut off its end leave no trace in it.\n"
    "  keep the head above, or receipts, in another place, and check with --anchor SEQ:HASH"
)

MAX_LISTED: Final = 20
"""Unfinished actions named to people; the JSON has up to 1000, and ``show --open`` all."""

_COUNTED: Final = {
    "gap": ("entry", "entries"),
    "truncated": ("entry", "entries"),
    "diverged": ("anchor", "anchors"),
}


def as_text(report: VerifyReport, anchors: list[str], *, part: bool = False) -> Iterator[str]:
    """Yield the lines for people: the findings, then the verdict.

    Args:
        report: What was found.
        anchors: Those that were given, as ``seq:hash``.
        part: A part of the log was asked for: the text says so where the whole had to be checked.
    """
    for finding in report.findings:
        yield finding_text(finding)
        yield f"  {visible(finding.remedy)}"
    path = visible(path_text(report.path))
    yield f"{path}: {_verdict(report, anchors)}"
    if part and report.supported and report.since is None:
        yield "  the whole log was checked"
    yield from (f"  {note}" for note in _notes(report, _highest(anchors)))
    yield from (f"  {line}" for line in _unfinished(report))


def finding_text(finding: Finding) -> str:
    """Return one finding as one line: ``path:line: kind: expected …, got …``."""
    place = path_text(finding.path) + ("" if finding.line is None else f":{finding.line}")
    severity = "" if finding.severity == "error" else f"{finding.severity}: "
    about = [] if finding.seq is None else [f"seq {finding.seq}"]
    if finding.count > 1:
        about.append(plural(finding.count, *_COUNTED.get(finding.kind, ("line", "lines"))))
    where = f"{', '.join(about)}: " if about else ""
    return visible(f"{place}: {severity}{finding.kind}: {where}expected {finding.expected}, got {finding.got}")


def as_json(report: VerifyReport, anchors_given: int) -> dict[str, object]:
    """Return one element of ``logs`` in docs/verify.schema.json."""
    return {
        "path": path_text(report.path),
        "status": _status(report),
        "intact": report.intact,
        "anchored": report.anchored,
        "entries": report.entries,
        "head": None if report.head is None else {"seq": report.head.seq, "hash": report.head.hash or None},
        "integrity": report.integrity,
        "stream_id": report.stream_id,
        "key_id": report.key_id,
        "macs_checked": report.macs_checked,
        "anchors_given": anchors_given,
        "anchors_matched": report.anchors_matched,
        "copies": None if report.copies is None else _copies(report.copies),
        "open_intents": report.open_intents,
        "unknown_lifecycle_events": report.unknown_lifecycle_events,
        "chain_only": report.chain_only,
        "since": None if report.since is None else dataclasses.asdict(report.since),
        "unfinished": [dataclasses.asdict(action) for action in report.unfinished],
        "segments": [
            {"path": path_text(one.path), "size_bytes": one.size_bytes, "entries": one.entries}
            for one in report.segments
        ],
        "findings": [finding_as_json(finding) for finding in report.findings],
    }


def finding_as_json(finding: Finding) -> dict[str, object]:
    """Return one element of ``findings`` in docs/verify.schema.json."""
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "path": path_text(finding.path),
        "line": finding.line,
        "offset": finding.offset,
        "seq": finding.seq,
        "count": finding.count,
        "expected": finding.expected,
        "got": finding.got,
        "remedy": finding.remedy,
    }


def _copies(read: CopiesRead) -> dict[str, object]:
    first = None if read.first is None else path_text(read.first)
    return {
        "entries": read.entries,
        "placed": read.placed,
        "unplaced": read.unplaced,
        "unreadable": read.unreadable,
        "unreadable_first": first,
    }


def _status(report: VerifyReport) -> str:
    if not report.supported:
        return "unsupported"
    if report.errors:
        return "not_intact"
    return "intact" if report.intact else "no_errors"


def _verdict(report: VerifyReport, anchors: list[str]) -> str:
    if not report.supported:
        return "not judged: this program does not know the version of its format"
    intact = "intact" if report.since is None else f"intact from seq {report.since.seq} on"
    if report.errors:
        return f"not intact: {_counted(report.errors)}{_extent(report)}"
    if not report.intact:
        return (
            f"no errors, but integrity mode {report.integrity or 'unknown'} cannot prove a log intact{_extent(report)}"
        )
    if not report.anchored:
        return f"{intact}, unanchored{_extent(report)}\n  {UNANCHORED}"
    proved = _highest(anchors)
    if report.head is not None and proved < report.head.seq:
        return (
            f"{intact}, anchored up to seq {proved}{_extent(report)}\n"
            f"  nothing outside the file proves it complete behind seq {proved}"
        )
    return f"{intact}, anchored{_extent(report)}"


def _highest(anchors: list[str]) -> int:
    return max((int(anchor.partition(":")[0]) for anchor in anchors), default=0)


def _counted(findings: tuple[Finding, ...]) -> str:
    kinds = Counter(finding.kind for finding in findings)
    return f"{plural(len(findings), 'error')} ({', '.join(f'{count:,} {kind}' for kind, count in kinds.items())})"


def _extent(report: VerifyReport) -> str:
    parts = [plural(report.entries, "entry", "entries")]
    if len(report.segments) > 1:
        parts.append(plural(len(report.segments), "segment"))
    if report.warnings:
        parts.append(plural(len(report.warnings), "warning"))
    if report.head is not None:
        parts.append(f"head {report.head}" if report.head.hash else f"head seq {report.head.seq}")
    return f"; {', '.join(parts)}"


def _notes(report: VerifyReport, proved: int) -> Iterator[str]:
    if not report.supported:
        return
    if report.copies is not None and report.copies.unreadable:
        lines = plural(report.copies.unreadable, "line")
        yield (
            f"{lines} of the copies cannot be read, so they anchor nothing; the first: "
            f"{visible(path_text(report.copies.first or ''))}"
        )
    if report.copies is not None and report.copies.unplaced:
        entries = plural(report.copies.unplaced, "entry", "entries")
        yield f"{entries} of the copies may be this log's, and no chain leads to them, so they anchor nothing:"
        yield "  otel-audit reconcile says which; a copy of this log alone, or with stream ids, tells whose they are"
    if report.since is not None:
        yield from _since(report.since)
        if 0 < proved < report.since.seq - 1:
            yield f"the copies reach seq {proved}, which is before: they prove nothing of what is new"
    if report.macs_checked is False:
        yield "MACs not checked: the log has a key; give it with --hmac-key-file"
    elif report.macs_checked:
        yield f"MACs checked with key {report.key_id}"
    if report.open_intents:
        yield f"{plural(report.open_intents, 'intent')} still open: younger than this check"
    if report.unknown_lifecycle_events:
        yield f"{plural(report.unknown_lifecycle_events, 'lifecycle event')} that this version does not know"
    if report.chain_only:
        yield "only seq, hashes and links were checked (--chain-only)"


def _since(since: Since) -> Iterator[str]:
    begun = f"verified from seq {since.seq} on"
    if since.verified_at is None:
        yield f"{begun}; what is before was not looked at"
        return
    yield f"{begun}; what is before was verified at {since.verified_at}, the whole log at {since.in_full_at}"
    yield "  a change in it since then is found by a check of the whole log only"


def _unfinished(report: VerifyReport) -> Iterator[str]:
    listed = report.unfinished[:MAX_LISTED]
    if not listed:
        return
    total = sum(finding.count for finding in report.findings if finding.kind == "intent_without_outcome")
    yield f"{plural(total, 'action')} began and never ended:"
    for action in listed:
        yield from (f"  {line}" for line in unfinished_text.as_text(action))
    if total > len(listed):
        yield f"  and {total - len(listed):,} more: otel-audit show --open shows all"
