"""``otel-audit export``: a log, or a part of it, for somebody else's program."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

from otel_audit.chain import Head
from otel_audit.cli import status, verdict
from otel_audit.cli.arguments import anchor, check_stdin_once, log_path
from otel_audit.cli.own_files import STDOUT, check_output
from otel_audit.cli.progress import Progress, progress
from otel_audit.cli.selecting import add_selection, selection_from
from otel_audit.cli.text import ascii_json, path_text, plural, tell, visible
from otel_audit.cli.verify import Checked, as_json, status_of
from otel_audit.entry import Entry
from otel_audit.errors import AuditError
from otel_audit.log_files import STDIN
from otel_audit.reader import open_segments, search_log, verify_log
from otel_audit.selection import Selection
from otel_audit.verify.declared import find_declaration

SUMMARY: Final = "write entries as a verifiable extract, a table, OTLP, or evidence"
DESCRIPTION: Final = """\
Write entries to a file for another program. It is written under another name and has its own when it is whole, with
mode 0600; a file that is there is left as it is. A name in .jsonl or .sha256 is refused: those are a log's.

  jsonl      a verifiable extract: the exact lines, and what links them to the head; "otel-audit verify" checks it.
             Its name ends in .extract, or however else you like
  csv        RFC 4180. A cell that a spreadsheet would run as a formula (= + - @ tab) gets ' in front, control
             characters are escaped; the column attributes has the exact values
  parquet    typed columns, times to the nanosecond; needs the extra query: pip install 'otel-audit[query]'
  otlp-json  requests that an OpenTelemetry collector takes, one a line
  evidence   a zip file with the whole log, checksums, the result of verifying it, and a script that checks it all
             with sha256sum and sed"""
EPILOG: Final = """\
examples:
  otel-audit export audit.jsonl --format jsonl --actor refund-agent -o refunds.extract
  otel-audit export audit.jsonl --format csv --since 2026-01-01 -o entries.csv
  otel-audit export audit.jsonl --format evidence -o evidence.zip

