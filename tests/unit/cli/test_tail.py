"""``otel-audit tail``."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_audit.cli import parser, status, tail
from otel_audit.errors import AuditVerifyError
from otel_audit.log_files import find_log
from otel_audit.query.follow import Break, Follower
from otel_audit.query.latest import Place, Seam, place_of_latest
from otel_audit.reader import open_segments, read_log, verify_log
from otel_audit.selection import Selection
from otel_audit.verify.declared import Declared
from tests import logs
from tests.unit.cli import reading
from tests.unit.cli.reading import ROOT, SOUND, evil_entry, is_inert, on_terminal, once, write_log

LOGS = Path(SOUND).parents[1]
CHAIN_FAULTS = {"edited", "gap", "reordered", "inserted", "forked", "duplicate", "malformed", "mac_missing"}


class Screen(reading.Screen):
    """Follows a log in this process, too."""

    def follow(self, *words: str | Callable[[], object]) -> int:
        """Run ``tail`` with the words that are text, while the others are done one by one; return the exit status."""
        arguments = options(*(word for word in words if isinstance(word, str)))
        try:
            exit_status = tail.follow(arguments, once([word for word in words if not isinstance(word, str)]))
        except KeyboardInterrupt:
            exit_status = status.INTERRUPTED
        return self.keep(exit_status)


@pytest.fixture
def screen(capfdbinary: pytest.CaptureFixture[bytes]) -> Screen:
    """Run commands in this process."""
    return Screen(capfdbinary)


def declaring(fragment: bytes, offset: int) -> logs.Members:
    """Return the attributes of an entry that declares a fragment."""
    return {
        "audit.fragment.offset": offset,
        "audit.fragment.length": len(fragment),
        "audit.fragment.sha256": hashlib.sha256(fragment).hexdigest(),
    }


def interrupted(step: Callable[[], object], at_once: bool) -> list[Callable[[], object]]:
    """Return a step, and Ctrl-C: before its work can be read, or afterwards."""

    def press() -> None:
        if at_once:
            step()
        raise KeyboardInterrupt

    return [press] if at_once else [step, press]


def options(*arguments: str) -> argparse.Namespace:
    """Return the arguments of ``tail``."""
    return parser("tail").parse_args(["tail", *arguments])


class TestEnd:
    """Without -f: the last entries."""

    def test_last_lines(self, screen: Screen) -> None:
        """-n N begins with the last N entries; ten where nothing is said; all where there are fewer."""
        assert screen.seqs("tail", "-n", "3", SOUND) == [8, 9, 10]
        assert screen.seqs("tail", SOUND) == list(range(1, 11))
        assert screen.seqs("tail", "-n", "0", SOUND) == []
        assert screen.seqs("tail", "-n", "99", SOUND) == list(range(1, 11))

    def test_selected(self, screen: Screen) -> None:
        """Options choose what is shown, and -n counts those."""
        assert screen.seqs("tail", "-n", "2", "--action", "WRITE", SOUND) == [6, 9]
        assert screen.seqs("tail", "-n", "1", "--actor", "nobody", SOUND) == []

    @pytest.mark.parametrize("count", [1, 2, 5, 77, 900, 2000])
    def test_place_of_latest(self, count: int, tmp_path: Path) -> None:
        """The place is right over blocks, segments, lines that are none, and a torn end."""
        for name, lines in zip(logs.names_of(3), logs.segments([900, 3, 400]), strict=True):
            (tmp_path / name).write_bytes(logs.join([*lines[:2], b"x" * 70_000, *lines[2:]]))
        with (tmp_path / logs.names_of(3)[2]).open("ab") as file:
            file.write(b"y" * 3_000_000)
        every = [entry.seq for entry in read_log(tmp_path)]
        with contextlib.ExitStack() as stack:
            place = place_of_latest(open_segments(tmp_path, stack), Selection(), count)
        assert place is not None
        path = tmp_path / logs.names_of(3)[place.number - 1]
        line = path.read_bytes()[place.offset :].split(b"\n")[0]
        assert json.loads(line)["seq"] == every[max(0, len(every) - count)]

    @pytest.mark.parametrize("folder", sorted(path.name for path in LOGS.iterdir()))
    def test_agrees_with_verify(self, folder: str) -> None:
        """A log whose chain is sound ends with 0; where verify finds a fault of the chain, it breaks."""
        kinds = {"missing"}
        try:
            report = verify_log(LOGS / folder)
            kinds = {finding.kind for finding in report.errors}
            broken = tail.follow(options("-n", "99999", str(LOGS / folder)), None) == status.FOUND
        except AuditVerifyError:
            assert kinds
            return
        if not kinds:
            assert not broken
        if kinds & CHAIN_FAULTS and report.integrity == "chain":
            assert broken, kinds

    def test_says_where(self, screen: Screen) -> None:
        """A break is said on stderr, with the file, the byte, the seq, and what was expected."""
        assert screen.run("tail", str(LOGS / "dropped" / "audit.jsonl")) == status.FOUND
        assert screen.err.startswith("otel-audit: THE CHAIN BREAKS HERE: ")
        assert ": expected seq " in screen.err
        assert screen.out.count("\n") > 1

    def test_begins_in_the_middle(self, tmp_path: Path, screen: Screen) -> None:
        """What lies before the first line shown is not judged, and what is not shown behind it is."""
        lines = logs.log(20)
        lines[4] = lines[4].replace(b'"success"', b'"failure"')
        path = tmp_path / "audit.jsonl"
        path.write_bytes(logs.join(lines))
        assert screen.run("tail", "-n", "10", str(path)) == 0
        assert screen.run("tail", "-n", "1", "--event-name", "audit.log.opened", str(path)) == status.FOUND

    def test_inert(self, tmp_path: Path, screen: Screen) -> None:
        """No field of an entry acts on the terminal, nor does a path in a message."""
        folder = tmp_path / "\x1b[31mred"
        folder.mkdir()
        path = write_log(folder, evil_entry(2))
        with Path(path).open("ab") as file:
            file.write(b"\x1b]0;owned\x07\n")
        assert screen.run("tail", path) == status.FOUND
        assert is_inert(screen.out)
        assert is_inert(screen.err)

    def test_coloured(self) -> None:
        """A terminal gets colours by outcome; NO_COLOR is honoured."""
        assert "\x1b[31m#8" in on_terminal("tail", SOUND)
        assert "\x1b" not in on_terminal("tail", SOUND, NO_COLOR="1")
        assert "\x1b[1;31motel-audit: THE CHAIN" in on_terminal("tail", str(LOGS / "dropped"))

    def test_usage(self, tmp_path: Path, screen: Screen) -> None:
        """Stdin and what is not there are refused with a word on what to do."""
        assert screen.run("tail", "-") == 2
        assert "use otel-audit query -" in screen.err
        assert screen.run("tail", str(tmp_path / "no.jsonl")) == 2
        assert "expected a log, got no such file" in screen.err


class Growing:
    """A log that a test lets grow while it is followed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "audit.jsonl"
        self.lines = logs.log(6)
        self.path.write_bytes(logs.join(self.lines[:3]))

    def append(self, data: bytes, name: str = "audit.jsonl") -> Callable[[], None]:
        """Return what appends these bytes."""

        def step() -> None:
            with (self.path.parent / name).open("ab") as file:
                file.write(data)

        return step

    def follow(self, *steps: Callable[[], object], offset: int = 0) -> list[int | str]:
        """Return the seqs that come, and what is said of breaks, while the steps are done one by one."""
        declared = Declared("1", "chain", "chain", logs.STREAM_ID, None, None)
        follower = Follower(find_log(self.path), Seam(Place(1, offset)), declared, once(list(steps)))
        return [each.told if isinstance(each, Break) else each.seq for each in follower.run()]


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    """Return a log of three entries that grows."""
    return Growing(tmp_path)


