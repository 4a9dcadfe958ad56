from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_audit.errors import AuditWriteError
from otel_audit.ledger import files
from otel_audit.ledger.syncer import IntervalSyncer
from tests.ledgers import closing, draft, ledger, sound


def until(condition: Callable[[], object], timeout_seconds: float = 5) -> None:
    """Wait for a condition; fail where it does not come true."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.001)


def test_nothing_written_is_not_synced() -> None:
    """A syncer that nobody told of a write has no thread and syncs nothing."""
    syncs: list[float] = []
    before = threading.enumerate()
    IntervalSyncer(lambda: syncs.append(0), 1).stop()
    assert syncs == []
    assert threading.enumerate() == before


def test_stopping_ends_the_thread_at_once() -> None:
    """A syncer that is stopped does not sleep its interval out."""
    before = set(threading.enumerate())
    syncer = IntervalSyncer(lambda: None, 100_000)
    syncer.wrote()
    assert len(set(threading.enumerate()) - before) == 1
    syncer.stop()
    until(lambda: not set(threading.enumerate()) - before)


def test_a_write_is_synced_within_the_interval() -> None:
    """A write is followed by one sync, no earlier and little later than the interval."""
    syncs: list[float] = []
    syncer = IntervalSyncer(lambda: syncs.append(time.monotonic()), 30)
    for _ in range(2):
        count = len(syncs)
        started = time.monotonic()
        syncer.wrote()
        until(lambda count=count: len(syncs) > count)  # type: ignore[misc]
        assert 0.029 <= syncs[-1] - started < 2
    time.sleep(0.1)
    assert len(syncs) == 2
    syncer.stop()


def test_a_sync_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A failing sync does not end the thread."""
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise AuditWriteError("no")

    syncer = IntervalSyncer(fail, 1)
    with caplog.at_level(logging.ERROR):
        syncer.wrote()
        until(lambda: calls)
        syncer.wrote()
        until(lambda: len(calls) == 2)
    syncer.stop()
    assert "could not be synced" in caplog.text


def test_without_a_thread_it_syncs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the interpreter gives no thread any more, a write is synced by its writer."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    syncs: list[int] = []
    syncer = IntervalSyncer(lambda: syncs.append(1), 1)
    syncer.wrote()
    syncer.wrote()
    assert syncs == [1, 1]


def test_entries_are_on_the_device_within_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With durability interval, what was written is synced in the background, in few syncs."""
    syncs: list[int] = []
    sync = files.sync

    def count(fd: int) -> None:
        syncs.append(fd)
        sync(fd)

    monkeypatch.setattr(files, "sync", count)
    one = ledger(tmp_path / "a.jsonl", durability="interval", sync_interval_millis=20)
    with closing(one):
        tickets = [one.append(draft()) for _ in range(50)]
        file = one._writer.file
        assert file is not None
        until(lambda: file.synced[0] == file.tail.end)
        assert len(syncs) < 12
    sound(tmp_path / "a.jsonl", tickets)


def test_a_failed_sync_reaches_the_next_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A background sync that fails makes the next append fail, once; then the log is opened anew."""
    path = tmp_path / "a.jsonl"
    one = ledger(path, durability="interval", sync_interval_millis=1)
    sync = files.sync
    failed: list[int] = []

    def fail(fd: int) -> None:
        failed.append(fd)
        if len(failed) == 2:  # the first is to open the log
            raise OSError(5, "Input/output error")
        sync(fd)

    with closing(one):
        monkeypatch.setattr(files, "sync", fail)
        tickets = [one.append(draft())]
        until(lambda: one._writer.file is not None and one._writer.file.retired is not None)
        with pytest.raises(AuditWriteError, match="could not be synced: Input/output error"):
            one.append(draft())
        tickets.append(one.append(draft()))
    sound(path, tickets)
