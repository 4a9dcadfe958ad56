"""The four failure modes of the AuditGate interface, with each way to fail: the table in docs/migrating.md."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from otel_audit import AuditProvider, read_log, set_audit_provider, verify_log
from otel_audit.compat.auditgate import AuditError, AuditPolicy, Engine, Result
from otel_audit.pipeline.exporter import AuditFileLogExporter
from tests.auditgate import POLICIES, REFUND, TRAIL, FailingStore
from tests.disk import fill

PAGE = Path(__file__).parents[2] / "docs/migrating.md"
HEADER = "| policy | what fails | `record` | `guard` | `guard_result` | declared as lost |"
PAGE_BYTES = 4096
SHORTEST_LINE_BYTES = 400


@contextlib.contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Leave no room on the log's disk meanwhile."""
    filler = fill(path.parent)
    yield
    filler.unlink()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the log's lock meanwhile, as another process would."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ways(engine: Engine, policy: AuditPolicy) -> list[str]:
    """Record, and call a function under each guard; return in words what came of each."""
    ran: list[int] = []

    def work() -> int:
        ran.append(1)
        return 7

    told = []
    calls: list[Callable[[], object]] = [
        lambda: engine.record(TRAIL, **REFUND, policy=policy),
        engine.guard(TRAIL, policy=policy)(work),
        engine.guard_result(TRAIL, policy=policy)(work),
    ]
    for number, call in enumerate(calls):
        ran.clear()
        try:
            answer = call()
        except AuditError as error:
            with_result = ", with its result" if error.result.ok else ""
            told.append(
                "raises" if number == 0 else f"runs, then raises{with_result}" if ran else "raises, does not run"
            )
            continue
        decision = answer.decision if isinstance(answer, Result) else answer
        if isinstance(answer, Result):
            assert answer.unwrap_or(0) == (7 if ran else 0)
        how = "" if number == 0 else "runs" if ran else "does not run"
        dropped = "" if decision == 7 else "returns DROPPED"
        told.append(", ".join(filter(None, (dropped, how))))
    return told


def measure_log(path: Path, policy: AuditPolicy, failing: Callable[[Path], AbstractContextManager[None]]) -> list[str]:
    """Return the cells of a row for the audit log, which verifies when it works again."""
    provider = AuditProvider(AuditFileLogExporter(path, durability="always", lock_timeout_millis=10))
    before = set_audit_provider(provider)
    try:
        engine = Engine()
        engine.record(TRAIL, **REFUND)
        while -path.stat().st_size % PAGE_BYTES > SHORTEST_LINE_BYTES:  # room in the log's own last page
            engine.record(TRAIL, **REFUND)
        with failing(path):
            cells = ways(engine, policy)
        assert engine.record(TRAIL, **REFUND).recorded
    finally:
        set_audit_provider(before)
        provider.shutdown()
    assert verify_log(path).intact
    lost = sum(
        entry.attributes["audit.dropped.count"]  # type: ignore[misc]
        for entry in read_log(path, event_name="audit.log.dropped")
    )
    return [*cells, str(lost) if lost else "–"]


def documented() -> list[list[str]]:
    """Return the rows of the page's table."""
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index(HEADER) :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def test_the_table_is_what_happens(disk: Path) -> None:
    """Each row of the page's table is what was measured: a store that raises, a full disk, a lock that timed out."""
    rows = []
    for name, policy in POLICIES.items():
        rows.append([name, "store raises", *ways(Engine(store=FailingStore()), policy), "–"])
        for what, failing in (("disk full", full_disk), ("lock timed out", locked)):
            folder = disk / f"{name} {what}"
            folder.mkdir()
            rows.append([name, what, *measure_log(folder / "audit.jsonl", policy, failing)])
            shutil.rmtree(folder)
    shown = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    assert rows == documented(), f"expected this table in {PAGE.name}:\n{HEADER}\n{shown}"
