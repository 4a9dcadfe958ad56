"""A full disk in the middle of a rotation, and processes that lose records to it with failures open."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from otel_audit.errors import AuditWriteError
from otel_audit.ledger import Ticket
from otel_audit.reader import verify_log
from tests import chain
from tests.chain import Line, check_log
from tests.disk import fill
from tests.ledgers import draft, ledger, none_missing, spawn

SEGMENT_BYTES = 64 * 1024
PAGE_BYTES = 4096


def sound(path: Path, tickets: list[Ticket]) -> list[Line]:
    """Assert that a log is sound over its segments and holds these tickets."""
    lines = check_log(path)
    assert verify_log(path).errors == ()
    none_missing(lines, [(ticket.seq, ticket.hash) for ticket in tickets])
    return lines


def dropped(lines: list[Line]) -> int:
    """Return how many records a log says were lost."""
    return sum(line.attributes["audit.dropped.count"] for line in lines if line.name == "audit.log.dropped")


@pytest.mark.parametrize("free_pages", range(6))
@pytest.mark.parametrize("durability", ["always", "os"])
def test_in_the_middle_of_a_rotation(disk: Path, durability: str, free_pages: int) -> None:
    """Wherever in a rotation the disk becomes full, nothing is acknowledged in vain; with room again it is finished."""
    path = disk / "a.jsonl"
    one = ledger(path, durability=durability, max_segment_bytes=SEGMENT_BYTES)
    tickets: list[Ticket] = []
    refused = 0
    for _ in range(2):
        while not tickets or one.stats().size_bytes < SEGMENT_BYTES - 2 * PAGE_BYTES:
            tickets.append(one.append(draft(size_bytes=1000)))
        filler = fill(disk, free_pages)
        for _ in range(40):
            try:
                tickets.append(one.append(draft(size_bytes=1000)))
            except AuditWriteError:
                refused += 1
        with pytest.raises(AuditWriteError, match="No space left on device"):
            one.append(draft(size_bytes=6 * PAGE_BYTES))
        filler.unlink()
        tickets.append(one.append(draft()))
        one.rotate()
        tickets.append(one.append(draft()))
    one.close()
    assert refused
    sound(path, tickets)
    assert len(chain.segments(path)) >= 3


OPEN = """
import os, sys
from otel_audit import AuditProvider
from otel_audit.pipeline.exporter import AuditFileLogExporter

exporter = AuditFileLogExporter(sys.argv[1], max_segment_bytes=int(sys.argv[2]))
provider = AuditProvider(exporter, on_failure="open")
audit = provider.get_audit_logger("test")
print("ready", flush=True)
for word in sys.stdin:
    lost = sum(not audit.emit("test.event", attributes={"filler": "x" * 3000}).recorded for _ in range(int(word)))
    print(lost, flush=True)
provider.shutdown()
"""


def test_failures_open_in_many_processes(disk: Path) -> None:
    """What all processes lost is declared exactly, over rotations, whoever writes first when there is room again."""
    path = disk / "a.jsonl"
    processes = [spawn(OPEN, path, SEGMENT_BYTES, stdin=subprocess.PIPE) for _ in range(3)]

    def told(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def lost_by(emits: int) -> int:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{emits}\n")
            process.stdin.flush()
        return sum(int(told(process)) for process in processes)

    lost = 0
    try:
        assert [told(process) for process in processes] == ["ready"] * 3
        for emits in (5, 30):
            assert lost_by(emits) == 0
            filler = fill(disk, free_pages=3)
            lost_now = lost_by(20)
            assert lost_now >= 50
            lost += lost_now
            filler.unlink()
        assert lost_by(2) == 0
        for process in processes:
            process.communicate(timeout=9)
            assert process.returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.wait(9)
    lines = sound(path, [])
    assert dropped(lines) == lost
    assert sum(line.attributes["audit.writer.dropped"] for line in lines if line.name == "audit.log.closed") == lost
    assert len(chain.segments(path)) > 2


def test_what_a_killed_process_lost_is_declared_by_another(disk: Path) -> None:
    """A process that loses records and never succeeds again is answered for by the next one that does, at once."""
    path = disk / "a.jsonl"
    survivor = ledger(path)
    process = spawn(OPEN, path, SEGMENT_BYTES, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        survivor.append(draft())
        filler = fill(disk)
        process.stdin.write("50\n")
        process.stdin.flush()
        lost = int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=9)
    assert lost > 40
    with pytest.raises(AuditWriteError, match="No space left on device"):
        survivor.append(draft(size_bytes=3 * PAGE_BYTES))
    filler.unlink()
    ticket = survivor.append(draft())
    survivor.close()
    lines = sound(path, [ticket])
    assert dropped(lines) == lost
    [declared] = [line for line in lines if line.name == "audit.log.dropped"]
    assert declared.seq == ticket.seq - 1
    assert declared.attributes["error.type"] == "AuditWriteError"


def test_rotation_asked_for_again_and_again(disk: Path) -> None:
    """Rotations that a full disk stops leave one segment at most to be begun, and with room again the log goes on."""
    path = disk / "a.jsonl"
    one = ledger(path)
    one.append(draft())
    one.rotate()
    one.append(draft())
    filler = fill(disk)
    refused = 0
    for _ in range(4):
        try:
            one.rotate()
        except AuditWriteError:
            refused += 1
    assert refused >= 3
    assert len([segment for segment in chain.segments(path) if segment.stat().st_size == 0]) <= 1
    filler.unlink()
    tickets = [one.append(draft())]
    other = ledger(path)
    tickets += [other.append(draft()), one.append(draft())]
    other.close()
    one.close()
    sound(path, tickets)
