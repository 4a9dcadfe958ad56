"""Logs with keys, and in weaker integrity modes."""

from __future__ import annotations

from tests.vectors.case import Cases, Lines, changed, finding, replaced, without
from tests.vectors.sealing import (
    GENESIS,
    KEY,
    OTHER_KEY,
    Members,
    bare,
    begun,
    hash_of,
    key_id,
    members_of,
    seal,
    story,
    uuid,
)


def stripped(line: bytes, *names: str) -> bytes:
    """Return the line without the members named, all other bytes as they were."""
    return bare({n: v for n, v in members_of(line).items() if n not in names})


def rewritten(lines: Lines, mode: str, *, key: bytes | None = None, declare_key: bool = False) -> Lines:
    """Return the log as someone without the key could write it anew in ``mode``."""
    done: Lines = []
    for line in lines:
        members = members_of(line)
        attributes = members["attributes"]
        assert isinstance(attributes, dict)
        if "audit.integrity.mode" in attributes:
            attributes["audit.integrity.mode"] = mode
            if not declare_key:
                attributes.pop("audit.key.id", None)
        members.pop("prev_hash", None)
        members.pop("hash", None)
        members.pop("hmac", None)
        if mode == "chain":
            members["prev_hash"] = hash_of(done[-1]) if done else GENESIS
        done.append(bare(members) if mode == "none" else seal(members, key))
    return done


def keys(cases: Cases) -> None:
    """Logs with a key."""
    log = story(key=KEY).lines
    cases.add("keyed", "A log with a key, checked with the key.", log, key=KEY)
    cases.add(
        "keyed_not_checked",
        "A log with a key, checked without: no finding, and the report says so.",
        log,
    )
    cases.add(
        "keyed_wrong_key",
        "A log with a key, checked with another key: one finding.",
        log,
        finding("mac_invalid", 1, 1),
        key=OTHER_KEY,
    )
    cases.add(
        "keyed_none_declared",
        "A log without a key, checked with one: one finding.",
        story().lines,
        finding("mac_missing", 1, 1),
        key=KEY,
    )
    cases.add(
        "keyed_stripped_and_resealed",
        "The key is gone from line 1 and the whole log is sealed anew without it.",
        rewritten(log, "chain"),
        finding("mac_missing", 1, 1),
        key=KEY,
    )
    cases.add(
        "keyed_hmac_stripped",
        "Line 6 has no hmac.",
        changed(log, 6, lambda line: stripped(line, "hmac")),
        finding("mac_missing", 6, 6),
        key=KEY,
    )
    cases.add(
        "keyed_hmac_stripped_not_checked",
        "The same without the key: a declared hmac must be there even where none can check it.",
        changed(log, 6, lambda line: stripped(line, "hmac")),
        finding("mac_missing", 6, 6),
    )
    cases.add(
        "keyed_hmac_stripped_everywhere",
        "No line has an hmac, line 1 still declares the key.",
        [stripped(line, "hmac") for line in log],
        finding("mac_missing", 1, 1, count=10),
        key=KEY,
    )
    mac = str(members_of(log[5])["hmac"]).encode()
    cases.add(
        "keyed_hmac_edited",
        "The hmac of line 6 is another.",
        changed(log, 6, replaced(mac, b"0" * 64)),
        finding("mac_invalid", 6, 6),
        key=KEY,
    )
    body = changed(log, 6, replaced(b"merci", b"danke"))
    cases.add(
        "keyed_edited",
        "One word of line 6 is another: its own hash is the first thing that is wrong.",
        body,
        finding("edited", 6, 6),
        key=KEY,
    )
    resealed = [*body[:5], *rewritten(body, "chain", key=OTHER_KEY, declare_key=True)[5:]]
    linked: Lines = resealed[:5]
    for line in resealed[5:]:
        members = {**members_of(line), "prev_hash": hash_of(linked[-1])}
        linked.append(seal(members, OTHER_KEY))
    cases.add(
        "keyed_resealed_to_end",
        "Line 6 is edited, it and all behind it sealed anew with a key that is not the log's.",
        linked,
        finding("mac_invalid", 6, 6, count=5),
        key=KEY,
    )
    appended = seal(
        {
            **members_of(log[8]),
            "seq": 11,
            "observed_time": "2025-03-01T09:00:11.000250000Z",
            "prev_hash": hash_of(log[9]),
        }
    )
    cases.add(
        "keyed_appended",
        "Someone without the key added an entry, linked to the last one.",
        [*log, appended],
        finding("mac_missing", 11, 11),
        key=KEY,
    )
    members = members_of(story().lines[5])
    cases.add(
        "hmac_not_declared",
        "Line 6 has an hmac in a log that declares no key: more than declared.",
        changed(story().lines, 6, lambda _: seal(members, KEY)),
        finding("malformed", 6, None),
    )
    writer, _ = begun(2, key=KEY)
    writer.opened({"audit.key.id": key_id(OTHER_KEY), "audit.writer.id": uuid("other key")})
    cases.add(
        "later_opened_other_key",
        "Entry 4 is an audit.log.opened that names another key.",
        writer.lines,
        finding("downgraded", 4, 4),
        key=KEY,
    )


