from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from otel_audit.instrument.source import (
    UnknownNamesError,
    defined_names,
    find_module,
    literal_types,
    program_file,
    program_folder,
)

SOURCE = """
import os.path, json as j
from shop.impl import helper, other as renamed
LIMIT: int = 3
a = b, (c, *d) = 1, (2, 3)
def f():
    def inner(): pass
async def g(): pass
class C:
    x = 1
    def m(self): pass
    class Inner:
        def n(self): pass
class Derived(C):
    pass
if LIMIT:
    def by_if(): pass
else:
    def by_else(): pass
try:
    def by_try(): pass
except ImportError:
    def by_except(): pass
for i in ():
    pass
with open(__file__):
    def by_with(): pass
match LIMIT:
    case 3:
        def by_match(): pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a package of two modules."""
    (tmp_path / "bazaar").mkdir()
    (tmp_path / "bazaar" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "bazaar" / "orders.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def names(source: str, folder: Path) -> set[str]:
    (folder / "bazaar" / "other.py").write_text(source)
    spec = find_module("bazaar.other")
    assert spec is not None
    return defined_names(spec)


def test_finds_modules_without_importing_them(folder: Path) -> None:
    """A module in a package is found, and neither it nor the package is imported."""
    spec = find_module("bazaar.orders")
    assert spec is not None
    assert spec.origin == str(folder / "bazaar" / "orders.py")
    assert find_module("bazaar") is not None
    assert "bazaar" not in sys.modules


def test_namespace_packages_in_a_package(folder: Path) -> None:
    """A module is found where folders without an ``__init__.py`` lie between it and a package that is not imported."""
    (folder / "bazaar" / "loose" / "looser").mkdir(parents=True)
    (folder / "bazaar" / "loose" / "looser" / "till.py").touch()
    spec = find_module("bazaar.loose.looser.till")
    assert spec is not None
    assert spec.origin == str(folder / "bazaar" / "loose" / "looser" / "till.py")
    assert find_module("bazaar.loose.nothing") is None
    assert "bazaar" not in sys.modules


@pytest.mark.parametrize("name", ["bazar", "bazaar.order", "bazaar.orders.f", "os.path.join"])
def test_what_is_no_module(folder: Path, name: str) -> None:
    """A name that is misspelt, or no module's, is found nowhere."""
    assert find_module(name) is None


def test_modules_that_are_imported_or_built_in() -> None:
    """A module that is loaded, frozen or built in is found, too."""
    for name in ("sys", "zipimport", "otel_audit.errors", "os.path"):
        assert find_module(name) is not None


def test_names(folder: Path) -> None:
    """Functions, classes, members, assigned and imported names are found wherever they stand in the module."""
    found = names(SOURCE, folder)
    functions = {"f", "g", "by_if", "by_else", "by_try", "by_except", "by_with", "by_match"}
    members = {"C", "C.x", "C.m", "C.Inner", "C.Inner.n", "Derived", "Derived.*"}
    others = {"os", "j", "helper", "renamed", "LIMIT", "a", "b", "c", "d"}
    assert functions | members | others <= found
    assert not found & {"inner", "C.*", "m", "x", "other"}


@pytest.mark.parametrize(
    "source", ["from os import *", "def __getattr__(name): ...", "def broken(", "\0", "if 1:\n from x import *"]
)
def test_sources_that_do_not_tell(folder: Path, source: str) -> None:
    """Where names are made as the module runs, or it cannot be parsed, nothing is claimed."""
    with pytest.raises(UnknownNamesError):
        names(source, folder)


LITERALS = """
const = 5
twice = 1
twice = "two"
a = b = -1.5
annotated: dict[str, int] = {"x": [1, (2,)]}
class Till:
    limit = None
    class Drawer:
        size = 3
"""


def literals(source: str, folder: Path) -> dict[str, str]:
    (folder / "bazaar" / "literals.py").write_text(source)
    spec = find_module("bazaar.literals")
    assert spec is not None
    return literal_types(spec)


def test_literals(folder: Path) -> None:
    """A name to which the module and its plain classes assign literals alone is known, with their type."""
    assert literals(LITERALS, folder) == {
        "const": "int",
        "twice": "str",
        "a": "float",
        "b": "float",
        "annotated": "dict",
        "Till.limit": "NoneType",
        "Till.Drawer.size": "int",
    }


@pytest.mark.parametrize(
    "source",
    [
        "x = make()",
        "x = lambda: 5",
        "x = [make()]",
        "x = {[]: 1}",
        "x: int",
        "x, y = 1, 2",
        "from shop import x",
        "import x.y",
        "x = 5\nimport shop as x",
        "x = 5\ndel x",
        "x = 5\nx += make()",
        "x = 5\nif x:\n    def x(): ...",
        "try:\n    from shop import x\nexcept ImportError:\n    x = None",
        "x = 5\ndef fill():\n    global x\n    x = print",
        "x = 5\nfor x in (print,): ...",
        "x = 5\nwith make() as x: ...",
        "x = 5\n(x := print)",
        "x = 5\nmatch print:\n    case x: ...",
        "x = 5\nmatch [print]:\n    case [*x]: ...",
        "x = 5\nmatch {}:\n    case {**x}: ...",
        "x = 5\ntry: ...\nexcept OSError as x: ...",
        "x = 5\nclass x: ...",
        "x = 5\nasync def x(): ...",
        "x = 5\nglobals()['x'] = print",
        "x = 5\nsys.modules[__name__].y = print",
        "x = 5\nsetattr(shop, 'x', print)",
        "class C(Base):\n    x = 5",
        "class C(metaclass=M):\n    x = 5",
        "@dataclass(slots=True)\nclass C:\n    x: int = 5",
        "class C:\n    x = 5\nC.x = print",
        "class C:\n    x = 5\nC = make()",
        "class C:\n    x = 5\nfill(C)",
        "class C:\n    x = 5\nfill(classes=[C])",
        "if 1:\n    x = 5",
    ],
)
def test_what_may_be_no_literal(folder: Path, source: str) -> None:
    """Of a name that anything else could be bound to nothing is claimed."""
    assert literals(source, folder) == {}


def test_modules_without_source() -> None:
    """Of a module written in C nothing is claimed."""
    spec = find_module("sys")
    assert spec is not None
    with pytest.raises(UnknownNamesError):
        defined_names(spec)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{program}"], "{folder}"),
        (["-X", "dev", "-W", "error", "-u", "{program}", "-m"], "{folder}"),
        (["-m", "package"], "{here}"),
        (["-Im", "package"], "{here}"),
        (["-mpackage"], "{here}"),
        (["-Xfrozen_modules=off", "-Werror", "{program}"], "{folder}"),
        (["--check-hash-based-pycs", "never", "{program}"], "{folder}"),
        (["--", "-x.py"], "{here}"),
        (["-u", "--", "{program}"], "{folder}"),
        (["-c", "pass"], "{here}"),
        (["-"], "{here}"),
        ([], "{here}"),
        (["{folder}"], "{folder}"),
    ],
)
def test_the_folder_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    """The folder that the interpreter will put first on its path is told from its command line."""
    program = tmp_path / "agent.py"
    program.touch()
    words = {"program": str(program), "folder": str(tmp_path), "here": os.getcwd()}
    monkeypatch.setattr(sys, "orig_argv", ["python", *(argument.format(**words) for argument in arguments)])
    assert program_folder() == expected.format(**words)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{folder}/agent.py"], "agent.py"),
        (["-X", "dev", "{folder}/agent.py", "-m", "package"], "agent.py"),
        (["{folder}/package"], "package/__main__.py"),
        (["-m", "agent"], "agent.py"),
        (["-um", "package.inner", "argument"], "package/inner.py"),
        (["-mpackage"], "package/__main__.py"),
        (["-m", "absent"], None),
        (["--", "-x.py"], "-x.py"),
        (["--", "-"], None),
        (["-c", "import agent"], None),
        (["-"], None),
        ([], None),
    ],
)
def test_the_file_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str | None
) -> None:
    """The file that will run as ``__main__`` is told from the command line."""
    (tmp_path / "package").mkdir()
    for name in ("agent.py", "package/__init__.py", "package/__main__.py", "package/inner.py"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "orig_argv", ["python", *(argument.format(folder=tmp_path) for argument in arguments)])
    assert program_file() == (expected and str(tmp_path.resolve() / expected))
