"""What the tests of the reading commands share: how to run one, and an entry that does all it can to a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from otel_audit.cli import main
from tests import logs

ROOT: Final = Path(__file__).parents[3]
SOUND: Final = str(ROOT / "tests" / "vectors" / "logs" / "sound" / "audit.jsonl")
EVIL: Final = "\x1b[2J\x07\x00\x7f\u009b31m\u202etxt\u2066\u2028=1+1\r\n#98"
"""Control characters, a bell, NUL, bidirectional overrides, a line separator, a formula, a forged line."""


class Screen:
    """Runs commands in this process, and keeps what the last one wrote."""

    def __init__(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        self._capture = capfdbinary
        self.raw = b""
        self.out = ""
        self.err = ""

    def run(self, *arguments: str) -> int:
        """Run a command, and keep what it writes."""
        return self.keep(main(arguments))

    def keep(self, exit_status: int) -> int:
        """Keep what was written up to now; nothing of it is a traceback."""
        self.raw, err = self._capture.readouterr()
        self.out, self.err = self.raw.decode(), err.decode()
        assert "Traceback" not in self.err
        return exit_status

    def seqs(self, *arguments: str) -> list[int]:
        """Return ``seq`` of the exact lines that a command writes."""
        self.run(*arguments, "--format", "jsonl")
        return [json.loads(line)["seq"] for line in self.out.split("\n")[:-1]]


def is_inert(text: str) -> bool:
    """Return whether a text does nothing to a terminal but to be shown."""
    return all(character.isprintable() or character in "\r\n" for character in text)


def write_log(folder: Path, *entries: logs.Members) -> str:
    """Write a log that begins with ``opened``; return its path."""
    path = folder / "audit.jsonl"
    path.write_bytes(logs.join(logs.chain([logs.opened(), *entries])))
    return str(path)


def evil_entry(seq: int) -> logs.Members:
    """Return an entry with `EVIL` in every field that takes text."""
    entry = logs.entry(seq, EVIL)
    names = (
        "actor.id",
        "actor.type",
        "action",
        "outcome",
        "target.id",
        "target.type",
        "reason",
        "decision",
        "intent.id",
    )
    entry["attributes"] |= {f"audit.{name}": EVIL for name in names}
    entry["attributes"] |= {"audit.delegation": [EVIL, EVIL], "error.type": EVIL, EVIL: [EVIL, {EVIL: EVIL}]}
    entry["resource"] = {EVIL: EVIL}
    entry["scope"] = {"name": EVIL}
    return {
        "seq": seq,
        "time": entry["time"],
        "event_name": EVIL,
        "severity_text": EVIL,
        "severity_number": 9,
        "body": {EVIL: EVIL},
        **{name: value for name, value in entry.items() if name not in ("seq", "time", "event_name")},
    }


def on_terminal(*arguments: str, **environ: str) -> str:
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "otel_audit", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", **environ}
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux: the other end is closed
                break
            if not data:
                break
            shown += data
        process.wait(60)
    os.close(ours)
    return shown.decode()


def once(values: list[Callable[[], object]]) -> Callable[[], bool]:
    """Return what a follower waits with: each call does the next of these, and the last ends it."""
    left = iter(values)

    def wait() -> bool:
        step = next(left, None)
        if step is None:
            return False
        step()
        return True

    return wait
