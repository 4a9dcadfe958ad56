"""``otel-audit verify``: check logs, and say what was found."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from typing import Final

from otel_audit.cli import status, verdict
from otel_audit.cli.progress import progress
from otel_audit.cli.text import ascii_json, path_text, visible
from otel_audit.errors import AuditError
from otel_audit.reader import verify_log
from otel_audit.reconcile import copy_anchors
from otel_audit.verify import VerifyReport

SUMMARY: Final = "check audit logs for tampering and loss"
DESCRIPTION: Final = """\
Check audit logs: hashes, links, anchors, segments, schema. A folder, any segment, or a pattern
with * stands for the whole log. The findings go to stdout, one line each, and then one verdict for each log."""
EPILOG: Final = """\
exit status:
  0    no errors (warnings allowed); the verdict says "unanchored" where it is
  1    errors: tampering, loss, a missing or empty log
  2    wrong usage, a file that cannot be read, an unknown format version
  3    --require-anchor, and no anchor matched
Of several logs, 1 outweighs 2, and 2 outweighs 3."""

_ANCHOR: Final = re.compile(r"[1-9][0-9]{0,15}:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checked:
    """One path that was asked for: its report, or why there is none."""

    path: str
    report: VerifyReport | None
    error: str | None
    status: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "paths", nargs="+", metavar="PATH", type=log_path, help="a log, a segment of one, a folder, or a pattern with *"
    )
    parser.add_argument(
        "--anchor",
        dest="anchors",
        action="append",
        default=[],
        type=anchor,
        metavar="SEQ:HASH",
        help="a receipt, or another proof of an entry from outside the log; may be repeated",
    )
    parser.add_argument(
        "--anchor-file",
        dest="anchor_files",
        action="append",
        default=[],
        type=log_path,
        metavar="FILE",
        help="a file with one anchor a line; empty lines and lines that begin with # are left out",
    )
    parser.add_argument(
        "--anchor-copy",
        dest="anchor_copies",
        action="append",
        default=[],
        type=log_path,
        metavar="COPY",
        help="a collector's copy, or a file of lines (- is stdin); what it has is an anchor; may be repeated",
    )
    parser.add_argument("--require-anchor", action="store_true", help="exit with 3 unless an anchor matches")
    parser.add_argument("--hmac-key-file", type=log_path, metavar="FILE", help="the key: checks every hmac")
    parser.add_argument(
        "--integrity",
        choices=("chain", "hash", "none"),
        default="chain",
        help="the weakest integrity mode to accept (default: chain)",
    )
    parser.add_argument("--chain-only", action="store_true", help="check seq, hashes and links only; faster")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing: the exit status is the answer")


def run(arguments: argparse.Namespace) -> int:
    """Check each log, print the findings and verdicts, and return the exit status."""
    anchors = list(arguments.anchors)
    for name in arguments.anchor_files:
        anchors += read_anchors(name)
    if (anchors or arguments.anchor_copies) and len(arguments.paths) > 1:
        raise AuditError(f"an anchor belongs to one log: expected one PATH with anchors, got {len(arguments.paths)}")
    if arguments.anchor_copies:
        with progress("bytes") as shown:
            anchors += [
                f"{one.seq}:{one.hash}" for one in copy_anchors(arguments.paths[0], arguments.anchor_copies, shown)
            ]
    checked = []
    for path in arguments.paths:
        checked.append(check(path, anchors, arguments))
        if arguments.format == "text":
            _print_text(checked[-1], anchors, quiet=arguments.quiet)
    exit_status = status.gravest(one.status for one in checked)
    if arguments.format == "json" and not arguments.quiet:
        print(ascii_json(as_json(checked, len(anchors), exit_status), indent=2))
    return exit_status


def check(path: str, anchors: list[str], arguments: argparse.Namespace) -> Checked:
    """Verify one log; a log that cannot be read is a result, too."""
    try:
        report = verify_log(
            path,
            hmac_key_file=arguments.hmac_key_file,
            anchors=anchors,
            expected_integrity=arguments.integrity,
            chain_only=arguments.chain_only,
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
    return {
        "schema_version": 1,
        "exit_status": exit_status,
        "logs": [
            {"path": path_text(one.path), "status": "unreadable", "error": visible(one.error or "")}
            if one.report is None
            else verdict.as_json(one.report, anchors_given)
            for one in checked
        ],
    }


def log_path(text: str) -> str:
    """Return an argument that names a file."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    return text


def anchor(text: str) -> str:
    """Return an argument that is an anchor."""
    if _ANCHOR.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"expected SEQ:HASH with 64 lower-case hexadecimal digits, got {text!r}")
    return text


def read_anchors(name: str) -> list[str]:
    """Return the anchors in a file.

    Raises:
        AuditError: It cannot be read, or a line of it is no anchor.
    """
    try:
        with open(name, "rb") as file:
            lines = file.read().decode("ascii", "backslashreplace").split("\n")
    except OSError as error:
        raise AuditError(f"{path_text(name)}: cannot be read: {error.strerror or error}") from None
    anchors = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            anchors.append(anchor(text))
        except argparse.ArgumentTypeError as error:
            raise AuditError(f"{path_text(name)}:{number}: {error}") from None
    return anchors


def _print_text(one: Checked, anchors: list[str], *, quiet: bool) -> None:
    if one.report is None:
        print(f"otel-audit: {visible(one.error or '')}", file=sys.stderr)
    elif not quiet:
        for line in verdict.as_text(one.report, anchors):
            print(line)
