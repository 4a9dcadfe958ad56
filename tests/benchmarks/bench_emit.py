"""What `emit` costs, as ratios to what it is built on, all in one process and in turn.

Run with ``python -m tests.benchmarks.bench_emit``; tests/benchmarks/README.md says what the lines mean.
"""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from pathlib import Path
from time import perf_counter_ns

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord

from otel_audit import AuditLogger
from tests.benchmarks import measure
from tests.benchmarks.workload import EVENT_NAME, RESOURCE, aemit, emit, open_log, sample

COROUTINES = 200


class NoOpProcessor(LogRecordProcessor):
    """Takes each record and does nothing with it."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Do nothing."""

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Have nothing to flush."""
        return True


def bench_page_cache(folder: Path, rounds: int, count: int) -> list[measure.Figure]:
    """Compare ``emit`` with durability ``os`` to a bare ``Logger.emit`` of the same attributes."""
    line, attributes = sample(folder)
    with open_log(folder / "os.jsonl", "os") as provider:
        audit = provider.get_audit_logger("bench")
        bare_provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
        bare_provider.add_log_record_processor(NoOpProcessor())
        bare = bare_provider.get_logger("bench")

        def emit_bare() -> None:
            bare.emit(timestamp=time.time_ns(), event_name=EVENT_NAME, attributes=attributes)  # type: ignore[arg-type]

        ours, theirs = measure.in_turn(
            rounds,
            lambda: measure.timed(partial(emit, audit), count),
            lambda: measure.timed(emit_bare, count),
        )
        bare_provider.shutdown()
    print(f"\n{len(attributes)} attributes, a line of {len(line)} bytes; {rounds} rounds of {count}")
    medians = [measure.median_micros(figures) for figures in (ours, theirs)]
    print(f"medians: emit, durability os: {medians[0]:.1f} µs; bare Logger.emit: {medians[1]:.1f} µs")
    return [measure.ratio("emit (os) ÷ bare Logger.emit, no-op processor", ours, theirs, at_most=1.2)]


def bench_durable(folder: Path, rounds: int, count: int) -> list[measure.Figure]:
    """Compare ``emit`` with durability ``always`` to ``write`` and ``fdatasync`` of the same bytes."""
    line, _ = sample(folder)
    raw = os.open(folder / "raw.bin", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write_and_sync() -> None:
        os.write(raw, line)
        os.fdatasync(raw)

    with open_log(folder / "always.jsonl", "always") as provider:
        audit = provider.get_audit_logger("bench")
        emit(audit)
        write_and_sync()
        ours, theirs = measure.in_turn(
            rounds,
            lambda: measure.timed(partial(emit, audit), count),
            lambda: measure.timed(write_and_sync, count),
        )
        latencies = []
        for _ in range(rounds * count):
            began = perf_counter_ns()
            emit(audit)
            latencies.append(perf_counter_ns() - began)
    os.close(raw)
    print(f"\nwrite + fdatasync: {measure.median_micros(theirs):.0f} µs; {rounds} rounds of {count}")
    figure = measure.ratio("emit (always) ÷ write + fdatasync", ours, theirs, at_most=1.15)
    beyond = measure.median_micros([a - b for a, b in zip(ours, theirs, strict=True)])
    print(f"beyond the write and the sync: {beyond:.0f} µs, on a processor that has just slept")
    print(f"emit (always), {len(latencies)} in a row: {measure.percentiles(sorted(latencies))}")
    return [figure]


def bench_coroutines(folder: Path, rounds: int) -> list[measure.Figure]:
    """Compare 200 coroutines that emit durably at once to the same one by one."""
    holds: list[float] = []
    appends: list[float] = []

    async def at_once(audit: AuditLogger) -> int:
        watching = asyncio.create_task(_longest_gap_ns())
        await asyncio.sleep(0)
        began = perf_counter_ns()
        receipts = await asyncio.gather(*(aemit(audit) for _ in range(COROUTINES)))
        took = perf_counter_ns() - began
        watching.cancel()
        holds.append(await watching / 1e6)
        assert len({receipt.seq for receipt in receipts}) == COROUTINES
        return took // COROUTINES

    with (
        open_log(folder / "aemit.jsonl", "always") as provider,
        open_log(folder / "appends.jsonl", "os") as cached,
        asyncio.Runner() as runner,
    ):
        audit = provider.get_audit_logger("bench")
        unsynced = cached.get_audit_logger("bench")
        emit(audit), emit(unsynced)
        together, one_by_one, append = measure.in_turn(
            rounds,
            lambda: runner.run(at_once(audit)),
            lambda: measure.timed(partial(emit, audit), COROUTINES),
            lambda: measure.timed(partial(emit, unsynced), COROUTINES),
        )
        appends.extend(figure * COROUTINES / 1e6 for figure in append)
    print(f"\n{COROUTINES} coroutines; {rounds} rounds; {measure.quartiles(appends)[1]:.1f} ms of appends")
    beyond = [max(0.0, hold - append) for hold, append in zip(holds, appends, strict=True)]
    longest = measure.Figure("aemit: event loop held beyond the appends, ms", beyond, at_most=20)
    print(longest.line())
    return [
        measure.ratio(f"aemit, {COROUTINES} at once ÷ emit one by one", together, one_by_one, at_most=0.4),
        longest,
    ]


async def _longest_gap_ns() -> int:
    longest = 0
    before = perf_counter_ns()
    try:
        while True:
            await asyncio.sleep(0)
            now = perf_counter_ns()
            longest = max(longest, now - before)
            before = now
    except asyncio.CancelledError:
        return longest


def bench(folder: Path, quick: bool) -> list[measure.Figure]:
    """Run all."""
    rounds, scale = (5, 1) if quick else (41, 10)
    return [
        *bench_page_cache(folder, rounds, 200 * scale),
        *bench_durable(folder, rounds, 20 * scale),
        *bench_coroutines(folder, rounds),
    ]


if __name__ == "__main__":
    measure.run(__doc__, bench)
