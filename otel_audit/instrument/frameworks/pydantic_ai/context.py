"""What the hooks in Pydantic AI look up: parts of the package, and the agent that acts."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from otel_audit.errors import AuditConfigError


def part(module: str, name: str | None = None) -> Any:
    """Return a module of the framework, or something in it.

    Raises:
        AuditConfigError: This version has none.
    """
    try:
        found: Any = import_module(module)
        return found if name is None else getattr(found, name)
    except (ModuleNotFoundError, AttributeError) as error:
        wanted = module if name is None else f"{module}.{name}"
        raise AuditConfigError(f"nothing to audit: expected {wanted}, got a version without it") from error


def agent_name(run_context: Any) -> str | None:
    """Return the name of the agent whose run this `RunContext` is of; None where it has none."""
    name = getattr(getattr(run_context, "agent", None), "name", None)
    return name if isinstance(name, str) else None
