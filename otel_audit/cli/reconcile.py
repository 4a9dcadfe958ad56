"""``otel-audit reconcile``: a log against what collectors have of it."""

from __future__ import annotations

import argparse
from typing import Final

from otel_audit.cli import reconcile_text, status
from otel_audit.cli.arguments import log_path
from otel_audit.cli.progress import progress
from otel_audit.cli.text import ascii_json
from otel_audit.reconcile import reconcile

SUMMARY: Final = "compare a log with collectors' copies"
DESCRIPTION: Final = """\
Compare a log with what collectors have of it: OTLP JSON as the file exporter writes it, one request
a line, or exact lines. Several copies are taken together: what one of them has is there. The copies
may be out of order, hold entries twice, end in the middle of a line, and hold what is not of this log.
Lines of the log that are no entries, stand there twice or are out of order are counted: verify names them.
What a crash left in the log as it says itself, and what stands behind its last whole line, is only told.
The findings go to stdout, one for each stretch of entries, and then the verdict. Nothing is changed."""
EPILOG: Final = """\
examples:
  otel-audit reconcile audit.jsonl logs.jsonl

findings:
  not_in_copy  no copy has these entries
  truncated    a copy has them, and the log ends before
  gap          a copy has them, and the log lacks them
  diverged     the log has other entries in their place, or beside them
  altered      a copy is not what was written: changed on the way, or since
  unplaced     a copy has them, they may be this log's, and no chain leads to them

exit status:
  0    every entry of the log is in a copy, as it stands, and each line is an entry, once and in order
  1    findings, such lines of the log, or a line of a copy that cannot be read
  2    wrong usage, a file that cannot be read, a log without an entry, a copy that is none"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("path", metavar="LOG", type=log_path, help="a log, a segment of one, or a folder")
    add_copies(parser, "copies", "COPY")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing: the exit status is the answer")


def add_copies(parser: argparse.ArgumentParser, name: str, metavar: str) -> None:
    """Add the argument that names copies."""
    parser.add_argument(
        name, nargs="+", metavar=metavar, type=log_path, help="a collector's copy, or a file of lines; - is stdin"
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare, print the findings and the verdict, and return the exit status."""
    with progress("bytes", quiet=arguments.quiet) as shown:
        report = reconcile(arguments.path, arguments.copies, progress=shown)
    exit_status = status.OK if report.agrees else status.FOUND
    if arguments.quiet:
        return exit_status
    if arguments.format == "json":
        print(ascii_json(reconcile_text.as_json(report, arguments.copies, exit_status), indent=2))
    else:
        for line in reconcile_text.as_text(report):
            print(line)
    return exit_status