class TestFollow:
    """With -f: what comes."""

    def test_grows(self, growing: Growing) -> None:
        """What is appended is seen, several lines at once too."""
        assert growing.follow(
            growing.append(logs.join(growing.lines[3:4])), growing.append(logs.join(growing.lines[4:]))
        ) == [1, 2, 3, 4, 5, 6]

    def test_partial_lines_wait(self, growing: Growing) -> None:
        """A line without its end is neither shown nor a break until it has one."""
        whole = logs.join(growing.lines[3:4])
        steps = [growing.append(whole[at : at + 100]) for at in range(0, len(whole), 100)]
        assert growing.follow(*steps[:-1]) == [1, 2, 3]
        growing.path.write_bytes(logs.join(growing.lines[:3]))
        assert growing.follow(*steps) == [1, 2, 3, 4]

    def test_rotation(self, tmp_path: Path) -> None:
        """The next segment is followed, whenever its parts come, and the chain goes over the border."""
        first, second = logs.segments([4, 3])
        growing = Growing(tmp_path)
        growing.path.write_bytes(logs.join(first[:2]))
        found = growing.follow(
            growing.append(b"", "audit.000002.jsonl"),
            growing.append(logs.join(first[2:3])),
            growing.append(logs.join(first[3:])),
            growing.append(logs.join(second[:1]), "audit.000002.jsonl"),
            growing.append(logs.join(second[1:]), "audit.000002.jsonl"),
        )
        assert found == [1, 2, 3, 4, 5, 6, 7]

    def test_rotation_lost_an_entry(self, tmp_path: Path) -> None:
        """A segment that does not follow the one before is a break."""
        first, second = logs.segments([4, 3])
        growing = Growing(tmp_path)
        growing.path.write_bytes(logs.join(first[:-1]))
        assert growing.follow(growing.append(logs.join(second), "audit.000002.jsonl")) == [
            1, 2, 3, "expected seq 4, got seq 5", 5, 6, 7,
        ]  # fmt: skip

    def test_missing_segment(self, tmp_path: Path) -> None:
        """A segment that is not there is a break, and the one behind it is followed."""
        first, _, third = logs.segments([4, 3, 3])
        growing = Growing(tmp_path)
        growing.path.write_bytes(logs.join(first))
        found = growing.follow(growing.append(logs.join(third), "audit.000003.jsonl"))
        assert found == [1, 2, 3, 4, "expected the segment audit.000002.jsonl behind it, got no such file", 8, 9, 10]

    @pytest.mark.parametrize("rest", [b"", b'{"seq":5'])
    def test_missing_segment_is_placed(self, rest: bytes, tmp_path: Path, screen: Screen) -> None:
        """A missing segment is missed where the one before it ends, not where it was begun to read."""
        parts = logs.segments([4, 3, 3, 3])
        for number in (1, 2, 4):
            (tmp_path / f"audit.{number:06d}.jsonl").write_bytes(logs.join(parts[number - 1]))
        (tmp_path / "audit.000001.jsonl").rename(tmp_path / "audit.jsonl")
        with (tmp_path / "audit.000002.jsonl").open("ab") as file:
            file.write(rest)
        assert screen.run("tail", str(tmp_path), "-n", "99") == 1
        end = len(logs.join(parts[1]) + rest)
        assert f"audit.000002.jsonl: at byte {end}: expected the segment audit.000003.jsonl behind it" in screen.err

    def test_cut(self, growing: Growing) -> None:
        """A file that becomes shorter ends it, as a break."""
        found = growing.follow(lambda: os.truncate(growing.path, 100))
        assert found[:3] == [1, 2, 3]
        assert "expected a file that only grows, got 100 bytes" in str(found[3])

    def test_replaced(self, growing: Growing) -> None:
        """Another file of the same name is not the log."""
        other = growing.path.with_suffix(".new")
        other.write_bytes(growing.path.read_bytes())
        found = growing.follow(lambda: other.replace(growing.path))
        assert found == [1, 2, 3, "expected the file that was read, got another of this name"]
        assert growing.follow(growing.path.unlink)[3:] == [
            "expected the file that was read, got none of this name any more"
        ]

    def test_forged_line(self, growing: Growing) -> None:
        """A line whose hash is wrong is shown, and said to be wrong before that."""
        forged = growing.lines[3].replace(b'"success"', b'"failure"')
        found = growing.follow(growing.append(logs.join([forged, growing.lines[4]])))
        assert str(found[3]).startswith("expected hash ")
        assert found[4:] == [4, 5]

    def test_declared_fragment(self, growing: Growing) -> None:
        """What a crash left is no break where the next entry declares just that."""
        fragment = b'{"seq":4,"time'
        offset = growing.path.stat().st_size
        told = declaring(fragment, offset)
        before = logs.hash_of(growing.lines[2])
        for length, expected in ((len(fragment), [1, 2, 3, 4]), (len(fragment) - 1, None)):
            growing.path.write_bytes(logs.join(growing.lines[:3]))
            entry = logs.log_entry(4, "audit.log.recovered", **told | {"audit.fragment.length": length})
            found = growing.follow(
                growing.append(fragment), growing.append(b"\n" + logs.join([logs.seal(entry, before)]))
            )
            if expected is not None:
                assert found == expected
            else:
                assert "14 bytes that are none" in str(found[3])

    def test_endless_line(self, growing: Growing) -> None:
        """A line that never ends is a break once something follows, and is not held in memory."""
        steps = [growing.append(b"x" * 700_000) for _ in range(4)]
        found = growing.follow(*steps, growing.append(b"\n" + logs.join(growing.lines[3:4])))
        assert found == [1, 2, 3, "expected an entry, got 2800000 bytes that are none", 4]

    @pytest.mark.parametrize(("mode", "key"), [("chain", None), ("chain", b"k" * 32), ("hash", None), ("none", None)])
    def test_begun_empty(self, mode: str, key: bytes | None, growing: Growing, screen: Screen) -> None:
        """A log that is still empty says what it is when its first line comes, and is held to that."""
        lines = logs.log(5, mode=mode, key=key)
        growing.path.write_bytes(b"")
        steps = [growing.append(data) for data in (lines[0][:100], lines[0][100:] + b"\n", logs.join(lines[1:4]))]
        assert screen.follow(str(growing.path), *steps) == status.OK
        assert (screen.out.count("\n"), screen.err) == (4, "")
        growing.path.write_bytes(b"")
        assert screen.follow(str(growing.path), growing.append(logs.join(lines[:2] + lines[3:]))) == status.FOUND
        assert "expected seq 3, got seq 4" in screen.err
        assert screen.err.count("\n") == 1

    def test_begun_empty_and_recovered(self, growing: Growing, screen: Screen) -> None:
        """A first line that a crash tore, and that the next writer declares, is no break either."""
        fragment = b'{"seq":1'
        growing.path.write_bytes(fragment)
        line = logs.seal(logs.opened(**declaring(fragment, 0)))
        assert screen.follow(str(growing.path), growing.append(b"\n" + line + b"\n")) == status.OK
        assert screen.err == ""

    @pytest.mark.parametrize("rest", [b"garbage\n", b"\n", b"garbage\ntorn", b"x" * 1_100_000])
    @pytest.mark.parametrize("at_once", [False, True])
    def test_ctrl_c_behind_what_is_no_entry(self, rest: bytes, at_once: bool, growing: Growing, screen: Screen) -> None:
        """What is no entry, and declared by none, is told when Ctrl-C ends it, whether it was read before or not."""
        end = growing.path.stat().st_size
        assert screen.follow("-n1", str(growing.path), *interrupted(growing.append(rest), at_once)) == status.FOUND
        assert f"THE CHAIN BREAKS HERE: {growing.path}: at byte {end}: expected an entry, got" in screen.err

    def test_ctrl_c_with_entries_to_show(self, growing: Growing, screen: Screen) -> None:
        """What broke behind entries that came just before Ctrl-C is told, too."""
        steps = interrupted(growing.append(logs.join([*growing.lines[3:5], b"garbage"])), at_once=True)
        assert screen.follow(str(growing.path), *steps) == status.FOUND
        assert "expected an entry, got 7 bytes that are none" in screen.err

    @pytest.mark.parametrize("shown", [["-n1"], ["-n0"], ["--actor", "nobody"]])
    @pytest.mark.parametrize("at_once", [False, True])
    @pytest.mark.parametrize("kind", ["gap", "relinked", "repeated", "fork", "garbage", "removed", "replaced", "cut"])
    def test_ctrl_c_behind_a_broken_seam(
        self, kind: str, at_once: bool, shown: list[str], growing: Growing, screen: Screen
    ) -> None:
        """What does not follow the last entry that was there is told, shown or not, read before Ctrl-C or not."""
        *_, third, fourth, fifth, _ = growing.lines
        other = growing.path.with_suffix(".new")
        other.write_bytes(growing.path.read_bytes())
        step, told = {
            "gap": (growing.append(fifth + b"\n"), "seq 5: expected seq 4, got seq 5"),
            "relinked": (growing.append(logs.seal(logs.entry(4), "0" * 64) + b"\n"), "seq 4: expected prev_hash "),
            "repeated": (growing.append(third + b"\n"), "seq 3: expected seq 4, got seq 3"),
            "fork": (growing.append(logs.join([fourth, fourth])), "seq 4: expected seq 5, got seq 4"),
            "garbage": (growing.append(b"garbage\n"), "expected an entry, got 7 bytes that are none"),
            "removed": (growing.path.unlink, "got none of this name any more"),
            "replaced": (lambda: other.replace(growing.path), "got another of this name"),
            "cut": (lambda: os.truncate(growing.path, 100), "expected a file that only grows, got 100 bytes"),
        }[kind]
        assert screen.follow(*shown, str(growing.path), *interrupted(step, at_once)) == status.FOUND
        assert told in screen.err
        assert screen.err.count("THE CHAIN BREAKS HERE") == 1

    @pytest.mark.parametrize("shown", [["-n1"], ["-n0"], ["--actor", "nobody"]])
    @pytest.mark.parametrize("at_once", [False, True])
    def test_ctrl_c_behind_a_sound_seam(
        self, at_once: bool, shown: list[str], growing: Growing, screen: Screen
    ) -> None:
        """What follows the last entry that was there is no break, shown or not, read before Ctrl-C or not."""
        steps = interrupted(growing.append(logs.join(growing.lines[3:])), at_once)
        assert screen.follow(*shown, str(growing.path), *steps) == status.INTERRUPTED
        assert screen.err == ""

    def test_seam(self, growing: Growing) -> None:
        """Where a follower stops before it has taken an entry, another one goes on with that entry."""
        log, declared = find_log(growing.path), Declared("1", "chain", "chain", logs.STREAM_ID, None, None)
        for taken in range(3):
            follower = Follower(log, Seam(Place(1, 0)), declared)
            entries = follower.run()
            for _ in range(taken + 1):
                next(entries)
            found = [each.seq for each in Follower(log, follower.seam, declared).run() if not isinstance(each, Break)]
            assert found == [1, 2, 3][taken:]

    @pytest.mark.parametrize("lost", [False, True])
    @pytest.mark.parametrize("at_once", [False, True])
    def test_ctrl_c_behind_a_rotation(self, at_once: bool, lost: bool, tmp_path: Path, screen: Screen) -> None:
        """The next segment has to follow the last entry that was read before Ctrl-C."""
        first, second = logs.segments([4, 3])
        growing = Growing(tmp_path)
        growing.path.write_bytes(logs.join(first))
        steps = interrupted(growing.append(logs.join(second[lost:]), "audit.000002.jsonl"), at_once)
        found = screen.follow("-n0", str(growing.path), *steps)
        assert found == (status.FOUND if lost else status.INTERRUPTED)
        assert ("seq 6: expected seq 5, got seq 6" in screen.err) is lost

    @pytest.mark.parametrize("head", [0, 3])
    @pytest.mark.parametrize("declared", [False, True])
    def test_nothing_shown_of_a_torn_log(self, head: int, declared: bool, growing: Growing, screen: Screen) -> None:
        """With -n 0, what stands behind the last entry is no break where the next entry declares it, else one."""
        fragment = b'{"seq":4,"time'
        growing.path.write_bytes(logs.join(growing.lines[:head]) + fragment + b"\n")
        said = declaring(fragment, len(logs.join(growing.lines[:head]))) if declared else {}
        if head:
            entry = logs.log_entry(4, "audit.log.recovered", **said)
            line = logs.seal(entry, logs.hash_of(growing.lines[2]))
        else:
            line = logs.seal(logs.opened(**said))
        found = screen.follow("-n0", str(growing.path), growing.append(line + b"\n"))
        assert found == (status.OK if declared else status.FOUND)
        assert ("14 bytes that are none" in screen.err) is not declared

    @pytest.mark.parametrize("cut", [1, 100, None])
    @pytest.mark.parametrize("at_once", [False, True])
    def test_ctrl_c_in_the_middle_of_a_line(
        self, cut: int | None, at_once: bool, growing: Growing, screen: Screen
    ) -> None:
        """A line without its end, which may be written just then, is no break when Ctrl-C comes."""
        steps = interrupted(growing.append(growing.lines[3][:cut]), at_once)
        assert screen.follow(str(growing.path), *steps) == status.INTERRUPTED
        assert screen.err == ""

    def test_ctrl_c_while_a_fragment_is_declared(self, growing: Growing, screen: Screen) -> None:
        """A fragment is no break where the entry that declares it is being written when Ctrl-C comes."""
        fragment = b'{"seq":4,"time'
        told = declaring(fragment, growing.path.stat().st_size)
        line = logs.seal(logs.log_entry(4, "audit.log.recovered", **told), logs.hash_of(growing.lines[2])) + b"\n"
        with growing.path.open("ab", buffering=0) as file:

            def begin() -> None:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(fragment + b"\n" + line[:50])

            def finish() -> None:
                file.write(line[50:])
                fcntl.flock(file, fcntl.LOCK_UN)

            writer = threading.Thread(target=finish)
            found = screen.follow(str(growing.path), begin, *interrupted(writer.start, at_once=True))
            writer.join()
        assert (found, screen.err) == (status.INTERRUPTED, "")

    @pytest.mark.parametrize("broken", [None, "before", "then"])
    def test_ctrl_c(self, broken: str | None, growing: Growing) -> None:
        """Ctrl-C ends it quietly: with 130, or with 1 where the chain broke."""
        if broken == "before":
            growing.path.write_bytes(logs.join([growing.lines[0], growing.lines[2]]))
        command = [sys.executable, "-m", "otel_audit", "tail", "-f", str(growing.path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            seen = [process.stdout.readline() for _ in range(2 if broken == "before" else 3)]
            if broken != "before":
                growing.append(logs.join(growing.lines[3:4]))()
                assert process.stdout.readline().startswith("#4  ")
            if broken == "then":
                growing.append(growing.lines[4].replace(b'"seq"', b'"sex"') + b"\n")()
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
        assert seen[0].startswith("#1  ")
        assert (said.count("\n"), process.returncode) == ((1, 1) if broken else (0, status.INTERRUPTED))
