from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_audit.errors import AuditConfigError, AuditLogPoisonedError
from otel_audit.ledger import tail
from otel_audit.ledger.tail import Fragment, Tail
from tests import logs

LINES = logs.log(4)
LOG = logs.join(LINES)
HEAD = Tail(4, logs.hash_of(LINES[-1]), len(LOG))


class Scratch:
    """A file that a test fills."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT)

    def fill(self, data: bytes) -> int:
        os.ftruncate(self.fd, 0)
        return os.pwrite(self.fd, data, 0)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    """Yield an open file."""
    made = Scratch(tmp_path / "a.jsonl")
    yield made
    os.close(made.fd)


class TestReadTail:
    def test_the_last_line_is_the_head(self, scratch: Scratch) -> None:
        """The head of a sound log is its last line."""
        assert tail.read_tail(scratch.fd, 0, scratch.fill(LOG)) == HEAD

    @pytest.mark.parametrize(
        "behind",
        [b"x", b"\n", b"\n\n\n", b"{}\n", b"\0" * 5000, b'{"seq":5,"time":"20', b"garbage\n" * 100, LINES[3][:-1]],
        ids=range(8),
    )
    def test_what_is_no_line_is_passed_over(self, scratch: Scratch, behind: bytes) -> None:
        """Bytes behind the last whole line, line feeds among them, do not change the head."""
        assert tail.read_tail(scratch.fd, 0, scratch.fill(LOG + behind)) == HEAD

    @pytest.mark.parametrize("garbage", [b"x" * 5_000_000, b"x\n" * 60_000, (b"x" * 100_000 + b"\n") * 50])
    def test_a_tail_longer_than_any_buffer(self, scratch: Scratch, garbage: bytes) -> None:
        """Megabytes of garbage behind the last line, with line feeds or without, do not change the head."""
        assert tail.read_tail(scratch.fd, 0, scratch.fill(LOG + garbage)) == HEAD

    def test_a_line_over_the_limit_is_none(self, scratch: Scratch) -> None:
        """A line of 1 MiB with its LF is whole, one byte more is none."""
        for over, expected in ((0, 5), (1, 4)):
            long = logs.seal(logs.entry(5, filler="x"), HEAD.hash)
            fill = "x" * (1 + (1 << 20) - 1 - len(long) + over)
            long = logs.seal(logs.entry(5, filler=fill), HEAD.hash)
            assert len(long) + 1 == (1 << 20) + over
            found = tail.read_tail(scratch.fd, 0, scratch.fill(LOG + long + b"\n"))
            assert found is not None
            assert found.seq == expected

    def test_no_line_at_all(self, scratch: Scratch) -> None:
        """Where no line is whole there is no head."""
        assert tail.read_tail(scratch.fd, 0, scratch.fill(LOG[:50] + b"\nx\n")) is None
        assert tail.read_tail(scratch.fd, 0, scratch.fill(b"")) is None


class TestReadIdentity:
    def test_a_log_says_what_it_is(self, scratch: Scratch) -> None:
        """The first opened tells version, stream, mode and key."""
        key = b"0123456789abcdef"
        size = scratch.fill(logs.join(logs.log(2, key=key)))
        found = tail.read_identity(scratch.fd, scratch.path, size)
        assert found is not None
        assert (found.version, found.stream_id, found.integrity) == ("1", logs.STREAM_ID, "chain")
        assert found.key_id == logs.key_id(key)

    @pytest.mark.parametrize("at", range(0, len(LINES[0]), 7))
    def test_a_torn_first_line_says_nothing(self, scratch: Scratch, at: int) -> None:
        """A beginning of a first line says nothing of the log, and is no foreign file."""
        assert tail.read_identity(scratch.fd, scratch.path, scratch.fill(LINES[0][:at])) is None

    def test_the_line_behind_a_fragment_counts(self, scratch: Scratch) -> None:
        """Where the first line is a fragment, the first readable opened tells what the log is."""
        size = scratch.fill(LINES[0][:40] + b"\n" + LOG)
        identity = tail.read_identity(scratch.fd, scratch.path, size)
        assert identity is not None
        assert identity.stream_id == logs.STREAM_ID

    @pytest.mark.parametrize("content", [b"\n", b"x", b"id,name\n1,a\n", b"\0" * 10, b'{"level":"info"}\n', b"[1]\n"])
    def test_another_file_is_refused(self, scratch: Scratch, content: bytes) -> None:
        """A file that does not begin as a log does is somebody else's."""
        with pytest.raises(AuditConfigError, match="not an audit log"):
            tail.read_identity(scratch.fd, scratch.path, scratch.fill(content))

    def test_a_log_without_its_head_is_refused(self, scratch: Scratch) -> None:
        """A log whose first entry is not opened is not carried on."""
        size = scratch.fill(logs.join(logs.chain([logs.entry(1), logs.opened(2)])))
        with pytest.raises(AuditConfigError, match=r"expected audit\.log\.opened first"):
            tail.read_identity(scratch.fd, scratch.path, size)

    @pytest.mark.parametrize("event_name", ["audit.log.opened", "audit.log.begun"])
    def test_another_version_is_refused(self, scratch: Scratch, event_name: str) -> None:
        """A log of another version is recognised by its version alone, and refused."""
        first = {"seq": 1, "what": "ever", "event_name": event_name, "attributes": {"audit.format.version": "2"}}
        with pytest.raises(AuditConfigError, match="expected format version 1, got '2'"):
            tail.read_identity(scratch.fd, scratch.path, scratch.fill(logs.dump(first) + b"\n"))


