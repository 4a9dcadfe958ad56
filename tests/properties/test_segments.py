"""A log of several segments, and what is done to it: one fault is one finding, and several are several."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.report import Integrity, VerifyReport
from otel_audit.verify.segment import Checksums, Segment
from otel_audit.verify.verifier import verify
from tests import logs

Found = tuple[str, str, int | None, int | None, int]
Draw = Callable[[int, int], int]

KEY: Final = b"a key of 16 bytes or more"
COUNTS: Final = (24, 31, 12, 27)
NAMES: Final = logs.names_of(len(COUNTS) + 1)
SUMS: Final = "audit.sha256"
DECLARED: Final = ("audit.format.version", "audit.integrity.mode", "audit.key.id")
MODES: Final[dict[str, tuple[Integrity, bytes | None]]] = {
    "chain": ("chain", None),
    "keyed": ("chain", KEY),
    "hash": ("hash", None),
    "none": ("none", None),
}
LOGS: Final = {name: logs.segments(COUNTS, mode=mode, key=key) for name, (mode, key) in MODES.items()}


@dataclass
class Log:
    """A log to be damaged, and what must then be found.

    Attributes:
        name: Its integrity, a key of ``MODES``.
        lines: Of each segment; None: there is no such file.
        tails: What stands behind the last LF of a segment, by its index.
        expected: What must be found.
        anchored: What must be found where the last entry is anchored; as ``expected`` if None.
    """

    name: str
    lines: list[list[bytes] | None] = field(init=False)
    tails: dict[int, bytes] = field(default_factory=dict)
    sums: dict[str, str] = field(init=False)
    expected: list[Found] = field(default_factory=list)
    anchored: list[Found] | None = None

    def __post_init__(self) -> None:
        self.sound = LOGS[self.name]
        self.mode, self.key = MODES[self.name]
        self.lines = [list(lines) for lines in self.sound]
        closed = zip(NAMES, self.sound[:-1], strict=False)
        self.sums = {name: hashlib.sha256(logs.join(lines)).hexdigest() for name, lines in closed}

    def at(self, index: int) -> list[bytes]:
        """Return the lines of a segment that is there."""
        lines = self.lines[index]
        assert lines is not None
        return lines

    def seq(self, index: int, at: int) -> int:
        """Return the ``seq`` of a line of the sound log."""
        return sum(COUNTS[:index]) + at + 1

    def find(self, kind: str, index: int, line: int | None, seq: int | None, count: int = 1) -> None:
        """Expect a finding."""
        self.expected.append((kind, NAMES[index], line, seq, count))

    def find_gap(self, index: int, at: int, count: int) -> None:
        """Expect that so many entries are missed, from a line of the sound log on."""
        seq, line = self.seq(index, at), at + 1
        if at + count == COUNTS[index]:  # missed where the next segment begins
            index, line = index + 1, 1
        if index < len(COUNTS):
            self.find("gap", index, line, seq, count)
            return
        self.anchored = [("truncated", NAMES[index - 1], at, seq, count)]
        if at == 0:
            self.anchored = [("truncated", NAMES[index - 2], COUNTS[index - 2], seq, count)]

    def foreign(self, seq: int, prev: str) -> bytes:
        """Return an entry, well sealed, that no writer of the log wrote."""
        return logs.seal(logs.entry(seq, lines=-1), prev, mode=self.mode, key=self.key)

    def report(self, anchors: tuple[Anchor, ...] = ()) -> VerifyReport:
        """Verify it line by line and the quick way: both must say the same."""
        whole = self._verified(1 << 16, anchors)
        assert whole == self._verified(2500, anchors)
        return whole

    def _verified(self, block: int, anchors: tuple[Anchor, ...]) -> VerifyReport:
        files = [
            _segment(index, logs.join(lines) + self.tails.get(index, b""), block)
            for index, lines in enumerate(self.lines)
            if lines is not None
        ]
        return verify(
            files,
            path=NAMES[0],
            first_name=NAMES[0],
            key=self.key,
            anchors=anchors,
            expected_integrity=self.mode,
            checksums=Checksums(SUMS, self.sums),
        )

    def anchor(self) -> Anchor:
        """Return the receipt of the last entry."""
        return Anchor(sum(COUNTS), logs.hash_of(self.sound[-1][-1]))

    def check(self) -> None:
        """Assert that all is found that is expected, and nothing else, without and with an anchor."""
        assert brief(self.report()) == self.expected
        if self.mode != "none":
            anchored = self.expected if self.anchored is None else self.anchored
            assert brief(self.report((self.anchor(),))) == anchored


def _segment(index: int, data: bytes, block: int) -> Segment:
    return Segment(NAMES[index], NAMES[index], index + 1, len(data), lambda at, n: data[at : at + min(n, block)])


def brief(report: VerifyReport) -> list[Found]:
    """Return kind, file, line, ``seq`` and count of each finding."""
    return [(f.kind, f.path, f.line, f.seq, f.count) for f in report.findings]


Fault = Callable[[Log, Draw], None]


def some_line(log: Log, draw: Draw) -> tuple[int, int]:
    """Return the place of a line."""
    index = draw(0, len(COUNTS) - 1)
    return index, draw(0, COUNTS[index] - 1)


def change_a_byte(log: Log, draw: Draw) -> None:
    """Make one byte of a line another."""
    index, at = some_line(log, draw)
    line = log.at(index)[at]
    place = draw(0, len(line) - 1)
    byte = (line[place] + draw(1, 255)) % 256
    if byte == 10:
        byte = line[place] ^ 0x80
    changed = line[:place] + bytes([byte]) + line[place + 1 :]
    log.at(index)[at] = changed
    try:
        members = parse_line(changed)
    except MalformedLineError:
        log.find("malformed", index, at + 1, None)
        return
    seq: Any = members["seq"]
    before, after = (json.loads(each)["attributes"] for each in (line, changed))
    if (index, at) == (0, 0) and after.get("audit.format.version") not in (None, "1"):
        log.find("unsupported", 0, 1, None)
    elif index > 0 and any(name in before and before[name] != after.get(name) for name in DECLARED):
        log.find("downgraded", index, at + 1, seq)
    else:
        body = changed[: changed.rindex(b',"hash":"')]
        kind = "mac_invalid" if hashlib.sha256(body).hexdigest() == members["hash"] else "edited"
        log.find(kind, index, at + 1, seq)


def change_a_line_feed(log: Log, draw: Draw) -> None:
    """Make one LF another byte: two lines become one; at the end of a file none follows."""
    index, at = some_line(log, draw)
    lines = log.at(index)
    if at < COUNTS[index] - 1:
        lines[at : at + 2] = [lines[at] + b"\x00" + lines[at + 1]]
    else:
        log.tails[index] = lines.pop() + b"\x00"
    torn = (index, at) == (len(COUNTS) - 1, COUNTS[-1] - 1)
    log.find("torn" if torn else "malformed", index, at + 1, None)
    if (index, at) == (len(COUNTS) - 1, COUNTS[-1] - 2):  # one line explains one entry that is missing
        log.anchored = [("truncated", NAMES[index], at, log.seq(index, at), 2), *log.expected]


def break_a_line(log: Log, draw: Draw) -> None:
    """Make one byte of a line an LF."""
    index, at = some_line(log, draw)
    line = log.at(index)[at]
    place = draw(0, len(line) - 1)
    log.at(index)[at : at + 1] = [line[:place], line[place + 1 :]]
    log.find("malformed", index, at + 1, None, 2)


def reseal(log: Log, draw: Draw) -> None:
    """Change a line and seal it anew, with the key, too: its successor seals another."""
    index, at = some_line(log, draw)
    line = log.at(index)[at]
    members = {name: value for name, value in json.loads(line).items() if name not in ("prev_hash", "hash", "hmac")}
    members["attributes"]["note"] = "changed"
    log.at(index)[at] = logs.seal(members, json.loads(line).get("prev_hash", ""), mode=log.mode, key=log.key)
    last = index == len(COUNTS) - 1
    if log.mode != "chain":
        if not last:
            log.find("segment_altered", index, None, None)
        if last and at == COUNTS[-1] - 1:
            log.anchored = [("diverged", NAMES[index], at + 1, log.seq(index, at), 1)]
    elif not last or at < COUNTS[-1] - 1:
        log.find("edited", index, at + 1, log.seq(index, at))
    else:
        log.anchored = [("diverged", NAMES[index], at + 1, log.seq(index, at), 1)]


def remove_lines(log: Log, draw: Draw) -> None:
    """Take out a line, or some that follow one another: at the head, at the tail, between."""
    index, at = some_line(log, draw)
    count = draw(1, COUNTS[index] - at)
    del log.at(index)[at : at + count]
    if log.at(index) or index < len(COUNTS) - 1:
        log.find_gap(index, at, count)
    else:  # as a crash in a rotation leaves it
        log.find_gap(index, 0, count)


def swap_neighbours(log: Log, draw: Draw) -> None:
    """Let two lines of a segment change places."""
    index, at = some_line(log, draw)
    at = min(at, COUNTS[index] - 2)
    lines = log.at(index)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    log.find("reordered", index, at + 1, log.seq(index, at + 1))


def move_a_line(log: Log, draw: Draw) -> None:
    """Take a line to another segment, not to its very edge."""
    index, at = some_line(log, draw)
    to = (index + draw(1, len(COUNTS) - 1)) % len(COUNTS)
    place = draw(2, COUNTS[to] - 2)
    log.at(to).insert(place, log.at(index).pop(at))
    log.find("reordered", to, place + 1, log.seq(index, at))


def copy_a_line(log: Log, draw: Draw) -> None:
    """Put a copy of a line somewhere: the later of the two is the copy."""
    index, at = some_line(log, draw)
    to, place = some_line(log, draw)
    log.at(to).insert(place, log.at(index)[at])
    if (to, place) <= (index, at):
        to, place = index, at + (to == index)
    log.find("duplicate", to, place + 1, log.seq(index, at))


def insert_a_line(log: Log, draw: Draw) -> None:
    """Put an entry in, to which nothing leads."""
    index, at = some_line(log, draw)
    seq = draw(1, sum(COUNTS))
    log.at(index).insert(at, log.foreign(seq, f"{index:02}" * 32))
    log.find("inserted", index, at + 1, seq)


def fork(log: Log, draw: Draw) -> None:
    """Put a second successor of a line behind its own."""
    index, at = some_line(log, draw)
    before = log.sound[index][at - 1] if at else log.sound[index - 1][-1] if index else None
    prev = logs.GENESIS if before is None or log.mode != "chain" else logs.hash_of(before)
    log.at(index).insert(at + 1, log.foreign(log.seq(index, at), prev))
    log.find("forked", index, at + 2, log.seq(index, at))


def malform(log: Log, draw: Draw) -> None:
    """Cut the last byte off some lines that follow one another."""
    index, at = some_line(log, draw)
    count = draw(1, min(3, COUNTS[index] - at))
    log.at(index)[at : at + count] = [line[:-1] for line in log.at(index)[at : at + count]]
    log.find("malformed", index, at + 1, None, count)


def cut_a_file(log: Log, draw: Draw) -> None:
    """End a file in the middle of a line: at the end of the log the torn line explains one entry that is missing."""
    index, at = some_line(log, draw)
    log.tails[index] = log.at(index)[at][: draw(1, len(log.at(index)[at]))]
    del log.at(index)[at:]
    if index < len(COUNTS) - 1:
        log.find("malformed", index, at + 1, None)
        return
    log.find("torn", index, at + 1, None)
    if at < COUNTS[index] - 1:
        last = (NAMES[index], at) if at else (NAMES[index - 1], COUNTS[index - 1])
        log.anchored = [("truncated", *last, log.seq(index, at), COUNTS[index] - at), *log.expected]


def remove_segments(log: Log, draw: Draw) -> None:
    """Take away a file, or some that follow one another."""
    index = draw(0, len(COUNTS) - 1)
    count = draw(1, min(2, len(COUNTS) - index, len(COUNTS) - 1))
    log.lines[index : index + count] = [None] * count
    # of those behind the last that is there only the next is known
    log.find("segment_missing", index, None, None, count if index + count < len(COUNTS) else 1)


def empty_a_segment(log: Log, draw: Draw) -> None:
    """Take all lines from a file."""
    index = draw(0, len(COUNTS) - 1)
    log.at(index).clear()
    log.find_gap(index, 0, COUNTS[index])


def swap_segments(log: Log, draw: Draw) -> None:
    """Let two files that follow one another change names: the shorter one is out of order."""
    index = draw(0, len(COUNTS) - 2)
    first, second = log.at(index), log.at(index + 1)
    log.lines[index], log.lines[index + 1] = second, first
    if len(first) < len(second):
        log.find("reordered", index + 1, 1, log.seq(index, 0), len(first))
    else:
        log.find("reordered", index, 1, log.seq(index + 1, 0), len(second))


def copy_a_segment(log: Log, draw: Draw) -> None:
    """Put a copy of a file behind the last one."""
    index = draw(0, len(COUNTS) - 1)
    log.lines.append(list(log.at(index)))
    log.find("duplicate", len(COUNTS), 1, log.seq(index, 0), COUNTS[index])


def add_a_segment_of_another_log(log: Log, draw: Draw) -> None:
    """Put the first file of another log behind the last one."""
    count = draw(2, 20)
    members = [logs.opened(mode=log.mode), *(logs.entry(seq, lines=-1) for seq in range(2, count + 1))]
    own: dict[str, Any] = {} if log.key is None else {"audit.key.id": logs.key_id(log.key)}
    members[0]["attributes"] |= {"audit.stream.id": "another", **own}
    log.lines.append(list(logs.chain(members, mode=log.mode, key=log.key)))
    log.find("inserted", len(COUNTS), 1, 1, count)


def concatenate(log: Log, draw: Draw) -> None:
    """Append a file to another."""
    index, other = draw(0, len(COUNTS) - 1), draw(0, len(COUNTS) - 1)
    log.at(index).extend(log.sound[other])
    if other > index:
        log.find("duplicate", other, 1, log.seq(other, 0), COUNTS[other])
    else:
        log.find("duplicate", index, COUNTS[index] + 1, log.seq(other, 0), COUNTS[other])


def join_the_last_two(log: Log, _: Draw) -> None:
    """Append the last file to the one before it, and take it away."""
    log.at(len(COUNTS) - 2).extend(log.at(len(COUNTS) - 1))
    log.lines[-1] = None
    log.find("segment_altered", len(COUNTS) - 2, None, None)


def change_a_checksum(log: Log, draw: Draw) -> None:
    """Change a line of the checksum file."""
    log.sums[NAMES[draw(0, len(COUNTS) - 2)]] = "ab" * 32
    log.expected.append(("segment_altered", SUMS, None, None, 1))


IN_ANY_MODE: Final[tuple[Fault, ...]] = (
    break_a_line,
    change_a_checksum,
    change_a_line_feed,
    concatenate,
    copy_a_line,
    copy_a_segment,
    cut_a_file,
    empty_a_segment,
    join_the_last_two,
    malform,
    move_a_line,
    remove_lines,
    remove_segments,
    swap_neighbours,
    swap_segments,
)
WITH_HASH: Final[tuple[Fault, ...]] = (change_a_byte, fork, reseal)
IN_CHAIN: Final[tuple[Fault, ...]] = (add_a_segment_of_another_log, insert_a_line)
FAULTS: Final[dict[str, tuple[Fault, ...]]] = {
    "chain": (*IN_ANY_MODE, *WITH_HASH, *IN_CHAIN),
    "keyed": (*IN_ANY_MODE, *WITH_HASH, *IN_CHAIN),
    "hash": (*IN_ANY_MODE, *WITH_HASH),
    "none": IN_ANY_MODE,
}
CASES: Final = [(name, fault) for name, faults in FAULTS.items() for fault in faults]


@pytest.mark.parametrize("name", MODES)
def test_a_sound_log(name: str) -> None:
    """Without a fault there is no finding, and the last entry anchors all segments."""
    log = Log(name)
    log.check()
    if log.mode != "none":
        assert log.report((log.anchor(),)).anchored


@pytest.mark.parametrize(("name", "fault"), CASES, ids=[f"{name}-{fault.__name__}" for name, fault in CASES])
@given(data=st.data())
def test_one_fault_is_one_finding(name: str, fault: Fault, data: st.DataObject) -> None:
    """Wherever it is, one fault is one finding, of its kind and in its place; what leaves no trace is none."""
    log = Log(name)
    fault(log, drawing_from(data))
    assert len(log.expected) <= 1
    log.check()


def remove_some(log: Log, draw: Draw) -> None:
    """Take out one to three lines."""
    index, at = some_line(log, draw)
    count = draw(1, 3)
    del log.at(index)[at : at + count]
    log.find_gap(index, at, count)


LOCAL: Final[tuple[Fault, ...]] = (
    break_a_line,
    change_a_line_feed,
    malform,
    remove_some,
    swap_neighbours,
)
LOCAL_FAULTS: Final[dict[str, tuple[Fault, ...]]] = {
    "chain": (*LOCAL, change_a_byte, fork, insert_a_line, reseal),
    "keyed": (*LOCAL, change_a_byte, fork, insert_a_line, reseal),
    "hash": (*LOCAL, change_a_byte, fork),
    "none": LOCAL,
}


def drawing_from(data: st.DataObject, *first: int) -> Draw:
    """Return what draws numbers, these first."""
    given_first = list(first)
    return lambda least, most: given_first.pop(0) if given_first else data.draw(st.integers(least, most))


@pytest.mark.parametrize("name", MODES)
@given(data=st.data())
def test_several_faults_are_a_finding_each(name: str, data: st.DataObject) -> None:
    """A fault in each of some segments, and a segment that is gone: each is found, in the order of the files."""
    log = Log(name)
    gone = data.draw(st.none() | st.integers(0, len(COUNTS) - 1), "segment that is gone")
    for index in data.draw(st.sets(st.integers(0, len(COUNTS) - 1)).map(sorted), "segments with a fault"):
        if index == gone:
            continue
        fault = data.draw(st.sampled_from(LOCAL_FAULTS[name]), "fault")
        fault(log, drawing_from(data, index, data.draw(st.integers(5, COUNTS[index] - 7), "line")))
    if gone is not None:
        log.lines[gone] = None
        log.find("segment_missing", gone, None, None)
    log.expected.sort(key=lambda found: NAMES.index(found[1]))
    log.check()


def damage(files: list[bytes], data: st.DataObject) -> None:
    """Do something to the bytes of a file, or to the files."""
    index = data.draw(st.integers(0, len(files) - 1), "file")
    size = len(files[index])
    first, last = sorted(data.draw(st.tuples(st.integers(0, size), st.integers(0, size)), "from and to"))
    piece = files[index][first:last]
    to = data.draw(st.integers(0, len(files) - 1), "other file")
    match data.draw(st.sampled_from(["bytes", "cut", "double", "move", "swap", "concatenate", "sides"]), "what"):
        case "bytes":
            new = data.draw(st.binary(max_size=40), "bytes")
            files[index] = files[index][:first] + new + files[index][first + len(new) :]
        case "cut":
            files[index] = files[index][:first] + files[index][last:]
        case "double":
            files[index] = files[index][:last] + piece + files[index][last:]
        case "move":
            files[index] = files[index][:first] + files[index][last:]
            files[to] = piece + files[to]
        case "swap":
            files[index], files[to] = files[to], files[index]
        case "concatenate":
            files[index] += files[to]
        case _:
            files[index] = files[index][first:] + files[index][:first]


@pytest.mark.parametrize("name", ["chain", "keyed", "hash"])
@given(data=st.data())
def test_no_damage_goes_unseen(name: str, data: st.DataObject) -> None:
    """Whatever is done to the bytes, the verifier reads on, and with the last entry anchored it finds an error."""
    log = Log(name)
    sound = [logs.join(lines) for lines in log.sound]
    files = list(sound)
    for _ in range(data.draw(st.integers(1, 4), "edits")):
        damage(files, data)
    log.lines = [[] for _ in files]
    log.tails = dict(enumerate(files))
    report = log.report((log.anchor(),))
    assert bool(report.errors) == (files != sound)
    assert report.intact == (files == sound and log.mode == "chain")
