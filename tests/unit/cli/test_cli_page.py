"""docs/cli.md is what the commands say of themselves; each has examples, and they run."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from otel_audit.cli import COMMANDS
from tests.cli_page import EXAMPLE, PAGE, STATUS, arguments, examples, page
from tests.cli_world import endpoint, environ, make_world

EXAMPLES = [example for name in COMMANDS for example in examples(name)]


def test_up_to_date() -> None:
    """The page is the one that the commands make: else ``python -m tests.cli_page`` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command(name: str) -> None:
    """Each command has a section with examples of its own, its exit statuses, and a word on every argument."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert section
    assert examples(name)
    assert all(re.match(rf"otel-audit {name}( |$)", example) for example in examples(name))
    assert {"0", "2"} <= {status for status, _ in STATUS.findall(COMMANDS[name].EPILOG)}
    for action in arguments(name):
        assert action.help, f"{name}: {action.dest} has no help"
        spelled = action.option_strings[-1] if action.option_strings else str(action.metavar)
        assert f"`{spelled}" in section


def test_no_example_is_missed() -> None:
    """Every line of a help that looks like an example is one."""
    for command in COMMANDS.values():
        shown = command.DESCRIPTION + command.EPILOG
        assert len(EXAMPLE.findall(shown)) == len(re.findall(r"^\s+otel-audit ", shown, re.MULTILINE))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the examples are about."""
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_run(example: str, world: Path) -> None:
    """Each example, pasted into a shell beside a log, does what it says, and ends with 0."""
    with endpoint() as url:
        done = subprocess.run(
            ["sh", "-c", example],
            cwd=world,
            env=environ(
                world,
                OTEL_AUDIT_FILE="audit.jsonl",
                OTEL_EXPORTER_OTLP_ENDPOINT=url,
                OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            ),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout or done.stderr
    if example.endswith(" json"):
        json.loads(done.stdout.splitlines()[0] if done.stdout.count("\n{") else done.stdout)
