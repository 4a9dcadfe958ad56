"""``otel-audit verify``: check logs, and say what was found."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_audit.cli import extract_text, status, verdict
from otel_audit.cli.arguments import add_anchors, anchors_from, log_path, whole_number
from otel_audit.cli.progress import progress
from otel_audit.cli.text import ascii_json, path_text, tell, visible
from otel_audit.errors import AuditError, AuditVerifyError
from otel_audit.key_file import read_key
from otel_audit.log_files import find_log
from otel_audit.reconcile import CopyAnchors, copy_anchors
from otel_audit.verification import Question, verify_files
from otel_audit.verify import VerifyReport
from otel_audit.verify.anchors import parse_anchor

if TYPE_CHECKING:
    from otel_audit.query.extract_report import ExtractReport

SUMMARY: Final = "check audit logs for tampering and loss"
DESCRIPTION: Final = """\
Check audit logs: hashes, links, anchors, segments, schema. A folder, any segment, or a pattern
with * stands for the whole log. The findings go to stdout, one line each, and then one verdict for each log."""
EPILOG: Final = """\
examples:
  otel-audit verify audit.jsonl
  otel-audit verify audit.jsonl --anchor-file receipts.txt --require-anchor
  otel-audit verify audit.jsonl --anchor-copy logs.jsonl --format json
  otel-audit verify audit.jsonl --checkpoint-file audit.checkpoint

exit status:
  0    no errors (warnings allowed); the verdict says "unanchored" where it is
  1    errors: tampering, loss, a missing or empty log, a copy of which nothing leads to it
  2    wrong usage, a file that cannot be read, an unknown format version
  3    --require-anchor, and no anchor matched (of an extract: does not prove all of it), or a line of a copy
       cannot be read, or an entry of one may be the log's and no chain leads to it
