from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from otel_audit.compat.auditgate import (
    AsyncMemoryStore,
    AuditEntry,
    AuditPolicy,
    Engine,
    MemoryStore,
    QueryFilter,
    Severity,
    Trail,
    Verdict,
    verify_chain,
)
from tests.auditgate import CHAIN, REFUND, TRAIL

OTHER = Trail("api", "rulegate")


def entry(ts: float, **members: Any) -> AuditEntry:
    """Make an entry of a time."""
    whole: dict[str, Any] = {
        "trail": TRAIL,
        "wall_ts": "w",
        "verdict": Verdict.ALLOW,
        "severity": Severity.INFO,
        "gate_type": "actiongate",
        "gate_identity": "i",
    }
    return AuditEntry(ts=ts, **whole | members)


def filled() -> MemoryStore:
    """Make a store with one entry of each kind."""
    store = MemoryStore()
    store.append(entry(1.0))
    store.append(entry(2.0, verdict=Verdict.BLOCK, severity=Severity.WARN))
    store.append(entry(3.0, trail=OTHER, severity=Severity.CRITICAL, gate_type="rulegate"))
    store.append(entry(4.0, verdict=Verdict.BLOCK, severity=Severity.ERROR))
    return store


class TestQueryFilter:
    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({}, [1, 2, 3, 4]),
            ({"trail": TRAIL}, [1, 2, 4]),
            ({"trail": Trail("no", "no")}, []),
            ({"verdict": Verdict.BLOCK}, [2, 4]),
            ({"min_severity": Severity.ERROR}, [3, 4]),
            ({"gate_type": "rulegate"}, [3]),
            ({"after_ts": 2.0}, [2, 3, 4]),
            ({"before_ts": 2.0}, [1, 2]),
            ({"after_ts": 2.0, "before_ts": 3.0}, [2, 3]),
            ({"offset": 1}, [2, 3, 4]),
            ({"limit": 2}, [1, 2]),
            ({"offset": 1, "limit": 2}, [2, 3]),
            ({"limit": 0}, []),
            ({"offset": 9}, []),
            ({"trail": TRAIL, "verdict": Verdict.BLOCK, "offset": 1}, [4]),
        ],
        ids=str,
    )
    def test_each_member(self, wanted: dict[str, Any], found: list[int]) -> None:
        """Each member leaves out what it does not ask for; both ends of a time are in."""
        assert [entry.ts for entry in filled().query(QueryFilter(**wanted))] == found

    @pytest.mark.parametrize("name", ["offset", "limit"])
    def test_not_negative(self, name: str) -> None:
        """A negative offset or limit is refused."""
        with pytest.raises(ValueError, match=f"{name}: expected 0 or more, got -1"):
            QueryFilter(**{name: -1})  # type: ignore[arg-type]


class TestMemoryStore:
    def test_counts_and_last(self) -> None:
        """It counts a trail's entries and knows the newest; of a trail that is not there none."""
        store = filled()
        assert (store.count(TRAIL), store.count(Trail("no", "no"))) == (3, 0)
        last = store.last_entry(TRAIL)
        assert last is not None
        assert last.ts == 4.0
        assert store.last_entry(Trail("no", "no")) is None

    def test_prune(self) -> None:
        """It forgets a trail's entries from before a time, says how many, and leaves other trails."""
        store = filled()
        assert store.prune(TRAIL, 2.0) == 1
        assert [entry.ts for entry in store.query(QueryFilter())] == [2.0, 3.0, 4.0]
        assert store.prune(TRAIL, 2.0) == 0
        assert store.prune(OTHER, 9.0) == 1
        assert store.last_entry(OTHER) is None

    def test_prune_out_of_order(self) -> None:
        """An older entry behind a younger one is forgotten, too."""
        store = MemoryStore()
        for ts in (5.0, 1.0, 6.0):
            store.append(entry(ts))
        assert store.prune(TRAIL, 2.0) == 1
        assert [entry.ts for entry in store.query(QueryFilter())] == [5.0, 6.0]

    def test_clear(self) -> None:
        """It forgets one trail, or all."""
        store = filled()
        store.clear(TRAIL)
        assert [entry.ts for entry in store.query(QueryFilter())] == [3.0]
        store.clear_all()
        assert store.query(QueryFilter()) == []

    def test_chain_goes_on_behind_pruned_entries(self) -> None:
        """A trail whose entries are all pruned is carried on; one that was cleared begins anew."""
        clock = iter(range(100))
        engine = Engine(store=MemoryStore(), clock=lambda: float(next(clock)))
        first = engine.record(TRAIL, **REFUND, policy=CHAIN).entry
        assert first is not None
        engine._store.prune(TRAIL, 50.0)
        second = engine.record(TRAIL, **REFUND, policy=CHAIN).entry
        assert second is not None
        assert (second.sequence, second.prev_hash) == (1, first.entry_hash)
        engine.clear(TRAIL)
        third = engine.record(TRAIL, **REFUND, policy=CHAIN).entry
        assert third is not None
        assert (third.sequence, third.prev_hash) == (0, None)

    def test_retention(self) -> None:
        """With a retention each record forgets what is older."""
        now = [0.0]
        engine = Engine(store=MemoryStore(), clock=lambda: now[0])
        engine.register(TRAIL, AuditPolicy(retention_seconds=10))
        for now[0] in (0.0, 5.0, 12.0):
            engine.record(TRAIL, **REFUND)
        assert [entry.ts for entry in engine._store.query(QueryFilter())] == [5.0, 12.0]

    @pytest.mark.usefixtures("eager_threads")
    def test_two_engines_on_one_store(self) -> None:
        """Four threads on two engines over one store make one chain."""
        store = MemoryStore()
        engines = [Engine(store=store), Engine(store=store)]
        start = threading.Barrier(4)

        def work(number: int) -> None:
            start.wait(9)
            for _ in range(200):
                engines[number % 2].record(TRAIL, **REFUND, policy=CHAIN)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        entries = store.query(QueryFilter(trail=TRAIL))
        assert len(entries) == 800
        assert verify_chain(entries) == (True, None)


