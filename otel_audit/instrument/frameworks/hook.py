"""Where a framework is audited, in words: for the documentation, and for whoever asks what is audited.

Each framework's package has a module ``hooks`` with ``HOOKS``, a tuple of `Hook`, and ``LATER``, where
modules of the framework behind its ``MODULE`` are instrumented when they are imported. It imports nothing
of the framework.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType

from otel_audit.instrument.frameworks import load_framework


@dataclass(frozen=True, slots=True)
class Hook:
    """One kind of act of a framework, and where it is audited.

    Attributes:
        event_name: One of ``EVENT_…`` in `otel_audit.semconv`; the first, where there are several.
        act: What is audited, in a few words; Markdown, as the two below.
        hook: What is wrapped.
        stops: Whether the act does not happen where its intent cannot be written; None where nothing is left to stop.
        note: What else is to be said of that.
    """

    event_name: str
    act: str
    hook: str
    stops: bool | None = True
    note: str = ""


def load_hooks(name: str) -> tuple[Hook, ...]:
    """Return the hooks of a framework, which need not be installed.

    Raises:
        AuditConfigError: No framework has that name.
    """
    hooks: tuple[Hook, ...] = _module(name).HOOKS
    return hooks


def later_modules(name: str) -> tuple[str, ...]:
    """Return the modules of a framework that are instrumented when they are imported, each by itself."""
    modules: tuple[str, ...] = getattr(_module(name), "LATER", ())
    return modules


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{load_framework(name).__name__}.hooks")
