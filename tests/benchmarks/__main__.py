"""Run every benchmark and print one table.

Run with ``python -m tests.benchmarks``; some minutes on a machine that does nothing else.
"""

from __future__ import annotations

from tests.benchmarks import (
    bench_collector,
    bench_emit,
    bench_long,
    bench_processes,
    bench_threads,
    bench_unreachable,
    bench_verify,
    measure,
)

if __name__ == "__main__":
    measure.run(
        __doc__,
        bench_emit.bench,
        bench_threads.bench,
        bench_processes.bench,
        bench_verify.bench,
        bench_long.bench,
        bench_collector.bench,
        bench_unreachable.bench,
    )
