"""Verification against bare SHA-256 of the same lines, side by side, on one core.

Run with ``python -m tests.benchmarks.bench_verify [LINES]``. Prints ratios; asserts nothing.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from otel_audit.reader import verify_log
from tests import logs

ROUNDS = 9


def sha256_of_lines(path: Path) -> None:
    """Read the lines of a file and hash each."""
    sha256 = hashlib.sha256
    with path.open("rb") as file:
        for line in file:
            sha256(line).hexdigest()


def measure(work: Callable[[], object]) -> float:
    """Return the processor seconds that a call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main(lines: int) -> None:
    """Make a log, then time each way in turn, so that a slow spell hits all alike."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "audit.jsonl")
        # Values differ from line to line; actor, action and target repeat, as in a real log.
        members = (logs.opened() if seq == 1 else logs.entry(seq) for seq in range(1, lines + 1))
        with path.open("wb") as file:
            for line in logs.chain(members):
                file.write(line + b"\n")
        ways: dict[str, Callable[[], object]] = {
            "sha256": lambda: sha256_of_lines(path),
            "verify": lambda: verify_log(path),
            "chain-only": lambda: verify_log(path, chain_only=True),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, work in ways.items():
                seconds[name].append(measure(work))
        size = path.stat().st_size / lines
    print(f"{lines} lines of {size:.0f} bytes, {ROUNDS} rounds, {os.cpu_count()} cores")
    print(f"{'':12}{'µs a line':>12}{'÷ sha256':>12}{'least':>8}{'most':>8}")
    for name, taken in seconds.items():
        ratios = [own / base for own, base in zip(taken, seconds["sha256"], strict=True)]
        print(
            f"{name:12}{statistics.median(taken) / lines * 1e6:12.2f}"
            f"{statistics.median(ratios):12.2f}{min(ratios):8.2f}{max(ratios):8.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