exit status:
  0    the file is written
  1    no entry matches, and there is no file; of evidence: it is written, and the log in it is not intact
  2    wrong usage, a file that cannot be read or written, or, of jsonl, a chain that does not hold"""

FORMATS: Final = ("jsonl", "csv", "parquet", "otlp-json", "evidence")
_BINARY: Final = ("parquet", "evidence")
_WHOLE: Final = ("jsonl", "evidence")

Rows = Iterator[tuple[Entry, str | None]]


class _NothingError(Exception):
    """No entry matched: the file is not wanted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="LOG",
        type=log_path,
        help="a log, a segment of one, a folder, or - for stdin (not for jsonl and evidence, which take one log)",
    )
    parser.add_argument("--format", choices=FORMATS, required=True, help="see above")
    parser.add_argument(
        "-o", "--output", required=True, type=log_path, metavar="FILE", help="where to; - is stdout (text formats)"
    )
    parser.add_argument("--force", action="store_true", help="write in place of a file that is there, but for a log's")
    parser.add_argument(
        "--anchor",
        type=anchor,
        metavar="SEQ:HASH",
        help="of jsonl: end there, not at the head; of evidence: what the log is verified against",
    )
    parser.add_argument(
        "--no-links",
        action="store_true",
        help="of jsonl: name left-out entries only; smaller and faster, but nothing links over them",
    )
    add_selection(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the file, say what is in it, and return the exit status."""
    selection = selection_from(arguments)
    _check(arguments, selection)
    check_stdin_once(arguments.paths)
    check_output(arguments.output, arguments.paths)
    if arguments.format == "evidence":
        return _evidence(arguments)
    try:
        with _target(arguments) as file, progress("entries" if arguments.format != "jsonl" else "bytes") as shown:
            said = _write(arguments, selection, file, shown)
    except _NothingError:
        tell(f"{path_text(arguments.paths[0])}: no entries to export")
        return status.FOUND
    (tell if arguments.output == STDOUT else print)(f"{_where(arguments.output)}: {said}")
    return status.OK


def _check(arguments: argparse.Namespace, selection: Selection) -> None:
    chosen, output = arguments.format, arguments.output
    if chosen in _WHOLE and (len(arguments.paths) > 1 or arguments.paths[0] == STDIN):
        raise AuditError(f"--format {chosen}: expected the file or folder of one log")
    if chosen == "evidence" and selection:
        raise AuditError("--format evidence: expected no selection: evidence is the whole log (jsonl takes a part)")
    if (arguments.anchor is not None and chosen not in _WHOLE) or (arguments.no_links and chosen != "jsonl"):
        raise AuditError(f"--format {chosen}: expected neither --anchor nor --no-links: nothing in it is linked")
    if output != STDOUT:
        return
    if chosen in _BINARY:
        raise AuditError(f"--format {chosen}: expected -o FILE, got stdout: it is no text")
    if chosen == "jsonl" and sys.stdout.isatty():
        # exact bytes: they may hold what moves a cursor
        raise AuditError("--format jsonl: expected -o FILE or a pipe, got a terminal (otel-audit show is for people)")


@contextlib.contextmanager
def _target(arguments: argparse.Namespace) -> Iterator[BinaryIO]:
    from otel_audit.query.new_file import new_file

    if arguments.output == STDOUT:
        sys.stdout.flush()
        yield sys.stdout.buffer
    else:
        with new_file(arguments.output, replace=arguments.force) as file:
            yield file


def _write(arguments: argparse.Namespace, selection: Selection, file: BinaryIO, shown: Progress) -> str:
    """Write all but evidence; return what is to be said of it."""
    if arguments.format == "jsonl":
        return _extract(arguments, selection, file, shown)
    if arguments.format == "csv":
        return _csv(arguments.paths, selection, file, shown)
    found = _rows(arguments.paths, selection)
    first = next(found, None)
    if first is None:
        raise _NothingError
    rows = _Counted(itertools.chain([first], found), shown)
    if arguments.format == "parquet":
        from otel_audit.query.parquet import write_parquet

        write_parquet(rows, file)
    else:
        from otel_audit.query.otlp_json import otlp_requests

        file.writelines(otlp_requests(rows))
    return plural(rows.count, "entry", "entries")


def _extract(arguments: argparse.Namespace, selection: Selection, file: BinaryIO, shown: Progress) -> str:
    from otel_audit.query.extract import write_extract

    end = None
    if arguments.anchor is not None:
        seq, _, digits = arguments.anchor.partition(":")
        end = Head(int(seq), digits)
    with contextlib.ExitStack() as stack:
        segments = open_segments(arguments.paths[0], stack)
        total = sum(segment.size_bytes for segment in segments)
        done = write_extract(
            segments,
            find_declaration(segments)[1],
            selection,
            file.write,
            linked=not arguments.no_links,
            anchor=end,
            progress=lambda read: shown(read, total),
        )
    if not done.chosen or done.head is None:
        raise _NothingError
    head = str(done.head) if done.head.hash else f"seq {done.head.seq}"
    return f"{plural(done.chosen, 'entry', 'entries')}, {done.left_out:,} left out, head {head}"


def _csv(paths: list[str], selection: Selection, file: BinaryIO, shown: Progress) -> str:
    from otel_audit.parts import Frame, Part, entries_of
    from otel_audit.query.csv_rows import csv_entries, csv_rows
    from otel_audit.query.in_order import in_order
    from otel_audit.query.stream_id import stream_id_of

    count = 0
    for path in paths:
        stream_id = stream_id_of(path)

        def work(part: Part, stream_id: str | None = stream_id) -> Iterator[Frame]:
            entries = ((entry, stream_id) for _, _, entry in entries_of(part, selection))
            return ((1, text.encode()) for text in csv_entries(entries))

        for rows, data in in_order(path, work):
            if rows and not count:
                file.writelines(names.encode() for names in csv_rows([]))
            count += rows
            file.write(data)
            shown(count, None)
    if not count:
        raise _NothingError
    return plural(count, "entry", "entries")


def _rows(paths: list[str], selection: Selection) -> Rows:
    from otel_audit.query.stream_id import stream_id_of

    for path in paths:
        stream_id = stream_id_of(path)
        for found in search_log(path, selection, numbered=False):
            yield found.entry, stream_id


class _Counted:
    """Rows, counted as they go."""

    def __init__(self, rows: Rows, shown: Progress) -> None:
        self._rows = rows
        self._shown = shown
        self.count = 0

    def __iter__(self) -> Rows:
        for row in self._rows:
            self.count += 1
            if self.count % 256 == 0:
                self._shown(self.count, None)
            yield row


def _evidence(arguments: argparse.Namespace) -> int:
    from otel_audit.query.evidence import write_evidence
    from otel_audit.query.new_file import new_file

    path = arguments.paths[0]
    anchors = [] if arguments.anchor is None else [arguments.anchor]
    with new_file(arguments.output, replace=arguments.force) as file, progress("bytes") as shown:
        report = verify_log(path, anchors=anchors)
        if not report.segments:  # missing, empty, or of a version that is not known
            raise AuditError(verdict.finding_text(report.findings[0]))
        exit_status = status_of(report, require_anchor=False)
        text = "".join(f"{line}\n" for line in verdict.as_text(report, anchors))
        checked = Checked(path, report, None, exit_status)
        result = ascii_json(as_json([checked], len(anchors), exit_status), indent=2) + "\n"
        write_evidence(file, path, report, text, result, shown)
    head = "" if report.head is None else f", head {report.head}" if report.head.hash else f", seq {report.head.seq}"
    print(f"{_where(arguments.output)}: {plural(report.entries, 'entry', 'entries')}{head}")
    if exit_status == status.OK:
        return status.OK
    print("the log in it is not intact: verify.txt in it says why")
    return status.FOUND


def _where(output: str) -> str:
    return "stdout" if output == STDOUT else visible(path_text(output))
