"""What this package imports, where every framework could be imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from otel_audit.instrument.frameworks import FRAMEWORKS, load_framework

TOP_LEVEL = {load_framework(name).MODULE.partition(".")[0] for name in FRAMEWORKS}
"""Of the frameworks' modules."""


def imported(code: str) -> set[str]:
    """Return the modules that a statement imports in a new interpreter."""
    program = f"import sys; before = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_the_package_alone() -> None:
    """``import otel_audit`` imports three modules of this package, and light ones of the standard library."""
    names = imported("import otel_audit")
    ours = {name for name in names if name.startswith("otel_audit")}
    assert ours == {"otel_audit", "otel_audit.errors", "otel_audit.interpreter"}
    others = {name.partition(".")[0] for name in names - ours}
    assert others <= sys.stdlib_module_names | {"_xxsubinterpreters"}
    assert not others & {"asyncio", "json", "logging", "dataclasses", "inspect", "subprocess", "socket", "uuid"}


@pytest.mark.parametrize(
    "code",
    [
        "from otel_audit import *",
        "import otel_audit; otel_audit.AuditInstrumentor().instrument(frameworks='all')",
    ],
)
def test_no_framework_is_imported(code: str) -> None:
    """Neither a name of ours nor instrumenting all frameworks imports one; the program does that."""
    assert not {name.partition(".")[0] for name in imported(code)} & (TOP_LEVEL | {"langgraph", "openai", "pydantic"})
