"""The page of AuditGate: its code runs with one import line changed, and what it claims is true."""

from __future__ import annotations

import dataclasses
import fcntl
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from otel_audit import verify_log
from otel_audit.compat.auditgate import (
    AuditEntry,
    AuditError,
    AuditPolicy,
    Engine,
    IntegrityMode,
    MemoryStore,
    Mode,
    QueryFilter,
    Severity,
    StoreErrorMode,
    Trail,
    Verdict,
    verify_chain,
)
from otel_audit.testing import CapturedAudit, capture_audit
from tests.auditgate import REFUND, TRAIL, FailingStore

ROOT = Path(__file__).parents[2]
THEIR_IMPORT = "from auditgate import"
OUR_IMPORT = "from otel_audit.compat.auditgate import"

QUICK_START = """
from auditgate import (
    Engine, Trail, AuditPolicy, Verdict, Severity, IntegrityMode
)

engine = Engine()

# Define an audit trail with hash chain integrity
trail = Trail("billing", "actiongate", "user:123")
policy = AuditPolicy(integrity=IntegrityMode.CHAIN)
engine.register(trail, policy)

# Record a decision from ActionGate
decision = engine.record(
    trail=trail,
    verdict=Verdict.ALLOW,
    severity=Severity.INFO,
    gate_type="actiongate",
    gate_identity="billing:refund@user:123",
    reason="Rate limit check passed",
    detail={"calls_in_window": 3, "max_calls": 10},
)

assert decision.recorded
assert decision.entry.entry_hash is not None
"""

DECORATORS = """
# Raises AuditError if audit recording fails (HARD mode default)
@engine.guard(
    Trail("api", "combined", "global"),
    policy=AuditPolicy(integrity=IntegrityMode.HASH),
    severity=Severity.INFO,
    gate_type="auditgate",
)
def process_order(order_id: str) -> dict:
    return {"status": "processed", "id": order_id}

# Or use guard_result for no-exception handling
@engine.guard_result(
    Trail("api", "combined", "global"),
    policy=AuditPolicy(mode=Mode.SOFT),
    severity=Severity.INFO,
    gate_type="auditgate",
)
def fetch_data(query: str) -> list:
    return db.search(query)

result = fetch_data(query="recent orders")
data = result.unwrap_or([])
"""

QUERIES = """
from auditgate import QueryFilter, Verdict, Severity

# All blocked decisions in the last hour
entries = engine._store.query(QueryFilter(
    trail=trail,
    verdict=Verdict.BLOCK,
    after_ts=time.monotonic() - 3600,
))

# All critical events across all trails
critical = engine._store.query(QueryFilter(
    min_severity=Severity.CRITICAL,
))
"""

AROUND = """
import time

from auditgate import Mode


class db:
    search = staticmethod(lambda query: [query])
"""
"""What the page takes for granted: a module, a name that it forgot to import, a database."""


def environ(folder: Path) -> dict[str, str]:
    """Return the environment of a program that knows of this project by two variables alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    own = {"PYTHONPATH": str(ROOT), "OTEL_AUDIT_FILE": str(folder / "audit.jsonl"), "OTEL_SERVICE_NAME": "page"}
    return kept | own


def run(code: str, folder: Path) -> str:
    """Run a program of the page, with its import lines changed and nothing else; return what it prints."""
    assert THEIR_IMPORT in code
    program = code.replace(THEIR_IMPORT, OUR_IMPORT)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ(folder),
        cwd=folder,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return the decisions in the log that a program left, which verifies."""
    path = folder / "audit.jsonl"
    report = verify_log(path)
    assert report.findings == ()
    assert report.intact
    whole = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    return [line for line in whole if not line["event_name"].startswith("audit.log.")]


