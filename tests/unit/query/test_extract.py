"""`otel_audit.query.extract` and `otel_audit.query.extract_check`: an extract, and what it proves."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.chain import Head
from otel_audit.query import extract, extract_check, midstate
from otel_audit.query.extract import BrokenChainError, write_extract
from otel_audit.query.extract_check import check_extract
from otel_audit.query.extract_name import is_extract
from otel_audit.query.extract_report import ExtractReport
from otel_audit.reader import open_segments
from otel_audit.reconcile.copy_file import CopyFile
from otel_audit.selection import Selection
from otel_audit.verify.anchors import Anchor
from otel_audit.verify.declared import find_declaration
from otel_audit.verify.report import Integrity
from tests import extracts, logs

KEY = b"0123456789abcdef"
KEY_ID: dict[str, Any] = {"audit.key.id": logs.key_id(KEY)}
HMAC = re.compile(rb',"hmac":"[0-9a-f]{64}"')
SAID = re.compile(rb'"key_id":[^,]*,')
LINES = logs.log(40)


def chosen_by(*seqs: int) -> Selection:
    """Return the selection of entries whose attribute ``lines`` is one of these (their seq)."""
    return Selection(event_names=tuple(f"chosen.{seq}" for seq in seqs))


def named(lines: int, **more: object) -> list[bytes]:
    """Return a log in which each entry can be chosen by its name."""
    members = [logs.opened(), *(logs.entry(seq, f"chosen.{seq}", **more) for seq in range(2, lines + 1))]
    return list(logs.chain(members))


def made(
    folder: Path,
    files: dict[str, bytes],
    selection: Selection,
    *,
    linked: bool = True,
    anchor: Head | None = None,
) -> bytes:
    """Return the extract of a log."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    file = io.BytesIO()
    with contextlib.ExitStack() as stack:
        segments = open_segments(folder, stack)
        declared = find_declaration(segments)[1]
        done = write_extract(segments, declared, selection, file.write, linked=linked, anchor=anchor)
    assert (done.chosen == 0) == (file.getvalue() == b"")
    return file.getvalue()


def checked(
    data: bytes, *anchors: str, key: bytes | None = None, expected_integrity: Integrity = "chain"
) -> ExtractReport:
    """Return what is said of an extract."""
    file = io.BytesIO(data)
    given = [Anchor(int(seq), digits) for seq, _, digits in (anchor.partition(":") for anchor in anchors)]
    return check_extract(
        CopyFile("x", len(data), file.read), anchors=given, key=key, expected_integrity=expected_integrity
    )


def is_sound(report: ExtractReport) -> bool:
    """Return whether an extract is of a known version, and nothing is wrong with it."""
    return report.supported and not report.findings


