"""Many threads in many processes that fork, on one log that is rotated all the time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from otel_audit.reader import verify_log
from tests import chain
from tests.chain import check_log
from tests.ledgers import FULL, names, none_missing, receipts, spawn

PROCESSES = THREADS = 8
EMITS = 500 if FULL else 50
SEGMENT_BYTES = 256 * 1024
EMITS_OF_A_CHILD = 5

WRITER = """
import os, random, sys, threading
from tests.ledgers import draft, ledger

path, out = sys.argv[1:3]
emits, threads, segment_bytes, of_a_child = map(int, sys.argv[3:])
one = ledger(path, durability="always", lock_timeout_millis=60_000, max_segment_bytes=segment_bytes)
out = os.open(out, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
children = []

def emit(chance):
    ticket = one.append(draft(size_bytes=chance.choice((0, 200, 2000))))
    os.write(out, b"%d:%s\\n" % (ticket.seq, ticket.hash.encode()))

def work(seed):
    chance = random.Random(seed)
    for number in range(emits):
        emit(chance)
        if chance.random() < 2 / emits:
            pid = os.fork()
            if pid == 0:
                try:
                    for _ in range(of_a_child):
                        emit(chance)
                    one.close()
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(pid)

workers = [threading.Thread(target=work, args=(f"{os.getpid()}-{number}",)) for number in range(threads)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
one.close()
print(len(children))
"""


def test_one_chain_over_all_segments(tmp_path: Path) -> None:
    """8 processes × 8 threads with forks, rotating every 256 KiB, make one linear chain with every receipt in it."""
    path, out = tmp_path / "a.jsonl", tmp_path / "receipts"
    options = (path, out, EMITS, THREADS, SEGMENT_BYTES, EMITS_OF_A_CHILD)
    processes = [spawn(WRITER, *options) for _ in range(PROCESSES)]
    children = 0
    try:
        for process in processes:
            text, _ = process.communicate(timeout=110)
            assert process.returncode == 0
            children += int(text)
    finally:
        for process in processes:
            process.kill()
            process.wait(9)
    acknowledged = receipts(out.read_text())
    assert len(acknowledged) == len(set(acknowledged)) == PROCESSES * THREADS * EMITS + EMITS_OF_A_CHILD * children
    lines = check_log(path)
    none_missing(lines, acknowledged)
    assert names(lines).count("test.event") == len(acknowledged)
    segments = chain.segments(path)
    assert all(file.stat().st_size <= SEGMENT_BYTES for file in segments)
    assert len(segments) > sum(file.stat().st_size for file in segments) // SEGMENT_BYTES
    report = verify_log(path)
    assert report.findings == ()
    assert report.entries == len(lines)
    if shutil.which("sha256sum"):
        done = subprocess.run(["sha256sum", "--strict", "-c", "a.sha256"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(": OK\n") == len(segments) - 1
    sys.stdout.write(f"{len(acknowledged)} receipts, {children} forks, {len(segments)} segments, {len(lines)} lines\n")
    assert os.path.getsize(path) > 0
