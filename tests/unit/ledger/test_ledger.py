from __future__ import annotations

import errno
import fcntl
import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_audit.errors import AuditError, AuditLogPoisonedError, AuditWriteError
from otel_audit.ledger import Ledger, files, writer
from otel_audit.ledger.tail import Tail
from tests.chain import Line
from tests.ledgers import closing, draft, ledger, names, sound


class Syncs:
    """Counts the syncs, and makes some of them fail."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.failing = 0
        self.lose: Callable[[], None] = lambda: None
        self._sync = files.sync
        patch.setattr(files, "sync", self)

    def __call__(self, fd: int) -> None:
        self.count += 1
        if self.failing:
            self.failing -= 1
            self.lose()
            raise OSError(errno.EIO, "Input/output error")
        self._sync(fd)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    """Count the syncs."""
    return Syncs(monkeypatch)


@contextmanager
def full_disk() -> Iterator[None]:
    """Have every write fail as on a full disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", _no_space)
        yield


def _no_space(fd: int, data: bytes) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def voided(lines: list[Line]) -> list[tuple[int, int]]:
    """Return first and last seq of each declaration of void entries."""
    found = [line.attributes for line in lines if line.name == "audit.log.voided"]
    return [(attributes["audit.voided.first"], attributes["audit.voided.last"]) for attributes in found]


class TestDurability:
    def test_always_syncs_before_it_returns(self, tmp_path: Path, syncs: Syncs) -> None:
        """With durability always there is one sync per append, and one to open."""
        one = ledger(tmp_path / "a.jsonl", durability="always")
        with closing(one):
            tickets = []
            for count in range(2, 5):
                tickets.append(one.append(draft()))
                assert syncs.count == count
            tickets += one.append_all([draft() for _ in range(10)])
            assert syncs.count == 5
        sound(tmp_path / "a.jsonl", tickets)

    def test_os_never_syncs_an_append(self, tmp_path: Path, syncs: Syncs) -> None:
        """With durability os there is a sync to open, on demand, and to close."""
        one = ledger(tmp_path / "a.jsonl", durability="os")
        for _ in range(20):
            one.append(draft())
        assert syncs.count == 1
        assert one.force_flush()
        assert syncs.count == 2
        one.close()
        assert syncs.count == 3

    def test_force_flush_before_anything_was_written(self, tmp_path: Path) -> None:
        """There is nothing to sync where nothing was written."""
        one = ledger(tmp_path / "a.jsonl")
        assert one.force_flush()
        assert not (tmp_path / "a.jsonl").exists()

    def test_force_flush_waits_for_a_sync_under_way_no_longer_than_told(self, tmp_path: Path) -> None:
        """A sync that is stuck makes force_flush return False in time."""
        one = ledger(tmp_path / "a.jsonl")
        with closing(one):
            one.append(draft())
            with one._writer.durability._lock:
                assert not one.force_flush(timeout_millis=20)
            assert one.force_flush(timeout_millis=20)

    def test_force_flush_says_that_a_sync_failed(self, tmp_path: Path, syncs: Syncs) -> None:
        """A failed sync is False, and stays so until the log was opened anew."""
        one = ledger(tmp_path / "a.jsonl")
        with closing(one):
            one.append(draft())
            syncs.failing = 1
            assert not one.force_flush()
            assert not one.force_flush()
            with pytest.raises(AuditWriteError, match="could not be synced"):
                one.append(draft())  # the first chance to tell a caller
            one.append(draft())
            assert one.force_flush()
        sound(tmp_path / "a.jsonl")


