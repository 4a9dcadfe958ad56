"""What is exported, and what an import costs."""

from __future__ import annotations

import ast
import inspect
import pathlib
import subprocess
import sys

import pytest

import otel_audit

EXPORTED = [
    *("Actor", "AuditAction", "AuditBlockedError", "AuditConfigError", "AuditError", "AuditFileLogExporter"),
    *("AuditInstrumentor", "AuditLogPoisonedError", "AuditLogRecordProcessor", "AuditLogger", "AuditProvider"),
    *("AuditReceipt", "AuditRecord", "AuditRecordError", "AuditVerifyError", "AuditWriteError", "Call", "Entry"),
    *("Finding", "Source", "Target", "VerifyReport", "acting_as", "audit_gate", "audited", "carry"),
    *("configure", "gate"),
    *("get_audit_logger", "get_audit_provider", "read_log", "set_audit_provider", "verify_log"),
]


def python(code: str) -> str:
    """Return what a new interpreter prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names() -> None:
    """These names are exported, sorted; one more or less is a change for users."""
    assert otel_audit.__all__ == EXPORTED == sorted(EXPORTED)


@pytest.mark.parametrize("name", EXPORTED)
def test_each_name(name: str) -> None:
    """Each name can be had, has a docstring, and is found by ``dir``."""
    value = getattr(otel_audit, name)
    assert inspect.getdoc(value)
    assert name in dir(otel_audit)


def test_seen_by_type_checkers() -> None:
    """What type checkers see is what is exported: the lazy names and their imports agree."""
    tree = ast.parse(pathlib.Path(otel_audit.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == otel_audit._HOMES
    assert sorted(imported) == otel_audit.__all__


def test_unknown_name() -> None:
    """A name that does not exist is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="module 'otel_audit' has no attribute 'nonsense'"):
        otel_audit.nonsense  # noqa: B018


def test_import_is_cheap() -> None:
    """Importing the package imports neither the SDK nor anything that writes."""
    heavy = "{name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'orjson', 'wrapt', 'asyncio')}"
    assert python(f"import sys, otel_audit; print({heavy})") == "set()\n"


def test_reading_imports_no_sdk() -> None:
    """Reading and verifying a log imports neither OpenTelemetry nor an extra."""
    heavy = "{name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'wrapt', 'rich', 'duckdb')}"
    assert python(f"import sys; from otel_audit import read_log, verify_log, Entry; print({heavy})") == "set()\n"
