"""Logs of several segments: segments that are gone, changed, renamed or another log's."""

from __future__ import annotations

from tests.vectors.case import Cases, Lines, changed, finding, replaced, without
from tests.vectors.log_cases_order import forged
from tests.vectors.sealing import (
    KEY,
    NAMES,
    OTHER_STREAM_ID,
    WRONG_HASH,
    hash_of,
    members_of,
    rotated_story,
    seal,
    sha256,
    text,
)

FIRST, SECOND, THIRD, FOURTH = NAMES
SUMS = "audit.sha256"

Files = dict[str, bytes]


def files(segments: list[Lines], *names: str) -> Files:
    """Return segments as files, without checksums."""
    return {name: text(lines) for name, lines in zip(names or NAMES, segments, strict=False)}


def sums(segments: list[Lines], closed: int = 2) -> Files:
    """Return the checksum file of so many closed segments."""
    lines = (f"{sha256(text(s))}  {n}\n" for s, n in zip(segments[:closed], NAMES, strict=False))
    return {SUMS: "".join(lines).encode()}


def having(segments: list[Lines], number: int, lines: Lines) -> list[Lines]:
    """Return the segments with other lines in one of them."""
    return [lines if n == number else old for n, old in enumerate(segments, 1)]


def whole(cases: Cases) -> None:
    """Logs without a fault."""
    log = rotated_story()
    cases.add("segments_sound", "Three segments as a writer leaves them.", files(log) | sums(log))
    cases.add(
        "segments_anchored",
        "The last entry of the last segment is anchored: all three are proved.",
        files(log) | sums(log),
        anchors=[f"14:{hash_of(log[2][-1])}"],
        require_anchor=True,
    )
    cases.add("segments_no_checksums", "There is no checksum file: the chain decides.", files(log))
    cases.add(
        "segments_checksum_missing",
        "The checksum file has no line for the second segment.",
        files(log) | sums(log, 1),
    )
    keyed = rotated_story(key=KEY)
    cases.add("segments_keyed", "Three segments with a key.", files(keyed) | sums(keyed), key=KEY)


def gone(cases: Cases) -> None:
    """Segments that are not there."""
    log = rotated_story()
    all_files = files(log) | sums(log)

    def left(*names: str) -> Files:
        return {name: data for name, data in all_files.items() if name not in names}

    cases.add(
        "segment_first_missing", "The first is gone.", left(FIRST), finding("segment_missing", None, None, file=FIRST)
    )
    cases.add(
        "segment_middle_missing",
        "The second is gone: it explains the entries that are missing.",
        left(SECOND),
        finding("segment_missing", None, None, file=SECOND),
    )
    cases.add(
        "segment_last_missing",
        "The third is gone, and the second says that it follows.",
        left(THIRD),
        finding("segment_missing", None, None, file=THIRD),
    )
    cases.add(
        "segment_last_missing_anchored",
        "The same, and the last entry is anchored: the missing segment explains it.",
        left(THIRD),
        finding("segment_missing", None, None, file=THIRD),
        anchors=[f"14:{hash_of(log[2][-1])}"],
    )
    cases.add(
        "segment_middle_missing_anchored",
        "The second is gone, and one of its entries is anchored.",
        left(SECOND),
        finding("segment_missing", None, None, file=SECOND),
        anchors=[f"9:{hash_of(log[1][2])}"],
    )
    cases.add(
        "segments_two_missing",
        "The first and the second are gone: adjoining, so one finding with a count.",
        left(FIRST, SECOND),
        finding("segment_missing", None, None, count=2, file=FIRST),
    )
    cases.add(
        "segment_missing_and_edited",
        "The third is gone and a line of the second is edited: two faults, two findings.",
        left(THIRD) | {SECOND: text(changed(log[1], 4, replaced(b"ana@example.com", b"eve@example.com")))},
        finding("edited", 4, 10, file=SECOND),
        finding("segment_missing", None, None, file=THIRD),
    )
    cases.add(
        "segment_last_emptied",
        "The third has no bytes: a crash in a rotation leaves it so, and no entry of it is known.",
        all_files | {THIRD: b""},
    )
    cases.add(
        "segment_middle_emptied",
        "The second has no bytes.",
        all_files | {SECOND: b""},
        finding("gap", 1, 7, count=5, file=THIRD),
    )
    for mode in ("hash", "none"):
        other = rotated_story(mode)
        cases.add(
            f"{mode}_segment_middle_missing",
            f"Mode {mode}: the second segment is gone.",
            {name: data for name, data in files(other).items() if name != SECOND},
            finding("segment_missing", None, None, file=SECOND),
            mode=mode,
            integrity=mode,
        )


