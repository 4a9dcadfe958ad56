"""Logs with lines and fragments about the 1 MiB that a line may have, and longer than any buffer."""

from __future__ import annotations

from tests.vectors.case import Cases, finding
from tests.vectors.line_cases import MAX_LINE_BYTES
from tests.vectors.sealing import begun, text


def entry_of(size_bytes: int) -> list[bytes]:
    """Return a log whose entry 6 has so many bytes with its LF, and is well linked and sealed."""
    writer, work = begun(4)
    target = {"audit.target.id": "reports/refunds.csv", "audit.target.type": "file"}

    shortest = len(writer.copy().record("file.write", target, action="WRITE", body="a"))
    writer.record("file.write", target, action="WRITE", body="a" * (size_bytes - shortest))
    for act in work[1:3]:
        act()
    writer.closed()
    return writer.lines


def large_cases() -> Cases:
    """Return the cases of this module."""
    cases = Cases()
    cases.add(
        "one_mebibyte", "Line 6 has 1,048,576 bytes with its LF, which a line may have.", entry_of(MAX_LINE_BYTES)
    )
    longer = entry_of(MAX_LINE_BYTES + 1)
    cases.add(
        "over_one_mebibyte",
        "Line 6 has 1,048,577 bytes with its LF: no entry, though its hash is right and line 7 names it.",
        longer,
        finding("malformed", 6, None),
    )
    cases.add(
        "over_one_mebibyte_at_end",
        "The same as the last line.",
        longer[:6],
        finding("malformed", 6, None),
    )
    writer, _ = begun(8)
    head, hole = text(writer.lines), b"\0" * (2 * MAX_LINE_BYTES)
    cases.add(
        "torn_over_two_mebibytes",
        "The last line is a hole of 2 MiB of NUL bytes.",
        head + hole,
        finding("torn", 10, None),
    )
    held = len(writer.lines)
    writer.recovered(hole, len(head))
    writer.closed()
    cases.add(
        "recovered_over_two_mebibytes",
        "A hole of 2 MiB of NUL bytes, and the entry that declares it.",
        head + hole + b"\n" + text(writer.lines[held:]),
        finding("recovered", 10, 10, severity="info"),
    )
    return cases
