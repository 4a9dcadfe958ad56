"""What an interpreter was told to run (https://docs.python.org/3/using/cmdline.html)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

_OPTION: Final = re.compile(r"-([^cmWX]*)([cmWX]?)(.*)", re.DOTALL)
"""Flags in one argument, up to the first that takes a value, and that value where it stands there."""
_FLAGS: Final = frozenset("bBdEhiIOPqRsStuvVx?")
_WITH_VALUE: Final = "--check-hash-based-pycs"
_LONG: Final = frozenset({"--help", "--help-all", "--help-env", "--help-xoptions", "--version", _WITH_VALUE})


@dataclass(frozen=True, slots=True)
class CommandLine:
    """An interpreter's command line.

    Attributes:
        flags: The interpreter's own, one letter each; none of the program's.
        kind: ``file``, ``module``, or ``none``: code, or what is typed in.
        name: Path of the file, which can be a folder, or name of the module; empty without one.
        fault: What CPython refuses in its own options, and ends; None: nothing is known.
    """

    flags: str
    kind: Literal["file", "module", "none"]
    name: str
    fault: str | None = None


def read_command_line(arguments: Iterable[str]) -> CommandLine:
    """Return what is run.

    Args:
        arguments: As in ``sys.orig_argv``, without the first.
    """
    flags = ""
    fault: str | None = None
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            argument = next(rest, "-")  # noqa: PLW2901 - whatever it looks like, it is no option
        elif argument.startswith("--"):
            if argument not in _LONG:
                fault = fault or f"expected an option of Python's, got {argument!r}"
            elif argument == _WITH_VALUE and next(rest, None) is None:
                fault = fault or _without_value(argument)
            continue
        elif option := _OPTION.fullmatch(argument) if argument != "-" else None:
            flags += option[1]
            for flag in option[1]:
                if flag not in _FLAGS:
                    fault = fault or f"expected an option of Python's, got '-{flag}'"
            value = option[3] or (next(rest, None) if option[2] else "")
            if value is None:
                fault = fault or _without_value(f"-{option[2]}")
            if option[2] == "m":
                return CommandLine(flags, "module", value or "", fault)
            if option[2] == "c":
                break
            continue
        if argument == "-":
            break
        return CommandLine(flags, "file", argument, fault)
    return CommandLine(flags, "none", "", fault)


def _without_value(option: str) -> str:
    return f"expected a value behind Python's option {option!r}, got none"
