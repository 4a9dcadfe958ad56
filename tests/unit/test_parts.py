"""`otel_audit.parts`: processes that read parts of a log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import logs

ENDLESS = """
import contextlib, os, signal, sys
from otel_audit.parts import begun
from otel_audit.reader import open_segments

def work(part):
    [(segment, _)] = part
    yield 1, bytes(1 << 20)  # more than any buffer holds: it arrives
    while True:
        segment.read(0, 64)

with contextlib.ExitStack() as stack:
    [segment] = open_segments(sys.argv[1], stack)
    frames = stack.enter_context(begun([(segment, 0)], work))
    next(frames)
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_nobody_reads_on_for_a_program_that_is_gone(tmp_path: Path) -> None:
    """SIGTERM ends a program at once; a process that reads for it ends, too, and not only with its part."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(logs.log(20)))
    # Both have this stdout: it ends when the last of them does.
    done = subprocess.run([sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == -15
