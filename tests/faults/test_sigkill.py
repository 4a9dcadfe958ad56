"""Processes that are killed at any moment, over and over, while they write to one log."""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.faults.aftermath import judge
from tests.faults.victim import Victim, emit
from tests.ledgers import FULL

ROUNDS = 1000 if FULL else 50
ROUNDS_PER_LOG = 10
PROCESSES = 4
LONGEST_ROUND_SECONDS = 0.12
PIPE_BYTES = 65536


def begin(victim: Victim, pipe: int) -> int:
    """Fork a process that writes until it is killed; each receipt goes to the pipe before it goes on."""
    pid = os.fork()
    if pid:
        return pid
    try:
        emit(victim, lambda line: os.write(pipe, f"{line}\n".encode()))
    finally:
        os._exit(1)


def one_round(path: Path, max_segment_bytes: int, chance: random.Random) -> tuple[str, int]:
    """Have processes write, and kill each at a moment of its own; return what they said, and how many were killed."""
    reader, writer = os.pipe()
    victim = Victim(str(path), 100_000, chance.choice((0, 0, 500, 5000)), max_segment_bytes)
    moments: dict[int, float] = {}
    said = bytearray()
    together = chance.uniform(0, LONGEST_ROUND_SECONDS)
    try:
        for _ in range(PROCESSES):
            alone = chance.random() < 0.5
            seconds = chance.uniform(0, LONGEST_ROUND_SECONDS) if alone else together
            moments[begin(victim, writer)] = time.monotonic() + seconds
        left = dict(moments)
        while left:
            pid = min(left, key=lambda pid: left[pid])
            ready, _, _ = select.select([reader], [], [], max(0.0, left[pid] - time.monotonic()))
            if ready:
                said += os.read(reader, PIPE_BYTES)
            if time.monotonic() >= left[pid]:
                os.kill(pid, signal.SIGKILL)
                del left[pid]
    finally:
        os.close(writer)
        statuses = []
        for pid in moments:
            os.kill(pid, signal.SIGKILL)
            statuses.append(os.waitpid(pid, 0)[1])
    with open(reader, "rb") as pipe:
        said += pipe.read()
    return said.decode(), sum(os.WIFSIGNALED(status) for status in statuses)


@pytest.mark.parametrize("max_segment_bytes", [0, 65536], ids=["one segment", "rotation"])
def test_killed_at_any_moment(tmp_path: Path, max_segment_bytes: int) -> None:
    """Of four processes that are killed again and again, no acknowledged entry is lost, and no byte is unexplained."""
    chance = random.Random(max_segment_bytes)
    rounds = receipts = segments = 0
    # where the machine is so busy that they are killed before they write, more rounds
    while rounds < ROUNDS / 2 or (receipts <= rounds < 5 * ROUNDS):
        path = tmp_path / f"{rounds}" / "a.jsonl"
        path.parent.mkdir()
        said = []
        for _ in range(min(ROUNDS_PER_LOG, ROUNDS // 2 - rounds)):
            text, killed = one_round(path, max_segment_bytes, chance)
            assert killed == PROCESSES, text
            assert not text or text.endswith("\n")
            said.append(text)
            rounds += 1
        text = "".join(said)
        assert "no " not in text
        aftermath = judge(path, text, max_segment_bytes)
        assert aftermath.wrong == []
        assert set(aftermath.notes) <= {"recovered"}
        receipts += text.count("\n")
        segments += len(list(path.parent.glob("*.jsonl")))
        for file in path.parent.iterdir():
            file.unlink()
    assert receipts > rounds
    assert segments > rounds / ROUNDS_PER_LOG * 2 or not max_segment_bytes
    sys.stdout.write(f"{rounds} rounds, {receipts} receipts, {segments} segments: 0 lost, 0 unexplained\n")
