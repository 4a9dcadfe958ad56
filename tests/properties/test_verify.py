"""Whatever is done to a log, the verifier finds it, names it and says where."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from otel_audit.chain import Head
from otel_audit.entry import MalformedLineError, parse_line
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.finding import Finding
from otel_audit.verify.report import VerifyReport
from otel_audit.verify.segment import Segment
from otel_audit.verify.verifier import verify
from tests import logs

lengths = st.integers(min_value=1, max_value=50)
long_lengths = st.integers(min_value=3, max_value=50)
PIECES = (b",", b"}", b"{", b'"', b"}}", b',"a":1', b"-0", b" ", b"\\u0041", b"\xc3\xa9", b"\xff", b"1e400")
CONTENTS = (
    (b'"lines":42', True),
    (b'"lines":1E2', True),
    (b'"lines":1.50', True),
    (b'"lines":-0.0', True),
    (b'"lines":9223372036854775807', True),
    (b'"lines":"\\u0041\\/"', True),
    (b'"lines":"\xe2\x80\xa8"', True),
    (b'"lines":{"audit.actor.id":"b"}', True),
    (b'"lines":' + b"[" * 62 + b"]" * 62, True),
    (b'"lines":' + b"[" * 63 + b"]" * 63, False),
    (b'"lines":' + b'{"a":' * 63 + b"1" + b"}" * 63, False),
    (b'"lines":-0', False),
    (b'"lines":1e400', False),
    (b'"lines":9223372036854775808', False),
    (b'"lines":18446744073709551616', False),
    (b'"lines":NaN', False),
    (b'"lines":01', False),
    (b'"lines": 1', False),
    (b'"lines":1,', False),
    (b'"lines":1,"lines":1', False),
    (b'"lines":1,"l\\u0069nes":1', False),
    (b'"audit.actor.id":"b"', False),
    (b'"audit.record.id":"b"', False),
    (b'"lines":{"a":1,"a":1}', False),
    (b'"lines":"\\ud800"', False),
    (b'"lines":"\xed\xa0\x80"', False),
    (b'"lines":"\t"', False),
    (b'"lines":1}', False),
    (b'"lines":1},"body":null', False),
    (b'"lines":1},"trace_id":"' + b"0" * 32 + b'"', False),
)
LOGS = {count: logs.log(count) for count in range(1, 51)}


def judge(data: bytes, *, anchors: tuple[Anchor, ...] = (), block: int = 1500) -> VerifyReport:
    """Verify the bytes of a log of one segment, twice.

    All at once, a log as short as these goes line by line; in small blocks, most lines go the
    quick way. Both must say the same.
    """
    whole, pieces = (_judge(data, anchors, size) for size in (1 << 16, block))
    assert whole == pieces
    return whole


def _judge(data: bytes, anchors: tuple[Anchor, ...], block: int) -> VerifyReport:
    segment = Segment("audit.jsonl", "audit.jsonl", 1, len(data), lambda at, n: data[at : at + min(n, block)])
    return verify([segment], path="audit.jsonl", first_name="audit.jsonl", anchors=anchors)


def brief(findings: tuple[Finding, ...]) -> list[tuple[str, int | None, int | None, int]]:
    """Return kind, line, seq and count of each finding."""
    return [(f.kind, f.line, f.seq, f.count) for f in findings]


def anchor_of(line: bytes) -> Anchor:
    """Return the anchor that a receipt for a line is."""
    return Anchor(json.loads(line)["seq"], logs.hash_of(line))


class TestSound:
    """A log that nothing happened to."""

    @given(lengths, st.integers(min_value=1, max_value=5000))
    def test_is_intact(self, count: int, block: int) -> None:
        """It is intact, however its bytes arrive, and its head is its last line."""
        lines = LOGS[count]
        report = judge(logs.join(lines), block=block)
        assert report.intact
        assert not report.findings
        assert report.entries == count
        assert report.head == Head(count, logs.hash_of(lines[-1]))
        assert report.stream_id == logs.STREAM_ID

    @given(lengths, st.data())
    def test_is_anchored_by_each_of_its_receipts(self, count: int, data: st.DataObject) -> None:
        """A receipt for any entry anchors it."""
        lines = LOGS[count]
        anchor = anchor_of(data.draw(st.sampled_from(lines)))
        report = judge(logs.join(lines), anchors=(anchor,))
        assert report.intact
        assert report.anchored


class TestChangedByte:
    """One byte is not what it was."""

    @given(lengths, st.data())
    def test_is_found_where_it_is(self, count: int, data: st.DataObject) -> None:
        """The one finding is malformed, edited, torn or unsupported, at that line."""
        lines = LOGS[count]
        index = data.draw(st.integers(0, count - 1))
        line = lines[index]
        at = data.draw(st.integers(0, len(line) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda value: value not in (line[at], 10)))
        changed = line[:at] + bytes([byte]) + line[at + 1 :]
        report = judge(logs.join([*lines[:index], changed, *lines[index + 1 :]]))
        try:
            members = parse_line(changed)
        except MalformedLineError:
            expected: tuple[str, int, object, int] = ("malformed", index + 1, None, 1)
        else:
            # Where the byte made another seq of it, that is what the line now says.
            expected = ("edited", index + 1, members["seq"], 1)
        version = json.loads(line)["attributes"].get("audit.format.version")
        if report.findings[0].kind == "unsupported":
            assert version is not None
            assert json.loads(changed)["attributes"]["audit.format.version"] != version
            return
        assert brief(report.findings) == [expected]
        assert not report.intact

    @given(lengths, st.data())
    def test_of_a_line_feed_is_found(self, count: int, data: st.DataObject) -> None:
        """Another byte for an LF makes two lines one: malformed; the last one: torn."""
        lines = LOGS[count]
        index = data.draw(st.integers(0, count - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda value: value != 10))
        contents = bytearray(logs.join(lines))
        contents[len(logs.join(lines[: index + 1])) - 1] = byte
        report = judge(bytes(contents))
        kind = "torn" if index == count - 1 else "malformed"
        assert brief(report.findings) == [(kind, index + 1, None, 1)]

    @given(lengths, st.data())
    def test_to_a_line_feed_is_found(self, count: int, data: st.DataObject) -> None:
        """An LF inside a line makes it two unreadable ones, which are one finding."""
        lines = LOGS[count]
        index = data.draw(st.integers(0, count - 1))
        at = data.draw(st.integers(0, len(lines[index]) - 1))
        changed = lines[index][:at] + b"\n" + lines[index][at + 1 :]
        report = judge(logs.join([*lines[:index], changed, *lines[index + 1 :]]))
        assert brief(report.findings) == [("malformed", index + 1, None, 2)]


class TestLines:
    """Whole lines are gone, doubled, moved or new."""

    @given(long_lengths, st.data())
    def test_dropped_lines_are_a_gap(self, count: int, data: st.DataObject) -> None:
        """Lines missing before the end are one gap, at the line that follows, of that many."""
        lines = LOGS[count]
        start = data.draw(st.integers(0, count - 2))
        stop = data.draw(st.integers(start + 1, count - 1))
        report = judge(logs.join(lines[:start] + lines[stop:]))
        assert brief(report.findings) == [("gap", start + 1, start + 1, stop - start)]

    @given(long_lengths, st.data())
    def test_a_dropped_tail_needs_an_anchor(self, count: int, data: st.DataObject) -> None:
        """Lines missing at the end leave the log intact, unless an anchor has seen them."""
        lines = LOGS[count]
        stop = data.draw(st.integers(1, count - 1))
        contents = logs.join(lines[:stop])
        assert judge(contents).intact
        report = judge(contents, anchors=(anchor_of(lines[-1]),))
        assert [(f.kind, f.seq, f.count) for f in report.findings] == [("truncated", stop + 1, count - stop)]
        assert not report.anchored

    @given(lengths, st.data())
    def test_doubled_lines_are_duplicates(self, count: int, data: st.DataObject) -> None:
        """A stretch copied further down is one finding, at the copy."""
        lines = LOGS[count]
        start = data.draw(st.integers(0, count - 1))
        stop = data.draw(st.integers(start + 1, count))
        at = data.draw(st.integers(stop, count))
        report = judge(logs.join(lines[:at] + lines[start:stop] + lines[at:]))
        assert brief(report.findings) == [("duplicate", at + 1, start + 1, stop - start)]

    @given(long_lengths, st.data())
    def test_a_line_copied_up_is_a_duplicate(self, count: int, data: st.DataObject) -> None:
        """A line copied further up is one finding, at the later of the two."""
        lines = LOGS[count]
        index = data.draw(st.integers(1, count - 1))
        at = data.draw(st.integers(0, index - 1))
        report = judge(logs.join([*lines[:at], lines[index], *lines[at:]]))
        assert brief(report.findings) == [("duplicate", index + 2, index + 1, 1)]

    @given(long_lengths, st.data())
    def test_swapped_neighbours_are_reordered(self, count: int, data: st.DataObject) -> None:
        """Of two neighbours that were swapped, the one that now stands first is out of order."""
        lines = list(LOGS[count])
        index = data.draw(st.integers(0, count - 2))
        lines[index : index + 2] = [lines[index + 1], lines[index]]
        report = judge(logs.join(lines))
        assert brief(report.findings) == [("reordered", index + 1, index + 2, 1)]

    @given(long_lengths, st.data())
    def test_a_moved_line_is_reordered(self, count: int, data: st.DataObject) -> None:
        """A line moved by two or more is the one that is out of order."""
        lines = list(LOGS[count])
        source = data.draw(st.integers(0, count - 1))
        target = data.draw(st.integers(0, count - 1).filter(lambda t: abs(t - source) > 1))
        lines.insert(target, lines.pop(source))
        report = judge(logs.join(lines))
        assert brief(report.findings) == [("reordered", target + 1, source + 1, 1)]

    @given(long_lengths, st.data())
    def test_a_foreign_line_is_inserted(self, count: int, data: st.DataObject) -> None:
        """A sealed line that nothing leads to is inserted, at its place."""
        lines = LOGS[count]
        at = data.draw(st.integers(1, count - 1))
        seq = data.draw(st.integers(1, count))
        foreign = logs.seal(logs.entry(seq, lines=-1), "ab" * 32)
        report = judge(logs.join([*lines[:at], foreign, *lines[at:]]))
        assert brief(report.findings) == [("inserted", at + 1, seq, 1)]

    @given(long_lengths, st.data())
    def test_a_second_successor_is_a_fork(self, count: int, data: st.DataObject) -> None:
        """A line inserted with the right predecessor is forked, where more follows the other."""
        lines = LOGS[count]
        index = data.draw(st.integers(1, count - 2))
        other = logs.seal(logs.entry(index + 1, lines=-1), logs.hash_of(lines[index - 1]))
        report = judge(logs.join([*lines[:index], other, *lines[index:]]))
        assert brief(report.findings) == [("forked", index + 1, index + 1, 1)]

    @given(long_lengths, st.data())
    def test_a_line_sealed_again_is_found_at_the_next(self, count: int, data: st.DataObject) -> None:
        """An altered line with a right hash is edited: its successor seals another."""
        lines = LOGS[count]
        index = data.draw(st.integers(1, count - 2))
        altered = logs.seal(logs.entry(index + 1, lines=-1), logs.hash_of(lines[index - 1]))
        report = judge(logs.join([*lines[:index], altered, *lines[index + 1 :]]))
        assert brief(report.findings) == [("edited", index + 1, index + 1, 1)]

    @given(long_lengths, st.data())
    def test_a_tail_sealed_again_needs_an_anchor(self, count: int, data: st.DataObject) -> None:
        """A log rewritten from some entry on differs from an anchor behind it."""
        lines = LOGS[count]
        index = data.draw(st.integers(1, count - 1))
        tail = (logs.entry(seq, lines=-1) for seq in range(index + 1, count + 1))
        contents = logs.join([*lines[:index], *logs.chain(tail, logs.hash_of(lines[index - 1]))])
        assert judge(contents).intact
        report = judge(contents, anchors=(anchor_of(lines[-1]),))
        assert [(f.kind, f.seq) for f in report.findings] == [("diverged", count)]


class TestSealedAgain:
    """A line that is no line of the format, under a seal that is right, in a chain that holds."""

    @given(st.integers(12, 50), st.data())
    def test_is_judged_as_the_parser_does(self, count: int, data: st.DataObject) -> None:
        """Any changed bytes make it malformed exactly if the strict parser says so."""
        index = data.draw(st.integers(8, count - 2))
        members = logs.entry(index + 1)
        lines = LOGS[count]
        body = logs.dump({**members, "prev_hash": logs.hash_of(lines[index - 1])})[:-1]
        start = data.draw(st.integers(1, len(body) - 1))
        stop = data.draw(st.integers(start, min(start + 3, len(body))))
        new = data.draw(st.one_of(st.binary(max_size=4), st.sampled_from(PIECES)))
        body = body[:start] + new.replace(b"\n", b" ") + body[stop:]
        digest = hashlib.sha256(body).hexdigest()
        altered = body + b',"hash":"%s"}' % digest.encode()
        behind = logs.chain((logs.entry(seq) for seq in range(index + 2, count + 1)), digest)
        report = judge(logs.join([*lines[:index], altered, *behind]))
        try:
            parse_line(altered)
        except MalformedLineError:
            assert ("malformed", index + 1, None, 1) in brief(report.findings)
        else:
            assert all(finding.kind != "malformed" for finding in report.findings)

    @given(st.integers(12, 50), st.sampled_from(CONTENTS))
    def test_in_its_attributes(self, count: int, content: tuple[bytes, bool]) -> None:
        """What stands among the attributes decides, on the quick way as on the exact one."""
        text, legal = content
        lines = LOGS[count]
        index = count // 2
        body = logs.dump({**logs.entry(index + 1), "prev_hash": logs.hash_of(lines[index - 1])})[:-1]
        body = body.replace(b'"lines":%d' % ((index + 1) % 97), text)
        digest = hashlib.sha256(body).hexdigest()
        altered = body + b',"hash":"%s"}' % digest.encode()
        behind = logs.chain((logs.entry(seq) for seq in range(index + 2, count + 1)), digest)
        report = judge(logs.join([*lines[:index], altered, *behind]))
        expected = [] if legal else [("malformed", index + 1, None, 1)]
        assert brief(report.findings) == expected


class TestTwoFaults:
    """A fault does not hide another one behind it."""

    @given(st.integers(min_value=12, max_value=50), st.data())
    def test_both_are_found(self, count: int, data: st.DataObject) -> None:
        """An edited line and a gap further down are two findings."""
        lines = list(LOGS[count])
        first = data.draw(st.integers(1, 4))
        second = data.draw(st.integers(7, count - 2))
        lines[first] = lines[first].replace(b'"success"', b'"failure"')
        del lines[second]
        report = judge(logs.join(lines))
        assert brief(report.findings) == [
            ("edited", first + 1, first + 1, 1),
            ("gap", second + 1, second + 1, 1),
        ]


class TestAnything:
    """Bytes that nobody foresaw."""

    @given(st.binary(max_size=3000), st.integers(1, 50))
    def test_never_raises(self, data: bytes, count: int) -> None:
        """Any bytes, alone and in the middle of a log, get a report."""
        lines = LOGS[count]
        judge(data)
        report = judge(logs.join(lines[: count // 2]) + data + logs.join(lines[count // 2 :]))
        assert report.entries <= count + data.count(b"\n") + 1

    @given(st.integers(2, 20), st.data())
    def test_any_shuffle_is_reported(self, count: int, data: st.DataObject) -> None:
        """Lines in any order, doubled and dropped, get a report, and only the log itself is intact."""
        lines = LOGS[count]
        picked = data.draw(st.lists(st.sampled_from(lines), min_size=1, max_size=40))
        report = judge(logs.join(picked))
        assert report.intact == (picked == lines[: len(picked)])


def test_the_file_of_this_log_is_real(tmp_path: Path) -> None:
    """A line of these logs can be checked as docs/format.md says, by hashing bytes off the file."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(logs.join(LOGS[5]))
    line = path.read_bytes().split(b"\n")[4] + b"\n"
    assert hashlib.sha256(line[:-76]).hexdigest() == logs.hash_of(line)