class TestMade:
    """What is written."""

    @pytest.mark.parametrize("seqs", [(2,), (12,), (3, 4, 5), (2, 7, 8, 12), tuple(range(2, 13))], ids=str)
    def test_a_stranger_can_check_it(self, tmp_path: Path, seqs: tuple[int, ...]) -> None:
        """By nothing but docs/export.md, the chosen entries lead to the log's head over all that is left out."""
        lines = named(12)
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(*seqs))
        assert extracts.check(data) == (list(seqs), f"12:{logs.hash_of(lines[-1])}")
        assert [line for line in data.split(b"\n") if line.startswith(b'{"seq":')] == [lines[seq - 1] for seq in seqs]
        assert is_sound(checked(data))

    def test_what_it_says_of_an_entry_that_is_left_out(self, tmp_path: Path) -> None:
        """Its seq, hash and length, a state of SHA-256 and fewer than 64 bytes; nothing else of the line."""
        lines = [*named(9)]
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(2))
        said = [json.loads(line) for line in data.split(b"\n") if line.startswith(b'{"left_out":')]
        assert said == [extracts.left_out(line) for line in lines[2:]]
        assert all(len(one["rest"]) < 2 * 64 for one in said)

    @pytest.mark.parametrize("length", range(64))
    def test_every_length_of_the_rest(self, tmp_path: Path, length: int) -> None:
        """Wherever the last blocks of a left-out line begin, it can be linked."""
        members = [logs.opened(), logs.entry(2, "chosen.2"), logs.entry(3, more="x" * length), logs.entry(4)]
        data = made(tmp_path, {"audit.jsonl": logs.join(logs.chain(members))}, chosen_by(2))
        assert extracts.check(data)[0] == [2]
        assert is_sound(checked(data))

    def test_over_segments(self, tmp_path: Path) -> None:
        """An extract goes over the borders of segments."""
        made_of = logs.segments([5, 6, 7])
        files = {name: logs.join(lines) for name, lines in zip(logs.names_of(3), made_of, strict=True)}
        data = made(tmp_path, files, Selection(since_seq=4, until_seq=4))
        assert extracts.check(data) == ([4], f"18:{logs.hash_of(made_of[2][-1])}")

    def test_fragments_are_passed_over(self, tmp_path: Path) -> None:
        """What a crash left between two lines is no entry, and breaks no link."""
        lines = named(6)
        files = {"audit.jsonl": logs.join([*lines[:4], b'{"seq":5,"time":"20', b"\x00\x00", *lines[4:]])}
        assert extracts.check(made(tmp_path, files, chosen_by(3)))[0] == [3]

    def test_nothing_chosen(self, tmp_path: Path) -> None:
        """Where nothing is chosen, nothing is written."""
        assert made(tmp_path, {"audit.jsonl": logs.join(named(4))}, chosen_by(99)) == b""

    def test_up_to_an_anchor(self, tmp_path: Path) -> None:
        """With an anchor an extract ends there, and has nothing behind it."""
        lines = named(12)
        end = Head(8, logs.hash_of(lines[7]))
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(3, 7, 9), anchor=end)
        assert extracts.check(data) == ([3, 7], str(end))

    @pytest.mark.parametrize("end", [Head(8, "0" * 64), Head(99, "0" * 64)], ids=str)
    def test_an_anchor_that_is_not_in_the_log(self, tmp_path: Path, end: Head) -> None:
        """An anchor that the log does not agree with is refused."""
        with pytest.raises(BrokenChainError, match="expected the anchor"):
            made(tmp_path, {"audit.jsonl": logs.join(named(12))}, chosen_by(3), anchor=end)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda lines: [line.replace(b"git_log", b"git_lag") for line in lines], "fits its hash"),
            (lambda lines: [*lines[:4], *lines[5:]], "expected seq 5, got 6"),
            (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], "expected seq 5, got 6"),
            (lambda lines: [*lines[:4], logs.seal(logs.entry(5)), *lines[5:]], "expected prev_hash"),
        ],
        ids=["edited", "gap", "reordered", "inserted"],
    )
    def test_a_broken_chain(self, tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], reason: str) -> None:
        """Of a log that does not hold behind the first chosen entry there is no extract; the place is named."""
        lines = named(9)
        with pytest.raises(BrokenChainError, match=rf"audit\.jsonl:\d+: .*{reason}"):
            made(tmp_path, {"audit.jsonl": logs.join(change(lines))}, chosen_by(3))

    def test_a_fault_before_the_first_chosen_entry(self, tmp_path: Path) -> None:
        """What lies before the first chosen entry is no part of an extract."""
        lines = named(9)
        lines[1] = lines[1].replace(b"git_log", b"git_lag")
        assert is_sound(checked(made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(3))))

    def test_small_portions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """However few entries are held at a time, the extract is the same."""
        files = {"audit.jsonl": logs.join(named(30))}
        whole = made(tmp_path, files, chosen_by(5, 20, 21))
        monkeypatch.setattr(extract, "_MAX_WAITING", 3)
        monkeypatch.setattr(midstate, "LANES", 2)
        assert made(tmp_path, files, chosen_by(5, 20, 21)) == whole