Of several logs, 1 outweighs 2, and 2 outweighs 3."""

_MAX_PROCESSES: Final = 64


@dataclass(frozen=True, slots=True)
class Checked:
    """One path that was asked for: its report, or why there is none."""

    path: str
    report: VerifyReport | None
    error: str | None
    status: int
    extract: ExtractReport | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", type=log_path, help="a log, a segment of one, a folder, or a pattern with *"
    )
    add_anchors(parser)
    parser.add_argument(
        "--anchor-copy",
        dest="anchor_copies",
        action="append",
        default=[],
        type=log_path,
        metavar="COPY",
        help="a collector's copy, or a file of lines (- is stdin); what it has is an anchor; may be repeated",
    )
    parser.add_argument(
        "--require-anchor",
        action="store_true",
        help="exit with 3 unless an anchor matches, of an extract: unless anchors prove each of its entries",
    )
    parser.add_argument("--hmac-key-file", type=log_path, metavar="FILE", help="the key: checks every hmac")
    parser.add_argument(
        "--integrity",
        choices=("chain", "hash", "none"),
        default="chain",
        help="the weakest integrity mode to accept (default: chain)",
    )
    parser.add_argument("--chain-only", action="store_true", help="check seq, hashes and links only; faster")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument(
        "--since-seq",
        type=whole_number(1),
        metavar="N",
        help="begin at the entry N; what is before is not looked at",
    )
    begin.add_argument(
        "--checkpoint-file",
        type=log_path,
        metavar="FILE",
        help="begin where the last check with this FILE ended (the first time: at the beginning), and note in it "
        "where this one ends, if the log is intact",
    )
    parser.add_argument(
        "--processes",
        type=whole_number(1, _MAX_PROCESSES),
        metavar="N",
        help="how many read a log (default: one for each processor, eight at most; one where the log is short)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing: the exit status is the answer")


def run(arguments: argparse.Namespace) -> int:
    """Check each log, print the findings and verdicts, and return the exit status."""
    anchors = anchors_from(arguments)
    if (anchors or arguments.anchor_copies) and len(arguments.paths) > 1:
        raise AuditError(f"an anchor belongs to one log: expected one PATH with anchors, got {len(arguments.paths)}")
    part = arguments.since_seq is not None or arguments.checkpoint_file is not None
    if part and len(arguments.paths) > 1:
        raise AuditError(f"a seq or a checkpoint is that of one log: expected one PATH, got {len(arguments.paths)}")
    copied = None
    if arguments.anchor_copies:
        with progress("bytes", quiet=arguments.quiet) as shown:
            copied = copy_anchors(arguments.paths[0], arguments.anchor_copies, shown)
    given = _given(anchors, copied)
    checked = []
    for path in arguments.paths:
        checked.append(check(path, anchors, arguments, copied))
        if arguments.checkpoint_file is not None and not arguments.quiet:
            _tell_of_no_checkpoint(checked[-1].report)
        if arguments.format == "text":
            _print_text(checked[-1], given, quiet=arguments.quiet, part=part)
    exit_status = status.gravest(one.status for one in checked)
    if arguments.format == "json" and not arguments.quiet:
        print(ascii_json(as_json(checked, len(given), exit_status), indent=2))
    return exit_status


def check(path: str, anchors: list[str], arguments: argparse.Namespace, copied: CopyAnchors | None = None) -> Checked:
    """Verify one log; a log that cannot be read is a result, too."""
    try:
        key_file = arguments.hmac_key_file
        extract = extract_text.extract_report(path, _given(anchors, copied), key_file, arguments.integrity)
        if extract is not None:
            if arguments.since_seq is not None or arguments.checkpoint_file is not None:
                raise AuditError(f"{path_text(path)}: an extract is checked whole: expected no seq and no checkpoint")
            exit_status = extract_text.status_of(extract, require_anchor=arguments.require_anchor)
            return Checked(path, None, None, exit_status, extract)
        with progress("bytes", quiet=arguments.quiet) as shown:
            question = Question(
                key=None if key_file is None else read_key(key_file, AuditVerifyError),
                anchors=[parse_anchor(anchor) for anchor in anchors],
                expected_integrity=arguments.integrity,
                chain_only=arguments.chain_only,
                processes=arguments.processes,
                progress=shown,
            )
            report = verify_files(
                find_log(path),
                question,
                copied=copied,
                since_seq=arguments.since_seq,
                checkpoint_file=arguments.checkpoint_file,
            )
    except OSError as error:
        return Checked(path, None, f"{path_text(path)}: cannot be read: {error.strerror or error}", status.UNUSABLE)
    except AuditError as error:
        return Checked(path, None, str(error), status.UNUSABLE)
    return Checked(path, report, None, status_of(report, require_anchor=arguments.require_anchor))


def status_of(report: VerifyReport, *, require_anchor: bool) -> int:
    """Return the exit status that one report stands for."""
    if not report.supported:
        return status.UNUSABLE
    if report.errors:
        return status.FOUND
    return status.UNANCHORED if require_anchor and not report.anchored else status.OK


def as_json(checked: list[Checked], anchors_given: int, exit_status: int) -> dict[str, object]:
    """Return the result as docs/verify.schema.json describes it."""
    result: dict[str, object] = {
        "schema_version": 1,
        "exit_status": exit_status,
        "logs": [
            {"path": path_text(one.path), "status": "unreadable", "error": visible(one.error or "")}
            if one.report is None
            else verdict.as_json(one.report, anchors_given)
            for one in checked
            if one.extract is None
        ],
    }
    if extracts := [extract_text.as_json(one.extract, anchors_given) for one in checked if one.extract is not None]:
        result["extracts"] = extracts
    return result


def _given(anchors: list[str], copied: CopyAnchors | None) -> list[str]:
    return anchors if copied is None else [*anchors, *(f"{one.seq}:{one.hash}" for one in copied.anchors)]


def _tell_of_no_checkpoint(report: VerifyReport | None) -> None:
    """Say that nothing was noted of a log without errors that is not proven intact."""
    if report is not None and report.supported and not report.errors and not report.intact:
        expected = f"expected integrity mode chain, got {report.integrity}"
        tell(f"{path_text(report.path)}: no checkpoint was written: {expected}")


def _print_text(one: Checked, anchors: list[str], *, quiet: bool, part: bool) -> None:
    if one.extract is not None:
        lines = () if quiet else extract_text.as_text(one.extract, len(anchors))
        for line in lines:
            print(line)
    elif one.report is None:
        tell(one.error or "")
    elif not quiet:
        for line in verdict.as_text(one.report, anchors, part=part):
            print(line)
