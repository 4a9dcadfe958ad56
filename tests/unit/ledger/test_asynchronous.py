from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from otel_audit.errors import AuditConfigError, AuditWriteError
from otel_audit.ledger import Ledger, Ticket, files
from tests.ledgers import closing, draft, ledger, names, receipts, run, sound


async def opened(path: Path, **settings: object) -> Ledger:
    """Return a ledger that is open, so that tasks write in their own thread."""
    settings.setdefault("durability", "always")
    one = ledger(path, **settings)
    one.open()
    return one


def slow_syncs(patch: pytest.MonkeyPatch, seconds: float) -> list[float]:
    """Make each sync take long; return when they began."""
    began: list[float] = []
    sync = files.sync

    def slow(fd: int) -> None:
        began.append(time.monotonic())
        time.sleep(seconds)
        sync(fd)

    patch.setattr(files, "sync", slow)
    return began


@pytest.mark.parametrize("durability", ["always", "interval", "os"])
async def test_order(tmp_path: Path, durability: str) -> None:
    """Entries stand in the order in which the tasks called."""
    one = await opened(tmp_path / "a.jsonl", durability=durability)
    with closing(one):
        tickets = await asyncio.gather(*(one.aappend(draft()) for _ in range(100)))
    assert [ticket.seq for ticket in tickets] == list(range(2, 102))
    sound(tmp_path / "a.jsonl", tickets)


async def test_the_first_append_opens(tmp_path: Path) -> None:
    """A log that was not opened is opened by the first tasks, in their order."""
    one = ledger(tmp_path / "a.jsonl", durability="always")
    with closing(one):
        tickets = await asyncio.gather(*(one.aappend(draft()) for _ in range(20)))
    assert [ticket.seq for ticket in tickets] == list(range(2, 22))
    sound(tmp_path / "a.jsonl", tickets)


async def test_tasks_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred tasks share a few syncs, and the loop goes on meanwhile."""
    one = await opened(tmp_path / "a.jsonl")
    began = slow_syncs(monkeypatch, 0.5)
    longest, last = 0.0, time.monotonic()
    stop = asyncio.Event()

    async def beat() -> None:
        nonlocal longest, last
        while not stop.is_set():
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    with closing(one):
        heart = asyncio.create_task(beat())
        tickets = await asyncio.gather(*(one.aappend(draft()) for _ in range(200)))
        stop.set()
        await heart
    assert len(began) <= 4
    assert longest < 0.45
    assert all(ticket.durable for ticket in tickets)
    sound(tmp_path / "a.jsonl", tickets)


async def test_no_task_returns_before_its_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that appends while a sync is under way waits for the next one."""
    one = await opened(tmp_path / "a.jsonl")
    ends: list[int] = []
    sync = files.sync

    def note(fd: int) -> None:
        time.sleep(0.005)
        sync(fd)
        ends.append(one._writer.file.synced[0])  # type: ignore[union-attr]

    monkeypatch.setattr(files, "sync", note)

    async def work() -> Ticket:
        ticket = await one.aappend(draft())
        file = one._writer.file
        assert file is not None
        assert file.synced[0] >= ticket.end
        return ticket

    with closing(one):
        tickets = []
        for _ in range(5):
            tickets += await asyncio.gather(*(work() for _ in range(5)))
    sound(tmp_path / "a.jsonl", tickets)


