"""What a module defines, told from its source: nothing is imported.

A program that is to be audited must not start when a function was misspelt, and its modules must
not be imported in another order than its own.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from typing import Final

_WITH_VALUE: Final = ("-X", "-W", "--check-hash-based-pycs")


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
    arguments = iter(sys.orig_argv[1:])
    for argument in arguments:
        if argument in _WITH_VALUE:
            next(arguments, None)
        elif argument == "-" or (argument.startswith("-") and not argument.startswith("--") and argument[-1] in "cm"):
            break
        elif not argument.startswith("-"):
            return argument if os.path.isdir(argument) else os.path.dirname(os.path.realpath(argument))
    return os.getcwd()


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
