"""Several faults in one log are several findings, each at its place; no fault is none."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.verify.anchors import Anchor
from otel_audit.verify.report import Integrity, VerifyReport
from otel_audit.verify.segment import Segment
from otel_audit.verify.verifier import verify
from tests import logs

Found = tuple[str, int | None, int | None, int]

KEY: Final = b"a key of 16 bytes or more"
LOGS: Final = {
    ("chain", None): logs.log(80),
    ("chain", KEY): logs.log(80, key=KEY),
    ("hash", None): logs.log(80, mode="hash"),
    ("none", None): logs.log(80, mode="none"),
}


def judge(
    data: bytes, mode: Integrity = "chain", key: bytes | None = None, anchors: tuple[Anchor, ...] = ()
) -> VerifyReport:
    """Verify a log of one segment line by line and the quick way: both must say the same."""

    def verified(block: int) -> VerifyReport:
        segment = Segment("audit.jsonl", "audit.jsonl", 1, len(data), lambda at, n: data[at : at + min(n, block)])
        return verify(
            [segment],
            path="audit.jsonl",
            first_name="audit.jsonl",
            key=key,
            anchors=anchors,
            expected_integrity=mode,
        )

    whole = verified(1 << 16)
    assert whole == verified(2500)
    return whole


def brief(report: VerifyReport) -> list[Found]:
    """Return kind, line, seq and count of each finding."""
    return [(f.kind, f.line, f.seq, f.count) for f in report.findings]


@dataclass
class Damage:
    """A sound log, the damaged copy of it that grows, and what must be found there."""

    sound: list[bytes]
    mode: Integrity
    key: bytes | None
    lines: list[bytes] = field(default_factory=list)
    expected: list[Found] = field(default_factory=list)
    taken: int = 0  # of the sound lines

    def copy(self, count: int) -> None:
        """Take over so many lines as they are."""
        self.lines += self.sound[self.taken : self.taken + count]
        self.taken += count

    def find(self, kind: str, seq: int | None, count: int = 1) -> None:
        """Expect a finding at the line that comes next."""
        self.expected.append((kind, len(self.lines) + 1, seq, count))

    def sealed(self, seq: int, prev: str) -> bytes:
        """Return an entry that no writer of the log wrote, well sealed."""
        return logs.seal(logs.entry(seq, lines=-1), prev, mode=self.mode, key=self.key)

    def head(self) -> str:
        """Return the hash of the last line taken."""
        return logs.hash_of(self.sound[self.taken - 1]) if self.mode == "chain" else logs.GENESIS


def drop(log: Damage, size: int, _: int) -> None:
    """Leave lines out."""
    log.find("gap", log.taken + 1, size)
    log.taken += size


def edit(log: Damage, size: int, _: int) -> None:
    """Change lines, their hashes left as they were."""
    for _ in range(size):
        log.find("edited", log.taken + 1)
        log.lines.append(log.sound[log.taken].replace(b'"success"', b'"failure"'))
        log.taken += 1


def reseal(log: Damage, _: int, __: int) -> None:
    """Change a line and seal it anew."""
    log.find("edited", log.taken + 1)
    log.lines.append(log.sealed(log.taken + 1, log.head()))
    log.taken += 1


def malform(log: Damage, size: int, _: int) -> None:
    """Make lines unreadable."""
    log.find("malformed", None, size)
    log.lines += [line[:-1] for line in log.sound[log.taken : log.taken + size]]
    log.taken += size


def insert(log: Damage, size: int, seq: int) -> None:
    """Put linked lines of any ``seq`` between two others; nothing leads to them."""
    log.find("inserted", seq, size)
    prev = hashlib.sha256(b"%d %d" % (log.taken, seq)).hexdigest()
    for number in range(size):
        log.lines.append(log.sealed(seq + number, prev))
        prev = logs.hash_of(log.lines[-1])


def fork(log: Damage, _: int, __: int) -> None:
    """Put a second successor of a line behind it."""
    seq, prev = log.taken + 1, log.head()
    if log.mode != "chain":
        log.copy(1)  # where nothing is linked, the earlier of two is the one to take
    log.find("forked", seq)
    log.lines.append(log.sealed(seq, prev))


def double(log: Damage, size: int, _: int) -> None:
    """Repeat lines."""
    log.find("duplicate", log.taken - size + 1, size)
    log.lines += log.sound[log.taken - size : log.taken]


def swap(log: Damage, _: int, __: int) -> None:
    """Let two neighbours change places."""
    log.find("reordered", log.taken + 2)
    log.lines += [log.sound[log.taken + 1], log.sound[log.taken]]
    log.taken += 2


Fault = Callable[[Damage, int, int], None]
IN_ANY_MODE: Final[tuple[Fault, ...]] = (drop, malform, fork, double, swap)
FAULTS: Final[dict[tuple[Integrity, bytes | None], tuple[Fault, ...]]] = {
    ("chain", None): (*IN_ANY_MODE, edit, reseal, insert),
    ("chain", KEY): (*IN_ANY_MODE, edit, reseal, insert),
    ("hash", None): (*IN_ANY_MODE, edit),
    ("none", None): IN_ANY_MODE,
}


@pytest.mark.parametrize(("mode", "key"), FAULTS, ids=["chain", "keyed", "hash", "none"])
class TestFaults:
    """One to four faults, with sound lines between them."""

    @given(st.data())
    def test_are_a_finding_each(self, mode: Integrity, key: bytes | None, data: st.DataObject) -> None:
        """Exactly those faults are found, each with its line, ``seq`` and count."""
        count = data.draw(st.integers(55, 80), "lines")
        log = Damage(LOGS[mode, key][:count], mode, key)
        for _ in range(data.draw(st.integers(1, 4), "faults")):
            log.copy(data.draw(st.integers(4, 9), "lines between"))
            fault = data.draw(st.sampled_from(FAULTS[mode, key]), "fault")
            fault(log, data.draw(st.integers(1, 3), "size"), data.draw(st.integers(1, 90), "seq"))
        anchors: tuple[Anchor, ...] = ()
        stop = count
        if mode != "none":
            anchors = (Anchor(count, logs.hash_of(log.sound[-1])),)
            stop = data.draw(st.integers(log.taken + 4, count), "cut behind")
        log.copy(stop - log.taken)
        if stop < count:
            log.expected.append(("truncated", len(log.lines), stop + 1, count - stop))
        report = judge(logs.join(log.lines), mode, key, anchors)
        assert brief(report) == log.expected
        assert report.anchored == (stop == count and mode != "none")

    @given(st.data())
    def test_are_none_in_a_sound_log(self, mode: Integrity, key: bytes | None, data: st.DataObject) -> None:
        """A log that crashes left declared fragments in has nothing but information."""
        members: list[dict[str, Any]] = [dict(json.loads(line)) for line in LOGS[mode, key][:1]]
        for name in ("prev_hash", "hash", "hmac"):
            members[0].pop(name, None)
        contents, expected, prev = b"", [], logs.GENESIS
        for seq in range(1, data.draw(st.integers(1, 80), "lines") + 1):
            own = members[0] if seq == 1 else logs.entry(seq)
            if seq > 1 and data.draw(st.integers(0, 9), "crash") == 0:
                line = logs.dump(own)
                fragment = line[: data.draw(st.integers(1, len(line)), "written")]
                own = logs.log_entry(
                    seq,
                    "audit.log.recovered",
                    **{
                        "audit.fragment.offset": len(contents),
                        "audit.fragment.length": len(fragment),
                        "audit.fragment.sha256": hashlib.sha256(fragment).hexdigest(),
                    },
                )
                try:
                    json.loads(fragment)
                except ValueError:
                    expected.append(("recovered", contents.count(b"\n") + 1, seq, 1))
                    contents += fragment + b"\n"
                else:
                    own = logs.entry(seq)
            line = logs.seal(own, prev, mode=mode, key=key)
            contents += line + b"\n"
            prev = prev if mode == "none" else logs.hash_of(line)
        report = judge(contents, mode, key)
        assert brief(report) == expected
        assert not report.errors
        assert not report.warnings
        assert report.intact == (mode == "chain")
