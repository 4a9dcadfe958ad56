from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from otel_audit.errors import AuditConfigError, AuditError, AuditWriteError
from otel_audit.ledger import files
from otel_audit.ledger.drops import Drops, DropSummary
from otel_audit.ledger.shared_drops import SharedDrops, shared_drops_path
from tests.chain import check_log
from tests.ledgers import closing, draft, in_child, ledger, names, sound, wait_for

TIME_NS = 1_700_000_000_123_456_789
ONE = DropSummary(1, TIME_NS, TIME_NS, "AuditWriteError")


@pytest.fixture
def shared(tmp_path: Path) -> SharedDrops:
    return SharedDrops(str(tmp_path / "a.dropped"), 0o600)


def test_the_file_stands_beside_the_log() -> None:
    """The losses of NAME.jsonl stand in NAME.dropped."""
    assert shared_drops_path("/x/a.b.jsonl") == "/x/a.b.dropped"


def standing(shared: SharedDrops) -> DropSummary | None:
    """Return what stands in the file, and leave it there."""
    claim = shared.claim()
    if claim is None:
        return None
    claim.give_back()
    return claim.summary


def test_losses_are_added_and_claimed(shared: SharedDrops) -> None:
    """What is added is claimed by one writer at a time; what is given back stays, and what is done is gone."""
    assert shared.claim() is None
    assert shared.add(ONE)
    assert shared.add(DropSummary(2, TIME_NS - 5, TIME_NS + 5, "OSError"))
    other = SharedDrops(shared.path, 0o600)
    claim = other.claim()
    assert claim is not None
    assert claim.summary == DropSummary(3, TIME_NS - 5, TIME_NS + 5, "OSError")
    assert shared.claim() is None
    claim.give_back()
    claim = shared.claim()
    assert claim is not None
    claim.done()
    assert standing(other) is None


def test_who_cannot_take_losses_off_does_not_declare_them(shared: SharedDrops) -> None:
    """A file that can be read, but not locked or not written, is left to others."""
    shared.add(ONE)
    fd = os.open(shared.path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert shared.claim() is None
        began = time.monotonic()
        assert not shared.add(ONE)
        for _ in range(200):
            assert not shared.add(ONE)  # only the first one waits
        assert time.monotonic() - began < 30
    finally:
        os.close(fd)
    assert shared.add(ONE)
    assert standing(shared) == ONE._replace(records=2)


def test_what_could_not_be_added_is_added_later(tmp_path: Path) -> None:
    """Losses that one moment's lock kept out of the file go there with the next one, or at the end."""
    path = tmp_path / "a.jsonl"
    shared = SharedDrops(str(tmp_path / "a.dropped"), 0o600)
    for later in ("loss", "close"):
        one = ledger(path)
        assert shared.reserve()
        fd = os.open(shared.path, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        one.drops.add(TIME_NS, OSError())
        assert one.drops.pending is not None
        os.close(fd)
        if later == "loss":
            one.drops.add(TIME_NS, OSError())
            assert one.drops.pending is None
        else:
            (tmp_path / "a.jsonl").mkdir()
            with pytest.raises(AuditConfigError):
                one.append(draft())
            with contextlib.suppress(AuditError):
                one.close()
    assert standing(shared) == DropSummary(3, TIME_NS, TIME_NS, "OSError")


def test_a_person_can_read_it(shared: SharedDrops) -> None:
    """The file is one line of JSON with the names of the entry, padded; its permissions are those of the log."""
    shared.add(ONE)
    text = Path(shared.path).read_bytes()
    assert text.endswith(b" \n")
    assert json.loads(text) == {
        "audit.dropped.count": 1,
        "audit.dropped.first_time": "2023-11-14T22:13:20.123456789Z",
        "audit.dropped.last_time": "2023-11-14T22:13:20.123456789Z",
        "error.type": "AuditWriteError",
    }
    assert os.stat(shared.path).st_mode & 0o777 == 0o600


def test_its_room_never_grows(shared: SharedDrops) -> None:
    """The room is taken at once, and the largest count, times and names fit into it."""
    assert shared.reserve()
    size = os.stat(shared.path).st_size
    assert shared.reserve()
    for _ in range(3):
        assert shared.add(DropSummary(1 << 60, -(10**18), 200 * 10**18, "\U0001f600" * 500))
    assert os.stat(shared.path).st_size == size
    summary = standing(shared)
    assert summary is not None
    assert summary.records == (1 << 53) - 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0" * 1024,
        b"[" * 1024,
        b"{}",
        b"[]",
        b"7",
        b'{"audit.dropped.count":',
        b'{"audit.dropped.count":-1,"audit.dropped.first_time":"","audit.dropped.last_time":"","error.type":"x"}',
        b'{"audit.dropped.count":true,"audit.dropped.first_time":"","audit.dropped.last_time":"","error.type":"x"}',
        b'{"audit.dropped.count":1e999,"audit.dropped.first_time":"","audit.dropped.last_time":"","error.type":"x"}',
        b'{"audit.dropped.count":1,"audit.dropped.first_time":7,"audit.dropped.last_time":"","error.type":"x"}',
        b'{"audit.dropped.count":1,"audit.dropped.first_time":"","audit.dropped.last_time":"","error.type":["x"]}',
        b'{"audit.dropped.count":99999999999999999,"audit.dropped.first_time":"","audit.dropped.last_time":"","error.type":""}',
    ],
)
def test_nonsense_in_it_hinders_nobody(tmp_path: Path, shared: SharedDrops, text: bytes) -> None:
    """A file that holds no summary counts as empty: the log goes on, and the next loss is counted."""
    Path(shared.path).write_bytes(text)
    assert standing(shared) is None
    one = ledger(tmp_path / "a.jsonl")
    with closing(one):
        ticket = one.append(draft())
        assert shared.add(ONE)
    assert standing(shared) is None
    assert names(sound(tmp_path / "a.jsonl", [ticket])) == ["opened", "test.event", "dropped", "closed"]


