"""The frameworks that can be audited without touching the code that uses them.

One package each, imported when it is asked for. A package has ``PACKAGE`` (the
distribution), ``MODULE`` (what a program imports of it first), ``VERSIONS`` (those it was tried with) and
``instrument(logger, settings, undo)``: it hangs its way back on the `contextlib.ExitStack`
``undo``, and raises `AuditConfigError` where a hook that it needs is not there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from types import ModuleType
from typing import Final, Literal

from otel_audit.errors import AuditConfigError

FRAMEWORKS: Final = {
    "agent_framework": "otel_audit.instrument.frameworks.agent_framework",
    "autogen": "otel_audit.instrument.frameworks.autogen",
    "claude_agent_sdk": "otel_audit.instrument.frameworks.claude_agent_sdk",
    "crewai": "otel_audit.instrument.frameworks.crewai",
    "google_adk": "otel_audit.instrument.frameworks.google_adk",
    "haystack": "otel_audit.instrument.frameworks.haystack",
    "hummbl": "otel_audit.instrument.frameworks.hummbl",
    "langchain": "otel_audit.instrument.frameworks.langchain",
    "llama_index": "otel_audit.instrument.frameworks.llama_index",
    "mcp": "otel_audit.instrument.frameworks.mcp",
    "openai_agents": "otel_audit.instrument.frameworks.openai_agents",
    "pydantic_ai": "otel_audit.instrument.frameworks.pydantic_ai",
    "semantic_kernel": "otel_audit.instrument.frameworks.semantic_kernel",
    "smolagents": "otel_audit.instrument.frameworks.smolagents",
    "strands": "otel_audit.instrument.frameworks.strands",
}
"""Each framework's name and the package that instruments it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkSettings:
    """What every framework's package is told.

    Attributes:
        capture: Names of arguments to record; ``"*"`` for all but those that look secret.
        capture_result: Whether results are recorded.
        on_failure: What to do when an entry cannot be written; None leaves it to the provider.
        on_missing: Told of a part that turns out, when it is imported later, to be one that cannot be
            audited. None: its import raises, or a version that is not supported is a warning.
    """

    capture: Collection[str] = ()
    capture_result: bool = False
    on_failure: Literal["closed", "open"] | None = None
    on_missing: Callable[[AuditConfigError], None] | None = field(default=None, repr=False, compare=False)


def load_framework(name: str) -> ModuleType:
    """Import the module that instruments a framework, not yet the framework itself.

    Raises:
        AuditConfigError: No framework has that name.
    """
    if name not in FRAMEWORKS:
        known = ", ".join(sorted(FRAMEWORKS))
        raise AuditConfigError(f"unknown framework: expected 'all', or names out of {known}; got {name!r}")
    return importlib.import_module(FRAMEWORKS[name])
