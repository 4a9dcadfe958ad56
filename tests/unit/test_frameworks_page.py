"""docs/frameworks.md: what it says of versions, events and code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from otel_audit import semconv
from otel_audit.instrument.frameworks import FRAMEWORKS, load_framework
from otel_audit.instrument.frameworks.hook import load_hooks
from tests.frameworks.conformance import page
from tests.frameworks.conformance.driver import NAMES, WAYS
from tests.frameworks.conformance.drivers import ALL
from tests.optional import SETS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/frameworks.md").read_text()


def cells(header: str) -> list[list[str]]:
    """Return the rows of the table that has this header."""
    table = PAGE[PAGE.index(header) :].split("\n\n", 1)[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def test_generated() -> None:
    """The tables are those of the modules and drivers: ``python -m tests.frameworks.conformance.page`` writes them."""
    assert page.written(PAGE) == PAGE
    assert page.parts(PAGE) == {"versions", *page.names()}


@pytest.mark.parametrize("name", sorted(FRAMEWORKS))
def test_hooks(name: str) -> None:
    """Each framework says where it is audited, by events that there are, in cells of a table."""
    events = {value for key, value in vars(semconv).items() if key.startswith("EVENT_")}
    hooks = load_hooks(name)
    assert hooks
    for hook in hooks:
        assert hook.event_name in events
        assert not set("|\n") & set(hook.act + hook.hook + hook.note)


@pytest.mark.parametrize("name", sorted(set(FRAMEWORKS) - {"hummbl", "mcp"}))
def test_drivers(name: str) -> None:
    """Each agent framework is run by the checks, and gives a reason for each of them that it leaves out."""
    driver = ALL[name]
    assert driver.framework == name
    for key, reason in driver.cannot.items():
        check, _, way = key.partition(", ")
        assert check in NAMES
        assert way in ("", *WAYS)
        assert reason
        assert not set("|\n") & set(reason)
    assert {way for way in WAYS if way not in driver.cannot} == set(driver.ways())


@pytest.mark.parametrize("name", sorted(ALL))
def test_what_is_said_to_be_stopped_is_tried(name: str) -> None:
    """A framework whose tool calls are said to be stopped by a full disk is tried on one."""
    if any(hook.stops for hook in load_hooks(name) if hook.event_name == semconv.EVENT_TOOL_EXECUTE):
        assert not {"full_disk_closed", *(f"full_disk_closed, {way}" for way in WAYS)} & ALL[name].cannot.keys()


@pytest.mark.parametrize(("set_name", "file"), [("a", "frameworks.txt"), ("b", "frameworks_b.txt")])
def test_requirements(set_name: str, file: str) -> None:
    """The packages of each set are pinned, each once, and nothing in the file is an address or a path."""
    text = (ROOT / "tests" / "requirements" / file).read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+(\[[a-z,]+\])?==[^ /@]+", pin) for pin in pins)
    packages = [re.split(r"[\[=]", pin)[0] for pin in pins]
    assert len(packages) == len(set(packages))
    assert {load_framework(name).PACKAGE for name in SETS[set_name] if name in FRAMEWORKS} <= set(packages)


def test_events() -> None:
    """The events of the page are those that are emitted."""
    events = set(
        re.findall(r"`((?:gen_ai|mcp)\.\w+\.\w+)`", "".join(row[1] for row in cells("| act | `event_name` |")))
    )
    assert events == {
        value for name, value in vars(semconv).items() if re.match(r"EVENT_(TOOL|MODEL|AGENT|GUARDRAIL|MCP)_", name)
    }


def test_code(tmp_path: Path) -> None:
    """The page's code runs as it stands."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
