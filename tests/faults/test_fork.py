"""Forks at every moment: the child opens the log anew, and the parent's file is not touched."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from otel_audit.errors import AuditWriteError
from otel_audit.ledger import Ledger, files
from tests.ledgers import closing, draft, in_child, ledger, names, none_missing, receipts, run, sound, wait_for


def emit(one: Ledger, count: int = 1) -> str:
    """Append, and return the receipts as text."""
    return "\n".join(f"{ticket.seq}:{ticket.hash}" for ticket in (one.append(draft()) for _ in range(count)))


@pytest.mark.parametrize("durability", ["always", "interval", "os"])
def test_a_child_opens_the_log_itself(tmp_path: Path, durability: str) -> None:
    """A child writes its own opened, and its parent goes on with its own descriptor."""
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability=durability, sync_interval_millis=1)
    with closing(one):
        tickets = [one.append(draft())]
        before = one._writer.file
        assert before is not None
        fd = before.fd
        acknowledged = receipts(in_child(lambda: emit(one, 2)))
        assert one._writer.file is before
        assert os.fstat(fd).st_ino == path.stat().st_ino
        tickets.append(one.append(draft()))
    lines = sound(path, tickets)
    none_missing(lines, acknowledged)
    assert names(lines) == [
        *("opened", "test.event", "opened", "test.event", "test.event", "test.event", "closed"),
    ]


def test_a_child_that_appends_nothing_writes_nothing(tmp_path: Path) -> None:
    """A child that never appends leaves no trace, and holds no descriptor of the log."""
    path = tmp_path / "a.jsonl"
    one = ledger(path)

    def held() -> int:
        inode = path.stat().st_ino
        return sum(_inode(fd) == inode for fd in os.listdir("/proc/self/fd"))

    with closing(one):
        one.append(draft())
        assert held() == 1
        assert in_child(held) == "0"
    assert names(sound(path)) == ["opened", "test.event", "closed"]


def _inode(fd: str) -> int:
    try:
        return os.stat(f"/proc/self/fd/{fd}").st_ino
    except OSError:
        return 0


def test_children_of_children(tmp_path: Path) -> None:
    """Each generation opens the log for itself."""
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability="always")
    with closing(one):
        one.append(draft())

        def child(depth: int) -> str:
            text = emit(one)
            return text if depth == 0 else f"{text}\n{in_child(lambda: child(depth - 1))}"

        acknowledged = receipts(in_child(lambda: child(3)))
    assert len(acknowledged) == 4
    none_missing(sound(path), acknowledged)


def test_a_closed_ledger_is_closed_in_the_child(tmp_path: Path) -> None:
    """A child of a process that closed its log does not open it again."""
    one = ledger(tmp_path / "a.jsonl")
    one.append(draft())
    one.close()
    assert "the log is closed" in in_child(lambda: one.append(draft()))


@pytest.mark.parametrize("durability", ["always", "interval", "os"])
def test_forks_while_other_threads_append(tmp_path: Path, durability: str) -> None:
    """A fork while threads write, sync and hold every lock leaves a child that works."""
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability=durability, sync_interval_millis=1)
    stop = threading.Event()
    tickets = []

    def work() -> None:
        while not stop.is_set():
            tickets.append(one.append(draft()))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    acknowledged = []
    with closing(one):
        for thread in threads:
            thread.start()
        for _ in range(25):
            answer = in_child(lambda: emit(one, 2))
            acknowledged += receipts(answer)
        stop.set()
        for thread in threads:
            thread.join(5)
    assert len(acknowledged) == 50
    lines = sound(path, tickets)
    none_missing(lines, acknowledged)
    assert "voided" not in names(lines)


@pytest.mark.parametrize("fails", [False, True])
def test_a_fork_while_another_thread_opens_the_log(tmp_path: Path, fails: bool) -> None:
    """A child that was forked in the middle of opening holds neither the file nor its lock."""
    path = tmp_path / "a.jsonl"
    one, other = ledger(path), ledger(path, lock_timeout_millis=1000)
    inside, go_on = threading.Event(), threading.Event()
    sync = files.sync

    def hook(fd: int) -> None:
        inside.set()
        go_on.wait(8)
        if fails:
            raise OSError(5, "Input/output error")
        sync(fd)

    errors = []

    def work() -> None:
        try:
            one.open()
        except AuditWriteError as error:
            errors.append(error)

    reader, writer = os.pipe()
    with closing(one, other), pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "sync", hook)
        thread = threading.Thread(target=work)
        thread.start()
        assert inside.wait(5)
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            inode = path.stat().st_ino
            held = sum(_inode(fd) == inode for fd in os.listdir("/proc/self/fd"))
            os.read(reader, 1)  # alive while the parent goes on
            os._exit(held)
        go_on.set()
        thread.join(5)
        patch.setattr(files, "sync", sync)
        assert len(errors) == fails
        tickets = [other.append(draft()), one.append(draft())]
        os.close(writer)
        assert wait_for(pid) == 0
        os.close(reader)
    sound(path, tickets)


def hooked(name: str, act: Callable[[], None]) -> pytest.MonkeyPatch:
    """Have a function of `files` act once before it does its work."""
    patch = pytest.MonkeyPatch()
    inner = getattr(files, name)
    pid = os.getpid()
    acted: list[int] = []

    def hook(*arguments: object) -> object:
        if not acted and os.getpid() == pid:
            acted.append(1)
            act()
        return inner(*arguments)

    patch.setattr(files, name, hook)
    return patch


@pytest.mark.parametrize("durability", ["always", "os"])
@pytest.mark.parametrize("moment", ["opening", "reopening", "open"])
@pytest.mark.parametrize(
    "name", ["open_append", "lock", "try_lock", "sync", "evict", "size", "read", "write", "unlock"]
)
@pytest.mark.parametrize("emits", [False, True])
def test_a_fork_in_the_middle_of_an_append(
    tmp_path: Path, durability: str, moment: str, name: str, emits: bool
) -> None:
    """A fork between any two calls of an append: the child's copy of it writes nothing of the parent's.

    The child first appends an entry of its own, or does not, and then goes on with the copy.
    """
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability=durability, lock_timeout_millis=3000)
    reader, writer = os.pipe()
    children: list[int] = []

    def fork() -> None:
        pid = os.fork()
        if pid:
            children.append(pid)
            time.sleep(0.02)
        elif emits:
            os.write(writer, f"{emit(one)}\n".encode())

    tickets = []
    with closing(one):
        if moment != "opening":
            tickets.append(one.append(draft()))
        if moment == "reopening":
            with pytest.MonkeyPatch.context() as full:
                full.setattr(os, "write", _no_space)
                with pytest.raises(AuditWriteError):
                    one.append(draft())
        elif moment == "open":
            other = ledger(path)  # so that there is something to follow
            other.append(draft())
            other.close()
        patch = hooked(name, fork)
        me = os.getpid()
        try:
            ticket = one.append(draft("forked.one"))
        except BaseException as error:
            if os.getpid() == me:
                raise
            os._exit(3 if isinstance(error, AuditWriteError) and type(error) is AuditWriteError else 4)
        finally:
            patch.undo()
            if os.getpid() != me:
                pass
        if os.getpid() != me:  # the child's copy went on: then with an entry that stands
            os.write(writer, f"{ticket.seq}:{ticket.hash}\n".encode())
            os._exit(5)
        tickets += [ticket, one.append(draft())]
        codes = [wait_for(pid) for pid in children]
    os.close(writer)
    with os.fdopen(reader) as pipe:
        acknowledged = receipts(pipe.read())
    if not children:
        return  # this call is not part of this append
    assert codes in ([3], [5])
    assert len(acknowledged) == emits + (codes == [5])
    lines = sound(path, tickets)
    none_missing(lines, acknowledged)
    assert "voided" not in names(lines)


def _no_space(fd: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_handlers_that_fork_all_the_time(tmp_path: Path) -> None:
    """Signals whose handler forks, in appends and between them: parent and children both go on."""
    path = tmp_path / "a.jsonl"
    done = run(
        """
