"""The tables of docs/frameworks.md: versions, hooks, and what a framework cannot do.

``python -m tests.frameworks.conformance.page`` writes them into the page, between its comments. No
framework needs to be installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from otel_audit.instrument.frameworks import FRAMEWORKS, load_framework
from otel_audit.instrument.frameworks.hook import Hook, load_hooks
from tests.frameworks.conformance.driver import NAMES, Driver
from tests.frameworks.conformance.drivers import ALL

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs" / "frameworks.md"
REQUIREMENTS: Final = ("frameworks.txt", "frameworks_b.txt")

ELSEWHERE: Final = frozenset({"hummbl"})
"""What another page tells of."""

_GENERATED: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(\n<!-- /generated -->)", re.DOTALL)


def written(page: str) -> str:
    """Return the page with its generated parts as they are to be, and a section for each framework."""
    for name in reversed(names()):
        if name not in parts(page):
            later = [other for other in names() if other > name and f"### {other}\n" in page]
            before = f"### {later[0]}\n" if later else "## What it costs\n"
            section = f"### {name}\n\n<!-- generated: {name} -->\n\n<!-- /generated -->\n\n"
            page = page.replace(before, section + before, 1)
    return _GENERATED.sub(lambda found: found[1] + _part(found[2]) + found[3], page)


def parts(page: str) -> set[str]:
    """Return the names of the generated parts that a page has."""
    return {found[2] for found in _GENERATED.finditer(page)}


def names() -> list[str]:
    """Return the frameworks that the page tells of."""
    return sorted(FRAMEWORKS.keys() - ELSEWHERE)


def versions() -> str:
    """Return the table of versions."""
    pins: dict[str, list[str]] = {}
    for file in REQUIREMENTS:
        for name, version in re.findall(
            r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", (ROOT / "tests" / "requirements" / file).read_text(), re.MULTILINE
        ):
            pins.setdefault(name, []).append(version)
    rows = ["| name | package | versions | tried with |", "|---|---|---|---|"]
    for name in names():
        module = load_framework(name)
        package = module.PACKAGE + (f"; {ALL[name].package_note}" if name in ALL and ALL[name].package_note else "")
        tried = ", ".join(sorted(pins[module.PACKAGE]))
        rows.append(f"| `{name}` | {package} | `{module.VERSIONS}` | {tried} |")
    return "\n".join(rows)


def hooks(name: str) -> str:
    """Return the table of one framework, and below it what it cannot do."""
    rows = ["| act | hook | stops |", "|---|---|---|"]
    rows += [f"| {hook.act} | {hook.hook} | {stops(hook)} |" for hook in load_hooks(name)]
    if name in ALL and (lacks := lacking(ALL[name])):
        rows += ["", "Where it differs from what holds for all:", "", *lacks]
    return "\n".join(rows)


def stops(hook: Hook) -> str:
    """Return ``yes`` or ``no``, and the note; without either, ``–``."""
    words = ({True: "yes", False: "no", None: ""}[hook.stops], hook.note)
    return "; ".join(word for word in words if word) or "–"


def lacking(driver: Driver) -> list[str]:
    """Return a line for each thing that a framework cannot do: its name, and the reason."""
    lines = []
    for key, reason in driver.cannot.items():
        check, _, way = key.partition(", ")
        lines.append(f"- {NAMES[check]}{f' ({NAMES[way]})' if way else ''}: {reason}")
    return lines


def _part(name: str) -> str:
    return versions() if name == "versions" else hooks(name)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