async def test_a_cancelled_task_leaves_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled while it waits for the sync leaves an entry; others are served."""
    one = await opened(tmp_path / "a.jsonl")
    slow_syncs(monkeypatch, 0.05)
    with closing(one):
        cancelled = asyncio.create_task(one.aappend(draft("was.cancelled")))
        other = asyncio.create_task(one.aappend(draft()))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        ticket = await other
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        again = await one.aappend(draft())
    assert names(sound(tmp_path / "a.jsonl", [ticket, again]))[1] == "was.cancelled"


async def test_a_failed_sync_fails_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every task that waits for a sync that fails gets the error; the next append works and declares."""
    path = tmp_path / "a.jsonl"
    one = await opened(path)
    sync = files.sync

    def fail(fd: int) -> None:
        monkeypatch.setattr(files, "sync", sync)
        raise OSError(5, "Input/output error")

    with closing(one):
        monkeypatch.setattr(files, "sync", fail)
        answers = await asyncio.gather(*(one.aappend(draft()) for _ in range(5)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [AuditWriteError] * 5
        assert len({id(answer) for answer in answers}) == 5
        ticket = await one.aappend(draft())
    lines = sound(path, [ticket])
    assert names(lines)[6:] == ["opened", "voided", "test.event", "closed"]
    assert (lines[7].attributes["audit.voided.first"], lines[7].attributes["audit.voided.last"]) == (2, 6)


async def test_an_error_that_nobody_foresaw_reaches_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a sync raises, the task gets it; none waits for ever."""
    one = await opened(tmp_path / "a.jsonl")

    def fail(fd: int) -> None:
        raise MemoryError

    with closing(one):
        with monkeypatch.context() as patch:
            patch.setattr(files, "sync", fail)
            with pytest.raises(MemoryError):
                await asyncio.wait_for(one.aappend(draft()), 5)
        ticket = await asyncio.wait_for(one.aappend(draft()), 5)
    sound(tmp_path / "a.jsonl", [ticket])


async def test_an_error_of_the_settings_reaches_the_task(tmp_path: Path) -> None:
    """A log that does not fit is an error of the first task that appends."""
    (tmp_path / "a.jsonl").write_bytes(b"no log\n")
    one = ledger(tmp_path / "a.jsonl", durability="always")
    with pytest.raises(AuditConfigError):
        await one.aappend(draft())
    one.close()
    with pytest.raises(AuditWriteError, match="closed"):
        await one.aappend(draft())


@pytest.mark.parametrize("retired", [False, True])
async def test_a_locked_log_does_not_block_the_loop(tmp_path: Path, retired: bool) -> None:
    """While another process holds the lock, tasks wait and the loop runs; then they go on in order."""
    path = tmp_path / "a.jsonl"
    one = await opened(path)
    holder = files.open_append(str(path), 0o600)
    files.lock(holder, str(path), 1000)
    if retired:  # to be opened anew: that takes the lock, too
        assert one._writer.file is not None
        one._writer.file.retired = OSError(5, "Input/output error")
    with closing(one):
        tasks = [asyncio.create_task(one.aappend(draft())) for _ in range(5)]
        longest = 0.0
        for _ in range(30):
            started = time.monotonic()
            await asyncio.sleep(0.002)
            longest = max(longest, time.monotonic() - started)
        assert not any(task.done() for task in tasks)
        assert longest < 5  # it would be the timeout of the lock
        files.close(holder)
        tickets = await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert [ticket.seq for ticket in tickets] == sorted(ticket.seq for ticket in tickets)
    sound(path, tickets)


async def test_a_lock_held_too_long(tmp_path: Path) -> None:
    """A task that waits too long for the lock gets the error that names the holder; then it works."""
    path = tmp_path / "a.jsonl"
    one = await opened(path, lock_timeout_millis=30)
    holder = files.open_append(str(path), 0o600)
    files.lock(holder, str(path), 1000)
    with closing(one):
        with pytest.raises(AuditWriteError, match="locked by process"):
            await one.aappend(draft())
        files.close(holder)
        ticket = await one.aappend(draft())
    sound(path, [ticket])


async def test_cancelled_while_another_process_holds_the_lock(tmp_path: Path) -> None:
    """A task that is cancelled while it waits for the lock does not hold up those behind it."""
    path = tmp_path / "a.jsonl"
    one = await opened(path)
    holder = files.open_append(str(path), 0o600)
    files.lock(holder, str(path), 1000)
    with closing(one):
        tasks = [asyncio.create_task(one.aappend(draft())) for _ in range(3)]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        tasks[1].cancel()
        await asyncio.sleep(0.01)
        files.close(holder)
        tickets = [await asyncio.wait_for(tasks[2], 5), await one.aappend(draft())]
    assert one._appender._behind == 0
    sound(path, tickets)


def test_two_loops_in_two_threads(tmp_path: Path) -> None:
    """Tasks of several event loops append to one ledger."""
    one = ledger(tmp_path / "a.jsonl", durability="always")
    tickets: list[Ticket] = []

    async def work() -> None:
        for _ in range(10):
            tickets.extend(await asyncio.gather(*(one.aappend(draft()) for _ in range(5))))

    threads = [threading.Thread(target=lambda: asyncio.run(work()), daemon=True) for _ in range(2)]
    with closing(one):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(8)
            assert not thread.is_alive()
    assert len(tickets) == 100
    sound(tmp_path / "a.jsonl", tickets)


def test_a_loop_that_was_closed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that ends while its task waits for a sync harms no other loop."""
    one = ledger(tmp_path / "a.jsonl", durability="always")
    one.open()
    for pause in (0.0, 0.01):
        loop = asyncio.new_event_loop()
        with monkeypatch.context() as patch:
            slow_syncs(patch, 0.03)
            task = loop.create_task(one.aappend(draft()))
            loop.run_until_complete(asyncio.sleep(pause))
            task.cancel()  # so that the loop does not complain; the sync is still under way
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            loop.close()
        ticket = asyncio.run(asyncio.wait_for(one.aappend(draft()), 5))
    one.close()
    sound(tmp_path / "a.jsonl", [ticket])


def test_a_loop_that_was_closed_with_a_task_pending(tmp_path: Path) -> None:
    """A loop that is closed before it ever starts the sync does not stop the others for good."""
    done = run(
        "import asyncio, sys\nfrom tests.ledgers import *\n"
        "one = ledger(sys.argv[1], durability='always'); one.open()\n"
        "loop = asyncio.new_event_loop(); task = loop.create_task(one.aappend(draft()))\n"
        "loop.call_soon(loop.stop); loop.run_forever(); loop.close()\n"
        "t = asyncio.run(asyncio.wait_for(one.aappend(draft()), 5)); print(f'{t.seq}:{t.hash}')\n"
        "one.close()",
        tmp_path / "a.jsonl",
    )
    assert len(receipts(done.stdout)) == 1, done.stderr
    sound(tmp_path / "a.jsonl")


@pytest.mark.parametrize("when", ["atexit.register", "threading._register_atexit"])
@pytest.mark.parametrize("durability", ["always", "interval", "os"])
def test_at_the_end_of_the_interpreter(tmp_path: Path, when: str, durability: str) -> None:
    """A task that appends while the interpreter shuts down, when no thread can be had, is served."""
    done = run(
        "import asyncio, atexit, sys, threading\nfrom tests.ledgers import *\n"
        "one = ledger(sys.argv[1], durability=sys.argv[2]); first = ledger(sys.argv[1])\n"
        "def last():\n"
        "    for which in (one, first):\n"
        "        t = asyncio.run(which.aappend(draft())); print(f'{t.seq}:{t.hash}')\n"
        "        which.close()\n"
        "one.open()\n" + when + "(last)",
        tmp_path / "a.jsonl",
        durability,
    )
    assert len(receipts(done.stdout)) == 2, done.stderr
    assert done.stderr == ""
    sound(tmp_path / "a.jsonl")
