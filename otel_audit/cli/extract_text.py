"""What ``otel-audit verify`` says of an extract (docs/export.md): to people, and to programs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from otel_audit.cli import status
from otel_audit.cli.text import path_text, plural, visible
from otel_audit.cli.verdict import finding_as_json, finding_text
from otel_audit.errors import AuditVerifyError
from otel_audit.key_file import read_key
from otel_audit.verify.anchors import parse_anchor

if TYPE_CHECKING:
    from otel_audit.query.extract_report import ExtractReport
    from otel_audit.verify.report import Integrity


def extract_report(
    path: str, anchors: list[str], hmac_key_file: str | None, expected_integrity: Integrity
) -> ExtractReport | None:
    """Return what an extract proves; None where the path is none, or has the name of a log.

    Raises:
        AuditVerifyError: It cannot be read, or the key cannot.
    """
    from otel_audit.query.extract_check import check_extract
    from otel_audit.query.extract_name import is_extract
    from otel_audit.reconcile.copy_file import open_copies

    if not is_extract(path):
        return None
    key = None if hmac_key_file is None else read_key(hmac_key_file, AuditVerifyError)
    with contextlib.ExitStack() as stack:
        [copy] = open_copies([path], stack)
        given = [parse_anchor(one) for one in anchors]
        return check_extract(copy, anchors=given, key=key, expected_integrity=expected_integrity)


def status_of(report: ExtractReport, *, require_anchor: bool) -> int:
    """Return the exit status that a report stands for."""
    if not report.supported:
        return status.UNUSABLE
    if report.findings:
        return status.FOUND
    return status.UNANCHORED if require_anchor and not report.anchored else status.OK


def as_text(report: ExtractReport, anchors_given: int) -> Iterator[str]:
    """Yield the lines for people: the finding, then the verdict."""
    path = visible(path_text(report.path))
    if not report.supported:
        yield f"{path}: not judged: this program does not know the version of this extract"
        return
    for finding in report.findings:
        yield finding_text(finding)
        yield f"  {visible(finding.remedy)}"
    if report.findings:
        yield f"{path}: not a sound extract; nothing behind the fault was looked at"
        return
    yield f"{path}: sound extract, {_anchored(report)}; {_extent(report)}"
    yield from (f"  {line}" for line in _proves(report, anchors_given))


def as_json(report: ExtractReport, anchors_given: int) -> dict[str, object]:
    """Return one element of ``extracts`` in docs/verify.schema.json."""
    head = report.head
    return {
        "path": path_text(report.path),
        "status": "unsupported" if not report.supported else "not_sound" if report.findings else "sound",
        "anchored": report.anchored,
        "integrity": None if report.integrity is None else visible(report.integrity),
        "stream_id": None if report.stream_id is None else visible(report.stream_id),
        "entries": report.chosen,
        "proven": report.proven,
        "left_out": report.left_out,
        "unlinked": report.unlinked,
        "first_seq": report.first_seq,
        "head": None if head is None else {"seq": head.seq, "hash": head.hash or None},
        "macs_checked": report.macs_checked,
        "anchors_given": anchors_given,
        "anchors_matched": report.anchors_matched,
        "findings": [finding_as_json(finding) for finding in report.findings],
    }


def _anchored(report: ExtractReport) -> str:
    if not report.anchors_matched:
        return "unanchored"
    return "anchored" if report.anchored else f"{report.proven:,} of {report.chosen:,} entries anchored"


def _extent(report: ExtractReport) -> str:
    parts = [plural(report.chosen, "entry", "entries"), f"{report.left_out:,} left out"]
    if report.head is not None:
        parts.append(f"seq {report.first_seq} to {report.head.seq}")
        if report.head.hash:
            parts.append(f"head {report.head}")
    return ", ".join(parts)


def _proves(report: ExtractReport, anchors_given: int) -> Iterator[str]:
    if report.integrity != "chain":
        yield f"integrity mode {visible(report.integrity or 'unknown')}: nothing links these entries to a head"
    elif report.unlinked:
        entries = plural(report.unlinked, "left-out entry", "left-out entries")
        yield f"nothing links over {entries}: compare with the log"
    if report.anchors_matched and report.macs_checked is False:
        yield "the anchored entries stand in the log that the anchor is of, each at its seq; an anchor proves no hmac"
    elif report.anchors_matched:
        yield "the anchored entries stand unaltered in the log that the anchor is of, each at its seq"
    else:
        yield "nothing in an extract proves that its head is the log's: compare it with the log, a receipt or a copy,"
        yield "and check with --anchor SEQ:HASH"
    if anchors_given > report.anchors_matched:
        yield f"{plural(anchors_given - report.anchors_matched, 'anchor')} of an entry that the extract does not reach"
    if report.left_out:
        yield "what the left-out entries say, and whether one of them belongs here, an extract cannot tell"
    if report.macs_checked is False:
        yield "MACs not checked: the log has a key; give it with --hmac-key-file"