class TestTheCodeOfThePage:
    def test_quick_start(self, tmp_path: Path) -> None:
        """The quick start runs as it stands, and leaves one decision in a log that verifies."""
        run(QUICK_START, tmp_path)
        [line] = lines(tmp_path)
        assert line["attributes"]["audit.trail"] == "billing:actiongate@user:123"
        assert line["attributes"]["gate.detail"] == {"calls_in_window": 3, "max_calls": 10}

    def test_decorators(self, tmp_path: Path) -> None:
        """Both decorators run as they stand: the function's result, its two entries."""
        shown = "\nprint(data, process_order('A-7'))"
        printed = run(QUICK_START + AROUND + DECORATORS + shown, tmp_path)
        assert printed == "['recent orders'] {'status': 'processed', 'id': 'A-7'}\n"
        phases = [line["attributes"].get("audit.phase") for line in lines(tmp_path)]
        assert phases == [None, "intent", "outcome", "intent", "outcome"]

    def test_queries(self, tmp_path: Path) -> None:
        """Both questions run as they stand, and find what they are to find."""
        record = """
common = dict(gate_type="actiongate", gate_identity="i")
engine.record(trail=trail, verdict=Verdict.BLOCK, severity=Severity.WARN, **common)
engine.record(trail=Trail("other", "x"), verdict=Verdict.BLOCK, severity=Severity.CRITICAL, **common)
"""
        shown = "\nprint([str(e.trail) for e in entries], [str(e.trail) for e in critical])"
        printed = run(QUICK_START + AROUND + record + QUERIES + shown, tmp_path)
        assert printed == "['billing:actiongate@user:123'] ['other:x@global']\n"


@pytest.fixture
def log() -> Iterator[CapturedAudit]:
    """A log that is intact when the test is over."""
    with capture_audit() as log:
        yield log
        assert verify_log(log.path).intact


class TestEveryDecisionEveryVerdictEveryOverride:
    """Every decision, every verdict, every override: structured, queryable, and tamper-evident."""

    @pytest.mark.parametrize("verdict", Verdict)
    def test_structured(self, log: CapturedAudit, verdict: Verdict) -> None:
        """Each verdict is an entry with members, in the file when `record` returns."""
        decision = Engine().record(TRAIL, **REFUND | {"verdict": verdict})
        assert decision.entry is not None
        assert decision.entry.verdict is verdict
        assert log.entries[-1].attributes["audit.decision"] == verdict.name.lower()

    def test_queryable(self, log: CapturedAudit) -> None:
        """Each can be asked for by what it is."""
        engine = Engine()
        for verdict in Verdict:
            engine.record(TRAIL, **REFUND | {"verdict": verdict})
        for verdict in Verdict:
            [entry] = engine._store.query(QueryFilter(verdict=verdict))
            assert entry.verdict is verdict

    def test_tamper_evident(self) -> None:
        """A verdict that is changed in the file is found."""
        with capture_audit() as log:
            Engine().record(TRAIL, **REFUND | {"verdict": Verdict.BLOCK})
            path = Path(log.path)
            path.write_bytes(path.read_bytes().replace(b'"audit.decision":"block"', b'"audit.decision":"allow"'))
            assert [finding.kind for finding in verify_log(path).errors] == ["edited"]


class TestItRecordsWhatOtherGatesDecided:
    """It makes no allow or block decisions; it records what other gates decided."""

    @pytest.mark.parametrize("verdict", Verdict)
    def test_makes_no_decisions(self, log: CapturedAudit, verdict: Verdict) -> None:
        """Whatever verdict is recorded, nothing is raised, and a guarded function runs."""
        engine = Engine()
        assert engine.record(TRAIL, **REFUND | {"verdict": verdict}).recorded
        assert engine.guard(TRAIL, verdict=verdict)(lambda: 7)() == 7

    def test_guarantees_that_the_record_exists(self, tmp_path: Path) -> None:
        """A decision that was returned is in the file, though the process dies at once."""
        run(QUICK_START + "\nimport os\nos._exit(0)\n", tmp_path)
        [line] = lines(tmp_path)
        assert line["attributes"]["audit.decision"] == "allow"


