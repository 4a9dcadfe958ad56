"""The program that is asked about: which interpreter runs it. The program itself is never run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otel_audit.errors import AuditConfigError

_PYTHON: Final = re.compile(r"(python|pypy)[0-9.]*(\.exe)?\Z")
_OPTION: Final = re.compile(r"-([^-cmWX]*)([cmWX]?)(.*)", re.DOTALL)
"""Flags, and the first that takes a value, with that value where it stands there."""
_WITH_VALUE: Final = "--check-hash-based-pycs"
_LINE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """A Python program.

    Attributes:
        interpreter: Path of the interpreter that runs it.
        arguments: The interpreter's, as in ``sys.orig_argv`` without the first; empty where no program is named.
    """

    interpreter: str
    arguments: tuple[str, ...] = ()

    @property
    def script(self) -> str | None:
        """The path of the file that is run; None where it is a module, code, or what is typed in."""
        return self._read()[1]

    @property
    def ignores_environment(self) -> bool:
        """Whether the interpreter is told to leave aside what ``opentelemetry-instrument`` puts in its way.

        That is a ``sitecustomize`` in ``PYTHONPATH``: ``-E`` and ``-I`` do not look there, ``-S`` imports none.
        """
        return not set(self._read()[0]).isdisjoint("EIS")

    def _read(self) -> tuple[str, str | None]:
        """Return the interpreter's own flags, and the file that it runs."""
        flags = ""
        arguments = iter(self.arguments)
        for argument in arguments:
            if argument == "--":
                file = next(arguments, "-")
                return flags, None if file == "-" else file
            option = _OPTION.fullmatch(argument)
            if option is None:
                return flags, argument
            flags += option[1]
            if argument == "-" or option[2] in ("c", "m"):
                return flags, None
            if argument == _WITH_VALUE or (option[2] and not option[3]):
                next(arguments, None)
        return flags, None


def find_program(command: Sequence[str]) -> Program:
    """Return the program that a command runs; this interpreter, where there is no command.

    Args:
        command: ``python agent.py``, ``python -m agent``, or a script of a Python package, such as ``uvicorn
            app:app``; with ``opentelemetry-instrument`` before it, or without.

    Raises:
        AuditConfigError: There is no such command, or it runs no Python program.
    """
    words = list(command)
    if words and os.path.basename(words[0]) == "opentelemetry-instrument":
        words = words[1:]
    if not words:
        return Program(sys.executable)
    found = shutil.which(words[0])
    if found is None:
        raise AuditConfigError(f"expected a program, got {words[0]!r}, which is not found")
    if _PYTHON.match(os.path.basename(found)):
        return Program(found, tuple(words[1:]))
    interpreter = _interpreter_of(found)
    if interpreter is None:
        raise AuditConfigError(f"expected a Python program, such as 'python agent.py', got {words[0]!r}")
    return Program(interpreter, (found, *words[1:]))


def _interpreter_of(script: str) -> str | None:
    """Return the interpreter that a script's first lines name, None where that is not Python."""
    try:
        with open(script, "rb") as file:
            head = file.read(_LINE_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    if not head or not head[0].startswith("#!"):
        return None
    words = head[0][2:].split()
    if words and os.path.basename(words[0]) == "sh" and len(head) > 1 and head[1].startswith("'''exec' "):
        try:
            words = shlex.split(head[1].removeprefix("'''exec' "))[:1]  # a path too long for the first line
        except ValueError:  # a quote that is not closed
            return None
    if words and os.path.basename(words[0]) == "env":
        words = [shutil.which(word) or word for word in words[1:] if not word.startswith("-")]
    return words[0] if words and _PYTHON.match(os.path.basename(words[0])) else None
