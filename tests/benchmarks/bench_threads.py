"""Durable emits from many threads: how far one sync is shared.

Run with ``python -m tests.benchmarks.bench_threads``; tests/benchmarks/README.md says what the lines mean.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from time import perf_counter_ns

from otel_audit import AuditProvider
from tests.benchmarks import measure
from tests.benchmarks.workload import emit, open_log, sample

THREADS = (1, 2, 4, 8, 16)
GOALS = {16: 6.0}


class Emitters:
    """Threads that emit in a loop, and how many entries shared each sync."""

    def __init__(self, provider: AuditProvider, threads: int, count: int) -> None:
        self._audit = provider.get_audit_logger("bench")
        self._stats = provider.exporter.ledger.stats
        self._threads = threads
        self._turns = range(max(1, count // threads))
        self.group_sizes: list[float] = []
        self.sync_micros: list[float] = []

    def round(self) -> int:
        """Let each thread emit its share; return nanoseconds per emit, from the first to the last."""
        start = threading.Barrier(self._threads + 1)
        threads = [threading.Thread(target=self._emit, args=(start,)) for _ in range(self._threads)]
        for thread in threads:
            thread.start()
        before = self._stats()
        start.wait()
        began = perf_counter_ns()
        for thread in threads:
            thread.join()
        took = perf_counter_ns() - began
        after = self._stats()
        syncs = after.syncs - before.syncs
        self.group_sizes.append((after.records - before.records) / syncs)
        self.sync_micros.append((after.sync_seconds - before.sync_seconds) / syncs * 1e6)
        return took // (self._threads * len(self._turns))

    def _emit(self, start: threading.Barrier) -> None:
        audit = self._audit
        start.wait()
        for _ in self._turns:
            emit(audit)


def pass_on(threads: int, count: int) -> int:
    """Let threads wake each other in a ring, and do nothing else; return nanoseconds per wake-up.

    Who waits for a sync must be woken: no emit from many threads can cost less than this and its
    own work.
    """
    locks = [threading.Lock() for _ in range(threads)]
    for lock in locks:
        lock.acquire()

    def wait_and_wake(own: threading.Lock, following: threading.Lock) -> None:
        for _ in range(count // threads):
            own.acquire()
            following.release()

    ring = [threading.Thread(target=wait_and_wake, args=(locks[i - 1], locks[i])) for i in range(threads)]
    for thread in ring:
        thread.start()
    began = perf_counter_ns()
    locks[0].release()
    for thread in ring:
        thread.join()
    return (perf_counter_ns() - began) // count


def bench(folder: Path, quick: bool) -> list[measure.Figure]:
    """Compare 2 to 16 threads to one; and to the disk and the processor that bound them."""
    rounds, count = (5, 160) if quick else (31, 1600)
    line, _ = sample(folder)
    raw = os.open(folder / "raw.bin", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write_and_sync(lines: int) -> None:
        os.write(raw, line * lines)
        os.fdatasync(raw)

    with open_log(folder / "threads.jsonl", "always") as provider, open_log(folder / "os.jsonl", "os") as cached:
        emit(provider.get_audit_logger("bench"))
        sides = [Emitters(provider, threads, count if threads > 2 else count // 4) for threads in THREADS]
        unsynced = partial(emit, cached.get_audit_logger("bench"))
        *emits, append, wake, sync_one, sync_half, sync_all = measure.in_turn(
            rounds,
            *(side.round for side in sides),
            lambda: measure.timed(unsynced, count),
            lambda: pass_on(THREADS[-1], count),
            *(partial(measure.timed, partial(write_and_sync, lines), count // 16) for lines in (1, 8, 16)),
        )
    os.close(raw)
    raws = " / ".join(f"{measure.median_micros(figures):.0f}" for figures in (sync_one, sync_half, sync_all))
    print(f"\n{rounds} rounds; write + fdatasync of 1 / 8 / 16 lines: {raws} µs")
    print(f"emit (os), one thread: {measure.median_micros(append):.1f} µs; ", end="")
    print(f"one of {THREADS[-1]} threads wakes the next: {measure.median_micros(wake):.1f} µs")
    for threads, figures, side in zip(THREADS, emits, sides, strict=True):
        _, group, _ = measure.quartiles(side.group_sizes)
        _, sync, _ = measure.quartiles(side.sync_micros)
        print(
            f"{threads:3} threads: {1e6 / measure.median_micros(figures):8.0f} emits/s, "
            f"{measure.median_micros(figures):6.1f} µs each, {group:5.2f} entries a sync, a sync {sync:4.0f} µs"
        )
    least = [a + b for a, b in zip(append, wake, strict=True)]
    bound = measure.ratio("most that the interpreter allows, emit (os) + wake-up", emits[0], least)
    ratios = [
        measure.ratio(f"durable emits/s, {threads} threads ÷ 1 thread", emits[0], figures, at_least=GOALS.get(threads))
        for threads, figures in zip(THREADS, emits, strict=True)
        if threads > 1
    ]
    return [*ratios, bound]


if __name__ == "__main__":
    measure.run(__doc__, bench)
