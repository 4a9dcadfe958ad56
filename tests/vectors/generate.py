"""Write the test vectors: ``python -m tests.vectors.generate [FOLDER]`` from the checkout.

The same bytes each time: fixed clock, fixed UUIDs, nothing from ``otel_audit``. Without a folder
it writes beside itself.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.vectors.case import LogCase
from tests.vectors.line_cases import LineCases, containers, numbers, part, strings, white_space, whole_lines
from tests.vectors.log_cases_broken import broken_cases
from tests.vectors.log_cases_chain import chain_cases
from tests.vectors.log_cases_fragment import fragment_cases
from tests.vectors.log_cases_large import large_cases
from tests.vectors.log_cases_order import order_cases
from tests.vectors.log_cases_rotation import rotation_cases
from tests.vectors.log_cases_seal import seal_cases
from tests.vectors.log_cases_segment import segment_cases
from tests.vectors.member_cases import members
from tests.vectors.sealing import Members
from tests.vectors.value_cases import value_cases


def log_cases() -> list[LogCase]:
    """Return all cases of logs."""
    groups = (
        chain_cases,
        order_cases,
        broken_cases,
        seal_cases,
        fragment_cases,
        segment_cases,
        rotation_cases,
    )
    cases = [case for group in groups for case in group().all]
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise ValueError("two cases have one name")
    return cases


def write_json(path: Path, value: object) -> None:
    """Write JSON that reads the same in every editor: ASCII, one member a line."""
    path.write_bytes(json.dumps(value, indent=1, ensure_ascii=True).encode() + b"\n")


def write_log_case(folder: Path, case: LogCase) -> None:
    """Write the folder of one case."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in case.files.items():
        (folder / name).write_bytes(data)
    if case.key is not None:
        (folder / "hmac.key").write_bytes(case.key + b"\n")
    write_json(
        folder / "case.json",
        {
            "description": case.description,
            "options": case.options,
            "expected": case.expected(),
        },
    )


def parts(data: bytes) -> list[Members]:
    """Return a file as parts to be joined: a line each, and a byte that is repeated a thousand times apart."""
    found: list[Members] = []
    for match in re.finditer(rb"(?s)(.)\1{999,}|(?:(?!(.)\2{999})[^\n])*\n?", data):
        repeated, stretch = match[1], match[0]
        if repeated is not None:
            found.append(part(repeated, len(stretch)))
        elif stretch:
            found.append({"text": stretch.decode()})
    return found


def in_one(case: LogCase) -> Members:
    """Return a case as one member of ``large_logs.json``."""
    return {
        "name": case.name,
        "description": case.description,
        "files": {name: parts(data) for name, data in case.files.items()},
        "options": case.options,
        "expected": case.expected(),
    }


def main(folder: Path) -> None:
    """Write all vectors into a folder."""
    for case in log_cases():
        write_log_case(folder / "logs" / case.name, case)
    lines = LineCases()
    for add in (whole_lines, white_space, strings, numbers, containers, members):
        add(lines)
    write_json(folder / "lines.json", lines.all)
    write_json(folder / "values.json", value_cases())
    write_json(folder / "large_logs.json", [in_one(case) for case in large_cases().all])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
