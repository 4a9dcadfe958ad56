from __future__ import annotations

import signal
import threading
from pathlib import Path

from otel_audit.errors import AuditWriteError
from otel_audit.ledger.drops import Drops, DropSummary
from tests.ledgers import closing, draft, in_child, ledger, names, sound


def test_what_is_lost_is_counted() -> None:
    """A summary has the number of lost records, the first and the last time, and the last error's type."""
    drops = Drops()
    assert drops.pending is None
    drops.add(5, OSError())
    drops.add(3, AuditWriteError())
    drops.add(9, AuditWriteError())
    assert drops.pending == DropSummary(3, 3, 9, "AuditWriteError")
    assert drops.total == 3


def test_what_is_handed_over_is_not_pending_any_more() -> None:
    """Whoever takes what is pending answers for it; what is added afterwards is pending anew."""
    drops = Drops()
    assert drops.take_pending() is None
    drops.add(1, OSError())
    assert drops.take_pending() == DropSummary(1, 1, 1, "OSError")
    drops.add(2, OSError())
    assert drops.take_pending() == DropSummary(1, 2, 2, "OSError")
    assert drops.take_pending() is None
    assert drops.total == 2


def test_what_was_not_declared_is_put_back() -> None:
    """What was handed over and not declared is pending again, and is not counted twice in the total."""
    drops = Drops()
    drops.add(1, OSError())
    losses = drops.take_pending()
    assert losses is not None
    drops.add(2, OSError())
    drops.restore(losses)
    assert drops.pending == DropSummary(2, 1, 2, "OSError")
    assert drops.total == 2


def test_threads_and_signal_handlers_count_exactly() -> None:
    """Losses in many threads, and in a handler in the middle of one, are all counted; nobody hangs."""
    drops = Drops()
    handled = [0]

    def handler(number: int, frame: object) -> None:
        handled[0] += 1
        drops.add(1, OSError())

    def work() -> None:
        for _ in range(5_000):
            drops.add(1, OSError())

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
        work()
        for thread in threads:
            thread.join(50)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert handled[0] > 0
    drops.add(1, OSError())
    assert drops.total == 20_001 + handled[0]
    assert drops.pending is not None
    assert drops.pending.records == drops.total


def test_the_next_append_declares_them(tmp_path: Path) -> None:
    """The first append after losses declares them before its own entry, once."""
    path = tmp_path / "a.jsonl"
    one = ledger(path)
    with closing(one):
        one.append(draft())
        for _ in range(7):
            one.drops.add(1_700_000_000_000_000_000, AuditWriteError("x"))
        tickets = [one.append(draft()), one.append(draft())]
    lines = sound(path, tickets)
    assert names(lines) == ["opened", "test.event", "dropped", "test.event", "test.event", "closed"]
    assert {
        "audit.dropped.count": 7,
        "audit.dropped.first_time": "2023-11-14T22:13:20.000000000Z",
        "audit.dropped.last_time": "2023-11-14T22:13:20.000000000Z",
        "audit.outcome": "failure",
        "error.type": "AuditWriteError",
    }.items() <= lines[2].attributes.items()
    assert lines[-1].attributes["audit.writer.dropped"] == 7


def test_close_declares_what_no_append_did(tmp_path: Path) -> None:
    """Losses after which nothing was appended are declared when the ledger is closed."""
    path = tmp_path / "a.jsonl"
    one = ledger(path)
    one.append(draft())
    one.drops.add(1, OSError())
    one.close()
    assert names(sound(path)) == ["opened", "test.event", "dropped", "closed"]
    never = ledger(path)
    never.drops.add(1, OSError())
    never.close()
    assert names(sound(path))[4:] == ["opened", "dropped", "closed"]


def test_a_child_declares_what_its_parent_lost(tmp_path: Path) -> None:
    """Losses are declared once, by the process whose entry is the first to succeed."""
    path = tmp_path / "a.jsonl"
    one = ledger(path)
    with closing(one):
        one.append(draft())
        one.drops.add(1, OSError())
        in_child(lambda: one.append(draft("in.child")))
        one.append(draft())
    assert names(sound(path)) == ["opened", "test.event", "opened", "dropped", "in.child", "test.event", "closed"]


def test_what_cannot_stand_beside_the_log_is_remembered(tmp_path: Path) -> None:
    """Where no file can be written beside the log, the process that lost the records declares them itself."""
    path = tmp_path / "a.jsonl"
    (tmp_path / "a.dropped").mkdir()
    one = ledger(path)
    with closing(one):
        one.append(draft())
        one.drops.add(1, OSError())
        in_child(lambda: one.append(draft("in.child")))
        one.append(draft())
    assert names(sound(path)) == ["opened", "test.event", "opened", "in.child", "dropped", "test.event", "closed"]
