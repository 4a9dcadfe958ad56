"""Interpreters in which the chain's locks would not hold."""

from __future__ import annotations

import sys
from importlib import import_module

from .errors import AuditConfigError


def refuse_unsupported() -> None:
    """Refuse an interpreter in which two writers of one process would not see each other.

    A subinterpreter has its own copy of this package and, for a file lock, is the same process.
    Without the global interpreter lock, what is counted and handed over without a lock of its own
    would be torn. Sources: PEP 684 and 734, PEP 703.

    Raises:
        AuditConfigError: This is a subinterpreter, or the global interpreter lock is off.
    """
    if _is_subinterpreter():
        raise AuditConfigError(
            "otel_audit was imported in a subinterpreter, which is not supported: audit from the main interpreter, "
            "or run the code in a process of its own"
        )
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise AuditConfigError(
            "otel_audit was imported by a free-threaded Python without the global interpreter lock, which is not "
            "supported: start it with PYTHON_GIL=1, or use an ordinary build"
        )


def _is_subinterpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() != interpreters.get_main())
    return False
