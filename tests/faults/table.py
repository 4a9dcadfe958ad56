"""Runs every case, prints the table, and writes it into docs/reliability.md.

``python -m tests.faults.table`` from the top of the repository; some ten minutes on two cores.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from tests.faults.aftermath import Aftermath
from tests.faults.cases import Case, cases
from tests.faults.operations import OPERATIONS
from tests.faults.strace import CALLS, FOR_GOOD, KILL_AFTER, KILL_BEFORE

DOCUMENT: Final = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
BEGIN: Final = "<!-- faults: written by python -m tests.faults.table -->"
END: Final = "<!-- faults: end -->"

Result = tuple[Case, Aftermath]

_COLUMNS: Final = ("EIO", "ENOSPC", "EINTR", "EDQUOT, EROFS", "ESTALE, EBADF", "others", "short write")
_KILLS: Final = (KILL_BEFORE, KILL_AFTER)
_WRONG: Final = ("lost", "unexplained", "undeclared", "stopped", "mistold")


def run(chosen: Sequence[Case], workers: int) -> list[Result]:
    """Run cases, some at a time."""
    with ProcessPoolExecutor(workers) as pool:
        return list(zip(chosen, pool.map(Case.run, chosen), strict=True))


def render(results: Iterable[Result]) -> str:
    """Return the two tables: by system call, and by what the victim did."""
    results = list(results)
    by_call = [[result for result in results if result[0].call.name == name] for name in CALLS]
    rows = [[f"`{name}`", *_cells(some)] for name, some in zip(CALLS, by_call, strict=True) if some]
    rows.append(["all", *_cells(results)])
    first = _table(["system call", *_COLUMNS, *_KILLS, "runs", *_WRONG], rows)
    rows = []
    for operation in OPERATIONS:
        some = [result for result in results if result[0].operation.name == operation.name]
        calls = len({case.call for case, _ in some})
        notes = Counter(kind for _, aftermath in some for kind in aftermath.notes)
        told = ", ".join(f"{kind} {count}" for kind, count in sorted(notes.items())) or "–"
        rows.append([operation.name, str(calls), str(len(some)), *_wrong(some), told])
    second = _table(["what the process did", "calls", "runs", *_WRONG, "what the verifier tells"], rows)
    return f"{first}\n\n{second}"


def replace(document: str, tables: str) -> str:
    """Return the document with these tables between its markers."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def _cells(results: Sequence[Result]) -> list[str]:
    counts = Counter(_column(case) for case, _ in results)
    return [str(counts[column] or "–") for column in (*_COLUMNS, *_KILLS)] + [str(len(results)), *_wrong(results)]


def _wrong(results: Sequence[Result]) -> list[str]:
    return [str(sum(len(getattr(aftermath, word)) for _, aftermath in results)) for word in _WRONG]


def _column(case: Case) -> str:
    fault = case.fault.removesuffix(FOR_GOOD)
    if fault in _KILLS:
        return fault
    return next((column for column in _COLUMNS if fault in column.split(", ") or fault.startswith(column)), "others")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run everything; exit with 1 where something is wrong, and then leave the document alone."""
    began = time.monotonic()
    chosen = [case for operation in OPERATIONS for case in cases(operation)]
    results = run(chosen, os.cpu_count() or 1)
    tables = render(results)
    wrong = [f"{case}: {text}" for case, aftermath in results for text in aftermath.wrong]
    sys.stdout.write(f"{tables}\n")
    sys.stderr.write("".join(f"{line}\n" for line in wrong) + f"{time.monotonic() - began:.0f} s\n")
    if wrong:
        return 1
    DOCUMENT.write_text(replace(DOCUMENT.read_text(), tables))
    return 0


if __name__ == "__main__":
    sys.exit(main())
