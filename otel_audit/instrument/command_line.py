"""What an interpreter was told to run (https://docs.python.org/3/using/cmdline.html)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

_OPTION: Final = re.compile(r"-([^cmWX]*)([cmWX]?)(.*)", re.DOTALL)
"""Flags in one argument, up to the first that takes a value, and that value where it stands there."""
_WITH_VALUE: Final = "--check-hash-based-pycs"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """An interpreter's command line.

    Attributes:
        flags: The interpreter's own, one letter each; none of the program's.
        kind: ``file``, ``module``, or ``none``: code, or what is typed in.
        name: Path of the file, which can be a folder, or name of the module; empty without one.
    """

    flags: str
    kind: Literal["file", "module", "none"]
    name: str


def read_command_line(arguments: Iterable[str]) -> CommandLine:
    """Return what is run.

    Args:
        arguments: As in ``sys.orig_argv``, without the first.
    """
    flags = ""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            argument = next(rest, "-")  # noqa: PLW2901 - whatever it looks like, it is no option
        elif argument.startswith("--"):
            if argument == _WITH_VALUE:
                next(rest, None)
            continue
        elif option := _OPTION.fullmatch(argument) if argument != "-" else None:
            flags += option[1]
            if option[2] == "m":
                return CommandLine(flags, "module", option[3] or next(rest, ""))
            if option[2] == "c":
                break
            if option[2] and not option[3]:
                next(rest, None)
            continue
        return CommandLine(flags, "none", "") if argument == "-" else CommandLine(flags, "file", argument)
    return CommandLine(flags, "none", "")
