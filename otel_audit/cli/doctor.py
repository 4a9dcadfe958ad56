"""``otel-audit doctor``: what would be audited here, before anything happens."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Final

from otel_audit.cli import status
from otel_audit.cli.text import ascii_json, plural, visible
from otel_audit.environment import OTEL_AUDIT_FILE, OTEL_AUDIT_FRAMEWORKS, OTEL_AUDIT_FUNCTIONS

if TYPE_CHECKING:
    from otel_audit.doctor.check import Check
    from otel_audit.doctor.program import Program

SUMMARY: Final = "say what would be audited here"
DESCRIPTION: Final = """\
Say what would be audited with these settings (OTEL_AUDIT_*): which frameworks, hook by hook; which of the functions
that are named; whether the log can be written to, and how long that takes; whether the OTLP endpoint answers.
Nothing is appended to the log. Behind -- stands a program, such as "-- python agent.py": it is asked what its
interpreter, folder and modules have, and is not run. Frameworks are imported and instrumented, each in a process
of its own."""
EPILOG: Final = """\
examples:
  otel-audit doctor
  otel-audit doctor -- python agent.py

exit status:
  0    all is well
  1    something that is asked for is not audited, or the log does not work
  2    wrong usage, or a program that is not Python's"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text for people, json for programs")
    parser.add_argument("program", nargs="*", metavar="-- PROGRAM", help="a Python program and its arguments")


def run(arguments: argparse.Namespace) -> int:
    """Look at everything, say what was found, and return the exit status."""
    from otel_audit.doctor.program import find_program

    program = find_program(arguments.program)
    checks = _checks(program, {**os.environ, **program.variables})
    states = set()
    if arguments.format == "json":
        found = list(checks)
        states = {check.state for check in found}
        members = ("topic", "state", "subject", "text", "details")
        print(ascii_json([{name: getattr(check, name) for name in members} for check in found], indent=2))
    else:
        for check in _shown(checks):
            states.add(check.state)
    return status.FOUND if "problem" in states else status.OK


def _checks(program: Program, environ: Mapping[str, str]) -> Iterator[Check]:
    from otel_audit.doctor.check import Check
    from otel_audit.doctor.endpoint import check_endpoint
    from otel_audit.doctor.instrumentation import check_instrumentation
    from otel_audit.doctor.log import check_log
    from otel_audit.doctor.variables import check_variables

    yield from check_variables(environ)
    yield from check_instrumentation(program, environ)
    if environ.get(OTEL_AUDIT_FILE):
        yield from check_log(environ)
    else:
        asked = [name for name in (OTEL_AUDIT_FUNCTIONS, OTEL_AUDIT_FRAMEWORKS) if environ.get(name)]
        text = f"{OTEL_AUDIT_FILE} is not set" + (f", and {' and '.join(asked)} need it" if asked else "")
        yield Check("log", "problem" if asked or program.arguments else "note", "none", text)
    yield from check_endpoint(environ)


def _shown(checks: Iterable[Check]) -> Iterator[Check]:
    """Print each check as it comes, and yield it."""
    problems = 0
    for topic, of_topic in groupby(checks, lambda check: check.topic):
        print(topic)
        for check in of_topic:
            print(f"  {check.state:8} {visible(check.subject)}: {visible(check.text)}")
            for line in check.lines:
                print(f"             {visible(line)}")
            problems += check.state == "problem"
            yield check
    print(plural(problems, "problem") if problems else "no problem")
