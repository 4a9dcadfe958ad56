"""The command line: ``otel-audit``, or ``python -m otel_audit``.

One module a command, each with ``SUMMARY``, ``add_arguments`` and ``run``. Results go to stdout,
everything else to stderr. Neither OpenTelemetry nor an extra is imported here: an assessor needs
nothing but this package to check a log.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, Final, NoReturn

import otel_audit
from otel_audit.cli.status import INTERRUPTED, PIPE_CLOSED, UNUSABLE
from otel_audit.cli.text import tell, visible
from otel_audit.errors import AuditError


class _Commands(Mapping[str, ModuleType]):
    """Name of each command to its module, which is imported when it is asked for.

    Each start would pay for all of them otherwise.
    """

    def __init__(self, **homes: str) -> None:
        self._homes = homes

    def __getitem__(self, name: str) -> ModuleType:
        return import_module(f"otel_audit.cli.{self._homes[name]}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


COMMANDS: Final = _Commands(
    **{
        "verify": "verify",
        "query": "query",
        "tail": "tail",
        "stats": "stats",
        "show": "show",
        "trace": "trace",
        "export": "export",
        "report": "report",
        "reconcile": "reconcile",
        "resend": "resend",
        "import": "import_",
        "doctor": "doctor",
    }
)
"""Name of each command to its module."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments without sending their bytes to the terminal. Parses once."""

    _is_marked = False  # the mark that ends the options was seen

    def error(self, message: str) -> NoReturn:
        if sys.stderr is None:  # the usage would go to stdout
            self.exit(UNUSABLE)
        super().error(visible(message))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # Python 3.11 takes every -- for the mark that ends the options, the value of --text=-- and the second -- too,
        # and leaves it out past all checks
        if "--" in arg_strings and action.nargs in (None, argparse.ONE_OR_MORE, argparse.ZERO_OR_MORE):
            if action.option_strings or self._is_marked:
                values = [self._get_value(action, text) for text in arg_strings]
                for value in values:
                    self._check_value(action, value)
                return values[0] if action.nargs is None else values
            self._is_marked = True
        return super()._get_values(action, arg_strings)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: The arguments behind the program's name; None takes those of the process.

    Returns:
        What the command returns; 2 for wrong usage, for what cannot be read, and for results
        that cannot be written; 130 after Ctrl-C; 141 where the reader of stdout went away.
    """
    with _stdout() as is_closed:
        _escape_what_cannot_be_encoded()
        try:
            status = _run(argv)
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_stdout()
            return PIPE_CLOSED
        except KeyboardInterrupt:
            _flush_or_discard()
            return INTERRUPTED
        except AuditError as error:
            tell(str(error))
            _flush_or_discard()
            return UNUSABLE
        except OSError as error:  # what reads a log raises AuditError: only writing is left
            _discard_stdout()
            if is_closed:
                tell("expected stdout, got none: it was closed")
            else:
                tell(f"cannot write the result: {error.strerror or error}")
            return UNUSABLE
        return status


def _run(argv: Sequence[str] | None) -> int:
    try:
        given = sys.argv[1:] if argv is None else argv
        arguments = parser(given[0] if given and given[0] in COMMANDS else None).parse_args(given)
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else UNUSABLE
    status: int = COMMANDS[arguments.command].run(arguments)
    return status


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, or of one."""
    made = _Parser(prog="otel-audit", description="Read, check and make audit logs.")
    made.add_argument("--version", action="version", version=f"otel-audit {otel_audit.__version__}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True, prog=made.prog)
    for name in COMMANDS if only is None else (only,):
        command = COMMANDS[name]
        one = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=command.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(one)
    return made


@contextlib.contextmanager
def _stdout() -> Iterator[bool]:
    """Have a stdout, and tell whether it was closed: then one that cannot be written to, as a full disk cannot."""
    if sys.stdout is not None:
        yield False
        return
    with open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8") as unwritable:
        sys.stdout = unwritable
        try:
            yield True
        finally:
            sys.stdout = None


def _escape_what_cannot_be_encoded() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _flush_or_discard() -> None:
    """Write what is left, if that can be: the exit status is another one already."""
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()


def _discard_stdout() -> None:
    # Python flushes stdout once more when it ends, and would print a traceback of its own
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
