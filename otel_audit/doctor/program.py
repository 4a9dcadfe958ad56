"""The program that is asked about: which interpreter runs it. The program itself is never run."""

from __future__ import annotations

import getopt
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.command_line import read_command_line

_PYTHON: Final = re.compile(r"(python|pypy)[0-9.]*(\.exe)?\Z")
_BESIDE: Final = re.compile(r'"\$\(dirname (?:-- )?"\$\(realpath (?:-- )?"\$0"\)"\)"')
"""The script's own folder, links followed, as the scripts of a relocatable environment spell it for ``sh``."""
_LINE_BYTES: Final = 4096
_ENV_FLAGS: Final = "0ivC:P:S:u:"
_ENV_OPTIONS: Final = ("chdir=", "debug", "ignore-environment", "split-string=", "unset=")
_PATH: Final = "PYTHONPATH"


@dataclass(frozen=True, slots=True)
class Program:
    """A Python program.

    Attributes:
        interpreter: Path of the interpreter that runs it.
        arguments: The interpreter's, as in ``sys.orig_argv`` without the first; empty where no program is named.
        settings: The options of ``opentelemetry-instrument``, each with its value.
        loses_path: Whether the script's first line takes ``PYTHONPATH`` away.
    """

    interpreter: str
    arguments: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    loses_path: bool = False

    @property
    def name(self) -> str:
        """The path of the file, or the name of the module, that is run; empty where it is code, or what is typed in."""
        return read_command_line(self.arguments).name

    @property
    def script(self) -> str | None:
        """The path of the file that is run; None where it is a module, code, or what is typed in."""
        run = read_command_line(self.arguments)
        return run.name if run.kind == "file" else None

    @property
    def ignores_environment(self) -> bool:
        """Whether the interpreter is told to leave aside what ``opentelemetry-instrument`` puts in its way.

        That is a ``sitecustomize`` in ``PYTHONPATH``: ``-E`` and ``-I`` do not look there, ``-S`` imports none.
        """
        return self.loses_path or not set(read_command_line(self.arguments).flags).isdisjoint("EIS")

    @property
    def variables(self) -> dict[str, str]:
        """What ``opentelemetry-instrument`` makes of its options in the environment, without those of its own."""
        return {f"OTEL_{name.upper()}": value for name, value in self.settings}


def find_program(command: Sequence[str]) -> Program:
    """Return the program that a command runs; this interpreter, where there is no command.

    Args:
        command: ``python agent.py``, ``python -m agent``, or a script of a Python package, such as ``uvicorn
            app:app``; with ``opentelemetry-instrument`` before it, or without.

    Raises:
        AuditConfigError: There is no such command, or it runs no Python program.
    """
    words = list(command)
    settings: tuple[tuple[str, str], ...] = ()
    if words and os.path.basename(words[0]) == "opentelemetry-instrument":
        settings, words = _settings(words[1:])
    if not words:
        return Program(sys.executable, settings=settings)
    found = shutil.which(words[0])
    if found is None:
        raise AuditConfigError(f"expected a program, got {words[0]!r}, which {_why_none(words[0])}")
    if _PYTHON.match(os.path.basename(found)):
        return Program(found, tuple(words[1:]), settings)
    first, loses_path = _started_by(found)
    if not first or not _PYTHON.match(os.path.basename(first[0])):
        raise AuditConfigError(f"expected a Python program, such as 'python agent.py', got {words[0]!r}")
    return Program(first[0], (*first[1:], found, *words[1:]), settings, loses_path)


def _why_none(command: str) -> str:
    if os.path.isdir(command):
        return "is a folder"
    if shutil.which(command, os.F_OK) is not None:
        return "is a file that may not be executed"
    if os.path.exists(command):
        return "is a file, and no command on the path"
    return "is not found"


def _settings(words: list[str]) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Split what stands behind ``opentelemetry-instrument``: its options, which all take a value, and the program."""
    settings: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            break
        if not word.startswith("-"):
            return tuple(settings), [word, *rest]
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name in ("help", "version"):
            raise AuditConfigError(f"expected a program behind opentelemetry-instrument, got {word!r}")
        if not equals and (value := next(rest, "-")).startswith("-"):
            raise AuditConfigError(f"expected a value behind the option {word!r} of opentelemetry-instrument, got none")
        settings.append((name, value))
    return tuple(settings), list(rest)


def _started_by(script: str) -> tuple[list[str], bool]:
    """Return what a script's first lines start, with its arguments, and whether ``PYTHONPATH`` is taken from it.

    As Linux does, all behind the interpreter is one argument (execve(2)); macOS splits it.
    """
    try:
        with open(script, "rb") as file:
            head = file.read(_LINE_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return [], False
    if not head or not head[0].startswith("#!"):
        return [], False
    words = head[0][2:].strip().split(None, -1 if sys.platform == "darwin" else 1)
    try:
        if words and os.path.basename(words[0]) == "sh" and len(head) > 1 and head[1].startswith("'''exec' "):
            # a path too long for the first line, or one beside the script, wherever that lies
            folder = shlex.quote(os.path.dirname(os.path.realpath(script)))
            words = shlex.split(_BESIDE.sub(lambda _: folder, head[1].removeprefix("'''exec' ")))
            return words[: words.index("$0")], False
        if words and os.path.basename(words[0]) == "env":
            return _behind_env(words[1:])
    except (ValueError, getopt.GetoptError):  # a quote that is not closed, an option that is none
        return [], False
    return words, False


def _behind_env(words: list[str]) -> tuple[list[str], bool]:
    """Return what ``env`` starts, and whether it takes ``PYTHONPATH`` from it (env(1))."""
    loses_path = False
    while words and words[0].startswith("-"):
        if words[0] == "-":
            loses_path, words = True, words[1:]
            continue
        options, words = getopt.getopt(words, _ENV_FLAGS, _ENV_OPTIONS)
        for name, value in options:
            if name in ("-S", "--split-string"):
                words = [*shlex.split(value), *words]
            loses_path |= name in ("-i", "--ignore-environment") or (name in ("-u", "--unset") and value == _PATH)
    while words and "=" in words[0]:
        loses_path |= words[0].startswith(f"{_PATH}=")
        words = words[1:]
    return ([shutil.which(words[0]) or words[0], *words[1:]] if words else []), loses_path
