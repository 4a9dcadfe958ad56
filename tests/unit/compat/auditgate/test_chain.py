from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_audit.compat.auditgate import (
    AuditEntry,
    AuditPolicy,
    Engine,
    IntegrityMode,
    MemoryStore,
    QueryFilter,
    Trail,
    compute_hash,
    verify_chain,
)
from otel_audit.testing import CapturedAudit, capture_audit
from tests.auditgate import CHAIN, REFUND, TRAIL

OTHER = Trail("api", "rulegate")


def recorded(policy: AuditPolicy = CHAIN, count: int = 5) -> list[AuditEntry]:
    """Record so many decisions in memory."""
    engine = Engine(store=MemoryStore(), recorded_by="billing")
    for number in range(count):
        engine.record(TRAIL, **REFUND, policy=policy, detail={"number": number, "raw": b"x"})
    return list(engine._store.query(QueryFilter()))


def resealed(entry: AuditEntry, **members: Any) -> AuditEntry:
    """Change an entry and compute its hash anew, as who tampers would."""
    changed = dataclasses.replace(entry, **members)
    return dataclasses.replace(changed, entry_hash=compute_hash(changed.to_dict(), changed.prev_hash))


class TestComputeHash:
    def test_is_sha256_of_sorted_json(self) -> None:
        """It is what any language computes from the dict without its own hash."""
        entry = AuditEntry(TRAIL, 1.5, "t", REFUND["verdict"], REFUND["severity"], "g", "i", detail={"b": 1, "a": "é"})
        data = entry.to_dict()
        del data["entry_hash"]
        text = json.dumps({**data, "prev_hash": "p"}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert compute_hash(entry.to_dict(), "p") == hashlib.sha256(text.encode()).hexdigest()

    @pytest.mark.parametrize("name", sorted({*AuditEntry.__dataclass_fields__} - {"entry_hash", "log_path"}))
    def test_covers_every_member(self, name: str) -> None:
        """Whatever is changed in an entry, its hash is another."""
        [entry] = recorded(count=1)
        changed: dict[str, Any] = {
            "trail": OTHER,
            "ts": entry.ts + 1,
            "verdict": type(entry.verdict).OVERRIDE,
            "severity": type(entry.severity).CRITICAL,
            "detail": {},
            "sequence": 7,
        }
        other = dataclasses.replace(entry, **{name: changed.get(name, "other")})
        assert compute_hash(other.to_dict(), other.prev_hash) != entry.entry_hash

    def test_takes_anything(self) -> None:
        """Values that are no JSON are hashed by their stored form, and do not fail."""
        odd: dict[Any, Any] = {"x": {1, 2}, 3: b"y", "n": 2**80}
        assert compute_hash(odd) == compute_hash(dict(reversed(odd.items())))


class TestLinked:
    def test_shown_by_mode(self) -> None:
        """NONE shows no hash, HASH an entry's own, CHAIN that of the entry before, too."""
        none, hashed, chained = (
            recorded(AuditPolicy(integrity=mode), 2)[1]
            for mode in (IntegrityMode.NONE, IntegrityMode.HASH, IntegrityMode.CHAIN)
        )
        assert (none.entry_hash, none.prev_hash) == (None, None)
        assert hashed.entry_hash is not None
        assert hashed.prev_hash is None
        assert chained.entry_hash is not None
        assert chained.prev_hash is not None

    def test_numbered_from_nought(self) -> None:
        """Each trail is numbered by itself."""
        engine = Engine(store=MemoryStore())
        for trail in (TRAIL, OTHER, TRAIL):
            engine.record(trail, **REFUND)
        assert [entry.sequence for entry in engine._store.query(QueryFilter())] == [0, 0, 1]

    def test_behind_an_entry_that_shows_no_hash(self) -> None:
        """A trail that is chained from some entry on is bound to what came before, shown or not."""
        engine = Engine(store=MemoryStore())
        engine.record(TRAIL, **REFUND, policy=AuditPolicy(integrity=IntegrityMode.NONE))
        engine.record(TRAIL, **REFUND, policy=CHAIN)
        first, second = engine._store.query(QueryFilter())
        assert second.prev_hash == compute_hash(first.to_dict(), None)


def swapped(entries: list[AuditEntry]) -> list[AuditEntry]:
    return [entries[0], entries[2], entries[1], *entries[3:]]


TAMPERED: dict[str, tuple[Callable[[list[AuditEntry]], list[AuditEntry]], int | None]] = {
    "edited": (lambda e: [*e[:2], dataclasses.replace(e[2], reason="x"), *e[3:]], 2),
    "wall time edited": (lambda e: [*e[:2], dataclasses.replace(e[2], wall_ts="2020"), *e[3:]], 2),
    "recorder edited": (lambda e: [*e[:2], dataclasses.replace(e[2], recorded_by="mallory"), *e[3:]], 2),
    "edited and resealed": (lambda e: [*e[:2], resealed(e[2], reason="x"), *e[3:]], 3),
    "first left out": (lambda e: e[1:], 0),
    "first left out, resealed": (lambda e: [resealed(e[1], prev_hash=None, sequence=0), *e[2:]], 1),
    "middle left out": (lambda e: [*e[:2], *e[3:]], 2),
    "swapped": (swapped, 1),
    "doubled": (lambda e: [*e[:2], *e[1:]], 2),
    "hash taken away": (lambda e: [*e[:2], dataclasses.replace(e[2], entry_hash=None), *e[3:]], 2),
    "all hashes taken away": (lambda e: [dataclasses.replace(x, entry_hash=None, prev_hash=None) for x in e], 0),
    "begun anew in the middle": (lambda e: [*e[:2], resealed(e[2], prev_hash=None), *e[3:]], 2),
    "nothing": (lambda e: [], None),
}


class TestVerifyInMemory:
    @pytest.mark.parametrize("mode", [IntegrityMode.HASH, IntegrityMode.CHAIN])
    def test_sound(self, mode: IntegrityMode) -> None:
        """What was recorded verifies."""
        entries = recorded(AuditPolicy(integrity=mode))
        assert verify_chain(entries) == (True, None)
        assert verify_chain(entries, head=entries[-1].entry_hash) == (True, None)

    @pytest.mark.parametrize("case", TAMPERED)
    def test_tampered(self, case: str) -> None:
        """Each way to change a chain is found, at the entry where it shows."""
        tamper, index = TAMPERED[case]
        assert verify_chain(tamper(recorded())) == (False, index)

    def test_cut_at_the_end(self) -> None:
        """Entries missing at the end are found by whoever knows the newest hash."""
        entries = recorded()
        assert verify_chain(entries[:-1], head=entries[-1].entry_hash) == (False, None)
        assert verify_chain(entries[:-1]) == (True, None)

    def test_pruned_at_the_beginning(self) -> None:
        """A list that begins later verifies against the hash of the entry before."""
        entries = recorded()
        assert verify_chain(entries[2:], prev_hash=entries[1].entry_hash) == (True, None)
        assert verify_chain(entries[2:], prev_hash=entries[0].entry_hash) == (False, 0)

    def test_left_out_of_hashed_entries(self) -> None:
        """In mode HASH a missing entry is found by its number, and a changed one by its hash."""
        entries = recorded(AuditPolicy(integrity=IntegrityMode.HASH))
        assert verify_chain([entries[0], *entries[2:]]) == (False, 1)
        assert verify_chain([dataclasses.replace(entries[0], reason="x"), *entries[1:]]) == (False, 0)

    def test_entries_without_hashes(self) -> None:
        """Entries of mode NONE prove nothing."""
        assert verify_chain(recorded(AuditPolicy(integrity=IntegrityMode.NONE))) == (False, 0)

    def test_chained_from_some_entry_on(self) -> None:
        """A trail whose policy became CHAIN verifies as a whole; one that ceased to be chained does not."""
        engine = Engine(store=MemoryStore())
        hashed = AuditPolicy(integrity=IntegrityMode.HASH)
        for policy in (hashed, hashed, CHAIN, CHAIN):
            engine.record(TRAIL, **REFUND, policy=policy)
        entries = engine._store.query(QueryFilter())
        assert verify_chain(entries) == (True, None)
        assert verify_chain([entries[0], resealed(entries[1], reason="x"), *entries[2:]]) == (False, 2)
        engine.record(TRAIL, **REFUND, policy=hashed)
        assert verify_chain(engine._store.query(QueryFilter())) == (False, 4)

    def test_two_trails(self) -> None:
        """Of entries of several trails each trail is verified by itself."""
        engine = Engine(store=MemoryStore())
        for trail in (TRAIL, OTHER, TRAIL, OTHER):
            engine.record(trail, **REFUND, policy=CHAIN)
        entries = list(engine._store.query(QueryFilter()))
        assert verify_chain(entries) == (True, None)
        assert verify_chain([entries[0], entries[2], entries[3]]) == (False, 2)


class TestVerifyOfALog:
    @pytest.fixture
    def log(self) -> Iterator[CapturedAudit]:
        """A log with decisions of two trails in it."""
        with capture_audit() as log:
            engine = Engine()
            for trail in (TRAIL, OTHER, TRAIL, OTHER, TRAIL):
                engine.record(trail, **REFUND, policy=CHAIN)
            yield log

    def entries(self) -> list[AuditEntry]:
        """Ask for the entries of one trail."""
        return list(Engine()._store.query(QueryFilter(trail=TRAIL)))

    def test_sound(self, log: CapturedAudit) -> None:
        """Entries that stand in an intact log verify, whatever stands between them."""
        assert verify_chain(self.entries()) == (True, None)

    @pytest.mark.parametrize("edit", [(b'"billing:refund', b'"billing:REFUND'), (b'"api:', b'"API:')])
    def test_edited_log(self, log: CapturedAudit, edit: tuple[bytes, bytes]) -> None:
        """A line that was changed in the file is found, one of another trail too."""
        entries = self.entries()
        lines = Path(log.path).read_bytes().split(b"\n")
        number = next(number for number, line in enumerate(lines) if edit[0] in line)
        lines[number] = lines[number].replace(*edit)
        Path(log.path).write_bytes(b"\n".join(lines))
        sound, index = verify_chain(entries)
        assert not sound
        assert index == next(i for i, entry in enumerate(entries) if entry.sequence >= number + 1)

    def test_edited_entry(self, log: CapturedAudit) -> None:
        """An entry that is not the one in the log is found."""
        entries = self.entries()
        entries[1] = dataclasses.replace(entries[1], reason="x")
        assert verify_chain(entries) == (False, 1)

    def test_line_left_out(self, log: CapturedAudit) -> None:
        """A line that was taken out of the file is found."""
        entries = self.entries()
        lines = Path(log.path).read_bytes().split(b"\n")
        del lines[entries[1].sequence - 1]
        Path(log.path).write_bytes(b"\n".join(lines))
        assert verify_chain(entries) == (False, 1)

    def test_fault_behind_the_entries(self, log: CapturedAudit) -> None:
        """A fault behind the last of them makes the log not whole, and is no entry's."""
        entries = self.entries()[:2]
        lines = Path(log.path).read_bytes().split(b"\n")
        lines[-2] = lines[-2].replace(b"refund", b"REFUND")
        Path(log.path).write_bytes(b"\n".join(lines))
        assert verify_chain(entries) == (False, None)

    def test_head(self, log: CapturedAudit) -> None:
        """The newest hash that is known must be the last one's."""
        entries = self.entries()
        assert verify_chain(entries, head=entries[-1].entry_hash) == (True, None)
        assert verify_chain(entries[:-1], head=entries[-1].entry_hash) == (False, None)

    def test_doubled(self, log: CapturedAudit) -> None:
        """An entry that comes twice is found."""
        entries = self.entries()
        assert verify_chain([entries[0], *entries]) == (False, 1)
