"""``otel-audit trace``: one trace as a tree of its spans and its audit entries."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from otel_audit import semconv
from otel_audit.cli import status
from otel_audit.cli.arguments import check_stdin_once, log_path, trace_id
from otel_audit.cli.spans import Span, read_spans
from otel_audit.cli.text import plural, tell, visible, visible_json
from otel_audit.entry import Entry
from otel_audit.line_form import parse_time
from otel_audit.reader import read_log

SUMMARY: Final = "show one trace: its spans and its audit entries"
DESCRIPTION: Final = """\
Show one trace as a tree: the spans from a collector's traces files (OTLP JSON, one request a line), and
under each span the entries of the logs that carry its id, by time. Entries are shown as they stand:
"otel-audit verify" says what to believe."""
EPILOG: Final = """\
examples:
  otel-audit trace 4bf92f3577b34da6a3ce929d0e0e4736 audit.jsonl --spans traces.jsonl

exit status:
  0    there are spans or entries of this trace
  1    there are none
  2    wrong usage, or a file that cannot be read"""

_MAX_INDENT: Final = 40
Child = tuple[int, "Span | Entry"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("trace_id", metavar="ID", type=trace_id, help="the trace's id: 32 hexadecimal digits")
    parser.add_argument("paths", nargs="+", metavar="LOG", type=log_path, help="a log, a segment of one, or a folder")
    parser.add_argument(
        "--spans",
        action="append",
        required=True,
        type=log_path,
        metavar="FILE",
        help="a collector's traces file (- is stdin); may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the trace, and return the exit status."""
    wanted: str = arguments.trace_id
    check_stdin_once([*arguments.paths, *arguments.spans])
    spans = read_spans(arguments.spans, wanted)
    entries = [entry for path in arguments.paths for entry in read_log(path, trace_id=wanted)]
    if not spans and not entries:
        tell(f"{wanted}: no spans and no entries of this trace")
        return status.FOUND
    print(f"trace {wanted}: {plural(len(spans), 'span')}, {plural(len(entries), 'entry', 'entries')}")
    for line in tree(spans, entries):
        print(line)
    return status.OK


def tree(spans: dict[str, Span], entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the lines of the tree: each span once, each entry once, whatever parents they name.

    Args:
        spans: By id.
        entries: Of the same trace.
    """
    children: defaultdict[str, list[Child]] = defaultdict(list)
    roots: list[Child] = []
    absent: defaultdict[str, list[Entry]] = defaultdict(list)
    for span in spans.values():
        at = (span.start_ns, span)
        (children[span.parent_id] if span.parent_id in spans else roots).append(at)
    for entry in entries:
        if entry.span_id in spans:
            children[str(entry.span_id)].append((parse_time(entry.time), entry))
        else:
            absent[str(entry.span_id)].append(entry)
    shown: set[str] = set()
    # Spans that are each other's parents lead to no root: they begin a tree of their own.
    for root in (*_by_time(roots), *_by_time((span.start_ns, span) for span in spans.values())):
        yield from _branch(root, children, shown)
    for span_id, orphans in absent.items():
        yield f"span {visible(span_id)}, in none of the files"
        for entry in orphans:
            yield f"  {entry_text(entry)}"


def entry_text(entry: Entry) -> str:
    """Return one entry as one line: when, what, its phase and outcome, who, upon what."""
    found = entry.attributes.get
    phase = found(semconv.AUDIT_PHASE)
    parts = [
        f"#{entry.seq}",
        entry.time[11:26],
        visible(entry.event_name),
        _shown(found(semconv.AUDIT_ACTION)),
        "[intent]" if phase == "intent" else _shown(found(semconv.AUDIT_OUTCOME)),
        _shown(found(semconv.AUDIT_DECISION)),
        f"by {_shown(found(semconv.AUDIT_ACTOR_ID))}",
        "" if found(semconv.AUDIT_TARGET_ID) is None else f"on {_shown(found(semconv.AUDIT_TARGET_ID))}",
    ]
    return "  ".join(part for part in parts if part)


def span_text(span: Span) -> str:
    """Return one span as one line: its name, who opened it, how long it took."""
    took = max(0, span.end_ns - span.start_ns) / 1e6
    parts = [visible(span.name), visible(span.service), f"{took:,.3f} ms" if span.end_ns else "not ended"]
    return "  ".join([part for part in parts if part] + (["error"] if span.failed else []))


def _branch(root: Child, children: dict[str, list[Child]], shown: set[str]) -> Iterator[str]:
    todo = [(0, root)]
    while todo:
        depth, (_, each) = todo.pop()
        indent = "  " * min(depth, _MAX_INDENT)
        if isinstance(each, Entry):
            yield f"{indent}{entry_text(each)}"
        elif each.span_id not in shown:
            shown.add(each.span_id)
            yield f"{indent}{span_text(each)}"
            todo += [(depth + 1, child) for child in reversed(_by_time(children.get(each.span_id, ())))]


def _by_time(found: Iterable[Child]) -> list[Child]:
    return sorted(found, key=lambda each: each[0])


def _shown(value: object) -> str:
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) else visible_json(value)
