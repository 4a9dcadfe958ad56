from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from otel_audit.errors import AuditWriteError
from otel_audit.ledger import Ticket, files
from otel_audit.ledger.group import Group
from tests.ledgers import closing, draft, in_child, ledger, sound


class Commits:
    """Commits batches when it is told to, and keeps them."""

    def __init__(self) -> None:
        self.batches: list[list[Ticket]] = []
        self.started = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.error: BaseException | None = None

    def __call__(self, batch: Sequence[Ticket]) -> None:
        self.batches.append(list(batch))
        self.started.release()
        assert self.go_on.acquire(timeout=8)
        if self.error is not None:
            raise self.error
        for ticket in batch:
            ticket.durable = True


def start(group: Group, count: int) -> tuple[list[Ticket], list[threading.Thread]]:
    """Start threads that run one ticket each; return when the last of them is in the queue."""
    tickets = [Ticket(draft()) for _ in range(count)]
    threads = [threading.Thread(target=group.run, args=(ticket,), daemon=True) for ticket in tickets]
    for number, thread in enumerate(threads):
        queued = len(group._queue)
        thread.start()
        deadline = time.monotonic() + 5
        while len(group._queue) == queued and group._leader is not tickets[number] and time.monotonic() < deadline:
            time.sleep(0.0005)
    return tickets, threads


def join(threads: Sequence[threading.Thread]) -> None:
    """Wait for threads; fail where one hangs."""
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive(), "a thread hangs"


def test_who_comes_during_a_commit_is_the_next_batch() -> None:
    """The first caller commits alone; all who come meanwhile are one batch, in their order."""
    commits = Commits()
    group = Group(commits)
    first, threads = start(group, 1)
    assert commits.started.acquire(timeout=5)
    rest, more = start(group, 7)
    commits.go_on.release(2)
    join([*threads, *more])
    assert commits.batches == [first, rest]
    assert all(ticket.durable and ticket.error is None for ticket in (*first, *rest))


def test_a_commit_that_is_interrupted_fails_its_batch_and_no_other() -> None:
    """Where the leader is interrupted, its followers get an error, and the next batch is committed."""
    commits = Commits()
    group = Group(commits)
    leader, threads = Ticket(draft()), []
    raised = []

    def lead() -> None:
        try:
            group.run(leader)
        except KeyboardInterrupt as error:
            raised.append(error)

    threads.append(threading.Thread(target=lead, daemon=True))
    threads[0].start()
    assert commits.started.acquire(timeout=5)
    commits.error = KeyboardInterrupt()
    rest, more = start(group, 3)
    commits.go_on.release()
    join(threads)
    assert raised
    assert leader.error is not None
    assert commits.started.acquire(timeout=5)
    commits.error = None
    commits.go_on.release()
    join(more)
    assert all(ticket.durable for ticket in rest)


def test_a_ticket_that_nobody_settled_is_never_taken_for_durable() -> None:
    """A commit that says nothing of a ticket has failed it."""
    group = Group(lambda batch: None)
    ticket = Ticket(draft())
    group.run(ticket)
    assert isinstance(ticket.error, AuditWriteError)


def test_a_lost_wake_up_is_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread whose wake-up was lost leads by itself if it has to, and goes on once its batch is done."""
    commits = Commits()
    group = Group(commits)
    first, threads = start(group, 1)
    assert commits.started.acquire(timeout=5)
    rest, more = start(group, 4)
    monkeypatch.setattr(group, "_wake", lambda ticket: None)  # as if an interrupt came before each release
    commits.go_on.release(2)
    join([*threads, *more])
    assert commits.batches == [first, rest]
    assert all(ticket.durable for ticket in rest)


def test_who_is_gone_breaks_no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits no more neither gets the lead nor keeps the wake-up from those behind it."""
    monkeypatch.setattr("otel_audit.ledger.group._PATIENCE_SECONDS", 60)
    commits = Commits()
    group = Group(commits)

    def gone() -> None:
        ticket = Ticket(draft())
        ticket.wake, ticket.gone = threading.Lock(), True
        group._queue.append(ticket)

    _, threads = start(group, 1)
    assert commits.started.acquire(timeout=5)
    tickets = []
    for _ in range(3):
        gone()
        more, its_thread = start(group, 1)
        tickets += more
        threads += its_thread
    gone()
    commits.go_on.release(2)
    join(threads)
    assert len(commits.batches[1]) == 7
    assert all(ticket.durable for ticket in tickets)


def test_a_lead_that_was_lost_is_taken() -> None:
    """Where the leader is gone without a successor, who waits takes the lead."""
    commits = Commits()
    group = Group(commits)
    (leader,), threads = start(group, 1)
    assert commits.started.acquire(timeout=5)
    rest, more = start(group, 2)
    with group._lock:
        leader.gone = True
    commits.go_on.release(3)
    join([*threads, *more])
    assert all(ticket.durable for ticket in rest)


