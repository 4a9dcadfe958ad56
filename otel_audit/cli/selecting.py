"""The options that say which entries are wanted, the same for every command that has them."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from typing import Final

from otel_audit.cli.arguments import span_id, trace_id, whole_number
from otel_audit.selection import Selection, ValuePath, parse_path

_AGO: Final = re.compile(r"([0-9]{1,9})([smhdw])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,9}))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WORDS: Final = {"today": 0, "yesterday": 1}


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options. Of one that is repeated any value will do; of several options all must fit."""
    group = parser.add_argument_group(
        "which entries",
        "Options that differ must all fit; of one that is repeated, one value is enough. Times without a zone are UTC.",
    )
    for option, name, metavar, told in (
        ("--actor", "actors", "ID", "who acted"),
        ("--action", "actions", "VERB", "EXECUTE, READ, WRITE, …"),
        ("--event-name", "event_names", "NAME", "what happened; a * at the end stands for any ending"),
        ("--outcome", "outcomes", "WORD", "success, failure or unknown"),
        ("--decision", "decisions", "WORD", "allow, block, error or override"),
        ("--target", "targets", "ID", "what was acted upon"),
    ):
        group.add_argument(option, dest=name, action="append", default=[], metavar=metavar, help=told)
    group.add_argument("--trace-id", type=trace_id, metavar="ID", help="of this trace: 32 hexadecimal digits")
    group.add_argument("--span-id", type=span_id, metavar="ID", help="of this span: 16 hexadecimal digits")
    group.add_argument(
        "--min-severity", type=whole_number(), dest="min_severity_number", metavar="N", help="severity_number N or more"
    )
    group.add_argument(
        "--since",
        type=moment,
        dest="since_ns",
        metavar="TIME",
        help="from then on: RFC 3339, a date, 2h (ago; s m h d w), today, yesterday",
    )
    group.add_argument("--until", type=moment, dest="until_ns", metavar="TIME", help="before then; as --since")
    group.add_argument("--since-seq", type=whole_number(), metavar="N", help="from this place in the chain on")
    group.add_argument("--until-seq", type=whole_number(), metavar="N", help="up to this place in the chain")
    group.add_argument(
        "--attribute",
        dest="attributes",
        action="append",
        default=[],
        type=_attribute,
        metavar="PATH[=VALUE]",
        help="an attribute that is there, or has this value: gen_ai.tool.name=git_log; audit.arguments/amount looks "
        "inside of one, /resource/host.name begins at the top of the line; if repeated, all must fit",
    )
    group.add_argument("--text", metavar="TEXT", help="stands somewhere in the line, in whatever case")


def selection_from(options: argparse.Namespace) -> Selection:
    """Return what the options say."""
    return Selection(
        event_names=tuple(options.event_names),
        actors=tuple(options.actors),
        actions=tuple(options.actions),
        outcomes=tuple(options.outcomes),
        decisions=tuple(options.decisions),
        targets=tuple(options.targets),
        trace_id=options.trace_id,
        span_id=options.span_id,
        min_severity_number=options.min_severity_number,
        since_ns=options.since_ns,
        until_ns=options.until_ns,
        since_seq=options.since_seq,
        until_seq=options.until_seq,
        attributes=tuple(options.attributes),
        text=options.text,
    )


def moment(text: str, now: dt.datetime | None = None) -> int:
    """Return nanoseconds since 1970 of a time as people write it.

    Args:
        text: RFC 3339, a date (its first moment), ``2h`` ago, ``today``, ``yesterday``.
        now: For what is relative; None: the machine's clock.

    Raises:
        ArgumentTypeError: It is none of these.
    """
    now = now or dt.datetime.now(dt.UTC)
    day = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    nanoseconds = 0
    try:
        if text in _WORDS:
            then = day - dt.timedelta(days=_WORDS[text])
        elif match := _AGO.fullmatch(text):
            then = now - dt.timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
        elif _DATE.fullmatch(text):
            then = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        elif match := _MOMENT.fullmatch(text):
            nanoseconds = int((match[3] or "0").ljust(9, "0"))
            then = dt.datetime.fromisoformat(f"{match[1]}T{match[2]}{(match[4] or 'Z').upper()}")
        else:
            raise ValueError
        since = then - _EPOCH
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"expected a time such as 2026-11-22T09:00:00Z, 2026-11-22, 2h, today or yesterday, got {text!r}"
        ) from None
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000 + nanoseconds


def _attribute(text: str) -> tuple[ValuePath, str | None]:
    path, given, value = text.partition("=")
    if not path:
        raise argparse.ArgumentTypeError(f"expected PATH or PATH=VALUE, got {text!r}")
    return parse_path(path), value if given else None
