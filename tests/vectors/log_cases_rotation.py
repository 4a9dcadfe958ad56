"""Rotations: what a crash at each of their steps leaves, and rotations that no writer makes."""

from __future__ import annotations

from tests.vectors.case import Cases, Lines, finding
from tests.vectors.log_cases_segment import FIRST, SECOND, SUMS, THIRD, files, sums
from tests.vectors.sealing import Members, Writer, begun, previous, rotated_story, sha256, text


def crashes(cases: Cases) -> None:
    """A crash behind each step of a rotation, and what the next writer makes of it."""
    log = rotated_story()
    first, second = log[0], log[1]
    one = {FIRST: text(first)}
    cases.add(
        "rotation_file_made",
        "The next file is there and empty; the first segment is not yet finished.",
        {FIRST: text(first[:5]), SECOND: b""},
    )
    cases.add(
        "rotation_torn",
        "The next file is there and empty; the entry that finishes the first segment is torn.",
        {FIRST: text(first[:5]) + first[5][:200], SECOND: b""},
        finding("torn", 6, None),
    )
    cases.add("rotation_finished", "The first segment is finished; it has no checksum yet.", one | {SECOND: b""})
    cases.add("rotation_noted", "It has a checksum; the next file is still empty.", one | {SECOND: b""} | sums(log, 1))
    cases.add(
        "rotation_checksum_torn",
        "The line of the checksum file is torn, and the writer that went on wrote it again.",
        one | {SECOND: b"", SUMS: sums(log, 1)[SUMS][:40] + b"\n" + sums(log, 1)[SUMS]},
    )
    cases.add(
        "rotation_opened_torn",
        "The first entry of the next segment is torn.",
        one | {SECOND: second[0][:200]} | sums(log, 1),
        finding("torn", 1, None, file=SECOND),
    )
    fragment = second[0][:200]
    writer, _ = begun(4)
    writer.rotated(1)
    head = text(writer.lines)
    writer.opened(
        {
            "audit.segment.number": 2,
            **previous(1, head),
            "audit.fragment.offset": 0,
            "audit.fragment.length": len(fragment),
            "audit.fragment.sha256": sha256(fragment),
        }
    )
    writer.closed()
    cases.add(
        "rotation_opened_recovered",
        "The next writer's first entry declares the torn one before it.",
        {FIRST: head, SECOND: fragment + b"\n" + text(writer.lines[6:])},
        finding("recovered", 1, 7, severity="info", file=SECOND),
    )
    writer, _ = begun(4)
    half = text(writer.lines)
    torn = writer.copy().rotated(1)[:200]
    writer.recovered(torn, len(half))
    writer.rotated(1)
    head = half + torn + b"\n" + text(writer.lines[5:])
    writer.opened({"audit.segment.number": 2, **previous(1, head)})
    cases.add(
        "rotation_recovered",
        "The entry that finishes the segment was torn, declared and written again.",
        {FIRST: head, SECOND: text(writer.lines[7:])},
        finding("recovered", 6, 6, severity="info"),
    )


def forged_rotations(cases: Cases) -> None:
    """Entries that are linked and sealed as they should be, and say what is not so."""

    def add(
        name: str,
        description: str,
        more: Members,
        *findings: dict[str, object],
        to: str | None = None,
        behind: int = 0,
        opened: bool = True,
    ) -> None:
        writer, work = begun(4)
        writer.rotated(1, to=to)
        for act in work[:behind]:
            act()
        first: Lines = list(writer.lines)
        if opened:
            writer.opened({"audit.segment.number": 2, **previous(1, text(first)), **more})
        for act in work[behind:]:
            act()
        cases.add(name, description, files([first, writer.lines[len(first) :]]), *findings)

    altered = finding("segment_altered", None, None)
    add(
        "previous_size_wrong",
        "The second segment gives another size of the first.",
        {"audit.segment.previous.size": 1},
        altered,
    )
    add(
        "previous_sha256_wrong",
        "The second segment gives another SHA-256 of the first.",
        {"audit.segment.previous.sha256": "5e" * 32},
        altered,
    )
    add(
        "previous_name_wrong",
        "The second segment names another file as the one before.",
        {"audit.segment.previous.name": "other.jsonl"},
        altered,
    )
    add(
        "segment_number_wrong",
        "The second segment says that it is the third.",
        {"audit.segment.number": 3},
        finding("segment_altered", 1, 7, file=SECOND),
    )
    add(
        "segment_not_opened",
        "The second segment begins with an ordinary entry.",
        {},
        finding("segment_altered", 1, 7, file=SECOND),
        opened=False,
    )
    add(
        "rotated_to_another_name",
        "The last entry of the first segment names another file as the next.",
        {},
        finding("segment_altered", 6, 6),
        to=THIRD,
    )
    add(
        "entries_behind_rotated",
        "Two entries stand behind the one that finishes the first segment.",
        {},
        finding("segment_altered", 6, 6),
        behind=2,
    )
    writer = Writer()
    writer.opened({"audit.segment.number": 2})
    writer.closed()
    cases.add(
        "segment_second_as_first",
        "The first segment says that it is the second; its chain begins at genesis.",
        writer.lines,
        finding("segment_altered", 1, 1),
    )


def joined(cases: Cases) -> None:
    """Files put together."""
    log = rotated_story()
    cases.add(
        "segments_joined",
        "The third stands behind the second in one file: entries behind the one that finishes a segment.",
        files([log[0], log[1] + log[2]]) | sums(log),
        finding("segment_altered", None, None, file=SECOND),
    )
    cases.add(
        "segment_appended_to_another",
        "The second stands behind the first in one file, and in its own.",
        files([log[0] + log[1], log[1], log[2]]) | sums(log),
        finding("duplicate", 1, 7, count=5, file=SECOND),
    )
    cases.add(
        "segment_opened_copied_up",
        "The first line of the second stands in the first, too: the later of the two is the copy.",
        files([[*log[0][:3], log[1][0], *log[0][3:]], log[1], log[2]]) | sums(log),
        finding("duplicate", 1, 7, file=SECOND),
    )


def rotation_cases() -> Cases:
    """Return the cases of this module."""
    cases = Cases()
    for group in (crashes, forged_rotations, joined):
        group(cases)
    return cases