def weaker_modes(cases: Cases) -> None:
    """Modes ``hash`` and ``none``, and what was taken away."""
    chained = story().lines
    cases.add(
        "hash_stripped",
        "Line 6 has no hash.",
        changed(chained, 6, lambda line: stripped(line, "hash")),
        finding("downgraded", 6, 6),
    )
    cases.add(
        "hash_stripped_everywhere",
        "No line has prev_hash or hash, line 1 still declares mode chain.",
        [stripped(line, "hash", "prev_hash") for line in chained],
        finding("downgraded", 1, 1, count=10),
    )
    cases.add(
        "prev_hash_stripped",
        "Line 6 has no prev_hash and is sealed anew.",
        changed(chained, 6, lambda line: seal(members_of(stripped(line, "prev_hash")))),
        finding("downgraded", 6, 6),
    )
    cases.add(
        "rewritten_as_hash",
        "The whole log is written anew in mode hash, where chain is expected.",
        rewritten(chained, "hash"),
        finding("downgraded", 1, 1),
        mode="hash",
    )
    cases.add(
        "rewritten_as_none",
        "The whole log is written anew in mode none, where chain is expected.",
        rewritten(chained, "none"),
        finding("downgraded", 1, 1),
        mode="none",
    )
    cases.add(
        "mode_edited",
        "Line 1 declares mode none, and nothing else was changed: line 1 is edited, and believed in nothing.",
        changed(chained, 1, replaced(b'"audit.integrity.mode":"chain"', b'"audit.integrity.mode":"none"')),
        finding("edited", 1, 1),
    )
    cases.add(
        "mode_edited_resealed",
        "Line 1 declares mode none and is sealed anew: less than is expected, and all lines have more than that.",
        changed(
            chained,
            1,
            lambda line: seal(
                members_of(replaced(b'"audit.integrity.mode":"chain"', b'"audit.integrity.mode":"none"')(line))
            ),
        ),
        finding("downgraded", None, None),
        finding("malformed", 1, None, count=10),
        mode="none",
    )
    writer, _ = begun(2)
    writer.opened({"audit.integrity.mode": "hash", "audit.writer.id": uuid("weaker")})
    cases.add(
        "later_opened_other_mode",
        "Entry 4 is an audit.log.opened that declares mode hash in a log of mode chain.",
        writer.lines,
        finding("downgraded", 4, 4),
    )
    for mode in ("hash", "none"):
        in_mode(cases, mode)
    hashed = story("hash").lines
    cases.add(
        "hash_edited",
        "Mode hash: one word of line 6 is another.",
        changed(hashed, 6, replaced(b"merci", b"danke")),
        finding("edited", 6, 6),
        mode="hash",
        integrity="hash",
    )
    cases.add(
        "hash_edited_seq_to_the_next",
        "Mode hash: the seq of line 6 is 7, as that of line 7: the sound one of the two is the entry.",
        changed(hashed, 6, replaced(b'{"seq":6,', b'{"seq":7,')),
        finding("edited", 6, 7),
        mode="hash",
        integrity="hash",
    )
    cases.add(
        "hash_resealed",
        "Mode hash: line 6 is edited and sealed anew. Nothing can show it.",
        changed(hashed, 6, lambda line: seal(members_of(replaced(b"merci", b"danke")(line)))),
        mode="hash",
        integrity="hash",
    )
    cases.add(
        "hash_anchored",
        "Mode hash: an anchor proves its own entry, and that only.",
        hashed,
        mode="hash",
        integrity="hash",
        anchors=[f"6:{hash_of(hashed[5])}"],
    )
    cases.add(
        "hash_resealed_anchored",
        "Mode hash: line 6 is edited and sealed anew, and it is anchored.",
        changed(hashed, 6, lambda line: seal(members_of(replaced(b"merci", b"danke")(line)))),
        finding("diverged", 6, 6),
        mode="hash",
        integrity="hash",
        anchors=[f"6:{hash_of(hashed[5])}"],
    )
    cases.add(
        "hash_cut_tail_anchored",
        "Mode hash: the last two lines are gone, and an anchor lies on entry 10.",
        hashed[:8],
        finding("truncated", 8, 9, count=2),
        mode="hash",
        integrity="hash",
        anchors=[f"10:{hash_of(hashed[9])}"],
    )
    cases.add(
        "hash_stripped_in_hash_mode",
        "Mode hash: line 6 has no hash.",
        changed(hashed, 6, lambda line: stripped(line, "hash")),
        finding("downgraded", 6, 6),
        mode="hash",
        integrity="hash",
    )
    plain = story("none").lines
    cases.add(
        "none_edited",
        "Mode none: one word of line 6 is another. Nothing can show it.",
        changed(plain, 6, replaced(b"merci", b"danke")),
        mode="none",
        integrity="none",
    )
    cases.add(
        "none_line_with_hash",
        "Mode none: line 6 has a hash, more than declared.",
        changed(plain, 6, lambda line: seal(members_of(line))),
        finding("malformed", 6, None),
        mode="none",
        integrity="none",
    )


