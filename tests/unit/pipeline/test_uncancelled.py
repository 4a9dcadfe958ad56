"""A cancelled `aemit`: its entry is in the log, and its copy leaves all the same."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

import otel_audit
from otel_audit import AuditFileLogExporter, AuditLogger, AuditProvider
from otel_audit.ledger import files
from otel_audit.pipeline.uncancelled import uncancelled


class Copies(LogRecordProcessor):
    """Keeps the records that it sees."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.came = asyncio.Event()

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.records.append(dict(log_record.log_record.attributes or {}))
        self.came.set()

    def shutdown(self) -> None:
        """Keep them."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class Gate:
    """Holds each sync until it is opened."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.began = threading.Event()
        self.opened = threading.Event()
        self.error: OSError | None = None
        sync = files.sync

        def held(fd: int) -> None:
            self.began.set()
            assert self.opened.wait(20)
            if self.error is not None:
                raise self.error
            sync(fd)

        patch.setattr(files, "sync", held)


class Setup:
    """A log with a processor behind it, whose syncs are held from now on."""

    def __init__(self, provider: AuditProvider, copies: Copies, gate: Gate) -> None:
        self.audit: AuditLogger = provider.get_audit_logger("shop")
        self.copies = copies
        self.gate = gate

    async def cancelled(self, event_name: str) -> None:
        """Emit, and cancel the task when the entry is written and waits for the disk."""
        task = asyncio.create_task(self.audit.aemit(event_name))
        await asyncio.to_thread(self.gate.began.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    copies = Copies()
    provider = AuditProvider(AuditFileLogExporter(tmp_path / "audit.jsonl"), processors=[copies])
    with provider, monkeypatch.context() as patch:
        yield Setup(provider, copies, Gate(patch))


def entries(path: Path) -> list[otel_audit.Entry]:
    return [entry for entry in otel_audit.read_log(path) if not entry.event_name.startswith("audit.log.")]


class TestEmit:
    async def test_the_copy_leaves(self, tmp_path: Path, setup: Setup) -> None:
        """The copy of a cancelled emit leaves once the entry is durable, not before, stamped with its place."""
        await setup.cancelled("was.cancelled")
        assert setup.copies.records == []
        setup.gate.opened.set()
        await asyncio.wait_for(setup.copies.came.wait(), 20)
        (entry,) = entries(tmp_path / "audit.jsonl")
        (copy,) = setup.copies.records
        assert (copy["audit.sequence.number"], copy["audit.integrity.hash"]) == (entry.seq, entry.hash)
        assert copy["audit.record.id"] == entry.attributes["audit.record.id"]

    async def test_no_copy_of_what_is_not_durable(self, setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
        """Where its sync fails after it was cancelled no copy leaves, and nothing complains of a lost exception."""
        setup.gate.error = OSError(5, "Input/output error")
        await setup.cancelled("was.cancelled")
        setup.gate.opened.set()
        with pytest.raises(otel_audit.AuditWriteError):
            await setup.audit.aemit("other")
        setup.gate.error = None
        assert (await setup.audit.aemit("next")).recorded
        assert len(setup.copies.records) == 1
        assert "never retrieved" not in caplog.text

    async def test_a_cancelled_intent(self, tmp_path: Path, setup: Setup) -> None:
        """Both copies of an action that was cancelled before it began leave: of its intent and of its outcome."""
        task = asyncio.create_task(setup.audit.astart_action("file.write"))
        await asyncio.to_thread(setup.gate.began.wait, 20)
        task.cancel()
        setup.gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        while len(setup.copies.records) < 2:
            setup.copies.came.clear()
            await asyncio.wait_for(setup.copies.came.wait(), 20)
        phases = {copy["audit.sequence.number"]: copy["audit.phase"] for copy in setup.copies.records}
        assert phases == {entry.seq: entry.attributes["audit.phase"] for entry in entries(tmp_path / "audit.jsonl")}
        assert sorted(phases.values()) == ["intent", "outcome"]

    async def test_order(self, tmp_path: Path, setup: Setup) -> None:
        """Entries stand in the order of the calls, as they do with nobody behind the log."""
        setup.gate.opened.set()
        await asyncio.gather(*(setup.audit.aemit(f"event.{n}") for n in range(50)))
        assert [entry.event_name for entry in entries(tmp_path / "audit.jsonl")] == [f"event.{n}" for n in range(50)]
        assert len(setup.copies.records) == 50


class TestUncancelled:
    async def test_value(self) -> None:
        """It returns what the coroutine returns."""

        async def three() -> int:
            return 3

        assert await uncancelled(three()) == 3

    async def test_several_waits(self) -> None:
        """What the coroutine waits for, and what that raises, reaches the coroutine."""
        first, second = (asyncio.get_running_loop().create_future() for _ in range(2))
        asyncio.get_running_loop().call_soon(first.set_result, 1)

        async def both() -> list[object]:
            seen: list[object] = [await first]
            asyncio.get_running_loop().call_soon(second.set_exception, KeyError("x"))
            try:
                await second
            except KeyError as error:
                seen.append(error.args)
            raise ValueError(seen)

        with pytest.raises(ValueError, match="x") as caught:
            await uncancelled(both())
        assert caught.value.args == ([1, ("x",)],)

    async def test_goes_on(self) -> None:
        """Cancelled, the caller is told at once, and the coroutine goes on over all its waits."""
        loop = asyncio.get_running_loop()
        waits = [loop.create_future() for _ in range(3)]
        ended = asyncio.Event()

        async def work() -> None:
            for future in waits:
                await future
            ended.set()

        task = asyncio.create_task(uncancelled(work()))
        waits[0].set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not any(future.cancelled() for future in waits)
        waits[1].set_result(None)
        await asyncio.sleep(0)
        assert not ended.is_set()
        waits[2].set_result(None)
        await asyncio.wait_for(ended.wait(), 20)

    async def test_cancelled_as_it_ends(self) -> None:
        """A cancellation that comes together with what is waited for is not lost, nor is the rest of the coroutine."""
        future = asyncio.get_running_loop().create_future()
        ended = asyncio.Event()

        async def work() -> None:
            await future
            ended.set()

        task = asyncio.create_task(uncancelled(work()))
        await asyncio.sleep(0)
        future.set_result(None)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 20)

    async def test_what_is_waited_for_is_cancelled(self) -> None:
        """Where not the caller but what is waited for is cancelled, the coroutine is told of it."""
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.cancel)

        async def work() -> str:
            try:
                await future
            except asyncio.CancelledError:
                return "told"
            return "not told"

        assert await uncancelled(work()) == "told"

    def test_a_loop_that_ends(self) -> None:
        """A loop that ends while it goes on ends it, without a complaint."""
        futures: list[asyncio.Future[None]] = []
        ended: list[str] = []

        async def work() -> None:
            futures.append(asyncio.get_running_loop().create_future())
            try:
                await futures[0]
            finally:
                ended.append("ended")

        async def main() -> None:
            task = asyncio.create_task(uncancelled(work()))
            await asyncio.sleep(0)
            task.cancel()

        asyncio.run(main())
        assert not futures.pop().done()
        gc.collect()
        assert ended == ["ended"]
