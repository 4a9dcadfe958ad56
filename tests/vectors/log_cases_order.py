"""Logs in mode ``chain``: lines in the wrong place, twice, from elsewhere; forks."""

from __future__ import annotations

from tests.vectors.case import Cases, finding, replaced
from tests.vectors.sealing import (
    OTHER_STREAM_ID,
    WRONG_HASH,
    Writer,
    begun,
    hash_of,
    story,
    uuid,
)


def forged(seq: int, prev_hash: str, name: str) -> bytes:
    """Return a well-sealed entry that no writer of the log wrote."""
    writer = Writer()
    writer.seq, writer.prev_hash = seq - 1, prev_hash
    return writer.record("order.refund", {"audit.target.id": "order-9999", "amount": 9000}, name=f"forged {name}")


def moved(cases: Cases) -> None:
    """Lines in the wrong place, or twice."""
    log = story().lines
    cases.add("doubled", "Line 6 stands twice.", [*log[:6], log[5], *log[6:]], finding("duplicate", 7, 6))
    cases.add("doubled_at_end", "Line 3 stands again as the last line.", [*log, log[2]], finding("duplicate", 11, 3))
    cases.add(
        "doubled_two_adjoining",
        "Lines 2 and 3 stand twice.",
        [*log[:3], *log[1:3], *log[3:]],
        finding("duplicate", 4, 2, count=2),
    )
    cases.add("doubled_log", "The whole file stands twice.", log + log, finding("duplicate", 11, 1, count=10))
    cases.add(
        "moved", "Line 3 stands behind line 8.", [*log[:2], *log[3:8], log[2], *log[8:]], finding("reordered", 8, 3)
    )
    cases.add(
        "moved_two_adjoining",
        "Lines 2 and 3 stand behind line 9.",
        [log[0], *log[3:9], *log[1:3], log[9]],
        finding("reordered", 8, 2, count=2),
    )
    swapped = list(log)
    swapped[2], swapped[8] = swapped[8], swapped[2]
    cases.add(
        "swapped", "Lines 3 and 9 have changed places.", swapped, finding("reordered", 3, 9), finding("reordered", 9, 3)
    )


def inserted(cases: Cases) -> None:
    """Entries from elsewhere."""
    log = story().lines
    cases.add(
        "inserted_unlinked",
        "A forged entry, well sealed, whose prev_hash is no entry's, stands behind line 5.",
        [*log[:5], forged(6, WRONG_HASH, "a"), *log[5:]],
        finding("inserted", 6, 6),
    )
    first = forged(6, WRONG_HASH, "a")
    second = forged(7, hash_of(first), "b")
    cases.add(
        "inserted_run",
        "Two forged entries, linked to each other and to nothing else: one run, one finding.",
        [*log[:5], first, second, *log[5:]],
        finding("inserted", 6, 6, count=2),
    )
    cases.add(
        "inserted_linked",
        "A forged entry with the right predecessor: two entries name entry 5.",
        [*log[:5], forged(6, hash_of(log[4]), "a"), *log[5:]],
        finding("forked", 6, 6),
    )
    cases.add(
        "inserted_unsealed_hash",
        "A forged entry with the right predecessor and a wrong hash of its own.",
        [*log[:5], replaced(b"order-9999", b"order-9998")(forged(6, hash_of(log[4]), "a")), *log[5:]],
        finding("edited", 6, 6),
    )
    other = Writer(stream_id=OTHER_STREAM_ID)
    other.opened()
    other.record("file.read", {"audit.target.id": "a.txt"}, action="READ")
    other.closed()
    cases.add(
        "concatenated",
        "Behind the log stands the whole of another, of three entries.",
        log + other.lines,
        finding("inserted", 11, 1, count=3),
    )
    cases.add(
        "concatenated_longer",
        "The log that stands behind is longer: the first in the file is still the log, the other is left over.",
        other.lines + log,
        finding("inserted", 4, 1, count=10),
    )
    foreign, _ = begun(4)
    foreign.opened({"audit.stream.id": OTHER_STREAM_ID, "audit.writer.id": uuid("stranger")})
    foreign.record("file.read", {"audit.target.id": "a.txt"}, action="READ")
    cases.add(
        "foreign_opened",
        "Entry 6 is an audit.log.opened of another stream, linked as if it belonged here.",
        foreign.lines,
        finding("inserted", 6, 6),
    )
    theirs = story(stream_id=OTHER_STREAM_ID).lines
    cases.add(
        "spliced",
        "Entries 1 to 5 of one log, 6 to 10 of another: entry 6 seals another hash of entry 5.",
        [*log[:5], *theirs[5:]],
        finding("edited", 5, 5),
    )


def forks(cases: Cases) -> None:
    """Two entries with one predecessor."""
    trunk, work = begun(4)
    twin = trunk.copy()
    for act in work:
        act()
    twin.record("file.read", {"audit.target.id": "a.txt"}, action="READ", name="twin 6")
    twin.record("file.read", {"audit.target.id": "b.txt"}, action="READ", name="twin 7")
    main, branch = trunk.lines, twin.lines[5:]
    cases.add(
        "forked",
        "Two writers went on from entry 5; one wrote one entry.",
        [*main[:7], branch[0], *main[7:]],
        finding("forked", 8, 6),
    )
    cases.add(
        "forked_short_branch_first",
        "The shorter branch stands first; the longer one is still the chain.",
        [*main[:5], branch[0], *main[5:]],
        finding("forked", 6, 6),
    )
    cases.add(
        "forked_two_entries",
        "The branch has two entries, between the others; what follows a fork is not judged.",
        [*main[:6], branch[0], main[6], branch[1], *main[7:]],
        finding("forked", 7, 6),
    )
    cases.add(
        "opened_twice_at_once",
        "Two writers began the log at the same moment, without a lock: the second stream is left over.",
        [main[0], Writer(stream_id=OTHER_STREAM_ID).opened(), *main[1:]],
        finding("inserted", 2, 1),
    )
    again = Writer()
    again.opened({"audit.writer.id": uuid("second at once")})
    cases.add(
        "forked_at_genesis",
        "The same with one stream id: two entries name genesis, and the log goes on behind the second.",
        [again.lines[0], *main],
        finding("forked", 1, 1),
    )
    cases.add(
        "forked_at_end",
        "Two last entries of equal length: the earlier one is the chain.",
        [*main[:6], branch[0]],
        finding("forked", 7, 6),
    )


def order_cases() -> Cases:
    """Return the cases of this module."""
    cases = Cases()
    for group in (moved, inserted, forks):
        group(cases)
    return cases