def in_mode(cases: Cases, mode: str) -> None:
    """Add what modes ``hash`` and ``none`` find alike: they follow ``seq``."""
    log = story(mode).lines

    def add(name: str, description: str, lines: Lines, *findings: dict[str, object]) -> None:
        cases.add(
            f"{mode}_{name}",
            f"Mode {mode}: {description}",
            lines,
            *findings,
            mode=mode,
            integrity=mode,
        )

    add("sound", "ten entries as a writer leaves them; never called intact.", log)
    add("dropped", "line 6 is gone.", without(log, 6), finding("gap", 6, 6))
    add("doubled", "line 6 stands twice.", [*log[:6], log[5], *log[6:]], finding("duplicate", 7, 6))
    add("moved", "line 3 stands behind line 8.", [*log[:2], *log[3:8], log[2], *log[8:]], finding("reordered", 8, 3))
    members: Members = {**members_of(log[5]), "event_name": "memory.erase"}
    twin = bare(members) if mode == "none" else seal(members)
    add("forked", "a second entry has seq 6, with other bytes.", [*log[:6], twin, *log[6:]], finding("forked", 7, 6))
    add(
        "half_line",
        "the second half of line 6 is gone, its LF is there.",
        changed(log, 6, lambda line: line[: len(line) // 2]),
        finding("malformed", 6, None),
    )


def seal_cases() -> Cases:
    """Return the cases of this module."""
    cases = Cases()
    for group in (keys, weaker_modes):
        group(cases)
    return cases