class TestIntegrityModes:
    """NONE, HASH and CHAIN detect what the page's table says they detect."""

    def recorded(self, mode: IntegrityMode) -> list[AuditEntry]:
        engine = Engine(store=MemoryStore())
        for _ in range(4):
            engine.record(TRAIL, **REFUND, policy=AuditPolicy(integrity=mode))
        return list(engine._store.query(QueryFilter()))

    def test_none_does_no_hashing(self) -> None:
        """In mode NONE no entry has a hash."""
        assert {(entry.entry_hash, entry.prev_hash) for entry in self.recorded(IntegrityMode.NONE)} == {(None, None)}

    @pytest.mark.parametrize("member", ["ts", "wall_ts", "reason", "recorded_by", "gate_identity"])
    def test_hash_detects_tampering_of_individual_entries(self, member: str) -> None:
        """In mode HASH whatever is changed in an entry is found, its wall time and recorder too."""
        entries = self.recorded(IntegrityMode.HASH)
        entries[2] = dataclasses.replace(entries[2], **{member: "other"})  # type: ignore[arg-type]
        assert verify_chain(entries) == (False, 2)

    @pytest.mark.parametrize("index", range(4))
    def test_chain_detects_tampering_or_deletion_of_any_entry(self, index: int) -> None:
        """In mode CHAIN each entry that is changed or deleted is found; of the last, with the newest hash in hand."""
        entries = self.recorded(IntegrityMode.CHAIN)
        head = entries[-1].entry_hash
        changed = [*entries[:index], dataclasses.replace(entries[index], reason="x"), *entries[index + 1 :]]
        assert verify_chain(changed, head=head) == (False, index)
        deleted = [*entries[:index], *entries[index + 1 :]]
        assert not verify_chain(deleted, head=head)[0]

    @pytest.mark.parametrize("index", range(4))
    def test_chain_detects_them_in_the_log(self, index: int) -> None:
        """In the log each line that is changed or deleted is found; of the last, with its entry as anchor."""
        with capture_audit() as log:
            engine = Engine()
            for _ in range(4):
                last = engine.record(TRAIL, **REFUND, policy=AuditPolicy(integrity=IntegrityMode.CHAIN)).entry
            assert last is not None
            anchors = [f"{last.sequence}:{last.entry_hash}"]
            path = Path(log.path)
            whole = path.read_bytes().split(b"\n")
            at = log.entries[index].seq - 1
            for change in ([whole[at].replace(b"refund", b"REFUND")], []):
                path.write_bytes(b"\n".join([*whole[:at], *change, *whole[at + 1 :]]))
                assert verify_log(path, anchors=anchors).errors


class TestFailureModes:
    """Each row of the page's table, with a store that fails."""

    def engine(self) -> Engine:
        return Engine(store=FailingStore())

    def test_hard_fail_closed(self) -> None:
        """No action can proceed without a recorded audit entry."""
        engine, ran = self.engine(), list[int]()
        policy = AuditPolicy(Mode.HARD, StoreErrorMode.FAIL_CLOSED)
        with pytest.raises(AuditError):
            engine.record(TRAIL, **REFUND, policy=policy)
        for guard in (engine.guard, engine.guard_result):
            with pytest.raises(AuditError):
                guard(TRAIL, policy=policy)(lambda: ran.append(1))()
        assert ran == []

    def test_hard_fail_open(self) -> None:
        """Raises on failure but allows unaudited actions."""
        engine, ran = self.engine(), list[int]()
        policy = AuditPolicy(Mode.HARD, StoreErrorMode.FAIL_OPEN)
        with pytest.raises(AuditError):
            engine.record(TRAIL, **REFUND, policy=policy)
        for guard in (engine.guard, engine.guard_result):
            with pytest.raises(AuditError):
                guard(TRAIL, policy=policy)(lambda: ran.append(1))()
        assert ran == [1, 1]

    def test_soft_fail_closed(self) -> None:
        """Returns a DROPPED decision, the caller decides."""
        engine, ran = self.engine(), list[int]()
        policy = AuditPolicy(Mode.SOFT, StoreErrorMode.FAIL_CLOSED)
        assert engine.record(TRAIL, **REFUND, policy=policy).dropped
        result = engine.guard_result(TRAIL, policy=policy)(lambda: ran.append(1))()
        assert result.decision.dropped
        assert ran == []

    def test_soft_fail_open(self) -> None:
        """Fire-and-forget: nothing is raised, and the function runs."""
        engine, ran = self.engine(), list[int]()
        policy = AuditPolicy(Mode.SOFT, StoreErrorMode.FAIL_OPEN)
        assert engine.record(TRAIL, **REFUND, policy=policy).dropped
        engine.guard(TRAIL, policy=policy)(lambda: ran.append(1))()
        assert engine.guard_result(TRAIL, policy=policy)(lambda: ran.append(1))().ok
        assert ran == [1, 1]


class TestDecorators:
    """What the comments in the page's code say."""

    def test_guard_raises_audit_error_if_audit_recording_fails(self) -> None:
        """HARD is the default, and `guard` raises in it."""
        assert AuditPolicy().mode is Mode.HARD
        with pytest.raises(AuditError):
            Engine(store=FailingStore()).guard(TRAIL)(lambda: None)()

    def test_guard_result_for_no_exception_handling(self) -> None:
        """In SOFT mode `guard_result` raises nothing, and `unwrap_or` gives the default."""
        guarded = Engine(store=FailingStore()).guard_result(TRAIL, policy=AuditPolicy(mode=Mode.SOFT))
        assert guarded(lambda: [1])().unwrap_or([]) == []


