"""``otel-audit import``: bring a bus file of hummbl-governance into a new log."""

from __future__ import annotations

import argparse
import getpass
import os
from typing import Final

from otel_audit.cli import status
from otel_audit.cli.arguments import log_path
from otel_audit.cli.text import ascii_json, path_text, plural, visible
from otel_audit.record import Actor

SUMMARY: Final = "bring a bus file of hummbl-governance into a new log"
DESCRIPTION: Final = """\
Bring a bus file (TSV as hummbl-governance writes it, or JSON Lines) into a new log. Each message
becomes an entry with the time at which it was posted, and with the name and SHA-256 of the file, the
line's number and its exact text. A line that holds no message is named here, and kept as it stands.
Nothing seals what was in the file before: the new log proves only that it has not changed since."""
EPILOG: Final = """\
examples:
  otel-audit import bus.tsv --to new.jsonl

exit status:
  0    every line of the file is a message of the new log
  1    some lines hold no message; each is in the new log as it stands
  2    wrong usage, no bus file, a file that cannot be read, a log that is there already"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("path", metavar="FILE", type=log_path, help="the bus file; it is only read")
    parser.add_argument("--to", required=True, metavar="LOG", type=log_path, help="the new log: a name in .jsonl")
    parser.add_argument("--hmac-key-file", type=log_path, metavar="FILE", help="the key that signs the new log")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")


def run(arguments: argparse.Namespace) -> int:
    """Bring the file over, print what was done, and return the exit status."""
    # here, not above: the other commands run without the SDK
    from otel_audit.compat.hummbl.importing import import_bus_file

    as_text = arguments.format == "text"
    source = visible(path_text(arguments.path))
    kept: list[dict[str, object]] = []
    gone: list[OSError] = []

    def report(line: int, problem: str) -> None:
        if not as_text:
            kept.append({"line": line, "reason": visible(problem)})
        elif not gone:
            try:
                print(f"{source}:{line}: {visible(problem)}; kept as it stands")
            except OSError as error:  # nobody reads, or can: that is no reason to stop half-way
                gone.append(error)

    done = import_bus_file(
        arguments.path,
        arguments.to,
        actor=Actor(_user(), "user"),
        report=report,
        hmac_key_file=arguments.hmac_key_file,
    )
    if gone:
        raise gone[0]
    exit_status = status.OK if done.messages == done.lines else status.FOUND
    if as_text:
        print(
            f"{visible(path_text(arguments.to))}: {plural(done.messages, 'message')} of {plural(done.lines, 'line')} "
            f"of {source} (SHA-256 {done.sha256})"
        )
    else:
        result = {
            "schema_version": 1,
            "exit_status": exit_status,
            "path": path_text(arguments.path),
            "sha256": done.sha256,
            "lines": done.lines,
            "messages": done.messages,
            "log": path_text(arguments.to),
            "kept": kept,
        }
        print(ascii_json(result, indent=2))
    return exit_status


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user can have no name
        return f"uid {os.getuid()}"
