"""Logs in mode ``chain``: sound ones, cut ones, changed ones."""

from __future__ import annotations

from tests.vectors.case import Cases, Lines, changed, finding, replaced, without
from tests.vectors.sealing import (
    GENESIS,
    WRONG_HASH,
    begun,
    hash_of,
    members_of,
    seal,
    story,
    uuid,
)


def resealed_from(lines: Lines, at: int) -> Lines:
    """Return the lines with line ``at`` and all behind it linked and sealed anew."""
    done = lines[: at - 1]
    for line in lines[at - 1 :]:
        members = members_of(line)
        members["prev_hash"] = hash_of(done[-1]) if done else GENESIS
        members["seq"] = len(done) + 1
        done.append(seal(members))
    return done


def sound(cases: Cases) -> None:
    """Logs without a fault."""
    log = story().lines
    cases.add("sound", "Ten entries as a writer leaves them.", log)
    cases.add(
        "sound_one_entry",
        "A log that was opened and nothing more.",
        log[:1],
    )
    cases.add(
        "sound_anchored",
        "The last entry is anchored: the log is whole and its end is proved.",
        log,
        anchors=[f"10:{hash_of(log[9])}"],
        require_anchor=True,
    )
    cases.add(
        "sound_anchored_in_the_middle",
        "An anchor on entry 5 proves entries 1 to 5; it is an anchor that matched.",
        log,
        anchors=[f"5:{hash_of(log[4])}"],
        require_anchor=True,
    )
    cases.add(
        "sound_anchor_required",
        "An anchor was asked for and none was given: exit status 3.",
        log,
        require_anchor=True,
        exit_status=3,
    )
    hostile, _ = begun(1)
    hostile.record(
        "file.write",
        {
            "note": "U+2028 \u2028, U+2029 \u2029, U+0085 \u0085 and U+FEFF \ufeff end no line",
            "seal": ',"hash":"' + "0" * 64 + '"}',
            "\u001b[31m": "\u0000\u001b\u007f\r\n",
            "": {"$bytes": "AAH/"},
            "$$bytes": "a given name that began with a dollar sign",
            "float": [0.0, -0.0, 1e308, 5e-324, 9223372036854775807, -9223372036854775808],
        },
        body={"seq": 1, "hash": WRONG_HASH},
    )
    hostile.closed()
    cases.add(
        "sound_hostile_values",
        "Line separators of Unicode, bytes that look like a seal, control characters in names.",
        hostile.lines,
    )
    twice, _ = begun(1)
    twice.record("file.read", {"audit.target.id": "a.txt"}, action="READ", name="same")
    twice.record("file.read", {"audit.target.id": "b.txt"}, action="READ", name="same")
    cases.add(
        "sound_repeated_record_id",
        "Two different entries carry one audit.record.id: that is no finding.",
        twice.lines,
    )
    later, _ = begun(1)
    later.lifecycle("weighed", {"audit.scale.id": "s-1"})
    later.closed()
    cases.add(
        "sound_unknown_lifecycle_event",
        "A lifecycle event that this version does not know is an ordinary entry.",
        later.lines,
    )
    again, _ = begun(1)
    again.closed()
    again.opened({"audit.writer.id": uuid("second writer")})
    again.record("file.read", {"audit.target.id": "a.txt"}, action="READ")
    cases.add(
        "sound_reopened",
        "A second writer opens the log and goes on: its audit.log.opened agrees with the first.",
        again.lines,
    )


def cut(cases: Cases) -> None:
    """Entries that are gone."""
    log = story().lines
    cases.add(
        "cut_tail",
        "The last two lines are gone. Nothing inside the file can show it: no finding.",
        log[:8],
    )
    cases.add(
        "cut_tail_anchored",
        "The last two lines are gone, and an anchor lies on entry 10.",
        log[:8],
        finding("truncated", 8, 9, count=2),
        anchors=[f"10:{hash_of(log[9])}"],
    )
    cases.add(
        "cut_head_one",
        "The first line is gone.",
        log[1:],
        finding("gap", 1, 1),
    )
    cases.add(
        "cut_head",
        "The first three lines are gone.",
        log[3:],
        finding("gap", 1, 1, count=3),
    )
    cases.add("dropped", "Line 6 is gone.", without(log, 6), finding("gap", 6, 6))
    cases.add(
        "dropped_two_adjoining",
        "Lines 2 and 3 are gone.",
        without(log, 2, 3),
        finding("gap", 2, 2, count=2),
    )
    cases.add(
        "dropped_twice",
        "Lines 3 and 9 are gone: two faults, two findings.",
        without(log, 3, 9),
        finding("gap", 3, 3),
        finding("gap", 8, 9),
    )
    cases.add(
        "dropped_near",
        "Lines 3 and 6 are gone: entries 4 and 5 are not left over, though the chain behind 7 is longer.",
        without(log, 3, 6),
        finding("gap", 3, 3),
        finding("gap", 5, 6),
    )
    cases.add(
        "dropped_every_second",
        "Lines 3, 5, 7 and 9 are gone: four faults, four findings.",
        without(log, 3, 5, 7, 9),
        finding("gap", 3, 3),
        finding("gap", 4, 5),
        finding("gap", 5, 7),
        finding("gap", 6, 9),
    )
    cases.add(
        "dropped_before_malformed",
        "Lines 3 and 4 are gone and line 8 lost its last byte: the entries between belong to the chain.",
        without(changed(log, 8, lambda line: line[:-1]), 3, 4),
        finding("gap", 3, 3, count=2),
        finding("malformed", 6, None),
    )
    cases.add(
        "cut_under_writer",
        "The log was cut to five entries while a writer had it open; it went on with entry 9.",
        [*log[:5], *log[8:]],
        finding("gap", 6, 6, count=3),
    )
    cases.add(
        "dropped_anchored",
        "Line 6 is gone, and an anchor lies on entry 6: the gap explains it.",
        without(log, 6),
        finding("gap", 6, 6),
        anchors=[f"6:{hash_of(log[5])}"],
    )
    cases.add(
        "dropped_resealed",
        "Line 6 is gone and all behind it is numbered, linked and sealed anew: no finding.",
        resealed_from(without(log, 6), 6),
    )
    cases.add(
        "dropped_resealed_anchored",
        "The same, and an anchor lies on entry 10, which is now beyond the end.",
        resealed_from(without(log, 6), 6),
        finding("truncated", 9, 10),
        anchors=[f"10:{hash_of(log[9])}"],
    )


