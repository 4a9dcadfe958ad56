"""Verification against bare SHA-256 of the same lines, side by side, on one core.

Run with ``python -m tests.benchmarks.bench_verify``; tests/benchmarks/README.md says what the lines mean.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from otel_audit.reader import verify_log
from tests import logs
from tests.benchmarks import measure


def sha256_of_lines(path: Path) -> None:
    """Read the lines of a file and hash each."""
    sha256 = hashlib.sha256
    with path.open("rb") as file:
        for line in file:
            sha256(line).hexdigest()


def processor_ns(work: Callable[[], object], count: int) -> int:
    """Return the processor's nanoseconds that a call takes, divided by ``count``."""
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) // count


def bench(folder: Path, quick: bool) -> list[measure.Figure]:
    """Make a log, and compare to verify it, and its chain alone, to reading and hashing its lines."""
    rounds, count = (3, 5_000) if quick else (9, 200_000)
    path = folder / "verify.jsonl"
    # values differ from line to line; actor, action and target repeat, as in a real log
    members = (logs.opened() if seq == 1 else logs.entry(seq) for seq in range(1, count + 1))
    with path.open("wb") as file:
        for line in logs.chain(members):
            file.write(line + b"\n")
    ways: tuple[Callable[[], object], ...] = (
        partial(sha256_of_lines, path),
        partial(verify_log, path),
        partial(verify_log, path, chain_only=True),
    )
    hashing, verifying, chain_only = measure.in_turn(rounds, *(partial(processor_ns, way, count) for way in ways))
    print(f"\n{count} lines of {path.stat().st_size / count:.0f} bytes; {rounds} rounds; processor time")
    micros = [measure.median_micros(figures) for figures in (hashing, verifying, chain_only)]
    print(f"a line: SHA-256 {micros[0]:.2f} µs, verify {micros[1]:.2f} µs, chain only {micros[2]:.2f} µs")
    return [
        measure.ratio("verify_log ÷ SHA-256 of the lines", verifying, hashing, at_most=3.0),
        measure.ratio("verify_log(chain_only=True) ÷ SHA-256 of the lines", chain_only, hashing, at_most=1.3),
    ]


if __name__ == "__main__":
    measure.run(__doc__, bench)
