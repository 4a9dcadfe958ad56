"""Every system call on a log's files fails, or is the last that its process makes: nothing is lost by it.

All cases, some ten minutes, with ``OTEL_AUDIT_TEST_FULL=1``; else a tenth of them.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.faults import strace, table
from tests.faults.aftermath import Aftermath, judge
from tests.faults.cases import Case, cases, faults_of
from tests.faults.operations import OPERATIONS, Operation
from tests.faults.strace import Call
from tests.faults.victim import Victim, emit
from tests.ledgers import FULL

WORKERS = 2


@pytest.fixture(scope="module")
def tracing() -> None:
    """Skip where processes cannot be traced."""
    if not strace.available():
        pytest.skip("strace is not installed, or may not trace")


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.name for operation in OPERATIONS])
def test_every_call_and_every_fault(operation: Operation) -> None:
    """No acknowledged record is missing, every byte is explained, and the next process goes on."""
    chosen = list(cases(operation))
    assert {case.call.name for case in chosen} >= {"openat", "flock", "write", "newfstatat", "lseek", "close"}
    if not FULL:
        chosen = random.Random(operation.name).sample(chosen, len(chosen) // 10)
    results = table.run(chosen, WORKERS)
    wrong = [f"{case}: {text}" for case, aftermath in results for text in aftermath.wrong]
    assert wrong == []
    sys.stdout.write(f"{len(results)} runs\n{table.render(results)}\n")


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize(
    ("name", "first", "errors"),
    [
        ("fdatasync", 2, ("EIO", "ENOSPC", "EDQUOT")),
        ("write", 2, ("ENOSPC", "EIO", "EDQUOT", "EROFS")),
        ("flock", 2, ("ENOLCK", "EINTR", "EIO")),
        ("lseek", 2, ("EIO",)),
        ("pread64", 1, ("EIO",)),
        ("openat", 2, ("EACCES", "EMFILE", "ESTALE")),
        ("fadvise64", 1, ("EIO",)),
    ],
)
def test_failures_that_come_and_go(name: str, first: int, errors: tuple[str, ...]) -> None:
    """A writer goes on between failures: nothing is lost, and each of its callers is told what became of it."""
    operation = Operation("eight appends to a torn log", OPERATIONS[2].prepare, 8)
    chosen = [Case(operation, Call(name, first), f"{error}{strace.EVERY_THIRD}") for error in errors]
    assert [f"{case}: {text}" for case, aftermath in table.run(chosen, WORKERS) for text in aftermath.wrong] == []


def test_what_the_judge_sees(tmp_path: Path) -> None:
    """A receipt without its entry is lost, changed bytes are unexplained, a refusal that stands is undeclared."""
    path = tmp_path / "a.jsonl"
    said: list[str] = []
    emit(Victim(str(path), 3), said.append)
    text = "".join(f"{line}\n" for line in said)
    assert judge(path, text).wrong == []
    receipt, _, record_id = said[0].removeprefix("ok ").partition(" ")
    assert judge(path, text.replace(receipt, receipt[:-4] + "beef")).lost
    assert judge(path, text.replace(record_id, record_id[::-1])).lost
    assert judge(path, text.replace(f"ok {receipt}", "no AuditWriteError")).undeclared
    path.write_bytes(path.read_bytes().replace(record_id.encode(), record_id[::-1].encode()))
    assert len(judge(path, text).unexplained) == 2
    path.write_bytes(b"{}\n")
    assert judge(path, "").stopped


def test_what_is_told_wrongly() -> None:
    """Whoever has no answer, hears nothing of a failure, or is refused without one, has been told wrongly."""
    operation = Operation("two appends", OPERATIONS[0].prepare, 2)

    def mistold(name: str, fault: str, out: str) -> list[str]:
        return list(Case(operation, Call(name, 1), fault).mistold(out))

    fine, refused = "ok 2:ab x\nok 3:cd y\n", "ok 2:ab x\nno AuditWriteError y\n"
    assert mistold("write", "EIO", fine) == ["nobody was told of the failure"]
    assert mistold("fdatasync", f"EIO{strace.EVERY_THIRD}", fine) == ["nobody was told of the failure"]
    assert (
        mistold("fdatasync", "EIO", refused) == mistold("close", "EIO", fine) == mistold("write", "EINTR", fine) == []
    )
    assert mistold("flock", "EINTR", refused) == ["refused after a call that was only interrupted"]
    assert mistold("lseek", "EIO", "ok 2:ab x\n") == ["expected 2 answers, got 1"]
    assert mistold("write", strace.KILL_AFTER, "") == mistold("write", "short write, killed", "") == []


def test_the_table() -> None:
    """The table counts runs by call and by fault, and shows what went wrong."""
    operation = OPERATIONS[1]
    results = [
        (Case(operation, Call("write", 1), "EIO for good"), Aftermath()),
        (Case(operation, Call("write", 2), "short write, killed"), Aftermath(lost=["1:00"], notes=["recovered"])),
        (Case(operation, Call("close", 2), "SIGKILL after"), Aftermath(unexplained=["x", "y"], mistold=["z"])),
    ]
    text = table.render(results)
    assert "| `write` | 1 | – | – | – | – | – | 1 | – | – | 2 | 1 | 0 | 0 | 0 | 0 |" in text
    assert "| all | 1 | – | – | – | – | – | 1 | – | 1 | 3 | 1 | 2 | 0 | 0 | 1 |" in text
    assert "| rotation | 3 | 3 | 1 | 2 | 0 | 0 | 1 | recovered 1 |" in text
    document = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    assert table.replace(document, text) == f"before\n{table.BEGIN}\n\n{text}\n\n{table.END}\nafter\n"


def test_the_table_in_the_documentation() -> None:
    """docs/reliability.md holds a table of this shape, of all operations and calls, with nothing lost."""
    document = table.DOCUMENT.read_text()
    text = document.partition(table.BEGIN)[2].partition(table.END)[0].strip()
    shown = [line.split(" | ") for line in text.splitlines() if line.startswith("|") and "---" not in line]
    shape = table.render(
        [(Case(one, Call(name, 1), "EIO"), Aftermath()) for one in OPERATIONS for name in strace.CALLS]
    )
    expected = [line.split(" | ") for line in shape.splitlines() if line.startswith("|") and "---" not in line]
    assert [cells[0] for cells in shown] == [cells[0] for cells in expected]
    assert [len(cells) for cells in shown] == [len(cells) for cells in expected]
    assert {cells for row in shown if "`" in row[0] for cells in row[-5:]} <= {"0", "0 |"}


def test_every_fault_that_is_asked_for() -> None:
    """Each call meets errors, interruption and both kills; calls that write meet what disks say, too."""
    for name in strace.CALLS:
        assert {"EIO", "ENOSPC", "EINTR", "SIGKILL before", "SIGKILL after"} <= set(faults_of(name))
    for name in ("openat", "write", "fdatasync", "fsync"):
        assert {"EDQUOT", "EROFS"} <= set(faults_of(name))