def changes(cases: Cases) -> None:
    """Entries that were changed, and sealed anew."""
    log = story().lines
    body = replaced(b"merci", b"danke")
    cases.add("edited_body", "One word of line 6 is another.", changed(log, 6, body), finding("edited", 6, 6))
    cases.add(
        "edited_first_line",
        "The writer's version in line 1 is another.",
        changed(log, 1, replaced(b'"audit.writer.version":"0.1.0"', b'"audit.writer.version":"0.1.1"')),
        finding("edited", 1, 1),
    )
    cases.add(
        "edited_last_line",
        "The count of entries in the last line is another.",
        changed(log, 10, replaced(b'"audit.writer.entries":8', b'"audit.writer.entries":7')),
        finding("edited", 10, 10),
    )
    cases.add(
        "edited_anchored",
        "One word of line 6 is another, and the last entry is anchored: still one finding.",
        changed(log, 6, body),
        finding("edited", 6, 6),
        anchors=[f"10:{hash_of(log[9])}"],
    )
    cases.add(
        "edited_two_adjoining",
        "Lines 2 and 3 are edited: edited lines are a finding each.",
        changed(changed(log, 2, replaced(b"ticket.read", b"ticket.edit")), 3, replaced(b'"allow"', b'"block"')),
        finding("edited", 2, 2),
        finding("edited", 3, 3),
    )
    own = hash_of(log[5]).encode()
    cases.add(
        "edited_hash",
        "The hash of line 6 is another.",
        changed(log, 6, replaced(b'"hash":"' + own, b'"hash":"' + WRONG_HASH.encode())),
        finding("edited", 6, 6),
    )
    before = hash_of(log[4]).encode()
    cases.add(
        "edited_prev_hash",
        "The prev_hash of line 6 is another.",
        changed(log, 6, replaced(before, WRONG_HASH.encode())),
        finding("edited", 6, 6),
    )
    cases.add(
        "edited_seq",
        "The seq of line 6 is 60.",
        changed(log, 6, replaced(b'{"seq":6,', b'{"seq":60,')),
        finding("edited", 6, 60),
    )
    cases.add(
        "edited_seq_to_the_next",
        "The seq of line 9 is 10, as that of line 10: the sound one of the two is the entry.",
        changed(log, 9, replaced(b'{"seq":9,', b'{"seq":10,')),
        finding("edited", 9, 10),
    )
    cases.add(
        "edited_time",
        "The time of line 6 is an hour earlier.",
        changed(log, 6, replaced(b'"time":"2025-03-01T09', b'"time":"2025-03-01T08')),
        finding("edited", 6, 6),
    )
    cases.add(
        "edited_white_space",
        "A string in line 6 has a space more; the JSON is as sound as before.",
        changed(log, 6, replaced("日本".encode(), "日 本".encode())),
        finding("edited", 6, 6),
    )
    cases.add(
        "edited_spelling",
        "One letter of line 6 is written as an escape: the same JSON value, other bytes.",
        changed(log, 6, replaced(b"merci", b"\\u006derci")),
        finding("edited", 6, 6),
    )
    cases.add(
        "resealed_middle",
        "Line 6 is edited and sealed anew; line 7 still names the hash it had.",
        changed(log, 6, lambda line: seal(members_of(body(line)))),
        finding("edited", 6, 6),
    )
    resealed = resealed_from(changed(log, 6, body), 6)
    cases.add(
        "resealed_to_end",
        "Line 6 is edited, it and all behind it sealed anew: without an anchor, no finding.",
        resealed,
    )
    cases.add(
        "resealed_to_end_anchored",
        "The same, and the last entry is anchored.",
        resealed,
        finding("diverged", 10, 10),
        anchors=[f"10:{hash_of(log[9])}"],
    )
    cases.add(
        "resealed_to_end_anchored_before",
        "The same with an anchor on entry 5: it proves nothing behind it.",
        resealed,
        anchors=[f"5:{hash_of(log[4])}"],
    )
    cases.add(
        "resealed_last",
        "The last line is edited and sealed anew, and it is anchored.",
        changed(
            log,
            10,
            lambda line: seal(members_of(replaced(b'"audit.writer.dropped":0', b'"audit.writer.dropped":1')(line))),
        ),
        finding("diverged", 10, 10),
        anchors=[f"10:{hash_of(log[9])}"],
    )
    cases.add(
        "anchor_of_another_log",
        "A sound log, checked against an anchor whose hash is not its own.",
        log,
        finding("diverged", 5, 5),
        anchors=[f"5:{WRONG_HASH}"],
    )


def chain_cases() -> Cases:
    """Return the cases of this module."""
    cases = Cases()
    for group in (sound, cut, changes):
        group(cases)
    return cases
