"""What some tests need, and a bare machine does not have."""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path

FRAMEWORKS = ("agents", "langchain_core", "langgraph", "pydantic_ai", "llama_index")
"""The packages of tests/frameworks."""


def built_collector() -> Path:
    """Return where `collector-config/build` puts the binary."""
    manifest = Path(__file__).parent.parent / "collector-config/builder.yaml"
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "otel-audit" / "collector" / digest / "otelcol"


def left_out() -> list[str]:
    """Return what is not collected on this machine, and what it needs; see the conftest.py beside it."""
    return [
        f"{tests}: {needs}"
        for tests, variable, is_there, needs in (
            (
                "tests/integration/test_gates.py",
                "OTEL_AUDIT_TEST_GATES",
                find_spec("actiongate") is not None,
                "needs Python 3.12 and tests/requirements/gates.txt",
            ),
            (
                "tests/frameworks",
                "OTEL_AUDIT_TEST_FRAMEWORKS",
                all(find_spec(name) is not None for name in FRAMEWORKS),
                "needs tests/requirements/frameworks.txt",
            ),
            (
                "tests/collector",
                "OTEL_AUDIT_TEST_COLLECTOR",
                built_collector().exists(),
                "needs the collector: collector-config/build builds it, with Go",
            ),
        )
        if variable not in os.environ and not is_there
    ]