class TestUnlinked:
    """Extracts in which nothing links over what is left out."""

    def test_ranges(self, tmp_path: Path) -> None:
        """Without links the left-out entries are ranges of seqs, and the check says how many they are."""
        lines = named(12)
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(3, 4, 9), linked=False)
        assert b'\n{"left_out":5,"to":8}\n' in data
        report = checked(data)
        assert is_sound(report)
        assert (report.chosen, report.left_out, report.unlinked) == (3, 7, 7)
        assert report.head == Head(12, logs.hash_of(lines[-1]))

    def test_an_anchor_proves_its_run(self, tmp_path: Path) -> None:
        """An anchor proves the entries that link to it, and not those before a range."""
        lines = named(12)
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(3, 7, 8, 9), linked=False)
        report = checked(data, f"8:{logs.hash_of(lines[7])}")
        assert (report.anchors_matched, report.proven, report.chosen, report.anchored) == (1, 2, 4, False)
        assert checked(data, f"12:{logs.hash_of(lines[11])}").anchors_matched == 0

    @pytest.mark.parametrize("mode", ["hash", "none"])
    def test_weaker_modes(self, tmp_path: Path, mode: Integrity) -> None:
        """Of a log without a chain an extract has the lines and ranges, and is sound where its mode is accepted."""
        lines = logs.log(9, mode=mode)
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=3, until_seq=4))
        report = checked(data, expected_integrity=mode)
        assert is_sound(report)
        assert (report.integrity, report.chosen, report.unlinked) == (mode, 2, 5)
        [finding] = checked(data).findings
        assert (finding.kind, finding.line, finding.expected) == ("downgraded", 1, "integrity mode chain")

    def test_an_anchor_of_mode_hash(self, tmp_path: Path) -> None:
        """In mode hash an anchor proves the one entry that it is of."""
        lines = logs.log(9, mode="hash")
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=7))
        one, *others = [f"{seq}:{logs.hash_of(lines[seq - 1])}" for seq in (9, 8, 7)]
        report = checked(data, one, expected_integrity="hash")
        assert (report.chosen, report.proven, report.anchored) == (3, 1, False)
        report = checked(data, one, *others, expected_integrity="hash")
        assert (report.proven, report.anchored) == (3, True)

    @pytest.mark.parametrize(("log", "said"), [("chain", "hash"), ("chain", "none"), ("hash", "none")])
    def test_lines_of_a_stronger_mode(self, tmp_path: Path, log: str, said: Integrity) -> None:
        """Lines that have more than the mode that the first line says are malformed, whatever is accepted."""
        lines = logs.log(9, mode=log)
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=3))
        data = data.replace(b'"integrity":"%b"' % log.encode(), b'"integrity":"%b"' % said.encode(), 1)
        report = checked(data, f"9:{logs.hash_of(lines[8])}", expected_integrity="none")
        assert [(one.kind, one.line) for one in report.findings] == [("malformed", 2)]
        assert not report.anchored

    def test_a_changed_line_of_mode_hash(self, tmp_path: Path) -> None:
        """In mode hash, a line still has to fit its own hash."""
        lines = logs.log(9, mode="hash")
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=3, until_seq=4))
        report = checked(data.replace(b"git_log", b"git_lag", 1), expected_integrity="hash")
        assert [one.kind for one in report.findings] == ["edited"]


