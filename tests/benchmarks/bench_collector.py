"""The log on its way through real collectors: entries a second, latency, and what the writer pays for it.

Run with ``python -m tests.benchmarks.bench_collector``; tests/benchmarks/README.md says what the lines mean. Needs the
collector that ``collector-config/build`` builds, or that OTEL_AUDIT_TEST_COLLECTOR names; is left out without.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from array import array
from functools import partial
from pathlib import Path
from time import perf_counter, perf_counter_ns

from otel_audit import AuditLogger
from tests.benchmarks import measure
from tests.benchmarks.workload import emit, open_log
from tests.collector.collectors import Collector, turns
from tests.collector.conftest import BINARY
from tests.collector.copies import Arrivals

PACE_SECONDS = 0.005
"""Between entries whose latency is measured: far below what the way carries, so that no backlog is timed."""


def bench(folder: Path, quick: bool) -> list[measure.Figure]:
    """Measure the tail way: log, tail collector, gateway, file."""
    if not os.access(BINARY, os.X_OK):
        print("\ncollector: left out, as there is none: run collector-config/build")
        return []
    count = 20_000 if quick else 200_000
    with contextlib.ExitStack() as stack:
        gateway = Collector(BINARY, folder / "gateway", "gateway.yaml").start()
        stack.callback(gateway.close)
        environ = {"OTEL_AUDIT_GATEWAY": gateway.listen, "OTEL_AUDIT_FILES": str(folder / "*.jsonl")}
        tail = Collector(BINARY, folder / "tail", "tail.yaml", environ=environ)
        stack.callback(tail.close)
        arrivals = Arrivals(gateway.copy / "logs.jsonl")
        path = folder / "collected.jsonl"
        with open_log(path, "os") as provider:
            audit = provider.get_audit_logger("bench")
            _nanoseconds_per_emit(audit, count)
            last = emit(audit).seq
            rate = _drain(tail, arrivals, last)
            latencies = _latencies(audit, arrivals, 400 if quick else 4000)
            rounds, emits = (7, 500) if quick else (31, 2000)
            sides = []
            for operation in (_paced_nanoseconds_per_emit, _nanoseconds_per_emit):
                followed = partial(operation, audit, emits)
                sides.append(measure.in_turn(rounds, followed, partial(_while_stopped, (tail, gateway), followed)))
    (paced, paced_alone), (fast, fast_alone) = sides
    print(f"\n{last} entries of {path.stat().st_size // last} bytes that wait: {rate:.0f} entries/s to the far end")
    print(f"from emit to the far end, an entry every {PACE_SECONDS * 1e3:.0f} ms: {measure.percentiles(latencies)}")
    return [
        measure.Figure("collector: entries/s, tail → gateway → file", [rate]),
        measure.Figure("collector: median ms from emit to the far end", [latencies[len(latencies) // 2] / 1e6]),
        measure.Figure("collector: p99 ms from emit to the far end", [latencies[len(latencies) * 99 // 100] / 1e6]),
        measure.ratio("collector: time of an emit, 1,000 a second, followed ÷ not", paced, paced_alone),
        measure.ratio("collector: time of an emit, one after the other, followed ÷ not", fast, fast_alone),
    ]


def _nanoseconds_per_emit(audit: AuditLogger, count: int) -> int:
    return measure.timed(partial(emit, audit), count)


def _paced_nanoseconds_per_emit(audit: AuditLogger, count: int) -> int:
    """Emit 1,000 a second; return the time inside of an emit."""
    inside, due = 0, perf_counter()
    for _ in range(count):
        due += 0.001
        time.sleep(max(0, due - perf_counter()))
        began = perf_counter_ns()
        emit(audit)
        inside += perf_counter_ns() - began
    return inside // count


def _while_stopped(collectors: tuple[Collector, ...], operation: measure.Side) -> int:
    """Measure while the collectors hold still; what is written meanwhile they read in the next round."""
    for one in collectors:
        one.signal(signal.SIGSTOP)
    try:
        return operation()
    finally:
        for one in collectors:
            one.signal(signal.SIGCONT)


def _drain(tail: Collector, arrivals: Arrivals, last: int) -> float:
    """Start the collector on a log that stands; return entries a second, its start not counted."""
    tail.start()
    for _ in turns():
        if arrivals.look():
            break
    began, first = perf_counter(), len(arrivals.look())
    for _ in turns(600):
        if len(arrivals.look()) >= last:
            return (last - first) / (perf_counter() - began)
    raise AssertionError


def _latencies(audit: AuditLogger, arrivals: Arrivals, count: int) -> array[int]:
    """Return sorted nanoseconds from before each emit to its line in the copy, to the millisecond that a look takes."""
    emitted: dict[int, int] = {}
    found = array("q")
    due = perf_counter()
    while len(found) < count:
        if len(emitted) + len(found) < count and perf_counter() >= due:
            now = perf_counter_ns()
            emitted[emit(audit).seq] = now
            due += PACE_SECONDS
        seen, now = arrivals.look(), perf_counter_ns()
        for seq in [seq for seq in emitted if seq in seen]:
            found.append(now - emitted.pop(seq))
        time.sleep(0.001)
    return array("q", sorted(found))


if __name__ == "__main__":
    measure.run(__doc__, bench)
