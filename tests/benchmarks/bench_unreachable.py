"""What a durable `emit` costs while its copies go to an OTLP endpoint that is away.

Run with ``python -m tests.benchmarks.bench_unreachable``; tests/benchmarks/README.md says what the line means.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from otel_audit import AuditFileLogExporter, AuditProvider
from otel_audit.pipeline.processors import make_processors
from tests.benchmarks import measure
from tests.benchmarks.workload import RESOURCE, emit

QUEUED = 2048
"""Copies that the queue holds: from then on each emit drops one."""


def bench(folder: Path, quick: bool) -> list[measure.Figure]:
    """Compare two processes, of which one sends its copies to a port that nobody listens on."""
    rounds, count = (5, 50) if quick else (101, 50)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else takes it
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with _emitter(folder / "copied.jsonl", endpoint) as copied, _emitter(folder / "alone.jsonl", "") as alone:
            sides = measure.in_turn(rounds, partial(_ask, copied, count), partial(_ask, alone, count))
    print(f"\n{rounds} rounds of {count}; alone {measure.median_micros(sides[1]):.0f} µs")
    return [measure.ratio("emit (always), OTLP endpoint away ÷ no processor", *sides)]


@contextlib.contextmanager
def _emitter(path: Path, endpoint: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.benchmarks.bench_unreachable", "--emit", str(path), endpoint]
    process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()  # it would wait for its endpoint
        process.communicate()


def _ask(emitter: subprocess.Popen[str], count: int) -> int:
    """Have a process emit; return nanoseconds per emit."""
    assert emitter.stdin is not None
    assert emitter.stdout is not None
    print(count, file=emitter.stdin, flush=True)
    return int(emitter.stdout.readline())


def _emit_when_asked(path: Path, endpoint: str) -> None:
    logging.disable()  # what the exporter says of its endpoint
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    processors = make_processors(("otlp",)) if endpoint else ()
    exporter = AuditFileLogExporter(path, durability="always")
    with AuditProvider(exporter, resource=RESOURCE, processors=processors) as provider:
        audit = provider.get_audit_logger("bench")
        for _ in range(QUEUED):
            emit(audit)
        for line in sys.stdin:
            print(measure.timed(partial(emit, audit), int(line)), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--emit"]:
        _emit_when_asked(Path(sys.argv[2]), sys.argv[3])
    else:
        measure.run(__doc__, bench)
