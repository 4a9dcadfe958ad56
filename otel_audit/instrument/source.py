"""What a module defines, told from its source: nothing is imported.

A program that is to be audited must not start when a function was misspelt, and its modules must
not be imported in another order than its own.
"""

from __future__ import annotations

import ast
import os
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from typing import Final

from otel_audit.instrument.command_line import read_command_line

REBINDS: Final = frozenset(
    ("__dict__", "__setattr__", "eval", "exec", "globals", "locals", "modules", "setattr", "vars")
)
"""Where one of these is used, a name can get another value than the one that stands there."""


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
    names = set(_names(_parse(spec).body, ""))
    if "__getattr__" in names:
        raise UnknownNamesError
    return names


def literal_types(spec: ModuleSpec) -> dict[str, str]:
    """Return the qualified names that get nothing but literals in a module's source, with the literal's type.

    Such a name is no function. One that anything else could be bound to is not among them.

    Raises:
        UnknownNamesError: It has no Python source.
    """
    tree = _parse(spec)
    bound, handed, literals = Counter(_bound(tree)), set(_handed(tree)), list(_literals(tree.body, ""))
    if not REBINDS.isdisjoint(_used(tree)):
        return {}
    assigned = Counter(name.rpartition(".")[2] for name, _ in literals)
    return {
        name: kind
        for name, kind in literals
        for *owners, last in [name.split(".")]
        if bound[last] == assigned[last] and all(bound[owner] == 1 and owner not in handed for owner in owners)
    }


def used_names(spec: ModuleSpec) -> set[str]:
    """Return the names and attributes that a module's source uses anywhere, and what it imports.

    Raises:
        UnknownNamesError: It has no Python source.
    """
    tree = _parse(spec)
    imported = (node.name.rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.alias))
    return {*_used(tree), *imported}


def program_folder() -> str:
    """Return the folder that the interpreter puts first on the path for the program it runs."""
    program = read_command_line(sys.orig_argv[1:])
    if program.kind != "file":
        return os.getcwd()
    return program.name if os.path.isdir(program.name) else os.path.dirname(os.path.realpath(program.name))


def program_file() -> str | None:
    """Return the file that runs as ``__main__``; None where there is none, as with ``-c``."""
    program = read_command_line(sys.orig_argv[1:])
    kind, name = program.kind, program.name
    if kind == "module":
        spec = find_module(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = find_module(f"{name}.__main__")
        return None if spec is None or spec.origin is None else os.path.realpath(spec.origin)
    if kind == "file":
        return os.path.realpath(os.path.join(name, "__main__.py") if os.path.isdir(name) else name)
    return None


def _find(name: str, search: Sequence[str] | None) -> ModuleSpec | None:
    module = sys.modules.get(name)
    if module is not None and getattr(module, "__spec__", None) is not None:
        return module.__spec__
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            spec: ModuleSpec | None = None if find is None else find(name, search, None)
        except KeyError:  # of a namespace package, in a package that is not imported
            spec = _namespace(name, search or ())
        if spec is not None:
            return spec
    return None


def _namespace(name: str, search: Iterable[str]) -> ModuleSpec | None:
    folders: list[str] = []
    for folder in search:
        finder = pkgutil.get_importer(folder)
        part = None if finder is None else finder.find_spec(name, None)
        folders += (part and part.submodule_search_locations) or ()
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = folders
    return spec if folders else None


def _parse(spec: ModuleSpec) -> ast.Module:
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise UnknownNamesError
    try:
        with open(spec.origin, "rb") as file:
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError) as error:
        raise UnknownNamesError from error


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


def _literals(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield each name that is assigned a literal, with its type, in the module itself and its plain classes."""
    for node in body:
        match node:
            case ast.ClassDef(bases=[], decorator_list=[], keywords=[]):  # others can make anything of a member
                yield from _literals(node.body, f"{prefix}{node.name}.")
            case ast.Assign(targets=targets, value=value):
                yield from _assigned_literal(targets, value, prefix)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield from _assigned_literal([target], value, prefix)


def _assigned_literal(targets: Sequence[ast.expr], value: ast.expr, prefix: str) -> Iterator[tuple[str, str]]:
    try:
        kind = type(ast.literal_eval(value)).__name__
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return  # no literal, or none that can be made
    for target in targets:
        if isinstance(target, ast.Name):
            yield prefix + target.id, kind


def _bound(tree: ast.AST) -> Iterator[str]:
    """Yield a name each time that something is bound to it or deleted, in whichever scope."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.Attribute(attr=name, ctx=ast.Store() | ast.Del()):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.alias(name=name, asname=asname):
                yield asname or name.partition(".")[0]
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name
            case ast.MatchMapping(rest=str(name)):
                yield name


def _handed(tree: ast.AST) -> Iterator[str]:
    """Yield the names that are handed to a function: it can give a class other members."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(args=args, keywords=keywords):
                for value in (*args, *(keyword.value for keyword in keywords)):
                    yield from (name.id for name in ast.walk(value) if isinstance(name, ast.Name))


def _used(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