def misplaced(cases: Cases) -> None:
    """Segments under another name, twice, or from another log."""
    log = rotated_story()
    theirs = rotated_story(stream_id=OTHER_STREAM_ID)
    cases.add(
        "segments_swapped",
        "The second and the third have changed names: the entries of one of them are out of order.",
        files([log[0], log[2], log[1]]) | sums(log),
        finding("reordered", 1, 12, count=3, file=SECOND),
    )
    cases.add(
        "segments_swapped_first",
        "The first and the second have changed names.",
        files([log[1], log[0], log[2]]) | sums(log),
        finding("reordered", 1, 7, count=5),
    )
    cases.add(
        "segment_renamed",
        "The second is gone and the third has its name.",
        files([log[0], log[2]]) | sums(log),
        finding("gap", 1, 7, count=5, file=SECOND),
    )
    cases.add(
        "segment_twice",
        "A copy of the second stands behind the third.",
        files([*log, log[1]]) | sums(log),
        finding("duplicate", 1, 7, count=5, file=FOURTH),
    )
    cases.add(
        "segment_first_of_another_log",
        "The first is another log's: what it declares is held against the others, which are left over.",
        files([theirs[0], *log[1:]]) | sums(log),
        finding("inserted", 1, 7, count=5, file=SECOND),
        finding("inserted", 1, 12, count=3, file=THIRD),
    )
    cases.add(
        "segment_middle_of_another_log",
        "The second is another log's, of the same length.",
        files([log[0], theirs[1], log[2]]) | sums(log),
        finding("inserted", 1, 7, count=5, file=SECOND),
    )
    cases.add(
        "segment_behind_of_another_log",
        "Behind the last stands a segment of another log.",
        files([*log, theirs[0]]) | sums(log),
        finding("inserted", 1, 1, count=6, file=FOURTH),
    )


def changed_lines(cases: Cases) -> None:
    """Lines of closed segments: the line is the finding, not the segment's digest."""
    log = rotated_story()

    def add(name: str, description: str, number: int, lines: Lines, *findings: dict[str, object]) -> None:
        cases.add(name, description, files(having(log, number, lines)) | sums(log), *findings)

    body = replaced(b"order-1881", b"order-1882")
    add("segment_line_edited", "Line 3 of the first is edited.", 1, changed(log[0], 3, body), finding("edited", 3, 3))
    add("segment_line_dropped", "Line 3 of the first is gone.", 1, without(log[0], 3), finding("gap", 3, 3))
    add(
        "segment_tail_cut",
        "The last two lines of the first are gone.",
        1,
        log[0][:4],
        finding("gap", 1, 5, count=2, file=SECOND),
    )
    add(
        "segment_head_cut",
        "The first two lines of the second are gone.",
        2,
        log[1][2:],
        finding("gap", 1, 7, count=2, file=SECOND),
    )
    add(
        "segment_line_malformed",
        "Line 3 of the first lost its last byte.",
        1,
        changed(log[0], 3, lambda line: line[:-1]),
        finding("malformed", 3, None),
    )
    add(
        "segment_line_doubled",
        "Line 3 of the first stands twice.",
        1,
        [*log[0][:3], *log[0][2:]],
        finding("duplicate", 4, 3),
    )
    add(
        "segment_line_doubled_behind_rotated",
        "Line 3 of the first stands again as its last line.",
        1,
        [*log[0], log[0][2]],
        finding("duplicate", 7, 3),
    )
    add(
        "segment_line_inserted",
        "A forged entry that nothing leads to stands in the first.",
        1,
        [*log[0][:3], forged(4, WRONG_HASH, "a"), *log[0][3:]],
        finding("inserted", 4, 4),
    )
    add(
        "segment_line_behind_rotated",
        "A forged entry stands behind the last of the first, whose place in the chain it claims to follow.",
        1,
        [*log[0], forged(7, hash_of(log[0][5]), "a")],
        finding("forked", 7, 7),
    )
    moved = having(having(log, 1, without(log[0], 3)), 3, [*log[2][:2], log[0][2], *log[2][2:]])
    cases.add(
        "segment_line_moved",
        "Line 3 of the first stands in the third.",
        files(moved) | sums(log),
        finding("reordered", 3, 3, file=THIRD),
    )
    copied = having(log, 1, [*log[0][:2], log[2][1], *log[0][2:]])
    cases.add(
        "segment_line_copied_up",
        "Line 2 of the third stands in the first, too: the later of the two is the copy.",
        files(copied) | sums(log),
        finding("duplicate", 2, 13, file=THIRD),
    )
    add(
        "segment_not_torn",
        "The last line of the first has no LF: only the last segment can be torn.",
        1,
        log[0],
        finding("malformed", 6, None),
    )
    cases.all[-1].files[FIRST] = text(log[0])[:-1]


