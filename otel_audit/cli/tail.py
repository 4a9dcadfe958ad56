"""``otel-audit tail``: the end of a log, and what comes, each line verified."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from otel_audit.cli import status
from otel_audit.cli.arguments import log_path, whole_number
from otel_audit.cli.entry_line import alarm, as_line, is_coloured, stdout_is_coloured
from otel_audit.cli.query_output import print_lines
from otel_audit.cli.selecting import add_selection, selection_from
from otel_audit.cli.text import path_text, tell
from otel_audit.entry import Entry, parse_entry
from otel_audit.errors import AuditVerifyError
from otel_audit.log_files import STDIN, LogFiles, find_log
from otel_audit.query.follow import Break, Follower
from otel_audit.query.latest import Seam, end_of_latest, place_of_latest
from otel_audit.query.linked import head_of
from otel_audit.verify.declared import find_declaration
from otel_audit.verify.segment import Segment

SUMMARY: Final = "show the end of an audit log, and follow it, verifying as it grows"
DESCRIPTION: Final = """\
Show the last entries, and with -f those that come, over rotations. From the first that is shown on, every line is
verified, those too that are not shown: its hash, its seq, and that it follows the line before. Where the chain breaks,
stderr says so, and the exit status tells at the end. What lies before the first line shown, and keys, are checked by
"otel-audit verify". Lines are coloured by their outcome on a terminal, unless NO_COLOR is set."""
EPILOG: Final = """\
examples:
  otel-audit tail audit.jsonl
  otel-audit tail -n 3 --outcome failure audit.jsonl

exit status:
  0    every line follows the one before
  1    the chain broke, also where Ctrl-C ended it later
  2    wrong usage, or a file that cannot be read
  130  Ctrl-C, and the chain held"""

POLL_SECONDS: Final = 0.25
_LAST_ENTRIES: Final = 1000
"""So many are looked at after Ctrl-C: those that came since the last look, not all of a long log."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("path", metavar="LOG", type=log_path, help="a log, a segment of one, or a folder")
    parser.add_argument(
        "-n",
        "--lines",
        type=whole_number(),
        default=10,
        metavar="N",
        help="begin with the last N entries (default: 10)",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on as the log grows, until Ctrl-C")
    parser.add_argument(
        "--format", choices=("text", "jsonl"), default="text", help="text for people; jsonl: the exact lines"
    )
    add_selection(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show and follow, and return the exit status."""
    return follow(arguments, _pause if arguments.follow else None)


def follow(arguments: argparse.Namespace, wait: Callable[[], bool] | None) -> int:
    """Show the end of the log, and what comes for as long as ``wait`` returns True."""
    if arguments.path == STDIN:
        raise AuditVerifyError("expected the file of a log, got - (stdin): use otel-audit query -")
    selection = selection_from(arguments)
    log = find_log(arguments.path)
    with contextlib.ExitStack() as stack:
        segments = log.open(stack, patient=False)
        if not segments:
            raise AuditVerifyError(f"{log.path}: expected a log, got no such file")
        place = place_of_latest(segments, selection, arguments.lines)
        seam = _seam_behind(segments) if place is None else Seam(place)
        declared = find_declaration(segments)[1]
        ends = _ends(segments)
    follower = Follower(log, seam, declared, wait, ends=None if wait else ends)
    broken = False
    colour = stdout_is_coloured()
    try:
        for each in follower.run():
            if isinstance(each, Break):
                broken = True
                _flush()
                _shout(each)
            elif selection.matches(each):
                _print(each, arguments.format, colour=colour)
    except KeyboardInterrupt:
        if not broken:
            if (left := _left(log, follower.seam)) is None:
                raise
            broken = True
            _flush()
            _shout(left)
    return status.FOUND if broken else status.OK


def _seam_behind(segments: Sequence[Segment]) -> Seam:
    """Return where to begin where nothing is to be shown of what is there."""
    end, line = end_of_latest(segments)
    return Seam(end, head_of(parse_entry(line)) if line else None)


def _left(log: LogFiles, seam: Seam) -> Break | None:
    """Return what breaks the chain behind the seam where a follower was interrupted, not far behind.

    Judged as it is at one moment, at which no writer is in the middle of a line: a line without its end is no break.
    """
    with contextlib.ExitStack() as stack:
        segments = log.open(stack, patient=False)
        declared = find_declaration(segments)[1]
        ends = _ends(segments)
    last = islice(Follower(log, seam, declared, ends=ends).run(), _LAST_ENTRIES)
    return next((each for each in last if isinstance(each, Break)), None)


def _ends(segments: Iterable[Segment]) -> dict[int, int]:
    return {segment.number: segment.size_bytes for segment in segments}


def _print(entry: Entry, form: str, *, colour: bool) -> None:
    if form == "jsonl":
        print_lines([entry])
    else:
        print(as_line(entry, colour=colour))


def _shout(each: Break) -> None:
    seq = "" if each.seq is None else f"seq {each.seq}: "
    tell(
        f"THE CHAIN BREAKS HERE: {path_text(each.path)}: at byte {each.offset}: {seq}{each.told}",
        lambda line: alarm(line, colour=is_coloured(sys.stderr)),
    )


def _pause() -> bool:
    _flush()
    time.sleep(POLL_SECONDS)
    return True


def _flush() -> None:
    sys.stdout.flush()