class TestFollow:
    def more(self, count: int, prev: str = HEAD.hash) -> list[bytes]:
        """Return the lines that follow on from the log."""
        return list(logs.chain([logs.entry(seq) for seq in range(5, 5 + count)], prev))

    def test_lines_that_follow_on(self, scratch: Scratch) -> None:
        """The head moves to the last of the entries that others appended."""
        lines = self.more(3)
        size = scratch.fill(LOG + logs.join(lines))
        expected = Tail(7, logs.hash_of(lines[-1]), size)
        assert tail.follow(scratch.fd, scratch.path, HEAD, size, "chain") == expected
        assert tail.follow_linked(logs.join(lines), HEAD, keyed=False) == expected

    def test_sealed_with_a_key(self) -> None:
        """Lines with an hmac are followed by their seals, too."""
        lines = list(logs.chain([logs.entry(5), logs.entry(6)], HEAD.hash, key=b"0123456789abcdef"))
        data = logs.join(lines)
        assert tail.follow_linked(data, HEAD, keyed=True) == Tail(6, logs.hash_of(lines[1]), HEAD.end + len(data))
        assert tail.follow_linked(data, HEAD, keyed=False) is None

    def test_a_line_that_does_not_follow_on(self, scratch: Scratch) -> None:
        """An entry that names another predecessor is never chained to."""
        data = logs.join(self.more(1, prev="0" * 64))
        assert tail.follow_linked(data, HEAD, keyed=False) is None
        with pytest.raises(AuditLogPoisonedError, match="does not follow seq 4"):
            tail.follow(scratch.fd, scratch.path, HEAD, scratch.fill(LOG + data), "chain")

    def test_a_line_without_a_hash(self, scratch: Scratch) -> None:
        """Nothing is chained to an entry that has no hash."""
        lines = self.more(1)
        bare = logs.dump({**logs.entry(6), "prev_hash": logs.hash_of(lines[0])})
        size = scratch.fill(LOG + logs.join([*lines, bare]))
        with pytest.raises(AuditLogPoisonedError, match="has no hash"):
            tail.follow(scratch.fd, scratch.path, HEAD, size, "chain")

    def test_a_declared_fragment_is_passed_over(self, scratch: Scratch) -> None:
        """Another writer's fragment between two entries does not break the chain."""
        lines = self.more(2)
        data = lines[0][:70] + b"\n" + logs.join(lines)
        size = scratch.fill(LOG + data)
        assert tail.follow_linked(data, HEAD, keyed=False) is None
        assert tail.follow(scratch.fd, scratch.path, HEAD, size, "chain").end == size

    def test_a_torn_tail_is_left_behind(self, scratch: Scratch) -> None:
        """Following stops at the last whole line."""
        lines = self.more(2)
        size = scratch.fill(LOG + logs.join(lines[:1]) + lines[1][:-5])
        found = tail.follow(scratch.fd, scratch.path, HEAD, size, "chain")
        assert found == Tail(5, logs.hash_of(lines[0]), HEAD.end + len(lines[0]) + 1)
        assert tail.follow_linked(logs.join(lines)[:-5], HEAD, keyed=False) is None


class TestNextEntry:
    @pytest.mark.parametrize("mode", ["chain", "hash", "none"])
    def test_a_line_that_lacks_only_its_line_feed(self, mode: str) -> None:
        """The valid next entry is recognised without its LF."""
        lines = logs.log(2, mode=mode)
        before = Tail(1, "" if mode == "none" else logs.hash_of(lines[0]), 100)
        found = tail.next_entry(lines[1], before, mode, None)
        assert found is not None
        assert (found.seq, found.end) == (2, 100 + len(lines[1]))

    @pytest.mark.parametrize("cut", [0, 1, 2, 30, 400])
    def test_any_fault_makes_it_a_fragment(self, cut: int) -> None:
        """Bytes that are cut, of another seq, hash, predecessor or mode are no next entry."""
        line = logs.seal(logs.entry(5), HEAD.hash)
        assert tail.next_entry(line, HEAD, "chain", None) is not None
        if cut:
            assert tail.next_entry(line[:-cut], HEAD, "chain", None) is None
        assert tail.next_entry(line, HEAD._replace(seq=5), "chain", None) is None
        assert tail.next_entry(line, HEAD._replace(hash="0" * 64), "chain", None) is None
        assert tail.next_entry(line.replace(b"git_log", b"git_lag"), HEAD, "chain", None) is None
        assert tail.next_entry(line, HEAD, "hash", None) is None
        assert tail.next_entry(line, HEAD, "chain", b"0123456789abcdef") is None

    def test_the_hmac_is_checked(self) -> None:
        """With a key, an entry with another key's hmac is a fragment."""
        line = logs.seal(logs.entry(5), HEAD.hash, key=b"0123456789abcdef")
        assert tail.next_entry(line, HEAD, "chain", b"0123456789abcdef") is not None
        assert tail.next_entry(line, HEAD, "chain", b"another key, 16+") is None


@pytest.mark.parametrize("last", [b"", b"\n"])
def test_a_fragment_is_measured_without_its_last_line_feed(scratch: Scratch, last: bytes) -> None:
    """Length and digest of a fragment leave out its last LF, and only that."""
    data = b"torn\nbytes\n\n"[:-1]
    size = scratch.fill(LOG + data + last)
    expected = data + last
    expected = expected.removesuffix(b"\n")
    assert tail.measure_fragment(scratch.fd, len(LOG), size) == Fragment(
        len(LOG), len(expected), hashlib.sha256(expected).hexdigest()
    )
