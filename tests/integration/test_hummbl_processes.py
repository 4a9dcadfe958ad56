"""Many threads and processes on one bus: one chain."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from otel_audit import verify_log
from otel_audit.compat.hummbl import BusWriter
from tests import chain

PROCESSES = THREADS = 4
MESSAGES = 25


def post_from_threads(bus: BusWriter, process: int, start: Any) -> None:
    """Post from four threads of this process, all at once."""

    def post(thread: int) -> None:
        start.wait()
        for number in range(MESSAGES):
            bus.post(f"agent-{process}-{thread}", "all", "STATUS", str(number))

    threads = [threading.Thread(target=post, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_four_threads_in_four_processes_on_one_bus_writer(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One `BusWriter`, forked or pickled into four processes with four threads each, leaves one chain."""
    monkeypatch.setenv("OTEL_AUDIT_DURABILITY", "os")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    path = tmp_path / "events.jsonl"
    bus = BusWriter(path)
    bus.post("parent", "all", "STATUS", "before")
    context: Any = multiprocessing.get_context(method)
    start = context.Barrier(PROCESSES * THREADS)
    processes = [context.Process(target=post_from_threads, args=(bus, index, start)) for index in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    bus.post("parent", "all", "STATUS", "after")
    bus.close()

    chain.check(path)
    assert verify_log(path).intact
    senders: dict[str, list[str]] = {}
    for message in bus.read_all():
        senders.setdefault(message.from_id, []).append(message.message)
    assert senders.pop("parent") == ["before", "after"]
    assert len(senders) == PROCESSES * THREADS
    assert Counter(map(tuple, senders.values())) == {tuple(map(str, range(MESSAGES))): PROCESSES * THREADS}
