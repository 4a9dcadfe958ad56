"""A million emits in a row: the latency of each, and the memory of the process.

Run with ``python -m tests.benchmarks.bench_long``; tests/benchmarks/README.md says what the lines mean.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from time import perf_counter_ns

from otel_audit import Actor, acting_as
from tests.benchmarks import measure
from tests.benchmarks.workload import emit, open_log

PIECES = 10


def bench(folder: Path, quick: bool) -> list[measure.Figure]:
    """Print percentiles of the latency, and the memory at each tenth."""
    count = 50_000 if quick else 1_000_000
    latencies = array("q", [1]) * count  # there from the beginning: memory that grows is the log's
    path = folder / "long.jsonl"
    with open_log(path, "os") as provider, acting_as(Actor("ada", "user")):
        audit = provider.get_audit_logger("bench")
        emit(audit)
        resident = [measure.resident_bytes()]
        for piece in range(PIECES):
            for index in range(piece * count // PIECES, (piece + 1) * count // PIECES):
                began = perf_counter_ns()
                emit(audit)
                latencies[index] = perf_counter_ns() - began
            resident.append(measure.resident_bytes())
    megabytes = path.stat().st_size / 1e6
    path.unlink()
    print(f"\n{count} emits in a row, durability os, {megabytes:.0f} MB: {measure.percentiles(sorted(latencies))}")
    print(f"resident bytes before, and after each {count // PIECES}: {', '.join(map(str, resident))}")
    growth = resident[-1] - resident[0], resident[-1] - resident[1]
    print(f"growth: {growth[0]:+} bytes in all, {growth[1]:+} after the first {count // PIECES}")
    return [measure.Figure("bytes of memory per emit, after the first tenth", [growth[1] / (count * 0.9)])]


if __name__ == "__main__":
    measure.run(__doc__, bench)