def test_who_took_the_lead_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that took a lost lead is not overtaken by the others, however long it commits."""
    monkeypatch.setattr("otel_audit.ledger.group._PATIENCE_SECONDS", 0.01)
    commits = Commits()
    group = Group(commits)
    looked = threading.Semaphore(0)
    goes_on = group._goes_on

    def note(ticket: Ticket) -> bool:
        answer = goes_on(ticket)
        looked.release()
        return answer

    (leader,), threads = start(group, 1)
    assert commits.started.acquire(timeout=5)
    rest, more = start(group, 2)
    monkeypatch.setattr(group, "_goes_on", note)
    leader.gone = True
    assert commits.started.acquire(timeout=5)
    for _ in range(10):
        assert looked.acquire(timeout=5)
    commits.go_on.release(2)
    join([*threads, *more])
    assert len(commits.batches) == 2
    assert all(ticket.durable and ticket.error is None for ticket in rest)


def test_threads_share_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen threads that append durably need far fewer syncs than appends."""
    path = tmp_path / "a.jsonl"
    syncs = []
    sync = files.sync

    def slow(fd: int) -> None:
        syncs.append(fd)
        time.sleep(0.002)
        sync(fd)

    monkeypatch.setattr(files, "sync", slow)
    one = ledger(path, durability="always")
    tickets = []

    def work() -> None:
        for _ in range(20):
            tickets.append(one.append(draft()))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(16)]
    with closing(one):
        for thread in threads:
            thread.start()
        join(threads)
    assert len(syncs) <= 320 / 4
    sound(path, tickets)


def test_a_failed_sync_fails_all_who_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread of a batch whose sync fails gets an error of its own, and its entry is declared void."""
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability="always")
    one.open()
    sync = files.sync
    failed: list[int] = []

    def fail(fd: int) -> None:
        time.sleep(0.01)
        if not failed:
            failed.append(fd)
            raise OSError(5, "Input/output error")
        sync(fd)

    errors, tickets = [], []

    def work() -> None:
        try:
            tickets.append(one.append(draft()))
        except AuditWriteError as error:
            errors.append(error)

    monkeypatch.setattr(files, "sync", fail)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    with closing(one):
        for thread in threads:
            thread.start()
        join(threads)
        tickets.append(one.append(draft()))
    assert errors
    assert len({id(error) for error in errors}) == len(errors)
    lines = sound(path, tickets)
    void = [line.attributes for line in lines if line.name == "audit.log.voided"]
    spans = [(attributes["audit.voided.first"], attributes["audit.voided.last"]) for attributes in void]
    assert sum(last - first + 1 for first, last in spans) == len(errors)
    assert not {seq for first, last in spans for seq in range(first, last + 1)} & {ticket.seq for ticket in tickets}


@pytest.fixture
def interrupting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at each SIGALRM; yield a list that counts them."""
    count = [0]
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # it strikes in callbacks, too

    def interrupt(number: int, frame: object) -> None:
        count[0] += 1
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield count
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.no_cover  # an interrupt inside of the tracer would leave its lock taken
@pytest.mark.parametrize("pace_seconds", [0.0003, 0.002])
def test_interrupts_in_leaders_and_followers(tmp_path: Path, interrupting: list[int], pace_seconds: float) -> None:
    """KeyboardInterrupt all the time in a thread among many: nobody hangs, and the chain is sound."""
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability="always")
    stop = threading.Event()
    tickets, errors = [], []

    def work() -> None:
        while not stop.is_set():
            try:
                tickets.append(one.append(draft()))
            except AuditWriteError as error:
                errors.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    mine: list[Ticket] = []
    with closing(one):
        for thread in threads:
            thread.start()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, pace_seconds * (1 + len(mine) % 7), pace_seconds * 20)
                    while True:
                        try:
                            mine.append(one.append(draft()))
                        except AuditWriteError as error:
                            errors.append(error)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                pass
        stop.set()
        join(threads)
        mine.append(one.append(draft()))
    assert interrupting[0] > 50
    assert tickets
    lines = sound(path, [*tickets, *mine])
    void = [line.attributes for line in lines if line.name == "audit.log.voided"]
    spans = [(attributes["audit.voided.first"], attributes["audit.voided.last"]) for attributes in void]
    declared = {seq for first, last in spans for seq in range(first, last + 1)}
    assert not declared & {ticket.seq for ticket in (*tickets, *mine)}


@pytest.mark.no_cover  # an interrupt inside of the tracer would leave its lock taken
def test_a_follower_that_is_interrupted_leaves(interrupting: list[int]) -> None:
    """A thread that is interrupted while it waits is free at once, and those behind it are served."""
    commits = Commits()
    group = Group(commits)
    _, threads = start(group, 1)
    assert commits.started.acquire(timeout=5)
    rest, more = start(group, 2)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        group.run(Ticket(draft()))
    assert time.monotonic() - started < 2
    behind, last = start(group, 2)
    commits.go_on.release(2)
    join([*threads, *more, *last])
    assert all(ticket.durable for ticket in (*rest, *behind))
    again = Ticket(draft())
    commits.go_on.release()
    group.run(again)  # this thread's own lock is not in a wrong state
    assert again.durable


@pytest.mark.no_cover  # an interrupt inside of the tracer would leave its lock taken
def test_a_child_does_not_wait_for_a_leader_that_it_has_not(interrupting: list[int]) -> None:
    """A fork in a handler that interrupts a waiting follower: the child's copy of the wait ends with an error."""
    commits = Commits()
    group = Group(commits)
    _, threads = start(group, 1)
    assert commits.started.acquire(timeout=5)
    answers = []
    ticket = Ticket(draft())

    def child() -> str:
        group.after_fork()
        return ""

    def fork(number: int, frame: object) -> None:
        answers.append(_fork_and_go_on(child))
        commits.go_on.release(2)

    signal.signal(signal.SIGALRM, fork)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    group.run(ticket)
    if answers == [None]:  # this is the child
        os._exit(3 if isinstance(ticket.error, AuditWriteError) else 4)
    join(threads)
    assert ticket.durable
    assert answers == [3]
    assert in_child(lambda: "alive") == "alive"


def _fork_and_go_on(child: object) -> int | None:
    """Fork; return None in the child, which goes on, and its exit code in the parent."""
    from tests.ledgers import wait_for

    pid = os.fork()
    if pid == 0:
        assert callable(child)
        child()
        return None
    return wait_for(pid)