class TestFailedSync:
    def test_entries_that_stand_are_declared_void(self, tmp_path: Path, syncs: Syncs) -> None:
        """After a failed sync the append fails, and the next one declares its entry by its exact seq."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        with closing(one):
            tickets = [one.append(draft()), one.append(draft())]
            syncs.failing = 1
            with pytest.raises(AuditWriteError, match=r"a\.jsonl: the entry could not be synced: Input/output error"):
                one.append(draft("lost.one"))
            tickets.append(one.append(draft()))
        lines = sound(path, tickets)
        assert names(lines) == [
            *("opened", "test.event", "test.event", "lost.one", "opened", "voided", "test.event", "closed")
        ]
        assert voided(lines) == [(4, 4)]
        assert lines[5].attributes["error.type"] == "OSError"

    def test_a_whole_batch_is_declared_void(self, tmp_path: Path, syncs: Syncs) -> None:
        """All entries of a write whose sync failed are declared, as one run."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        with closing(one):
            one.open()
            syncs.failing = 1
            with pytest.raises(AuditWriteError):
                one.append_all([draft() for _ in range(5)])
            one.append(draft())
        assert voided(sound(path)) == [(2, 6)]

    def test_entries_that_are_gone_are_not_declared(self, tmp_path: Path, syncs: Syncs) -> None:
        """Where the failed sync lost the entry, there is nothing to declare."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        with closing(one):
            ticket = one.append(draft())
            syncs.failing = 1
            syncs.lose = lambda: os.truncate(path, ticket.end)
            with pytest.raises(AuditWriteError):
                one.append(draft("lost.one"))
            one.append(draft())
        lines = sound(path, [ticket])
        assert names(lines) == ["opened", "test.event", "opened", "test.event", "closed"]

    def test_a_declaration_that_is_lost_is_made_again(self, tmp_path: Path, syncs: Syncs) -> None:
        """Where the write that declared void entries is lost itself, they are declared again."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        with closing(one):
            one.append(draft())
            syncs.failing = 1
            with pytest.raises(AuditWriteError):
                one.append(draft("lost.one"))
            end = path.stat().st_size
            reopened = syncs.count + 1
            syncs.lose = lambda: os.truncate(path, end)
            one.drops.add(1, AuditWriteError())
            with pytest.MonkeyPatch.context() as patch:
                again = Syncs(patch)
                again.lose = syncs.lose
                sync = again.__class__.__call__

                def second(fd: int) -> None:
                    again.failing = int(again.count == 1)
                    sync(again, fd)

                patch.setattr(files, "sync", second)
                with pytest.raises(AuditWriteError, match="synced"):
                    one.append(draft("lost.two"))
            assert reopened
            assert path.stat().st_size == end
            ticket = one.append(draft())
        lines = sound(path, [ticket])
        assert names(lines)[2:] == ["lost.one", "opened", "voided", "dropped", "test.event", "closed"]
        assert voided(lines) == [(3, 3)]
        assert lines[5].attributes["audit.dropped.count"] == 1

    def test_close_declares_too(self, tmp_path: Path, syncs: Syncs) -> None:
        """A ledger that is closed right after a failed sync declares what stands."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        one.open()
        syncs.failing = 1
        with pytest.raises(AuditWriteError):
            one.append(draft())
        one.close()
        assert names(sound(path))[2:] == ["opened", "voided", "closed"]

    def test_a_log_that_lost_acknowledged_entries_is_not_carried_on(self, tmp_path: Path, syncs: Syncs) -> None:
        """Where a failed sync takes away what was acknowledged before, the writer stops for good."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        with closing(one):
            first = one.append(draft())
            one.append(draft())
            syncs.failing = 1
            syncs.lose = lambda: os.truncate(path, first.end)
            with pytest.raises(AuditWriteError):
                one.append(draft())
            for _ in range(2):
                with pytest.raises(AuditLogPoisonedError, match="not there any more"):
                    one.append(draft())

    def test_the_first_sync_fails(self, tmp_path: Path, syncs: Syncs) -> None:
        """A log whose opening cannot be synced is not written to."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        with closing(one):
            syncs.failing = 1
            with pytest.raises(AuditWriteError, match="Input/output error"):
                one.open()
            assert path.read_bytes() == b""
            ticket = one.append(draft())
        sound(path, [ticket])


class TestFailedWrite:
    @pytest.mark.parametrize("durability", ["always", "interval", "os"])
    @pytest.mark.parametrize("taken", [0, 1, 7, 100, -1])
    def test_a_write_that_stops_in_the_middle(self, tmp_path: Path, durability: str, taken: int) -> None:
        """A write that stops after some bytes fails its caller; the next ends and declares the fragment."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability=durability)
        write = os.write
        calls = []

        def stop(fd: int, data: bytes) -> int:
            calls.append(data)
            if len(calls) > 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(fd, data[:taken]) if taken else _no_space(fd, data)

        with closing(one):
            tickets = [one.append(draft())]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "write", stop)
                with pytest.raises(AuditWriteError, match="could not be written: No space left"):
                    one.append(draft("lost.one"))
            tickets.append(one.append(draft()))
        between = {0: [], -1: ["lost.one"]}.get(taken, ["recovered"])
        void = ["voided"] if taken == -1 else []
        assert names(sound(path, tickets)) == [
            *("opened", "test.event", *between, "opened", *void, "test.event", "closed")
        ]

    def test_one_byte_at_a_time(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Short writes are completed under one lock."""
        path = tmp_path / "a.jsonl"
        write = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:1]))
        one = ledger(path)
        with closing(one):
            tickets = [one.append(draft()) for _ in range(3)]
        sound(path, tickets)

    @pytest.mark.parametrize("durability", ["always", "os"])
    def test_a_lock_that_fails(self, tmp_path: Path, durability: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A lock that the system refuses is an error of this package, and is got over."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability=durability)

        def refuse(fd: int, how: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        with closing(one):
            tickets = [one.append(draft())]
            with monkeypatch.context() as patch:
                patch.setattr(fcntl, "flock", refuse)
                patch.setattr(writer, "flock", refuse)
                with pytest.raises(AuditWriteError, match="No locks available"):
                    one.append(draft())
            tickets.append(one.append(draft()))
        sound(path, tickets)

    def test_a_descriptor_that_another_library_closed(self, tmp_path: Path) -> None:
        """A descriptor that somebody closed is an error once; the log is opened anew."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        with closing(one):
            tickets = [one.append(draft())]
            assert one._writer.file is not None
            os.close(one._writer.file.fd)
            with pytest.raises(AuditWriteError, match="Bad file descriptor"):
                one.append(draft())
            tickets.append(one.append(draft()))
        sound(path, tickets)


class TestLockTimeout:
    @pytest.mark.parametrize("durability", ["always", "interval", "os"])
    def test_a_long_wait_ends_with_the_holders_pid(self, tmp_path: Path, durability: str) -> None:
        """A lock that is held too long is an error that names the holder; afterwards all is well."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability=durability, lock_timeout_millis=30)
        with closing(one):
            tickets = [one.append(draft())]
            holder = files.open_append(str(path), 0o600)
            files.lock(holder, str(path), 1000)
            for _ in range(2):
                with pytest.raises(AuditWriteError, match=rf"locked by process {os.getpid()} for more than 30 ms"):
                    one.append(draft())
            files.close(holder)
            tickets.append(one.append(draft()))
        lines = sound(path, tickets)
        assert names(lines) == ["opened", "test.event", "test.event", "closed"]

    def test_while_it_opens(self, tmp_path: Path) -> None:
        """A log that is locked when it is opened is an error likewise, and no descriptor is left."""
        path = tmp_path / "a.jsonl"
        holder = files.open_append(str(path), 0o600)
        files.lock(holder, str(path), 1000)
        before = len(os.listdir("/proc/self/fd"))
        one = ledger(path, lock_timeout_millis=30)
        with pytest.raises(AuditWriteError, match="locked by process"):
            one.open()
        assert len(os.listdir("/proc/self/fd")) == before
        files.close(holder)
        ticket = one.append(draft())
        one.close()
        sound(path, [ticket])


class TestClose:
    def test_nothing_is_appended_afterwards(self, tmp_path: Path) -> None:
        """A closed ledger refuses every append, and closing twice is once."""
        path = tmp_path / "a.jsonl"
        one = ledger(path)
        one.append(draft())
        one.close()
        one.close()
        for call in (lambda: one.append(draft()), lambda: one.append_all([draft()]), one.open):
            with pytest.raises(AuditWriteError, match="closed"):
                call()
        lines = sound(path)
        assert names(lines) == ["opened", "test.event", "closed"]
        assert lines[-1].attributes["audit.writer.entries"] == 1

    def test_a_ledger_that_never_wrote(self, tmp_path: Path) -> None:
        """Closing a ledger that never wrote makes no file."""
        ledger(tmp_path / "a.jsonl").close()
        assert list(tmp_path.iterdir()) == []

    def test_no_descriptor_is_left(self, tmp_path: Path) -> None:
        """Closing gives the descriptor back, after failures too."""
        before = len(os.listdir("/proc/self/fd"))
        one = ledger(tmp_path / "a.jsonl", durability="always")
        for _ in range(5):
            one.append(draft())
            with full_disk(), pytest.raises(AuditWriteError):
                one.append(draft())
        one.close()
        assert len(os.listdir("/proc/self/fd")) == before


class TestManyWriters:
    @pytest.mark.parametrize("integrity", ["chain", "hash", "none"])
    def test_ledgers_that_take_turns(self, tmp_path: Path, integrity: str) -> None:
        """Several writers on one log follow each other's entries, in each mode."""
        path = tmp_path / "a.jsonl"
        ledgers = [ledger(path, integrity=integrity) for _ in range(3)]
        with closing(*ledgers):
            tickets = [one.append(draft()) for _ in range(4) for one in ledgers]
        assert [ticket.seq for ticket in tickets] == [2, 4, 6, *range(7, 16)]
        sound(path, tickets, mode=integrity)

    @pytest.mark.parametrize("durability", ["always", "interval", "os"])
    def test_threads(self, tmp_path: Path, durability: str) -> None:
        """Threads on one ledger make one linear chain, and each receipt is right."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability=durability)
        tickets = []

        def work() -> None:
            for _ in range(25):
                tickets.append(one.append(draft()))

        threads = [threading.Thread(target=work) for _ in range(8)]
        with closing(one):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(8)
        assert len({ticket.seq for ticket in tickets}) == 200
        lines = sound(path, tickets)
        assert lines[-1].attributes["audit.writer.entries"] == 200

    def test_a_writer_that_slept_through_megabytes(self, tmp_path: Path) -> None:
        """A writer follows on however much others wrote meanwhile."""
        path = tmp_path / "a.jsonl"
        one, other = ledger(path), ledger(path)
        with closing(one, other):
            tickets = [one.append(draft())]
            for _ in range(10):
                other.append(draft(size_bytes=1_000_000))
            tickets.append(one.append(draft()))
        sound(path, tickets)


class TestReentrance:
    """An append from inside an append of the same thread is refused; nothing hangs."""

    @pytest.mark.parametrize("durability", ["always", "interval", "os"])
    @pytest.mark.parametrize("call", ["append", "append_all", "open", "close", "force_flush"])
    @pytest.mark.parametrize("where", ["write", "sync", "unlock"])
    def test_from_inside(self, tmp_path: Path, durability: str, call: str, where: str) -> None:
        """A handler that appends, flushes or closes in the middle of an append gets an error at once."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability=durability, sync_interval_millis=100_000)
        answers: list[object] = []
        calls: dict[str, Callable[[], object]] = {
            "append": lambda: one.append(draft()),
            "append_all": lambda: one.append_all([draft()]),
            "open": one.open,
            "close": one.close,
            "force_flush": one.force_flush,
        }
        inner = getattr(files, where)

        def hook(*arguments: object) -> None:
            if not answers:
                answers.append(None)
                try:
                    answers[0] = calls[call]()
                except AuditError as error:
                    answers[0] = error
            inner(*arguments)

        with closing(one):
            tickets = [one.append(draft())]
            one._writer.file.due = []  # type: ignore[union-attr]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(files, where, hook)
                tickets += one.append_all([draft()])
                one.force_flush()
            assert len(answers) == 1
            if call == "force_flush":
                assert answers[0] is False
            else:
                assert "in the middle of another" in str(answers[0])
            tickets.append(one.append(draft()))
        sound(path, tickets)

    @pytest.mark.no_cover  # an interrupt inside of the tracer would leave its lock taken
    def test_a_signal_handler_that_appends(self, tmp_path: Path) -> None:
        """Signals that arrive all the time, and whose handler appends, are answered or refused."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        accepted = []
        refused = []

        def handler(number: int, frame: object) -> None:
            try:
                accepted.append(one.append(draft("from.handler")))
            except AuditWriteError as error:
                refused.append(error)
            assert one.force_flush() or refused

        before = signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
        try:
            with closing(one):
                tickets = [one.append(draft()) for _ in range(300)]
                signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert refused
        sound(path, [*tickets, *accepted])

    @pytest.mark.no_cover  # the tracer changes where the collector runs
    @pytest.mark.parametrize("durability", ["always", "os"])
    def test_a_finalizer_that_appends(self, tmp_path: Path, durability: str) -> None:
        """Finalizers and weak references that append whenever the collector runs are answered or refused."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability=durability)
        done: list[object] = []
        callbacks = []

        def append(*_: object) -> None:
            try:
                done.append(one.append(draft("from.finalizer")))
            except AuditWriteError as error:
                done.append(error)

        class Garbage:
            def __init__(self) -> None:
                self.me = self

            def __del__(self) -> None:
                append()

        threshold = gc.get_threshold()
        gc.set_threshold(5)
        try:
            with closing(one):
                for _ in range(100):
                    callbacks.append(weakref.ref(Garbage(), append))
                    one.append(draft())
                gc.collect()
        finally:
            gc.set_threshold(*threshold)
        assert len(done) >= 200
        assert any(isinstance(answer, AuditWriteError) for answer in done)
        sound(path, [answer for answer in done if not isinstance(answer, AuditWriteError)])  # type: ignore[misc]

    def test_a_flush_interrupted_by_an_append(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A handler that appends in the middle of force_flush is refused, and does not wait for itself."""
        path = tmp_path / "a.jsonl"
        one = ledger(path, durability="always")
        one.open()
        sync = files.sync
        answers = []

        def hook(fd: int) -> None:
            monkeypatch.setattr(files, "sync", sync)
            with pytest.raises(AuditWriteError, match="in the middle of another"):
                one.append(draft())
            answers.append(True)
            sync(fd)

        with closing(one):
            monkeypatch.setattr(files, "sync", hook)
            assert one.force_flush()
            assert answers == [True]
            ticket = one.append(draft())
        sound(path, [ticket])


class TestInterrupts:
    """A signal handler that raises anywhere leaves a sound log and a ledger that works."""

    @pytest.mark.no_cover  # an interrupt inside of the tracer would leave its lock taken
    @pytest.mark.parametrize("durability", ["always", "os"])
    def test_anywhere(self, tmp_path: Path, durability: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """KeyboardInterrupt at every instant of an append: no lock and no chain is lost."""
        monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # it strikes in callbacks, too
        path = tmp_path / "a.jsonl"
        one, other = ledger(path, durability=durability), ledger(path, lock_timeout_millis=3000)
        rounds = [0]
        tickets = []
        descriptors = len(os.listdir("/proc/self/fd"))

        def interrupt(number: int, frame: object) -> None:
            rounds[0] += 1
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            with closing(one, other):
                for number in range(600):
                    try:
                        try:
                            signal.setitimer(signal.ITIMER_REAL, 0.00002 + number % 60 * 0.00001)
                            for _ in range(20):
                                tickets.append(one.append(draft()))
                        finally:
                            signal.setitimer(signal.ITIMER_REAL, 0)
                    except KeyboardInterrupt:
                        pass
                    if number % 20 == 0:  # nobody holds the lock any more
                        tickets.append(other.append(draft()))
                # an interrupt between the open and the note of it costs a descriptor, never a lock
                assert len(os.listdir("/proc/self/fd")) <= descriptors + rounds[0] // 5
                tickets.append(one.append(draft()))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert rounds[0] > 300
        lines = sound(path, tickets)
        void = {seq for first, last in voided(lines) for seq in range(first, last + 1)}
        assert not void & {ticket.seq for ticket in tickets}


def test_an_opening_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    """A ledger whose log cannot be opened can be closed, and used again once it can."""
    path = tmp_path / "absent" / "a.jsonl"
    one = ledger(path)
    for _ in range(2):
        with pytest.raises(AuditError, match="does not exist"):
            one.append(draft())
    path.parent.mkdir()
    ticket = one.append(draft())
    one.close()
    sound(path, [ticket])


def test_a_sequence_number_that_json_cannot_hold(tmp_path: Path) -> None:
    """At the largest seq that every reader can hold the log is at its end."""
    one: Ledger = ledger(tmp_path / "a.jsonl")
    with closing(one):
        one.append(draft())
        file = one._writer.file
        assert file is not None
        file.tail = Tail(2**53 - 1, file.tail.hash, file.tail.end)
        with pytest.raises(AuditWriteError, match="expected a seq of at most"):
            one.append(draft())
    sound(tmp_path / "a.jsonl")
