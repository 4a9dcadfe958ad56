"""The frameworks that can be audited without touching the code that uses them.

One small module each, imported when it is asked for. A module has ``PACKAGE`` (the
distribution), ``MODULE`` (what a program imports of it first), ``VERSIONS`` (those it was tried with) and
``instrument(logger, settings, undo)``: it hangs its way back on the `contextlib.ExitStack`
``undo``, and raises `AuditConfigError` where a hook that it needs is not there.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Literal

from otel_audit.errors import AuditConfigError

FRAMEWORKS: Final = {
    "hummbl": "otel_audit.instrument.frameworks.hummbl",
    "mcp": "otel_audit.instrument.frameworks.mcp",
}
"""Each framework's name and the module that instruments it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkSettings:
    """What every framework module is told.

    Attributes:
        capture: Names of arguments to record; ``"*"`` for all but those that look secret.
        capture_result: Whether results are recorded.
        on_failure: What to do when an entry cannot be written; None leaves it to the provider.
    """

    capture: Collection[str] = ()
    capture_result: bool = False
    on_failure: Literal["closed", "open"] | None = None


def load_framework(name: str) -> ModuleType:
    """Import the module that instruments a framework, not yet the framework itself.

    Raises:
        AuditConfigError: No framework has that name.
    """
    if name not in FRAMEWORKS:
        known = ", ".join(sorted(FRAMEWORKS))
        raise AuditConfigError(f"unknown framework: expected one of {known}, got {name!r}")
    return importlib.import_module(FRAMEWORKS[name])