import os, signal, sys, time
from tests.ledgers import draft, ledger
from otel_audit.errors import AuditWriteError

one = ledger(sys.argv[1], durability=sys.argv[2])
parent, children = os.getpid(), []

forking = False

def fork(number, frame):
    global forking
    # a fork inside a fork waits for itself in the standard library (concurrent.futures)
    if forking or len(children) >= 25:
        return
    forking = True
    pid = os.fork()
    if pid:
        children.append(pid)
        forking = False
    else:
        emit()

def emit():
    t = one.append(draft())
    os.write(1, b"%d:%s\\n" % (t.seq, t.hash.encode()))

signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.013)
end = time.monotonic() + 60
while len(children) < 25 and os.getpid() == parent and time.monotonic() < end:
    try:
        emit()
    except AuditWriteError:
        assert os.getpid() != parent
signal.setitimer(signal.ITIMER_REAL, 0)
if os.getpid() != parent:
    emit()
    one.close()
    os._exit(0)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
one.close()
""",
        path,
        "always",
    )
    assert done.returncode == 0, done.stderr
    lines = sound(path)
    none_missing(lines, receipts(done.stdout))
    assert names(lines).count("closed") == 26  # the parent's and each child's


def work(path: str, count: int) -> list[tuple[int, str]]:
    """Append in a process of its own."""
    one = ledger(path, durability="always")
    found = receipts(emit(one, count))
    one.close()
    return found


_inherited: Ledger | None = None


def work_inherited(count: int) -> list[tuple[int, str]]:
    """Append to the ledger that the parent had made."""
    assert _inherited is not None
    return receipts(emit(_inherited, count))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path: Path, method: str) -> None:
    """Pools of processes, however they are started, write one chain beside their parent."""
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability="always")
    with closing(one):
        tickets = [one.append(draft())]
        with multiprocessing.get_context(method).Pool(2) as pool:
            found = pool.starmap(work, [(str(path), 5)] * 4)
        tickets.append(one.append(draft()))
    acknowledged = [pair for pairs in found for pair in pairs]
    assert len(acknowledged) == 20
    none_missing(sound(path, tickets), acknowledged)


def test_a_process_pool_that_inherits_the_ledger(tmp_path: Path) -> None:
    """The workers of a ProcessPoolExecutor use the ledger that they inherited."""
    global _inherited
    path = tmp_path / "a.jsonl"
    _inherited = one = ledger(path, durability="always")
    try:
        with closing(one):
            tickets = [one.append(draft())]
            context = multiprocessing.get_context("fork")
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                found = list(pool.map(work_inherited, [3] * 6))
            tickets.append(one.append(draft()))
    finally:
        _inherited = None
    acknowledged = [pair for pairs in found for pair in pairs]
    assert len(acknowledged) == 18
    none_missing(sound(path, tickets), acknowledged)


def test_a_program_that_is_started_inherits_nothing(tmp_path: Path) -> None:
    """A started program neither has the log's descriptor nor keeps its lock."""
    path = tmp_path / "a.jsonl"
    one = ledger(path)
    with closing(one):
        one.append(draft())
        done = run("import os; print(sum(1 for fd in range(3, 100) if os.path.exists(f'/proc/self/fd/{fd}')))")
        assert done.stdout.strip() in ("0", "1")  # 1: the listing's own
        fd = os.open(path, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)
    assert sys.executable
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
