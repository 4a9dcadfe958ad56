"""``otel-audit resend``: entries that no collector got, sent once more."""

from __future__ import annotations

import argparse
import contextlib
from typing import Final

from otel_audit.cli import status
from otel_audit.cli.arguments import log_path, whole_number
from otel_audit.cli.progress import progress
from otel_audit.cli.text import path_text, plural, tell, visible
from otel_audit.errors import AuditError
from otel_audit.reconcile import SeqRange, reconcile

SUMMARY: Final = "send entries of a log by OTLP once more"
DESCRIPTION: Final = """\
Send entries of a log by OTLP, as the OpenTelemetry records that they are, and wait until the endpoint
has taken them. OTEL_EXPORTER_OTLP_ENDPOINT and its siblings say where to. What is there already comes
a second time: reconcile counts doubles, and says which entries are missing. Needs the extra otlp:
pip install 'otel-audit[otlp]'."""
EPILOG: Final = """\
examples:
  otel-audit resend audit.jsonl --missing-from logs.jsonl

exit status:
  0    all of them were taken
  1    not all of them: the last line says where to go on, stderr how many lines are no entries
  2    wrong usage, a file that cannot be read, no OTLP exporter"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("path", metavar="LOG", type=log_path, help="a log, a segment of one, or a folder")
    parser.add_argument("--after", type=whole_number(), metavar="SEQ", help="entries behind this one; 0: all")
    parser.add_argument(
        "--missing-from",
        action="append",
        default=[],
        type=log_path,
        metavar="COPY",
        help="only entries that this copy lacks (- is stdin); repeated: that none of them has",
    )


def run(arguments: argparse.Namespace) -> int:
    """Send, print how many were taken, and return the exit status."""
    if arguments.after is None and not arguments.missing_from:
        raise AuditError("expected --after SEQ or --missing-from COPY, got neither")
    # here, not above: the other commands run without the SDK
    from otel_audit.pipeline.otlp_exporter import make_exporter
    from otel_audit.pipeline.resend import NotAcknowledgedError, Resend, Sent

    exporter = make_exporter("otel-audit resend")
    done = Sent(0, arguments.after or 0)
    path = visible(path_text(arguments.path))
    with contextlib.ExitStack() as stack:
        stack.callback(exporter.shutdown)
        resend = Resend(arguments.path, stack, after=arguments.after or 0, only=_missing(arguments))
        try:
            with progress("entries") as shown:
                for done in resend.send(exporter):
                    shown(done.entries, resend.total)
        except (NotAcknowledgedError, KeyboardInterrupt) as error:
            if isinstance(error, NotAcknowledgedError):
                tell(str(error))
            taken = f"{done.entries:,} of {plural(resend.total, 'entry', 'entries')}"
            print(f"{path}: {taken} taken; go on with --after {done.last_seq}", flush=True)
            if isinstance(error, KeyboardInterrupt):
                raise
            return status.FOUND
    print(f"{path}: {plural(done.entries, 'entry', 'entries')} taken by the endpoint", flush=True)
    if resend.malformed:
        left = plural(resend.malformed, "line is no entry and was", "lines are no entries and were")
        tell(f"{path}: {left} not sent: otel-audit verify says why")
    if resend.unsendable:
        left = plural(resend.unsendable, "entry has a time", "entries have times")
        tell(f"{path}: {left} that OTLP cannot hold: not sent")
    return status.FOUND if resend.malformed or resend.unsendable else status.OK


def _missing(arguments: argparse.Namespace) -> list[SeqRange] | None:
    if not arguments.missing_from:
        return None
    with progress("bytes") as shown:
        return list(reconcile(arguments.path, arguments.missing_from, progress=shown).missing.ranges())
