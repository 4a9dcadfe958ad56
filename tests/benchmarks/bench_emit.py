"""What `emit` costs, as ratios to what it is built on, all in one process and in turn.

Run with ``python -m tests.benchmarks.bench_emit``; tests/benchmarks/README.md says what the lines mean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from typing import Literal

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource

from otel_audit import Actor, AuditFileLogExporter, AuditLogger, AuditProvider, AuditReceipt, Target, acting_as
from tests.benchmarks import measure

EVENT_NAME = "file.write"
RESOURCE = Resource.create({"service.name": "bench"})
TARGET = Target("src/api.py", "file")
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


def emit(audit: AuditLogger) -> AuditReceipt:
    """Emit the record that all figures are about."""
    return audit.emit(EVENT_NAME, action="WRITE", target=TARGET, attributes={"lines": 42})


async def aemit(audit: AuditLogger) -> AuditReceipt:
    """Emit the same from a coroutine."""
    return await audit.aemit(EVENT_NAME, action="WRITE", target=TARGET, attributes={"lines": 42})


def open_log(path: Path, durability: Literal["always", "interval", "os"]) -> AuditProvider:
    """Open a log with the pipeline that users have."""
    return AuditProvider(AuditFileLogExporter(path, durability=durability), resource=RESOURCE)


def bench_page_cache(folder: Path, rounds: int, count: int) -> bytes:
    """Compare ``emit`` with durability ``os`` to a bare ``Logger.emit``; return the line that was written."""
    path = folder / "os.jsonl"
    with open_log(path, "os") as provider:
        audit = provider.get_audit_logger("bench")
        emit(audit)
        line = path.read_bytes().splitlines(keepends=True)[-1]
        attributes = json.loads(line)["attributes"]

        bare_provider = LoggerProvider(RESOURCE, shutdown_on_exit=False)
        bare_provider.add_log_record_processor(NoOpProcessor())
        bare = bare_provider.get_logger("bench")

        def emit_bare() -> None:
            bare.emit(timestamp=time.time_ns(), event_name=EVENT_NAME, attributes=attributes)

        ours, theirs = measure.in_turn(
            rounds,
            lambda: measure.timed(partial(emit, audit), count),
            lambda: measure.timed(emit_bare, count),
        )
        bare_provider.shutdown()
    print(f"\n{len(attributes)} attributes, a line of {len(line)} bytes; {rounds} rounds of {count}")
    medians = [measure.quartiles(figures)[1] / 1e3 for figures in (ours, theirs)]
    print(f"medians: emit, durability os: {medians[0]:.1f} µs; bare Logger.emit: {medians[1]:.1f} µs")
    print(measure.ratio_line("emit (os) ÷ bare Logger.emit, no-op processor", ours, theirs, 1.2))
    return line


def bench_durable(folder: Path, line: bytes, rounds: int, count: int) -> None:
    """Compare ``emit`` with durability ``always`` to ``write`` and ``fdatasync`` of the same bytes."""
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
            latencies.append((perf_counter_ns() - began) / 1e3)
    os.close(raw)
    latencies.sort()
    print(f"\nwrite + fdatasync: {measure.quartiles(theirs)[1] / 1e3:.0f} µs; {rounds} rounds of {count}")
    print(measure.ratio_line("emit (always) ÷ write + fdatasync", ours, theirs, 1.15))
    beyond = measure.quartiles([a - b for a, b in zip(ours, theirs, strict=True)])[1] / 1e3
    print(f"beyond the write and the sync: {beyond:.0f} µs, on a processor that has just slept")
    print(
        f"emit (always), {len(latencies)} in a row: p50 {latencies[len(latencies) // 2]:.0f} µs, "
        f"p99 {latencies[len(latencies) * 99 // 100]:.0f} µs, max {latencies[-1]:.0f} µs"
    )


def bench_coroutines(folder: Path, rounds: int) -> None:
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
    print(f"\n{COROUTINES} coroutines; {rounds} rounds")
    print(measure.ratio_line(f"aemit, {COROUTINES} at once ÷ emit one by one", together, one_by_one, 0.4))
    beyond = sorted(max(0.0, hold - append) for hold, append in zip(holds, appends, strict=True))
    print(
        f"longest hold of the event loop beyond the {COROUTINES} appends ({measure.quartiles(appends)[1]:.1f} ms): "
        f"median {measure.quartiles(beyond)[1]:.1f} ms, max {beyond[-1]:.1f} ms   goal ≤ 20"
    )


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


def bench_memory(folder: Path, count: int) -> None:
    """Print how much memory a long run of ``emit`` adds."""
    with open_log(folder / "memory.jsonl", "os") as provider, acting_as(Actor("ada", "user")):
        audit = provider.get_audit_logger("bench")
        measure.timed(partial(emit, audit), count // 10)
        before = measure.resident_bytes()
        measure.timed(partial(emit, audit), count)
        grown = measure.resident_bytes() - before
    print(f"\nmemory after {count} more records: {grown / 1024:+.0f} KiB")


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where to write; the file system under test (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="few rounds: shows that it runs, the figures mean little")
    arguments = parser.parse_args()
    rounds, scale = (5, 1) if arguments.quick else (41, 10)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        print(measure.describe_machine(folder))
        line = bench_page_cache(folder, rounds, 200 * scale)
        bench_durable(folder, line, rounds, 20 * scale)
        bench_coroutines(folder, rounds)
        bench_memory(folder, 20_000 * scale)


if __name__ == "__main__":
    main()