@pytest.mark.parametrize("name", ["\\ud800", "x\\u0000y", "", "a b", "\\u202e"])
def test_a_name_that_is_none_stops_no_log(tmp_path: Path, shared: SharedDrops, name: str) -> None:
    """Whatever stands there as the type of an error, the losses are declared and the log goes on."""
    times = '"audit.dropped.first_time":"","audit.dropped.last_time":""'
    Path(shared.path).write_text(f'{{"audit.dropped.count":3,{times},"error.type":"{name}"}}')
    one = ledger(tmp_path / "a.jsonl")
    with closing(one):
        ticket = one.append(draft())
    lines = sound(tmp_path / "a.jsonl", [ticket])
    assert names(lines) == ["opened", "dropped", "test.event", "closed"]
    assert lines[1].attributes["error.type"] == "_OTHER"
    assert lines[1].attributes["audit.dropped.count"] == 3


@pytest.mark.parametrize("kind", ["folder", "FIFO", "link", "hard link", "link to nothing", "no folder"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    """Whatever else stands there is neither followed nor waited for nor written to."""
    path = tmp_path / "a.dropped"
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    match kind:
        case "folder":
            path.mkdir()
        case "FIFO":
            os.mkfifo(path)
        case "link":
            path.symlink_to(other)
        case "hard link":
            path.hardlink_to(other)
        case "link to nothing":
            path.symlink_to(tmp_path / "nothing")
        case "no folder":
            path = tmp_path / "absent" / "a.dropped"
    shared = SharedDrops(str(path), 0o600)
    assert not shared.reserve()
    assert not shared.add(ONE)
    assert standing(shared) is None
    assert other.read_bytes() == b"precious"
    assert not (tmp_path / "nothing").exists()


def test_processes_and_threads_count_exactly(tmp_path: Path, shared: SharedDrops) -> None:
    """Additions and subtractions of many threads in many processes are all counted, each once."""
    taken: list[int] = []

    def work() -> None:
        for _ in range(200):
            assert shared.add(ONE)
        for _ in range(50):
            claim = shared.claim()
            if claim is not None:
                taken.append(claim.summary.records)
                claim.done()

    def threads() -> None:
        started = [threading.Thread(target=work) for _ in range(2)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        (tmp_path / str(os.getpid())).write_text(str(sum(taken)))

    children = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            threads()
            os._exit(0)
        children.append(pid)
    for pid in children:
        assert wait_for(pid, 30) == 0
    left = standing(shared)
    taken_by_all = sum(int((tmp_path / str(pid)).read_text()) for pid in children)
    assert taken_by_all + (0 if left is None else left.records) == 2 * 2 * 200


def test_a_signal_handler_in_the_middle_of_a_count(shared: SharedDrops) -> None:
    """A loss that is counted in the middle of counting another is remembered, wherever, and nothing hangs."""
    drops = Drops(shared)
    handled = [0]

    def handler(number: int, frame: object) -> None:
        handled[0] += 1
        drops.add(TIME_NS, OSError())

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for _ in range(500):
            drops.add(TIME_NS, OSError())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled[0] > 0
    beside, remembered = standing(shared), drops.pending
    assert beside is not None
    assert beside.records + (0 if remembered is None else remembered.records) == drops.total == 500 + handled[0]


def test_a_process_that_begins_later_declares(tmp_path: Path) -> None:
    """What a process lost that never opened the log is declared by the first that does."""
    path = tmp_path / "a.jsonl"

    def lose() -> None:
        for _ in range(5):
            ledger(path).drops.add(TIME_NS, OSError("x"))

    in_child(lose)
    one = ledger(path)
    with closing(one):
        ticket = one.append(draft())
    lines = sound(path, [ticket])
    assert names(lines) == ["opened", "dropped", "test.event", "closed"]
    assert lines[1].attributes["audit.dropped.count"] == 5
    assert lines[-1].attributes["audit.writer.dropped"] == 0


@pytest.mark.parametrize("durability", ["always", "os"])
def test_a_process_that_runs_declares_soon(tmp_path: Path, durability: str) -> None:
    """A process that has the log open looks each 100 ms at what others lost."""
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability=durability)
    with closing(one):
        one.append(draft())
        in_child(lambda: ledger(path).drops.add(TIME_NS, OSError("x")))
        tickets = []
        while b"audit.dropped.count" in (tmp_path / "a.dropped").read_bytes():
            tickets.append(one.append(draft()))
    lines = sound(path, tickets)
    assert names(lines).count("dropped") == 1
    declared = names(lines).index("dropped")
    assert names(lines)[declared + 1 :] == ["test.event", "closed"]


def test_each_loss_is_declared_once(tmp_path: Path) -> None:
    """However many processes lose records and write at the same time, the declared counts add up exactly."""
    path = tmp_path / "a.jsonl"

    def work(seed: int) -> None:
        chance = random.Random(seed)
        with closing(one := ledger(path, durability=chance.choice(["always", "os"]), max_segment_bytes=65536)):
            for _ in range(150):
                if chance.random() < 0.3:
                    one.drops.add(TIME_NS, OSError("x"))
                else:
                    one.append(draft())
            lost = one.drops.total
            one.close()
        (tmp_path / f"{seed}.lost").write_text(str(lost))

    children = []
    for seed in range(4):
        pid = os.fork()
        if pid == 0:
            work(seed)
            os._exit(0)
        children.append(pid)
    for pid in children:
        assert wait_for(pid, 60) == 0
    lost = sum(int(each.read_text()) for each in tmp_path.glob("*.lost"))
    one = ledger(path)
    with closing(one):
        one.append(draft())
    lines = check_log(path)
    assert lost > 100
    assert sum(line.attributes["audit.dropped.count"] for line in lines if line.name == "audit.log.dropped") == lost


def test_a_declaration_that_cannot_be_synced_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses are taken off only once their declaration is on the device, whatever the durability."""
    path = tmp_path / "a.jsonl"
    one = ledger(path)
    with closing(one):
        one.append(draft())
        one.drops.add(TIME_NS, OSError("x"))

        def refuse(fd: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(files, "sync", refuse)
            with pytest.raises(AuditWriteError, match="Input/output error"):
                one.append(draft())
        shared = SharedDrops(str(tmp_path / "a.dropped"), 0o600)
        assert standing(shared) == DropSummary(1, TIME_NS, TIME_NS, "OSError")
        ticket = one.append(draft())
        assert standing(shared) is None
    assert "dropped" in names(sound(path, [ticket]))