def witnesses(cases: Cases) -> None:
    """What the next segment and the checksum file say."""
    log = rotated_story()
    wrong = [WRONG_HASH + line[64:] for line in sums(log)[SUMS].decode().split("\n")[:-1]]
    right = sums(log)[SUMS].decode().split("\n")[:-1]

    def noted(*lines: str) -> Files:
        return {SUMS: "".join(line + "\n" for line in lines).encode()}

    cases.add(
        "checksum_edited",
        "The checksum of the first is another; the chain agrees with the bytes: a warning on the checksum file.",
        files(log) | noted(wrong[0], right[1]),
        finding("segment_altered", None, None, severity="warning", file=SUMS),
    )
    cases.add(
        "checksum_of_last_closed_edited",
        "The checksum of the second is another, and the third says what the second was.",
        files(log) | noted(right[0], wrong[1]),
        finding("segment_altered", None, None, severity="warning", file=SUMS),
    )
    cases.add(
        "checksum_is_only_witness",
        "The third has no bytes, and the checksum of the second is another: nothing else knows the second.",
        files([*log[:2], []]) | noted(right[0], wrong[1]),
        finding("segment_altered", None, None, file=SECOND),
    )
    end = [members_of(line) for line in log[1][3:]]
    end[0]["event_name"] = "mail.read"
    anew = log[1][:3]
    for members in end:
        anew = [*anew, seal({**members, "prev_hash": hash_of(anew[-1])})]
    cases.add(
        "segment_resealed_to_end",
        "The second is sealed anew from its line 4, and the third has no bytes: the checksum file knows it.",
        files([log[0], anew, []]) | sums(log),
        finding("segment_altered", None, None, file=SECOND),
    )
    cases.add(
        "segments_cut_behind_rotation",
        "The third is gone and the last line of the second, too: the checksum file knows a longer one.",
        files([log[0], log[1][:4]]) | sums(log),
        finding("segment_altered", None, None, file=SECOND),
    )
    cases.add(
        "segments_cut_behind_rotation_anchored",
        "The same, and the last entry is anchored: explained.",
        files([log[0], log[1][:4]]) | sums(log),
        finding("segment_altered", None, None, file=SECOND),
        anchors=[f"14:{hash_of(log[2][-1])}"],
    )
    cases.add(
        "segments_cut_to_one",
        "Only the first is left, and its last two lines are gone.",
        files([log[0][:3]]) | sums(log),
        finding("segment_altered", None, None),
    )
    for mode in ("hash", "none"):
        other = rotated_story(mode)
        lines = changed(other[0], 3, replaced(b"order-1881", b"order-1882"))
        if mode == "hash":
            lines = [seal(members_of(line)) for line in lines]
        cases.add(
            f"{mode}_segment_resealed",
            f"Mode {mode}: a line of the first is edited and fits itself; the second knows the first by its digest.",
            files(having(other, 1, lines)) | sums(other),
            finding("segment_altered", None, None),
            mode=mode,
            integrity=mode,
        )


def segment_cases() -> Cases:
    """Return the cases of this module."""
    cases = Cases()
    for group in (whole, gone, misplaced, changed_lines, witnesses):
        group(cases)
    return cases