class TestQueryingTheAuditTrail:
    """The comments of the page's two questions."""

    def test_all_blocked_decisions_in_the_last_hour(self, log: CapturedAudit) -> None:
        """Found are a trail's blocked ones of the last hour, over restarts of the program, and no older ones."""
        engine = Engine()
        blocked = REFUND | {"verdict": Verdict.BLOCK}
        new = engine.record(TRAIL, **blocked).entry
        engine.record(TRAIL, **REFUND)
        engine.record(Trail("other", "x"), **blocked)
        assert new is not None
        engine._store.append(dataclasses.replace(new, wall_ts="2020-01-01T00:00:00+00:00", ts=new.ts - 7200))
        wanted = QueryFilter(trail=TRAIL, verdict=Verdict.BLOCK, after_ts=time.monotonic() - 3600)
        assert Engine()._store.query(wanted) == [new]

    def test_all_critical_events_across_all_trails(self, log: CapturedAudit) -> None:
        """Found are the critical ones of every trail."""
        engine = Engine()
        trails = [TRAIL, Trail("other", "x")]
        for trail in trails:
            engine.record(trail, **REFUND)
            engine.record(trail, **REFUND | {"severity": Severity.CRITICAL})
        found = engine._store.query(QueryFilter(min_severity=Severity.CRITICAL))
        assert [entry.trail for entry in found] == trails


def test_single_line_changed() -> None:
    """The code that runs is the page's but for the module that it imports from."""
    for code in (QUICK_START, QUERIES):
        changed = code.replace(THEIR_IMPORT, OUR_IMPORT)
        assert [line for line in changed.splitlines() if line not in code.splitlines()] == [
            re.sub("^from auditgate", "from otel_audit.compat.auditgate", line)
            for line in code.splitlines()
            if line.startswith(THEIR_IMPORT)
        ]


FOUR_THREADS = """
import sys, threading
from auditgate import AuditPolicy, Engine, IntegrityMode, Severity, Trail, Verdict

engine = Engine()
trail = Trail("billing", "actiongate", "user:123")
engine.register(trail, AuditPolicy(integrity=IntegrityMode.CHAIN))


@engine.guard(trail)
def act():
    pass


def work():
    for _ in range(int(sys.argv[1])):
        engine.record(
            trail=trail, verdict=Verdict.ALLOW, severity=Severity.INFO, gate_type="g", gate_identity="i"
        )
        act()


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_four_threads_in_four_processes(tmp_path: Path) -> None:
    """Four threads in each of four processes make one chain, and no entry is missing in it."""
    program = FOUR_THREADS.replace(THEIR_IMPORT, OUR_IMPORT)
    settings = environ(tmp_path) | {"OTEL_AUDIT_DURABILITY": "os", "OTEL_AUDIT_LOCK_TIMEOUT": "60000"}
    command = [sys.executable, "-c", program, "25"]
    processes = [subprocess.Popen(command, env=settings) for _ in range(4)]
    try:
        assert [process.wait(60) for process in processes] == [0] * 4
    finally:
        for process in processes:
            process.kill()
    assert len(lines(tmp_path)) == 4 * 4 * 25 * 3
    whole = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [line["seq"] for line in whole] == list(range(1, len(whole) + 1))
    assert all(after["prev_hash"] == before["hash"] for before, after in itertools.pairwise(whole))


def test_leaves_by_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision reaches a log record processor behind the file, stamped with its place in the chain."""
    from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

    exporter = InMemoryLogRecordExporter()
    with capture_audit(processors=[SimpleLogRecordProcessor(exporter)]):
        entry = Engine().record(TRAIL, **REFUND, detail={"calls": 3, "list": [1]}).entry
        [record] = exporter.get_finished_logs()
    assert entry is not None
    sent = ExportLogsServiceRequest.FromString(encode_logs([record]).SerializeToString())
    [log_record] = sent.resource_logs[0].scope_logs[0].log_records
    attributes = {attribute.key: attribute.value for attribute in log_record.attributes}
    assert attributes["audit.integrity.hash"].string_value == entry.entry_hash
    assert attributes["audit.sequence.number"].int_value == entry.sequence
    assert {item.key for item in attributes["gate.detail"].kvlist_value.values} == {"calls", "list"}


def test_lock_that_another_holds(log: CapturedAudit) -> None:
    """A log that another process has locked for too long is a failure like any other."""
    with capture_audit(lock_timeout_millis=20) as locked:
        engine = Engine()
        engine.record(TRAIL, **REFUND)
        with open(locked.path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(AuditError, match="locked"):
                engine.record(TRAIL, **REFUND)
        assert engine.record(TRAIL, **REFUND).recorded
