"""Functions that are named, and audited where they are: in code that nobody edits."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any, Final

from otel_audit.errors import AuditConfigError
from otel_audit.instrument.call import Binder
from otel_audit.instrument.decorator import audited_while, is_audited
from otel_audit.instrument.import_hooks import when_imported
from otel_audit.instrument.members import public_methods
from otel_audit.instrument.source import UnknownNamesError, defined_names, find_module, literal_types, program_file

_NAME: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
_PATTERN: Final = re.compile(r"[\w*?]+(\.[\w*?]+)?\Z")

_log = logging.getLogger(__name__)

_ABSENT: Any = object()

OnMissing = Callable[[AuditConfigError], None]
"""Told of a name that a module turned out not to have; raises, or lets the program go on."""


@dataclass(frozen=True, slots=True)
class FunctionName:
    """One name of ``OTEL_AUDIT_FUNCTIONS``.

    Attributes:
        text: As it was given.
        module: Dotted name of the module.
        pattern: A qualified name there, or a pattern of such names with ``*`` and ``?``.
    """

    text: str
    module: str
    pattern: str

    @property
    def is_exact(self) -> bool:
        """Whether this names one function, method or class."""
        return not set(self.pattern) & set("*?")

    def check(self) -> None:
        """Check that there is something of that name, as far as that can be told without an import.

        Raises:
            AuditConfigError: There is no such module, its source has no such name or gives it a
                literal, or it is the program's own file, which is run and not imported.
        """
        spec = find_module(self.module)
        if spec is None:
            raise AuditConfigError(f"{self.text}: there is no module {self.module!r}")
        if spec.origin is not None and os.path.realpath(spec.origin) == program_file():
            raise _own_file(self.text)
        try:
            names, literals = defined_names(spec), literal_types(spec)
        except UnknownNamesError:
            return
        if self.pattern in literals:
            raise self._no_function(literals[self.pattern])
        if not any(self._may_be(name) for name in names - literals.keys()):
            raise self._missing()

    def members(self, module: ModuleType) -> Iterator[tuple[Any, str]]:
        """Yield owner and name of what is to be wrapped.

        Raises:
            AuditConfigError: The module has nothing of that name.
        """
        found = list(self._exact(module) if self.is_exact else self._matching(module))
        if not found:
            raise self._missing()
        yield from found

    def _exact(self, module: ModuleType) -> Iterator[tuple[Any, str]]:
        owner: Any = module
        *path, name = self.pattern.split(".")
        for part in path:
            owner = getattr(owner, part, None)
        member = inspect.getattr_static(owner, name, None)
        if isinstance(member, type):
            yield from ((member, method) for method in public_methods(member))
        elif member is not None:
            if not (callable(member) or hasattr(type(member), "__get__")):
                raise self._no_function(type(member).__name__)
            yield owner, name

    def _matching(self, module: ModuleType) -> Iterator[tuple[Any, str]]:
        for name, member in list(vars(module).items()):
            if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
                continue
            if isinstance(member, type):
                for method in public_methods(member):
                    if fnmatchcase(f"{name}.{method}" if "." in self.pattern else name, self.pattern):
                        yield member, method
            elif inspect.isroutine(member) and fnmatchcase(name, self.pattern):
                yield module, name

    def _may_be(self, name: str) -> bool:
        owner, _, last = name.rpartition(".")
        if last == "*":  # something that can have any members
            wanted, _, _ = self.pattern.rpartition(".")
            return bool(wanted) and fnmatchcase(owner, wanted)
        return fnmatchcase(name, self.pattern)

    def _missing(self) -> AuditConfigError:
        return AuditConfigError(f"{self.text}: the module {self.module!r} has no {self.pattern!r}")

    def _no_function(self, kind: str) -> AuditConfigError:
        return AuditConfigError(f"{self.text}: expected a function, got an object of type {kind}")


def function_name(text: str) -> FunctionName:
    """Return what ``pkg.mod:function``, ``pkg.mod:Class.method``, ``pkg.mod:tool_*`` or ``pkg.mod.*`` names.

    Raises:
        AuditConfigError: It is none of these.
    """
    module, colon, pattern = text.partition(":")
    if not colon:
        module, _, pattern = text.rpartition(".")
        if pattern != "*":
            pattern = ""
    if _NAME.match(module) is None or not (_PATTERN.match(pattern) or _NAME.match(pattern)):
        raise AuditConfigError(
            f"functions: expected pkg.mod:function, pkg.mod:Class.method, a pattern as pkg.mod:tool_* or pkg.mod.*, "
            f"got {text!r}"
        )
    if module == "__main__":
        raise _own_file(text)
    return FunctionName(text, module, pattern)


def _own_file(text: str) -> AuditConfigError:
    return AuditConfigError(
        f"{text}: the program's own file is run as __main__ and not imported, so nothing in it can be named; "
        "move the function to a module, or use @otel_audit.audited there"
    )


class NamedFunctions:
    """Audits functions of modules that are imported, and of others as soon as they are.

    Args:
        names: What is to be audited.
        on_missing: Told of a name that a module turns out not to have when it is imported.
        capture: Names of arguments to record, of each function those that it has.
        options: Further keyword arguments of `audited`.

    Attributes:
        pending: The names whose module was not imported yet.
    """

    def __init__(
        self,
        names: Iterable[FunctionName],
        on_missing: OnMissing,
        *,
        capture: Collection[str] = (),
        **options: Any,
    ) -> None:
        self.pending = list(names)
        self._on_missing = on_missing
        self._capture = tuple(capture)
        self._options = options
        self._undo = ExitStack()
        self._enabled = True

    def instrument(self, *, check: bool = True) -> None:
        """Wrap what is imported, and watch for the rest.

        Args:
            check: Look for the names at once, without importing anything.

        Raises:
            AuditConfigError: A module or its source has no such name. Nothing is wrapped then.
        """
        for name in self.pending if check else ():
            name.check()
        for name in tuple(self.pending):
            self._undo.callback(when_imported(name.module, functools.partial(self._imported, name)))

    def uninstrument(self) -> None:
        """Put every object back. Who imported one by name meanwhile calls it unaudited."""
        self._enabled = False
        self.pending.clear()
        self._undo.close()

    def report_pending(self) -> None:
        """Say which functions this process never audited, as it never imported their modules.

        One that leaves the work to others (uvicorn, gunicorn) says so, too: nobody told it what they did.
        """
        for name in self.pending:
            _log.warning(
                "%s was not audited in process %d: it never imported the module %s", name.text, os.getpid(), name.module
            )

    def _imported(self, name: FunctionName, module: ModuleType) -> None:
        if name not in self.pending:
            return  # instrumented no more
        self.pending.remove(name)
        try:
            for owner, member in name.members(module):
                self._wrap(owner, member)
        except AuditConfigError as error:
            self._on_missing(error)
        except Exception as error:  # of somebody else's descriptor, whose text may hold anything
            self._on_missing(AuditConfigError(f"{name.text}: cannot be audited: {type(error).__name__}"))

    def _wrap(self, owner: Any, name: str) -> None:
        original = inspect.getattr_static(owner, name)
        if is_audited(original):
            return
        own = vars(owner).get(name, _ABSENT)
        binder = Binder(original)
        capture = [wanted for wanted in self._capture if wanted == "*" or binder.has_parameter(wanted)]
        wrapped = audited_while(lambda: self._enabled, original, capture=capture, **self._options)
        setattr(owner, name, wrapped)

        def restore() -> None:
            if vars(owner).get(name) is not wrapped:
                return
            if own is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, own)

        self._undo.callback(restore)
