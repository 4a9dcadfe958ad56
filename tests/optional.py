"""What some tests need, and a bare machine does not have."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

SETS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "a": {
        "agent_framework": ("agent_framework",),
        "claude_agent_sdk": ("claude_agent_sdk",),
        "google_adk": ("google.adk",),
        "haystack": ("haystack",),
        "langchain": ("langchain", "langchain_core", "langgraph"),
        "llama_index": ("llama_index",),
        "openai_agents": ("agents",),
        "pydantic_ai": ("pydantic_ai",),
        "smolagents": ("smolagents",),
    },
    "b": {
        "autogen": ("autogen_agentchat", "autogen_core"),
        "crewai": ("crewai",),
        "semantic_kernel": ("semantic_kernel",),
        "strands": ("strands",),
    },
}
"""The frameworks of tests/frameworks, with the modules that they need: no environment holds all of them."""

ALL_OF_SET_A: Final = ("genai_spans", "notebook", "servers", "zero_code_agent")
"""What test modules there need the first set whole."""


def asked_set() -> str | None:
    """Return the set that ``OTEL_AUDIT_TEST_FRAMEWORKS`` names: all of it has to be there."""
    asked = os.environ.get("OTEL_AUDIT_TEST_FRAMEWORKS")
    if asked is not None and asked not in SETS:
        raise ValueError(f"OTEL_AUDIT_TEST_FRAMEWORKS: expected {' or '.join(SETS)}, got {asked!r}")
    return asked


def installed_frameworks() -> frozenset[str]:
    """Return the frameworks whose tests are run: those of the set that is asked for, else those that are there."""
    asked = asked_set()
    if asked is not None:
        return frozenset(SETS[asked])
    return frozenset(name for name in _needs() if not missing_modules(name))


def missing_modules(framework: str) -> list[str]:
    """Return the modules that a framework's tests need, and this environment has not."""
    return [module for module in _needs()[framework] if not _is_there(module)]


def left_out_frameworks() -> list[str]:
    """Return the frameworks whose tests are not run here."""
    return sorted(_needs().keys() - installed_frameworks())


def framework_of(test_module: str) -> str | None:
    """Return the framework that a module of tests/frameworks is about; None for one that is about several.

    Args:
        test_module: Its name without ``.py``, such as ``test_langchain_graph``.
    """
    name = f"{test_module.removeprefix('test_')}_"
    return next((framework for framework in _needs() if name.startswith(f"{framework}_")), None)


def is_collected(test_module: str) -> bool:
    """Return whether a module of tests/frameworks can run here."""
    here = installed_frameworks()
    framework = framework_of(test_module)
    if framework is not None:
        return framework in here
    if test_module.removeprefix("test_") in ALL_OF_SET_A:
        return here >= SETS["a"].keys()
    return bool(here)


def built_collector() -> Path:
    """Return where `collector-config/build` puts the binary."""
    return _cached("collector", "collector-config/builder.yaml") / "otelcol"


def built_kafka() -> Path:
    """Return where `tests/collector/kafka/build` puts the jars."""
    return _cached("kafka", "tests/collector/kafka/pom.xml")


def left_out() -> list[str]:
    """Return what is not collected on this machine, and what it needs; see the conftest.py beside it."""
    return [
        f"{tests}: {needs}"
        for tests, is_run, needs in (
            (
                "tests/integration/test_gates.py",
                "OTEL_AUDIT_TEST_GATES" in os.environ or _is_there("actiongate"),
                "needs Python 3.12 and tests/requirements/gates.txt",
            ),
            *((f"tests/frameworks, {name}", False, _requirements(name)) for name in left_out_frameworks()),
            (
                "tests/collector",
                "OTEL_AUDIT_TEST_COLLECTOR" in os.environ or built_collector().exists(),
                "needs the collector: collector-config/build builds it, with Go",
            ),
            (
                "tests/collector/test_kafka.py",
                "OTEL_AUDIT_TEST_COLLECTOR" in os.environ or built_kafka().exists(),
                "needs Apache Kafka: tests/collector/kafka/build fetches it, with Java and Maven",
            ),
            (
                "tests/browser",
                "OTEL_AUDIT_TEST_BROWSER" in os.environ or has_browser(),
                "needs Chromium, axe-core (OTEL_AUDIT_TEST_AXE) and tests/requirements/browser.txt",
            ),
        )
        if not is_run
    ]


def _cached(name: str, manifest: str) -> Path:
    digest = hashlib.sha256((Path(__file__).parent.parent / manifest).read_bytes()).hexdigest()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "otel-audit" / name / digest


def _requirements(framework: str) -> str:
    file = "frameworks.txt" if framework in SETS["a"] else "frameworks_b.txt"
    return f"needs tests/requirements/{file}"


def _needs() -> dict[str, tuple[str, ...]]:
    return {name: modules for frameworks in SETS.values() for name, modules in frameworks.items()}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False


def chromium() -> str | None:
    """Return the path of Chromium, None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def axe() -> Path:
    """Return the file of axe-core, which ``OTEL_AUDIT_TEST_AXE`` names."""
    return Path(os.environ["OTEL_AUDIT_TEST_AXE"])


def has_browser() -> bool:
    """Return whether tests/browser can run here."""
    return _is_there("playwright") and chromium() is not None and "OTEL_AUDIT_TEST_AXE" in os.environ
