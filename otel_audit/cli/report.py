"""``otel-audit report``: one HTML page that shows what a log holds, and proves it."""

from __future__ import annotations

import argparse
import os
from typing import Any, Final

from otel_audit.cli import status, verdict
from otel_audit.cli.arguments import add_anchors, anchors_from, log_path, whole_number
from otel_audit.cli.own_files import STDOUT, check_output
from otel_audit.cli.progress import progress
from otel_audit.cli.selecting import add_selection, selection_from
from otel_audit.cli.text import path_text, plural, visible
from otel_audit.environment import trace_url
from otel_audit.errors import AuditError, AuditRecordError
from otel_audit.line_form import format_time
from otel_audit.query.new_file import new_file
from otel_audit.reader import verify_log
from otel_audit.report.counted import verify_and_count
from otel_audit.report.report import DEFAULT_MAX_ENTRIES, write_report
from otel_audit.selection import Selection, ValuePath
from otel_audit.verify.anchors import parse_anchor

SUMMARY: Final = "make an HTML page that shows a log and proves it"
DESCRIPTION: Final = """\
Make one HTML file that an assessor opens in a browser, without a network: what the agents did, and
whether the record is whole. The page carries the exact lines and checks them itself; of a log with
more than --max-entries it carries those that matter most, and says so. What it carries can be read
by whoever has the file."""
EPILOG: Final = """\
exit status:
  0    the page was made, and the log has no errors
  1    the page was made, and it shows errors
  2    wrong usage, or something that cannot be read or written

example:
  otel-audit report audit.jsonl -o report.html"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("path", metavar="LOG", type=log_path, help="a log, a segment of one, a folder, or a pattern")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", type=log_path, help="the page")
    parser.add_argument(
        "--force",
        action="store_true",
        help="write in place of a file that is there, but for a log's, the key, or anchors",
    )
    parser.add_argument("--title", metavar="TEXT", help="title of the page (default: the log's name)")
    parser.add_argument(
        "--max-entries",
        type=whole_number(1, 9_999_999),
        default=DEFAULT_MAX_ENTRIES,
        metavar="N",
        help=f"how many entries the page carries at most (default: {DEFAULT_MAX_ENTRIES:,})",
    )
    add_anchors(parser)
    parser.add_argument("--hmac-key-file", type=log_path, metavar="FILE", help="the key: checks every hmac")
    add_selection(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify the log, write its page, and return the exit status."""
    selection = selection_from(arguments)
    anchors = anchors_from(arguments)
    template = trace_url(os.environ)
    if arguments.output == STDOUT:
        raise AuditError("-o: expected the name of a file, got stdout")
    check_output(arguments.output, [arguments.path], [arguments.hmac_key_file, *arguments.anchor_files])
    with progress("bytes") as shown:
        how: dict[str, Any] = {"hmac_key_file": arguments.hmac_key_file, "anchors": anchors, "progress": shown}
        report, counted = (
            (verify_log(arguments.path, **how), None) if selection else verify_and_count(arguments.path, **how)
        )
    if not report.segments:  # missing, empty, or of a version that is not known
        raise AuditError(verdict.finding_text(report.findings[0]))
    size = sum(segment.size_bytes for segment in report.segments)
    name = path_text(os.path.basename(report.path))
    with new_file(arguments.output, replace=arguments.force) as file, progress("bytes") as shown:
        read = 0

        def told(count: int) -> None:
            nonlocal read
            read += count
            shown(read, size)

        count = write_report(
            file,
            report,
            verdict.as_json(report, len(anchors)),
            title=arguments.title or f"Audit report: {name}",
            anchors=[parse_anchor(each) for each in anchors],
            selection=selection,
            selection_text=_selection_text(selection),
            max_entries=arguments.max_entries,
            trace_url=template,
            counted=counted,
            told=told,
        )
    told_of = plural(report.entries, "entry", "entries")
    if selection:
        told_of = f"{count:,} of {told_of}"
    print(f"{visible(path_text(arguments.output))}: {told_of}", flush=True)
    return status.FOUND if report.errors else status.OK


def _selection_text(selection: Selection) -> str:
    """Return what is told of, for people."""
    parts = []
    for name in Selection.__slots__:
        value = getattr(selection, name)
        if value is None or value == ():
            continue
        if name.endswith("_ns"):
            said = _time_text(value)
        elif name == "attributes":
            said = ", ".join(_attribute_text(path, wanted) for path, wanted in value)
        else:
            said = ", ".join(value) if isinstance(value, tuple) else str(value)
        parts.append(f"{name.removesuffix('_ns').removesuffix('s').replace('_', ' ')} {said}")
    return "; ".join(parts)


def _time_text(time_ns: int) -> str:
    try:
        return format_time(time_ns).decode()
    except AuditRecordError:  # a time zone leads out of the years that a log can hold
        return "the year 1" if time_ns < 0 else "the year 10000"


def _attribute_text(path: ValuePath, wanted: str | None) -> str:
    """Return what `otel_audit.selection.parse_path` was given, and the value."""
    text = "/".join(part.replace("~", "~0").replace("/", "~1") for part in path)
    return text if wanted is None else f"{text}={wanted}"
