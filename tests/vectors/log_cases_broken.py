"""Files that are no logs, lines that are no entries, other versions, and warnings."""

from __future__ import annotations

import re

from tests.vectors.case import Cases, changed, finding, replaced
from tests.vectors.sealing import (
    Members,
    begun,
    clock,
    compact,
    members_of,
    story,
    uuid,
)


def clocks(cases: Cases) -> None:
    """Warnings and information."""

    def earlier(members: Members) -> None:
        members["observed_time"] = clock(3)

    writer, _ = begun(4)
    writer.record("file.read", {"audit.target.id": "a.txt"}, action="READ", change=earlier)
    writer.record("file.read", {"audit.target.id": "b.txt"}, action="READ")
    cases.add(
        "clock_set_back",
        "observed_time of entry 6 lies before that of entry 5.",
        writer.lines,
        finding("clock_backwards", 6, 6),
    )
    writer, _ = begun(2)
    writer.record(
        "mail.send",
        {"audit.target.id": "ana@example.com", "audit.phase": "intent"},
        outcome="unknown",
    )
    writer.record("file.read", {"audit.target.id": "a.txt"}, action="READ")
    cases.add(
        "intent_without_outcome",
        "Entry 4 says that a mail is to be sent; no entry says what came of it.",
        writer.lines,
        finding("intent_without_outcome", 4, 4),
    )

    def actorless(members: Members) -> None:
        attributes = members["attributes"]
        assert isinstance(attributes, dict)
        del attributes["audit.actor.id"]

    writer, _ = begun(2)
    writer.record("file.read", {"audit.target.id": "a.txt"}, action="READ", change=actorless)
    writer.record("file.read", {"audit.target.id": "b.txt"}, action="READ")
    cases.add(
        "schema",
        "Entry 4 has no audit.actor.id.",
        writer.lines,
        finding("schema", 4, 4),
    )
    writer, _ = begun(2)
    writer.lifecycle(
        "dropped",
        {
            "audit.writer.id": uuid("writer"),
            "audit.dropped.count": 3,
            "audit.dropped.first_time": clock(2),
            "audit.dropped.last_time": clock(3),
            "error.type": "OSError",
        },
        outcome="failure",
    )
    cases.add(
        "dropped_entries",
        "The writer says that three records were lost while the disk was full.",
        writer.lines,
        finding("dropped", 4, 4),
    )
    writer, _ = begun(2)
    writer.lifecycle("voided", {"audit.voided.first": 2, "audit.voided.last": 3, "error.type": "OSError"})
    cases.add(
        "voided_entries",
        "The writer says that the sync of entries 2 and 3 failed.",
        writer.lines,
        finding("voided", 4, 4),
    )


def versions(cases: Cases) -> None:
    """Versions of the format."""

    def newer(line: bytes) -> bytes:
        return replaced(b'"audit.format.version":"1"', b'"audit.format.version":"2"')(line)

    writer, _ = begun(1, format_version="2")
    cases.add(
        "unsupported_version",
        "The first line says version 2: nothing else is judged.",
        writer.lines,
        finding("unsupported", 1, None),
        exit_status=2,
    )
    log = story().lines
    strange = compact({"tree": {"leaf": 0}, **members_of(newer(log[0]))})
    cases.add(
        "unsupported_version_new_members",
        "Version 2 with a member that version 1 does not have, and wrong hashes: read leniently.",
        [strange, *log[1:3]],
        finding("unsupported", 1, None),
        exit_status=2,
    )
    writer, _ = begun(2)
    writer.opened({"audit.format.version": "2", "audit.writer.id": uuid("newer writer")})
    cases.add(
        "later_opened_other_version",
        "Entry 4 is an audit.log.opened of version 2 in a log of version 1.",
        writer.lines,
        finding("downgraded", 4, 4),
    )


def broken(cases: Cases) -> None:
    """Files that are no logs, and lines that are none."""
    log = story().lines
    cases.add("missing", "There is no file.", None, finding("missing", None, None))
    cases.add("empty", "The file has no bytes.", b"", finding("empty", None, None))
    bad = bytes((7 * n * n + 13 * n) % 256 for n in range(600))
    cases.add(
        "binary",
        "Four lines of other bytes: unreadable lines that adjoin are one finding.",
        b"".join(re.sub(rb"\n", b"\x0b", bad[n : n + 150]) + b"\n" for n in range(0, 600, 150)),
        finding("malformed", 1, None, count=4),
    )
    cases.add(
        "another_json_lines_file",
        "JSON Lines of some other program.",
        [b'{"level":"info","msg":"started"}', b'{"level":"info","msg":"stopped"}'],
        finding("malformed", 1, None, count=2),
    )
    cases.add(
        "byte_order_mark",
        "An editor put a byte order mark before the first line.",
        changed(log, 1, lambda line: b"\xef\xbb\xbf" + line),
        finding("malformed", 1, None),
    )
    cases.add(
        "crlf",
        "A transfer in text mode put a CR at the end of each line.",
        [line + b"\r" for line in log],
        finding("malformed", 1, None, count=10),
    )
    cases.add(
        "crlf_one_line",
        "Line 6 ends in CR LF.",
        changed(log, 6, lambda line: line + b"\r"),
        finding("malformed", 6, None),
    )
    cases.add(
        "empty_line",
        "An empty line stands behind line 5.",
        [*log[:5], b"", *log[5:]],
        finding("malformed", 6, None),
    )
    cases.add(
        "reformatted",
        "A formatter put a space behind each comma and colon of line 6.",
        changed(log, 6, lambda line: re.sub(rb'":', b'": ', line)),
        finding("malformed", 6, None),
    )
    cases.add(
        "doubled_member",
        "Line 6 has event_name twice and is sealed anew over both.",
        changed(log, 6, replaced(b'"event_name":', b'"event_name":"other","event_name":')),
        finding("malformed", 6, None),
    )
    cases.add(
        "half_line",
        "The second half of line 6 is gone, its LF is there.",
        changed(log, 6, lambda line: line[: len(line) // 2]),
        finding("malformed", 6, None),
    )
    cases.add(
        "nul_hole",
        "Lines 2 and 3 and the LF between them have become NUL bytes.",
        [log[0], b"\0" * (len(log[1]) + 1 + len(log[2])), *log[3:]],
        finding("malformed", 2, None),
    )
    whole = b"".join(line + b"\n" for line in log[:8])
    cases.add(
        "torn",
        "The last line stops in the middle.",
        whole + log[8][:300],
        finding("torn", 9, None),
    )
    cases.add(
        "torn_no_line_feed",
        "The last line lacks nothing but its LF: until a writer puts it there it is no entry.",
        whole + log[8],
        finding("torn", 9, None),
    )
    cases.add(
        "torn_no_line_feed_at_all",
        "A file of other bytes without any LF.",
        b"\x7fELF\x02\x01\x01" + b"\0" * 57,
        finding("torn", 1, None),
    )


def broken_cases() -> Cases:
    """Return the cases of this module."""
    cases = Cases()
    for group in (clocks, versions, broken):
        group(cases)
    return cases
