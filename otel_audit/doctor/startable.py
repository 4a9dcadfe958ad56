"""Whether an interpreter can start what it is told to run, told without importing any of it.

Python imports the packages in which a module lies before it looks for the module (`runpy`). Here
they are not imported; where one may come to have other modules by that, nothing is claimed.
"""

from __future__ import annotations

import contextlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from typing import Final

from otel_audit.instrument.command_line import read_command_line
from otel_audit.instrument.source import REBINDS, UnknownNamesError, find_module, used_names

_MAIN: Final = "__main__"
_CHANGES: Final = REBINDS | {"__path__", "declare_namespace", "meta_path", "path_hooks"}
"""A package that uses one of these may have modules that do not lie in its folder."""


def start_error(arguments: Sequence[str]) -> str | None:
    """Return why a program cannot be started; None where it can, or where that cannot be told.

    Looks at options, a folder, an archive or a module; whether a file is there has to be asked elsewhere.

    Args:
        arguments: The interpreter's, as in ``sys.orig_argv`` without the first.
    """
    run = read_command_line(arguments)
    if run.fault is not None and sys.implementation.name == "cpython":
        return run.fault
    if run.kind == "file":
        return _folder_error(run.name)
    return _module_error(run.name) if run.kind == "module" else None


def _folder_error(path: str) -> str | None:
    finder = pkgutil.get_importer(path)  # a file that is no archive has none
    if finder is None:
        return None
    spec = finder.find_spec(_MAIN, None)
    if spec is not None and spec.loader is not None and spec.submodule_search_locations is None:
        return None
    kind = "a folder" if os.path.isdir(path) else "an archive"
    return f"expected a program, got {kind} without a {_MAIN}.py"


def _module_error(name: str) -> str | None:
    specs: list[ModuleSpec] = []  # of the packages in which it lies, and of itself
    parts = name.split(".")
    for index, last in enumerate(parts):
        spec = find_module(".".join(parts[: index + 1]))
        if spec is None:
            return _absent(".".join(parts[:index]), last, specs)
        specs.append(spec)
    spec = specs[-1]
    if spec.submodule_search_locations is None:
        if spec.origin == "built-in" or isinstance(spec.loader, ExtensionFileLoader):
            return "expected the program's module, got one that is not written in Python"
        return None
    if find_module(f"{name}.{_MAIN}") is not None or _may_have(_MAIN, specs):
        return None
    return f"expected the program's module, got a package without a {_MAIN}.py"


def _absent(owner: str, last: str, specs: list[ModuleSpec]) -> str | None:
    if not specs:
        return "expected the program's module, got a name that is found nowhere"
    if _may_have(last, specs):
        return None
    if specs[-1].submodule_search_locations is None:
        return f"expected the program's module, got a name in {owner!r}, which is no package"
    return f"expected the program's module, got a name that the package {owner!r} does not have"


def _may_have(last: str, specs: list[ModuleSpec]) -> bool:
    """Whether a package can have a module that was not found in it.

    Args:
        last: The last part of the module's name.
        specs: Of the packages in which the package lies, and of itself.
    """
    if any(_may_change(spec) for spec in specs):
        return True
    for folder in specs[-1].submodule_search_locations or ():
        with contextlib.suppress(OSError):
            # of another language, whose importer only the program sets up
            if any(name.startswith(f"{last}.") for name in os.listdir(folder)):
                return True
    return False


def _may_change(spec: ModuleSpec) -> bool:
    if spec.origin is None and spec.submodule_search_locations is not None:
        return False  # a namespace package has no code
    if type(spec.loader) is not SourceFileLoader:
        return True
    try:
        return not _CHANGES.isdisjoint(used_names(spec))
    except UnknownNamesError:
        return True