class TestChecked:
    """What is found in an extract."""

    @pytest.fixture
    def lines(self) -> list[bytes]:
        """Return a log."""
        return named(12)

    @pytest.fixture
    def data(self, tmp_path: Path, lines: list[bytes]) -> bytes:
        """Return an extract of it: 3, 4 and 9."""
        return made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(3, 4, 9))

    def test_anchored(self, data: bytes, lines: list[bytes]) -> None:
        """An anchor proves the entries up to it: of the head, of a chosen entry, of one that is left out."""
        for seq, proven in ((12, 3), (9, 3), (8, 2), (3, 1), (2, 0), (99, 0)):
            digits = logs.hash_of(lines[seq - 1]) if seq <= 12 else "0" * 64
            report = checked(data, f"{seq}:{digits}")
            assert (report.proven, is_sound(report)) == (proven, True)
            assert report.anchors_matched == (3 <= seq <= 12)
            assert report.anchored == (9 <= seq <= 12)

    @pytest.mark.parametrize("seq", [4, 7, 12])
    def test_diverged(self, data: bytes, seq: int) -> None:
        """An anchor that the extract does not agree with is a finding, also on what is left out."""
        report = checked(data, f"{seq}:{'0' * 64}")
        assert [(one.kind, one.seq) for one in report.findings] == [("diverged", seq)]

    @pytest.mark.parametrize("first", [True, False])
    def test_two_anchors_of_one_entry(self, data: bytes, lines: list[bytes], *, first: bool) -> None:
        """Of two anchors of one entry that differ one is not the extract's, in whatever order they are given."""
        both = [f"7:{logs.hash_of(lines[6])}", f"7:{'0' * 64}"]
        report = checked(data, *(both if first else both[::-1]))
        assert [(one.kind, one.seq) for one in report.findings] == [("diverged", 7)]
        assert checked(data, both[0], both[0]).anchors_matched == 2

    def test_every_changed_byte(self, data: bytes) -> None:
        """Whatever byte of an extract is changed behind its first line, something is found."""
        for at in range(data.index(b"\n") + 1, len(data)):
            changed = bytearray(data)
            changed[at] ^= 1
            report = checked(bytes(changed))
            assert not is_sound(report), (at, data[max(0, at - 20) : at + 20])

    def test_every_line_taken_away_doubled_or_swapped(self, data: bytes) -> None:
        """No line of an extract can be taken away, doubled or put elsewhere."""
        lines = data.removesuffix(b"\n").split(b"\n")
        for at in range(1, len(lines)):
            rest = lines[:at] + lines[at + 1 :]
            if at > 1:  # without its first entries an extract is a smaller one; the counts tell
                assert not is_sound(checked(logs.join(rest)))
            assert not is_sound(checked(logs.join([*lines[: at + 1], *lines[at:]])))
            if at + 1 < len(lines):
                swapped = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
                assert not is_sound(checked(logs.join(swapped)))
        assert not is_sound(checked(logs.join([lines[0], *lines[2:]])))

    def test_every_cut(self, data: bytes) -> None:
        """An extract that is cut off anywhere is not sound."""
        for at in range(len(extract.BEGINS), len(data), 7):
            assert not is_sound(checked(data[:at]))
        assert not is_sound(checked(data[:-1]))

    def test_a_forged_line(self, data: bytes, lines: list[bytes]) -> None:
        """An entry that was made anew with a right hash of its own leads to no head."""
        forged = logs.seal(logs.entry(9, "chosen.9", forged=True), logs.hash_of(lines[7]))
        report = checked(data.replace(lines[8], forged))
        assert [(one.kind, one.seq) for one in report.findings] == [("edited", 10)]

    def test_a_forged_link(self, data: bytes, lines: list[bytes]) -> None:
        """A left-out entry that is given another hash is found, though the next lines fit it."""
        said = extracts.left_out(lines[5])
        forged = data.replace(said["hash"].encode(), b"0" * 64)
        report = checked(forged)
        assert [(one.kind, one.seq, one.line) for one in report.findings] == [("edited", 6, 5)]

    def test_the_first_fault_is_told(self, data: bytes, lines: list[bytes]) -> None:
        """Of two faults the one that stands first is told, a link before a line that is seen at once."""
        forged = data.replace(extracts.left_out(lines[5])["state"].encode(), b"0" * 64)
        forged = forged.replace(lines[8], lines[8].replace(b"git_log", b"git_lag"))
        assert [(one.kind, one.seq) for one in checked(forged).findings] == [("edited", 6)]

    @pytest.mark.parametrize("depth", [100, 300, 1000, 3000])
    @pytest.mark.parametrize("before", [b'{"head":', b'{"head":{"seq":12,"hash":'], ids=["head", "hash"])
    def test_a_deep_last_line(self, lines: list[bytes], tmp_path: Path, before: bytes, depth: int) -> None:
        """A last line nested as deep as you like is a finding."""
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(3), linked=False)
        *rest, _, _ = data.split(b"\n")
        last = before + b"[" * depth + b"]" * depth + b"}" * before.count(b"{")
        [finding] = checked(logs.join([*rest, last])).findings
        assert finding.kind == "malformed"

    @pytest.mark.parametrize(
        "last",
        [
            b'{"head":{"seq":12,"hash":"%b"},"chosen":1,"left_out":9}' % (b"x" * 100_000),
            b'{"head":"%b"}' % (b"x" * 100_000),
            b'{"head":\xff%b' % (b"x" * 100_000),
            b'{"left_out":%b' % (b"9" * 100_000),
            b'{"seq":4,"time":"","%b":1}' % (b"x" * 100_000),
            b'{"x":"%b"}' % (b"x" * 100_000),
        ],
        ids=["hash", "head", "no_text", "left_out", "entry", "else"],
    )
    def test_what_is_told_is_short(self, lines: list[bytes], tmp_path: Path, last: bytes) -> None:
        """Of a long line that is not what it should be, a finding tells the beginning at most."""
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(3), linked=False)
        report = checked(logs.join([*data.split(b"\n")[:-2], last]))
        [finding] = report.findings
        assert len(finding.expected) + len(finding.got) < 1000
        assert len(str(report)) < 3000

    @pytest.mark.parametrize("digits", [b'"\\u001b[2J"', b'""', b"12", b"{}", b'"%b"' % (b"A" * 64)])
    def test_a_head_that_is_no_hash(self, lines: list[bytes], tmp_path: Path, digits: bytes) -> None:
        """Where nothing links to the head, what is said of it is a hash or null, and nothing else."""
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, chosen_by(3), linked=False)
        report = checked(data.replace(b'"%b"' % logs.hash_of(lines[-1]).encode(), digits))
        assert [one.kind for one in report.findings] == ["malformed"]
        assert report.head == Head(12, "")

    def test_another_version(self, data: bytes) -> None:
        """An extract of a later version is not judged."""
        report = checked(data.replace(b'{"extract":1,', b'{"extract":2,', 1))
        assert (report.supported, report.findings) == (False, ())

    @pytest.mark.parametrize("mode", [b'"%b"' % (b"x" * 1000), b"[]", b"1", b'"Chain"'], ids=len)
    def test_no_mode(self, tmp_path: Path, mode: bytes) -> None:
        """What is no integrity mode is refused, and not told as one."""
        data = made(tmp_path, {"audit.jsonl": logs.join(logs.log(5, mode="none"))}, Selection(since_seq=2))
        data = data.replace(b'"integrity":"none"', b'"integrity":' + mode, 1)
        report = checked(data, expected_integrity="none")
        assert (report.integrity, [(one.kind, one.line) for one in report.findings]) == (None, [("malformed", 1)])
        assert len(str(report)) < 3000

    @pytest.mark.parametrize("said", [b'"hash"', b'"none"', b'"foo"', b"null"], ids=bytes.decode)
    def test_called_weaker(self, data: bytes, lines: list[bytes], said: bytes) -> None:
        """An extract that calls its log weaker is refused, whatever its lines are and however well its head fits."""
        entries = [logs.seal(logs.entry(seq, forged=True), f"{seq:064}") for seq in range(9, 12)]
        first, *_ = data.split(b"\n")
        head = logs.hash_of(lines[-1])
        last = b'{"head":{"seq":12,"hash":"%b"},"chosen":4,"left_out":0}' % head.encode()
        forged = logs.join([first.replace(b'"chain"', said), *entries, lines[-1], last])
        report = checked(forged, f"12:{head}")
        expected = "downgraded" if said in (b'"hash"', b'"none"') else "malformed"
        assert [(one.kind, one.line) for one in report.findings] == [(expected, 1)]
        assert not report.anchored

    def test_a_link_without_a_chain(self, tmp_path: Path) -> None:
        """An extract that calls its log one without a chain cannot have links."""
        line = logs.log(3, mode="hash")[1]
        link = b'{"left_out":3,"hash":"%b","length":700,"state":"%b","rest":""}' % (b"0" * 64, b"0" * 64)
        data = logs.join([b'{"extract":1,"stream_id":null,"integrity":"hash","selection":{}}', line, link])
        report = checked(data, expected_integrity="hash")
        assert [(one.kind, one.line) for one in report.findings] == [("malformed", 3)]

    def test_macs(self, tmp_path: Path) -> None:
        """With the key the hmac of each chosen line is checked; without it that is told."""
        lines = logs.log(9, key=KEY)
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=3, until_seq=4))
        assert extracts.check(data)[0] == [3, 4]
        assert checked(data).macs_checked is False
        assert checked(data, key=KEY).macs_checked is True
        assert [one.kind for one in checked(data, key=b"another key, 16 B").findings] == ["mac_invalid"]

    def keyed(self, tmp_path: Path, first: int = 3) -> tuple[bytes, str]:
        """Return an extract of a log with a key, and an anchor of its head."""
        lines = logs.log(9, key=KEY)
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=first, until_seq=5))
        return data, f"9:{logs.hash_of(lines[-1])}"

    @pytest.mark.parametrize("which", [0, 1])
    def test_macs_taken_away(self, tmp_path: Path, which: int) -> None:
        """The first line names the log's key: a line without hmac is refused, with the key and without it."""
        data, anchor = self.keyed(tmp_path)
        stripped = HMAC.sub(b"", data, count=which)
        for key in (None, KEY):
            report = checked(stripped, anchor, key=key)
            assert [(one.kind, one.seq) for one in report.findings] == [("mac_missing", 3)]
            assert not report.anchored

    def test_macs_without_the_first_lines_word(self, tmp_path: Path) -> None:
        """Where the first line says nothing of a key, each line has an hmac, or none has."""
        data = SAID.sub(b"", self.keyed(tmp_path)[0])
        assert b"key_id" not in data
        assert (checked(data).findings, checked(data).macs_checked) == ((), False)
        assert checked(data, key=KEY).macs_checked is True
        stripped = HMAC.sub(b"", data)
        assert (checked(stripped).findings, checked(stripped).macs_checked) == ((), None)
        first, begin, *rest = data.split(b"\n")
        assert [one.kind for one in checked(b"\n".join([first, HMAC.sub(b"", begin), *rest])).findings] == ["malformed"]
        second = [first, begin, HMAC.sub(b"", rest[0]), *rest[1:]]
        assert [one.kind for one in checked(b"\n".join(second)).findings] == ["mac_missing"]

    @pytest.mark.parametrize(
        ("said", "kind", "line"),
        [(b'"key_id":null,', "downgraded", 2), (b'"key_id":"0011",', "downgraded", 2), (b"", "mac_missing", 2)],
    )
    def test_the_key_of_an_opened(self, tmp_path: Path, said: bytes, kind: str, line: int) -> None:
        """A chosen ``opened`` proves which key the log has, whatever the first line says of it."""
        data, anchor = self.keyed(tmp_path, 1)
        assert is_sound(checked(data, anchor))
        forged = SAID.sub(said, HMAC.sub(b"", data), count=1)
        assert [(one.kind, one.line) for one in checked(forged, anchor).findings] == [(kind, line)]

    def test_the_key_of_a_later_opened(self, tmp_path: Path) -> None:
        """Lines without hmac before an ``opened`` that declares a key are refused, too."""
        members = [logs.entry(1), logs.opened(2, **KEY_ID), logs.entry(3)]
        lines = list(logs.chain(members, key=KEY))
        data = HMAC.sub(b"", SAID.sub(b"", made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=1))))
        assert [(one.kind, one.seq) for one in checked(data).findings] == [("mac_missing", 2)]

    @pytest.mark.parametrize(
        ("said", "kind", "line"),
        [(b"null", "malformed", 2), (b"5", "malformed", 1), (b'"%b"' % (b"x" * 100_000), None, None)],
        ids=["null", "number", "long"],
    )
    def test_another_key_id(self, tmp_path: Path, said: bytes, kind: str | None, line: int | None) -> None:
        """A line has no hmac where the first line says that there is no key, and the key that is given is that key."""
        data = SAID.sub(b'"key_id":' + said + b",", self.keyed(tmp_path)[0])
        assert [(one.kind, one.line) for one in checked(data).findings] == ([] if kind is None else [(kind, line)])
        [finding] = checked(data, key=KEY).findings
        assert finding.line == 1
        assert len(str(finding)) < 1000

    @pytest.mark.parametrize("has", [True, False])
    def test_a_log_whose_macs_are_not_as_it_declares(self, tmp_path: Path, *, has: bool) -> None:
        """Of a line that lacks its hmac, or has one that its log does not declare, there is no extract."""
        members = [logs.opened() if has else logs.opened(**KEY_ID), logs.entry(2)]
        lines = list(logs.chain(members, key=KEY if has else None))
        with pytest.raises(
            BrokenChainError, match=r"audit\.jsonl:2: seq 2: expected (an|no) hmac, as the log declares"
        ):
            made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=2))

    def test_a_log_that_declares_nothing(self, tmp_path: Path) -> None:
        """Of a log without an ``opened`` the first line says nothing of a key."""
        lines = list(logs.chain([logs.entry(seq) for seq in (1, 2, 3)], key=KEY))
        data = made(tmp_path, {"audit.jsonl": logs.join(lines)}, Selection(since_seq=2))
        assert b"key_id" not in data
        assert checked(data, key=KEY).macs_checked is True

    def test_no_entry(self, data: bytes) -> None:
        """An extract without any entry is not sound."""
        empty = logs.join([data.split(b"\n")[0], b'{"head":null,"chosen":0,"left_out":0}'])
        assert [(one.kind, one.line) for one in checked(empty).findings] == [("malformed", 2)]

    def test_no_macs(self, data: bytes) -> None:
        """A key for an extract whose lines have no hmac is a finding."""
        assert [one.kind for one in checked(data, key=KEY).findings] == ["mac_missing"]

    def test_small_portions(self, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        """However few links are checked at a time, the verdict is the same."""
        monkeypatch.setattr(extract_check, "_MAX_LINKS", 2)
        assert is_sound(checked(data))

    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes(self, data: bytes, begun: bool) -> None:
        """Whatever a file holds behind its beginning, the check ends with a verdict."""
        report = checked(b'{"extract":1,"integrity":"chain","stream_id":null}\n' * begun + data)
        assert not is_sound(report) or not report.chosen


class TestIsExtract:
    """`is_extract`: told by the first bytes."""

    def test_told_apart(self, tmp_path: Path) -> None:
        """An extract is told from a log, an empty file, a folder and no file."""
        path = tmp_path / "x"
        assert not is_extract(path)
        assert not is_extract(tmp_path)
        for data, expected in ((b"", False), (LINES[0], False), (b'{"extract":1}', True), (b'{"extract"', False)):
            path.write_bytes(data)
            assert is_extract(path) is expected
