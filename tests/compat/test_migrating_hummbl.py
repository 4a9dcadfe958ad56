"""What docs/migrating.md says of the HUMMBL Governance Bus: its blocks are run, its tables hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import hummbl_governance  # type: ignore[import-untyped]
import pytest

from otel_audit import semconv
from otel_audit.cli.import_ import EPILOG
from otel_audit.compat.hummbl import PolicyLevel
from tests import chain

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/migrating.md").read_text(encoding="utf-8")
SECTION = re.split(r"^## ", PAGE.partition("\n## From the HUMMBL Governance Bus\n")[2], flags=re.MULTILINE)[0]
BUS = Path("_state/governance/events.jsonl")
MESSAGES = Path("_state/governance/messages.tsv")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of the section in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    """Run a command as a reader would; return what it prints."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OTEL_SERVICE_NAME": "migrating",
    }
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first program has run, and in which an old bus lies."""
    folder = tmp_path_factory.mktemp("migrating")
    assert run([sys.executable, "-W", "error", "-c", blocks("python")[0]], folder)
    hummbl_governance.BusWriter(folder / MESSAGES).post("agent-1", "all", "STATUS", "old")
    return folder


def test_the_section_is_there() -> None:
    """The page has the section, with its programs."""
    assert len(blocks("python")) == 2
    assert len(blocks("sh")) == 2


@pytest.mark.parametrize("code", blocks("python"), ids=["bus", "primitives"])
def test_programs(code: str, folder: Path) -> None:
    """Each program runs as it is shown, prints what it reads, and leaves one chain."""
    assert run([sys.executable, "-W", "error", "-c", code], folder)
    chain.check(folder / BUS)


def test_the_primitives_write_to_the_bus(folder: Path) -> None:
    """The second program prints what the switch did, as the page shows it."""
    assert run([sys.executable, "-c", blocks("python")[1]], folder).splitlines() == [
        "cost_governor KILL_SWITCH engaged (HALT_ALL): over budget",
        "migrating KILL_SWITCH task refused: Kill switch engaged (HALT_ALL): send_report blocked",
    ]


@pytest.mark.parametrize("command", blocks("sh"), ids=["read", "import"])
def test_commands(command: str, folder: Path) -> None:
    """Each command line runs as it is shown, and says something."""
    assert run(["bash", "-euo", "pipefail", "-c", command], folder).strip()


def test_the_line_is_as_the_table_says(folder: Path) -> None:
    """Each member that the table of a message names stands in its line."""
    [line] = [json.loads(raw) for raw in (folder / BUS).read_bytes().split(b"\n")[1:2]]
    table = SECTION[SECTION.index("| message | line |") : SECTION.index("```sh")]
    for name in re.findall(r"`([a-z_.]+)`", "".join(row.split("|")[2] for row in table.splitlines() if "|" in row)):
        assert name in line or name in line["attributes"] or name in (*line.values(), *line["attributes"].values())


def test_every_event_is_documented() -> None:
    """Each event of the bus and of the primitives stands in the section."""
    events = [value for name, value in vars(semconv).items() if name.startswith("EVENT_HUMMBL_")]
    assert len(events) >= 14
    undocumented = {"hummbl.bus.refuse", "hummbl.bus.import"}
    for event in set(events) - undocumented:
        assert f"`{event}`" in SECTION or f"`.{event.rpartition('.')[2]}`" in SECTION, event


def test_every_policy_level_is_documented() -> None:
    """Each level has a column."""
    assert all(f" {level.name} " in SECTION for level in PolicyLevel)


def test_the_exit_statuses_are_those_of_the_command() -> None:
    """The table of exit statuses has the rows of the command's help."""
    table = SECTION[SECTION.index("| exit status |") :]
    assert re.findall(r"^\| (\d) \|", table, re.MULTILINE) == re.findall(r"^  (\d) ", EPILOG, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)", SECTION))))
def test_links_lead_to_files(path: str) -> None:
    """Each relative link leads to a file of this repository."""
    assert (ROOT / "docs" / path).exists()
