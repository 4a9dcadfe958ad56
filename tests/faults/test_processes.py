"""Threads, processes and forks on one log: one linear chain, and every receipt in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ledgers import FULL, ROOT, draft, ledger, names, none_missing, receipts, run, sound, spawn

EMITS = 500 if FULL else 50

WRITER = """
import os, random, sys, threading
from tests.ledgers import draft, ledger

path, durability, emits, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
one = ledger(path, durability=durability, lock_timeout_millis=60_000)
out = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
forks = threading.Semaphore(6)
children = []

def emit(count):
    for _ in range(count):
        t = one.append(draft())
        os.write(out, b"%d:%s\\n" % (t.seq, t.hash.encode()))

def work(seed):
    chance = random.Random(seed)
    for _ in range(emits):
        emit(1)
        if chance.random() < 6 / (8 * emits) and forks.acquire(blocking=False):
            pid = os.fork()
            if pid == 0:
                emit(5)
                one.close()
                os._exit(0)
            children.append(pid)

threads = [threading.Thread(target=work, args=(f"{path}{os.getpid()}{n}",)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
one.close()
print(len(children))
"""


@pytest.mark.parametrize("durability", ["os", "always", "interval"])
def test_eight_threads_in_four_processes_with_forks(tmp_path: Path, durability: str) -> None:
    """8 threads × 4 processes that fork in the middle make one linear chain with every receipt in it."""
    path, out = tmp_path / "a.jsonl", tmp_path / "receipts"
    processes = [spawn(WRITER, path, durability, EMITS, out) for _ in range(4)]
    children = 0
    try:
        for process in processes:
            text, _ = process.communicate(timeout=300 if FULL else 30)
            assert process.returncode == 0
            children += int(text)
    finally:
        for process in processes:
            process.kill()
    acknowledged = receipts(out.read_text())
    assert len(acknowledged) == len(set(acknowledged)) == 4 * 8 * EMITS + 5 * children
    lines = sound(path)
    none_missing(lines, acknowledged)
    assert names(lines).count("test.event") == len(acknowledged)
    assert names(lines).count("closed") == 4 + children
    sys.stdout.write(f"{durability}: {len(acknowledged)} receipts, {children} forks, {len(lines)} lines\n")


KILLED = """
import os, sys, threading
from tests.ledgers import draft, ledger
one = ledger(sys.argv[1], durability=sys.argv[2], lock_timeout_millis=20_000)
def work():
    while True:
        t = one.append(draft(size_bytes=3000))
        os.write(1, b"%d:%s\\n" % (t.seq, t.hash.encode()))
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
work()
"""


@pytest.mark.parametrize("durability", ["os", "always"])
def test_processes_that_are_killed(tmp_path: Path, durability: str) -> None:
    """SIGKILL at any moment loses no acknowledged entry, and others go on behind what it leaves."""
    path = tmp_path / "a.jsonl"
    acknowledged = []
    for round_number in range(40 if FULL else 3):
        processes = []
        for number in range(3):
            out = (tmp_path / f"{round_number}-{number}").open("wb")
            code = [sys.executable, "-c", KILLED, str(path), durability]
            processes.append((subprocess.Popen(code, cwd=ROOT, stdout=out), out))
        deadline = time.monotonic() + 8
        while any(os.fstat(out.fileno()).st_size == 0 for _, out in processes) and time.monotonic() < deadline:
            time.sleep(0.01)
        for process, out in processes:
            time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait(8)
            out.close()
            text = Path(out.name).read_text()
            acknowledged += receipts(text[: text.rfind("\n") + 1])
    one = ledger(path)
    ticket = one.append(draft())
    one.close()
    assert acknowledged
    none_missing(sound(path, [ticket]), acknowledged)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT in the middle of appends lose nothing that was acknowledged."""
    path = tmp_path / "a.jsonl"
    process = spawn(KILLED, path, "always", stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(number)
    try:
        rest, _ = process.communicate(timeout=9)
    finally:
        process.kill()
    text = first + rest
    one = ledger(path)
    ticket = one.append(draft())
    one.close()
    none_missing(sound(path, [ticket]), receipts(text[: text.rfind("\n") + 1]))


def test_a_process_that_leaves_without_a_word(tmp_path: Path) -> None:
    """os._exit leaves a log without closed, which is sound and is carried on."""
    path = tmp_path / "a.jsonl"
    done = run(
        "import os, sys\nfrom tests.ledgers import *\none = ledger(sys.argv[1], durability='always')\n"
        "t = one.append(draft()); print(f'{t.seq}:{t.hash}', flush=True); os._exit(0)",
        path,
    )
    one = ledger(path)
    one.append(draft())
    one.close()
    lines = sound(path)
    none_missing(lines, receipts(done.stdout))
    assert names(lines) == ["opened", "test.event", "opened", "test.event", "closed"]


@pytest.mark.parametrize("durability", ["always", "interval", "os"])
def test_daemon_threads_at_the_end_of_the_interpreter(tmp_path: Path, durability: str) -> None:
    """Daemon threads that append while the interpreter ends neither hang nor break the log."""
    path = tmp_path / "a.jsonl"
    done = run(
        "import os, sys, threading, time\nfrom tests.ledgers import *\n"
        "one = ledger(sys.argv[1], durability=sys.argv[2])\n"
        "def work():\n"
        "    while True:\n"
        "        t = one.append(draft()); os.write(1, f'{t.seq}:{t.hash}\\n'.encode())\n"
        "for _ in range(4): threading.Thread(target=work, daemon=True).start()\n"
        "time.sleep(0.2)",
        path,
        durability,
    )
    assert done.returncode == 0, done.stderr
    one = ledger(path)
    ticket = one.append(draft())
    one.close()
    none_missing(sound(path, [ticket]), receipts(done.stdout))


def test_a_lock_that_a_process_holds(tmp_path: Path) -> None:
    """A process that holds the lock too long is named by its pid to all who wait; then all go on."""
    path = tmp_path / "a.jsonl"
    holder = spawn(
        "import fcntl, sys\nfile = open(sys.argv[1], 'ab'); fcntl.flock(file, 2)\n"
        "print(1, flush=True); sys.stdin.read()",
        path,
        stdin=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    code = (
        "import sys\nfrom tests.ledgers import *\nfrom otel_audit.errors import AuditWriteError\n"
        "one = ledger(sys.argv[1], lock_timeout_millis=200)\n"
        "try:\n    one.append(draft())\nexcept AuditWriteError as error:\n    print(error, flush=True)\n"
        "sys.stdin.read()\nt = one.append(draft()); one.close(); print(f'{t.seq}:{t.hash}')"
    )
    waiting = [spawn(code, path, stdin=subprocess.PIPE) for _ in range(3)]
    for process in waiting:
        assert process.stdout is not None
        assert f"locked by process {holder.pid} for more than 200 ms" in process.stdout.readline()
    holder.communicate(timeout=5)
    acknowledged = [pair for process in waiting for pair in receipts(process.communicate(timeout=9)[0])]
    assert len(acknowledged) == 3
    none_missing(sound(path), acknowledged)