class DictStore:
    """A store as a program may have it: nothing of ours but the protocol."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    def append(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    def query(self, filter: QueryFilter) -> list[AuditEntry]:  # noqa: A002
        return [entry for entry in self.entries if filter.trail in (None, entry.trail)]

    def count(self, trail: Trail) -> int:
        return len(self.query(QueryFilter(trail=trail)))

    def last_entry(self, trail: Trail) -> AuditEntry | None:
        found = self.query(QueryFilter(trail=trail))
        return found[-1] if found else None

    def prune(self, trail: Trail, before_ts: float) -> int:
        raise OSError("cannot prune")

    def clear(self, trail: Trail) -> None:
        self.entries = [entry for entry in self.entries if entry.trail != trail]

    def clear_all(self) -> None:
        self.entries.clear()


class TestStoreOfOnesOwn:
    @pytest.mark.usefixtures("eager_threads")
    def test_gets_linked_entries(self) -> None:
        """A store that only appends gets entries with their numbers and hashes, one chain over threads."""
        store = DictStore()
        engine = Engine(store=store)
        engine.register(TRAIL, CHAIN)

        def work() -> None:
            for _ in range(100):
                engine.record(TRAIL, **REFUND)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert verify_chain(store.entries) == (True, None)
        assert store.count(TRAIL) == 400

    def test_that_cannot_prune(self) -> None:
        """Where the store cannot prune, the entry is recorded all the same."""
        engine = Engine(store=DictStore())
        assert engine.record(TRAIL, **REFUND, policy=AuditPolicy(retention_seconds=1)).recorded

    def test_for_coroutines(self) -> None:
        """Without an async store the coroutines use the store, which is called in a thread."""
        store = DictStore()
        engine = Engine(store=store)
        called_in: list[int] = []
        engine.on_decision(lambda _: called_in.append(threading.get_ident()))

        async def main() -> None:
            await asyncio.gather(*(engine.async_record(TRAIL, **REFUND, policy=CHAIN) for _ in range(20)))

        asyncio.run(main())
        assert verify_chain(store.entries) == (True, None)
        assert set(called_in) == {threading.get_ident()}


class AwaitingStore(AsyncMemoryStore):
    """An async store that lets others run in the middle."""

    async def last_entry(self, trail: Trail) -> AuditEntry | None:
        await asyncio.sleep(0)
        return await super().last_entry(trail)

    async def append(self, entry: AuditEntry) -> None:
        await asyncio.sleep(0)
        await super().append(entry)


class TestAsyncStore:
    @pytest.mark.parametrize("kind", [AsyncMemoryStore, AwaitingStore])
    async def test_one_chain(self, kind: type[AsyncMemoryStore]) -> None:
        """Coroutines that record at once make one chain."""
        store = kind()
        engine = Engine(async_store=store)
        await asyncio.gather(*(engine.async_record(TRAIL, **REFUND, policy=CHAIN) for _ in range(50)))
        entries = await store.query(QueryFilter(trail=TRAIL))
        assert len(entries) == 50
        assert verify_chain(entries) == (True, None)

    async def test_retention(self) -> None:
        """With a retention each record forgets what is older."""
        now = [0.0]
        store = AwaitingStore()
        engine = Engine(async_store=store, clock=lambda: now[0])
        for now[0] in (0.0, 5.0, 12.0):
            await engine.async_record(TRAIL, **REFUND, policy=AuditPolicy(retention_seconds=10))
        assert [entry.ts for entry in await store.query(QueryFilter())] == [5.0, 12.0]

    async def test_answers_as_the_plain_one(self) -> None:
        """Each of its methods does what the plain store's does."""
        store = AsyncMemoryStore()
        for made in filled().query(QueryFilter()):
            await store.append(made)
        last = await store.last_entry(TRAIL)
        assert last is not None
        assert (await store.count(TRAIL), last.ts) == (3, 4.0)
        assert await store.prune(TRAIL, 2.0) == 1
        await store.clear(OTHER)
        assert [entry.ts for entry in await store.query(QueryFilter())] == [2.0, 4.0]
        await store.clear_all()
        assert await store.query(QueryFilter()) == []
