"""docs/frameworks.md: what it says of versions, events and code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from otel_audit import semconv
from otel_audit.instrument.frameworks import FRAMEWORKS, load_framework

PAGE = (Path(__file__).parents[2] / "docs/frameworks.md").read_text()


def cells(header: str) -> list[list[str]]:
    """Return the rows of the table that has this header."""
    table = PAGE[PAGE.index(header) :].split("\n\n", 1)[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def test_versions() -> None:
    """The page names every framework with its package and the versions that are accepted."""
    told = {
        name.strip("`"): (package, versions.strip("`")) for name, package, versions, _ in cells("| name | package |")
    }
    assert set(told) == set(FRAMEWORKS) - {"hummbl"}
    for name, (package, versions) in told.items():
        module = load_framework(name)
        assert package.split(";")[0] == module.PACKAGE
        assert versions == module.VERSIONS


def test_each_framework_has_a_table_of_what_it_stops() -> None:
    """Each framework has a table of its own with the column that says what can be stopped."""
    for name in set(FRAMEWORKS) - {"hummbl"}:
        section = PAGE.split(f"### {name}\n", 1)[1]
        assert section.lstrip().startswith("| act | hook | stops |")


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
