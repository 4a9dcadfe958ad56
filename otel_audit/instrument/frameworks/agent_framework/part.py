"""Microsoft's Agent Framework: parts of the package."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from otel_audit.errors import AuditConfigError


def part(module: str, name: str) -> Any:
    """Return something of the framework.

    Raises:
        AuditConfigError: This version has none.
    """
    try:
        return getattr(import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise AuditConfigError(f"nothing to audit: expected {module}.{name}, got a version without it") from error
