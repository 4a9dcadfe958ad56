"""What crashes leave in a log, and what may be passed off as that."""

from __future__ import annotations

from tests.vectors.case import Cases, Lines, finding, replaced
from tests.vectors.sealing import Writer, begun, hash_of, sha256, story, text


def fragments(cases: Cases) -> None:
    """What crashes leave."""
    begin, _ = begun(8)
    head = text(begin.lines)
    twin = begin.copy()
    lost = twin.record("file.read", {"audit.target.id": "lost.txt"}, action="READ")

    def recovered(region: bytes, declared: bytes | None = None, offset: int | None = None) -> tuple[bytes, Lines]:
        """Return the log's bytes with ``region``, its declaration and two entries; and those."""
        writer = begin.copy()
        writer.recovered(region if declared is None else declared, len(head) if offset is None else offset)
        writer.record("file.read", {"audit.target.id": "a.txt"}, action="READ")
        writer.closed()
        tail = writer.lines[len(begin.lines) :]
        return head + region + b"\n" + text(tail), tail

    torn = lost[:300]
    good, tail = recovered(torn)
    info = finding("recovered", 10, 10, severity="info")
    cases.add("recovered", "Line 10 is a fragment of entry 10; the new entry 10 declares it.", good, info)
    cases.add("recovered_short", "The fragment is three bytes long.", recovered(b'{"s')[0], info)
    cases.add(
        "recovered_nul", "The fragment is NUL bytes, as a power cut leaves them.", recovered(b"\0" * 512)[0], info
    )
    cases.add(
        "recovered_twice",
        "The first recovery was torn, too: one region of two lines, declared as one.",
        recovered(torn + b"\n" + tail[0][:200])[0],
        finding("recovered", 10, 10, severity="info", count=2),
    )
    cases.add(
        "recovered_unexpected",
        "The fragment does not begin as entry 10 would: declared, and yet a warning.",
        recovered(lost.replace(b'{"seq":10,', b'{"seq":3,')[:300])[0],
        finding("recovered", 10, 10, severity="warning"),
    )
    cases.add(
        "recovered_wrong_offset",
        "The declaration gives another offset.",
        recovered(torn, offset=len(head) - 1)[0],
        finding("malformed", 10, None),
    )
    writer = begin.copy()
    writer.lifecycle(
        "recovered",
        {
            "audit.fragment.offset": len(head),
            "audit.fragment.length": len(torn) - 1,
            "audit.fragment.sha256": sha256(torn),
        },
    )
    cases.add(
        "recovered_wrong_length",
        "The declaration gives another length.",
        head + torn + b"\n" + text(writer.lines[len(begin.lines) :]),
        finding("malformed", 10, None),
    )
    cases.add(
        "recovered_wrong_digest",
        "One byte of the fragment was changed after it was declared.",
        recovered(torn[:-1] + b"#", declared=torn)[0],
        finding("malformed", 10, None),
    )
    cases.add(
        "recovered_hides_entry",
        "A whole entry with one byte made unreadable, declared as a fragment: it ends in a seal.",
        recovered(lost.replace(b"lost.txt", b"\xffost.txt"))[0],
        finding("malformed", 10, None),
    )
    cases.add(
        "recovered_without_region",
        "A declaration, and no fragment before it.",
        head + text(tail),
        finding("edited", 10, 10),
    )
    cases.add(
        "recovered_edited",
        "The declaration itself was edited: the region has no finding of its own.",
        head
        + torn
        + b"\n"
        + text(
            [
                replaced(b'"audit.fragment.length":300', b'"audit.fragment.length":299')(tail[0]),
                *tail[1:],
            ]
        ),
        finding("edited", 11, 10),
    )
    cases.add(
        "recovered_not_next",
        "The declaration does not follow at once: an entry stands between.",
        head + torn + b"\n" + text(late_declaration(begin.copy(), torn, len(head))),
        finding("malformed", 10, None),
        finding("edited", 12, 11),
    )
    first = b'{"seq":1,"time":"2025-03-01T09:00'
    writer = Writer()
    writer.opened(
        {
            "audit.fragment.offset": 0,
            "audit.fragment.length": len(first),
            "audit.fragment.sha256": sha256(first),
        }
    )
    for act in writer.work()[:2]:
        act()
    cases.add(
        "recovered_first_line",
        "The very first write was torn: the audit.log.opened that follows declares it.",
        first + b"\n" + text(writer.lines),
        finding("recovered", 1, 1, severity="info"),
    )


def crashes(cases: Cases) -> None:
    """A crash at each step of a recovery: one write of an LF, the declaration and an entry."""
    begin, _ = begun(8)
    head = text(begin.lines)
    torn = begin.copy().record("file.read", {"audit.target.id": "lost.txt"}, action="READ")[:300]
    writer = begin.copy()
    declaration = writer.recovered(torn, len(head))
    cases.add(
        "recovery_line_feed_only",
        "Of the write that ends the fragment and declares it, only the LF is there.",
        head + torn + b"\n",
        finding("malformed", 10, None),
    )
    cases.add(
        "recovery_torn",
        "The declaration is torn: one region with the fragment.",
        head + torn + b"\n" + declaration[:200],
        finding("torn", 10, None, count=2),
    )
    cases.add(
        "recovery_no_line_feed",
        "The declaration lacks nothing but its LF.",
        head + torn + b"\n" + declaration,
        finding("torn", 10, None, count=2),
    )
    cases.add(
        "recovery_without_entry",
        "The declaration is there, and no entry behind it.",
        head + torn + b"\n" + declaration + b"\n",
        finding("recovered", 10, 10, severity="info"),
    )


def forged(cases: Cases) -> None:
    """A fragment made of an entry that somebody wants to hide, and the rest of the chain sealed anew."""
    log = story().lines
    writer, work = begun(4)
    head, hidden = text(writer.lines), log[5][:200]
    writer.recovered(hidden, len(head))
    for act in work[1:]:
        act()
    writer.closed()
    lines = head + hidden + b"\n" + text(writer.lines[5:])
    information = finding("recovered", 6, 6, severity="info")
    cases.add(
        "recovered_forged",
        "Entry 6 was cut and declared as a fragment, all behind it sealed anew: as if a crash had left it.",
        lines,
        information,
    )
    cases.add(
        "recovered_forged_anchored",
        "The same, and entry 10 is anchored.",
        lines,
        information,
        finding("diverged", 11, 10),
        anchors=[f"10:{hash_of(log[9])}"],
    )


def late_declaration(writer: Writer, region: bytes, offset: int) -> Lines:
    """Return two entries, the second of which declares ``region``."""
    held = len(writer.lines)
    writer.record("file.read", {"audit.target.id": "a.txt"}, action="READ")
    writer.recovered(region, offset)
    return writer.lines[held:]


def fragment_cases() -> Cases:
    """Return the cases of this module."""
    cases = Cases()
    for group in (fragments, crashes, forged):
        group(cases)
    return cases
