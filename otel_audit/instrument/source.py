"""What a module defines, told from its source: nothing is imported.

A program that is to be audited must not start when a function was misspelt, and its modules must
not be imported in another order than its own.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from typing import Final, Literal

_WITH_VALUE: Final = ("--check-hash-based-pycs",)
_FLAGS: Final = re.compile(r"[^cmWX]*([cmWX])(.*)", re.DOTALL)
"""Options in one argument, up to the first that takes a value, and that value where it stands there."""


class UnknownNamesError(Exception):
    """The source does not tell which names there are."""


def find_module(name: str) -> ModuleSpec | None:
    """Return where a module would be imported from, None where it is nowhere. Imports nothing.

    Before the program runs, its own folder is not on the path yet: it is looked at all the same.
    """
    search: Sequence[str] | None = None
    spec: ModuleSpec | None = getattr(sys.modules.get(name), "__spec__", None)
    if spec is not None:
        return spec
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        full_name = ".".join(parts[:end])
        spec = _find(full_name, search)
        if spec is None and search is None:
            spec = _find(full_name, [program_folder()])
        if spec is None:
            return None
        search = spec.submodule_search_locations
        if search is None and end < len(parts):
            return None
    return spec


def defined_names(spec: ModuleSpec) -> set[str]:
    """Return the qualified names that a module's source defines: functions, classes, their members, what it imports.

    Raises:
        UnknownNamesError: It has no Python source, or makes names as it runs.
    """
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise UnknownNamesError
    try:
        with open(spec.origin, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError) as error:
        raise UnknownNamesError from error
    names = set(_names(tree.body, ""))
    if "__getattr__" in names:
        raise UnknownNamesError
    return names


def program_folder() -> str:
    """Return the folder that the interpreter puts first on the path for the program it runs."""
    kind, name = _program()
    if kind != "file":
        return os.getcwd()
    return name if os.path.isdir(name) else os.path.dirname(os.path.realpath(name))


def program_file() -> str | None:
    """Return the file that runs as ``__main__``; None where there is none, as with ``-c``."""
    kind, name = _program()
    if kind == "module":
        spec = find_module(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = find_module(f"{name}.__main__")
        return None if spec is None or spec.origin is None else os.path.realpath(spec.origin)
    if kind == "file":
        return os.path.realpath(os.path.join(name, "__main__.py") if os.path.isdir(name) else name)
    return None


def _program() -> tuple[Literal["file", "module", "none"], str]:
    """Return what the interpreter was told to run (https://docs.python.org/3/using/cmdline.html)."""
    arguments = iter(sys.orig_argv[1:])
    for argument in arguments:
        if argument == "-":
            break
        if not argument.startswith("-"):
            return "file", argument
        if argument in _WITH_VALUE:
            next(arguments, None)
        elif not argument.startswith("--"):
            flags = _FLAGS.match(argument[1:])
            option, value = (flags[1], flags[2]) if flags else ("", "")
            if option == "m":
                return "module", value or next(arguments, "")
            if option == "c":
                break
            if option and not value:
                next(arguments, None)
    return "none", ""


def _find(name: str, search: Sequence[str] | None) -> ModuleSpec | None:
    module = sys.modules.get(name)
    if module is not None and getattr(module, "__spec__", None) is not None:
        return module.__spec__
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = None if find is None else find(name, search, None)
        if spec is not None:
            return spec
    return None


def _names(body: Sequence[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.ClassDef(name=name):
                yield prefix + name
                if node.bases or node.decorator_list or node.keywords:
                    yield f"{prefix}{name}.*"  # it can have members that do not stand here
                yield from _names(node.body, f"{prefix}{name}.")
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from _assigned(target, prefix)
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                yield from _assigned(target, prefix)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    if alias.name == "*":
                        raise UnknownNamesError
                    name = alias.asname or alias.name.partition(".")[0]
                    yield prefix + name
                    yield f"{prefix}{name}.*"
            case _:
                for block in ("body", "orelse", "finalbody"):
                    yield from _names(getattr(node, block, ()), prefix)
                for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
                    yield from _names(part.body, prefix)


def _assigned(target: ast.expr, prefix: str) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield prefix + node.id
            yield f"{prefix}{node.id}.*"
