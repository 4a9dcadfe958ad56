"""Four processes on one log, against four on one hummbl-governance bus.

Run with ``python -m tests.benchmarks.bench_processes``; tests/benchmarks/README.md says what the lines
mean. Needs ``hummbl-governance==1.5.1``; is left out where that is not installed.
"""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.workload import emit, open_log

PROCESSES = 4
_MESSAGE = "file.write WRITE src/api.py file lines=42"


def work(folder: Path, start: Any, commands: Connection) -> None:
    """In a process of its own: run ``count`` operations of a side when told to; send begin and end."""
    bus = importlib.import_module("hummbl_governance").BusWriter(folder / "bus.tsv")
    with open_log(folder / "processes.jsonl", "os") as provider:
        sides: dict[str, Callable[[], object]] = {
            "emit": partial(emit, provider.get_audit_logger("bench")),
            "post": lambda: bus.post("bench", "all", "STATUS", _MESSAGE),
        }
        for side, count in iter(commands.recv, None):
            operation = sides[side]
            start.wait()
            began = perf_counter_ns()
            for _ in range(count):
                operation()
            commands.send((began, perf_counter_ns()))


def bench(folder: Path, quick: bool) -> list[measure.Figure]:
    """Compare entries a second of both, from the first process's begin to the last one's end."""
    try:
        package = f"hummbl-governance {version('hummbl-governance')}"
    except PackageNotFoundError:
        print("\nfour processes: left out, as hummbl-governance==1.5.1 is not installed")
        return []
    rounds, count = (5, 250) if quick else (31, 2500)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES)
    pipes = [context.Pipe() for _ in range(PROCESSES)]
    processes = [context.Process(target=work, args=(folder, start, theirs), daemon=True) for _, theirs in pipes]
    for process in processes:
        process.start()

    def one_round(side: str) -> int:
        for pipe, _ in pipes:
            pipe.send((side, count))
        times: list[tuple[int, int]] = [pipe.recv() for pipe, _ in pipes]
        return (max(ended for _, ended in times) - min(began for began, _ in times)) // (PROCESSES * count)

    for side in ("emit", "post"):
        one_round(side)
    emits, posts = measure.in_turn(rounds, partial(one_round, "emit"), partial(one_round, "post"))
    for pipe, _ in pipes:
        pipe.send(None)
    for process in processes:
        process.join()
    written = [path.read_bytes().count(b"\n") for path in (folder / "processes.jsonl", folder / "bus.tsv")]
    assert written == [
        (rounds + 1) * PROCESSES * count + 2 * PROCESSES,  # each process says that it opened and closed the log
        (rounds + 1) * PROCESSES * count,
    ]
    print(f"\n{PROCESSES} processes, {rounds} rounds of {PROCESSES} × {count}; {package}")
    rates = [f"{1e6 / measure.median_micros(figures):.0f}" for figures in (emits, posts)]
    print(
        f"emit (os), chained: {rates[0]} entries/s; BusWriter.post, neither chained nor synced: {rates[1]} messages/s"
    )
    return [
        measure.ratio(f"entries/s, {PROCESSES} processes, emit (os) ÷ BusWriter.post", posts, emits, at_least=1.2),
    ]


if __name__ == "__main__":
    measure.run(__doc__, bench)
