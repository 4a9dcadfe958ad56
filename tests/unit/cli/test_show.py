"""``otel-audit show``."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any, Final

import pytest

from otel_audit.cli import main
from otel_audit.cli.entry_text import MAX_VALUE_CHARACTERS, as_text
from otel_audit.entry import parse_entry
from otel_audit.reader import read_log
from tests.vectors.sealing import Writer, begun, text

ROOT: Final = pathlib.Path(__file__).parents[3]
LOGS: Final = ROOT / "tests" / "vectors" / "logs"
SOUND: Final = str(LOGS / "sound" / "audit.jsonl")


class Screen:
    """What one run wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def show(self, *arguments: str) -> int:
        """Run ``otel-audit show`` and keep what it wrote."""
        exit_status = main(["show", *arguments])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return exit_status

    def seqs(self, *arguments: str) -> list[int]:
        """Return ``seq`` of the entries that are shown as JSON."""
        self.show("--format", "json", *arguments)
        return [json.loads(line)["seq"] for line in self.out.splitlines()]


@pytest.fixture
def screen(capsys: pytest.CaptureFixture[str]) -> Screen:
    """Run ``otel-audit show`` in this process."""
    return Screen(capsys)


def written(folder: pathlib.Path, writer: Writer) -> str:
    """Write a log and return its path."""
    path = folder / "audit.jsonl"
    path.write_bytes(text(writer.lines))
    return str(path)


class TestText:
    """Entries for people."""

    def test_one_entry(self, screen: Screen) -> None:
        """An entry shows when, what, who, for whom, upon what, how it ended, and its trace."""
        assert screen.show(SOUND, "--seq", "5") == 0
        shown = [line.split() for line in screen.out.splitlines()]
        assert shown[0] == ["#5", "2025-03-01T09:00:05.000000000Z", "order.refund", "EXECUTE", "[outcome]"]
        for words in (
            ["actor", "refund-agent", "(service)"],
            ["for", "user:ana", ">", "refund-agent"],
            ["target", "order-1881", "(order)"],
            ["outcome", "success"],
            ["duration", "0.25", "s"],
            ["trace", "4bf92f3577b34da6a3ce929d0e0e4736", "span", "00f067aa0ba90203"],
            ["audit.result", "=", "refunded"],
        ):
            assert words in shown

    def test_failure(self, screen: Screen) -> None:
        """A failure is shown with its error type, and the intent that it belongs to."""
        assert screen.show(SOUND, "--seq", "8") == 0
        assert "outcome    failure: SMTPServerDisconnected" in screen.out
        intent = json.loads(pathlib.Path(SOUND).read_bytes().split(b"\n")[6])["attributes"]["audit.record.id"]
        assert f"intent     {intent}" in screen.out

    def test_all_in_order(self, screen: Screen) -> None:
        """Without a filter all entries are shown, in the order of the file, the log's own among them."""
        assert screen.show(SOUND) == 0
        headings = [line.split() for line in screen.out.splitlines() if line.startswith("#")]
        assert [words[0] for words in headings] == [f"#{seq}" for seq in range(1, 11)]
        assert headings[0][2] == "audit.log.opened"
        assert screen.err == ""

    def test_control_characters(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """No field of an entry can send a control character to the terminal or begin a line."""
        evil = "\x1b[2J\x07\u009b31m\x7f\u202etxt\u2066\u2028#99  forged\r\n#98"
        writer, _ = begun(0)
        writer.record(
            evil,
            {"audit.target.id": evil, "audit.reason": evil, "error.type": evil, evil: [evil, {evil: evil}]},
            actor=evil,
            action=evil,
            outcome=evil,
            body=evil,
            resource={evil: evil},
        )
        for form in ("text", "json"):
            assert screen.show(written(tmp_path, writer), "--last", "1", "--format", form) == 0
            assert all(character.isprintable() or character == "\n" for character in screen.out)
            assert not any(line.startswith(("#99", "#98")) for line in screen.out.split("\n"))

    def test_strange_types(self) -> None:
        """Attributes of any type are shown: a forged entry need not keep to the schema."""
        line = pathlib.Path(SOUND).read_bytes().split(b"\n")[1]
        for name in (b"audit.actor.id", b"audit.outcome", b"audit.delegation", b"audit.record.id"):
            for value in (b"null", b"[1,{}]", b'{"a":1}', b"-0.0", b"true"):
                members = json.loads(line)
                members["attributes"][name.decode()] = json.loads(value)
                strange = json.dumps(members, separators=(",", ":")).encode()
                assert next(as_text(parse_entry(strange))).startswith("#2  ")

    def test_long_value(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A long value is cut for people, with a word on how much is missing, and whole as JSON."""
        writer, _ = begun(0)
        writer.record("file.write", {"text": "x" * (MAX_VALUE_CHARACTERS + 5)})
        path = written(tmp_path, writer)
        assert screen.show(path, "--last", "1") == 0
        assert "… and 5 characters more (--format json shows all)" in screen.out
        screen.show(path, "--last", "1", "--format", "json")
        assert len(json.loads(screen.out)["attributes"]["text"]) == MAX_VALUE_CHARACTERS + 5


class TestFilters:
    """Which entries are shown."""

    def test_seq(self, screen: Screen) -> None:
        """--seq shows one entry."""
        assert screen.seqs(SOUND, "--seq", "7") == [7]

    def test_last(self, screen: Screen) -> None:
        """--last shows the end of the log, all of it where it is shorter."""
        assert screen.seqs(SOUND, "--last", "3") == [8, 9, 10]
        assert screen.seqs(SOUND, "--last", "99") == list(range(1, 11))

    def test_record_id(self, screen: Screen) -> None:
        """--record-id shows a record; of an intent its outcome as well."""
        intent = json.loads(pathlib.Path(SOUND).read_bytes().split(b"\n")[3])["attributes"]["audit.record.id"]
        assert screen.seqs(SOUND, "--record-id", intent) == [4, 5]

    def test_trace_id(self, screen: Screen) -> None:
        """--trace-id shows the entries of one trace, whatever the case of its digits."""
        trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
        assert screen.seqs(SOUND, "--trace-id", trace_id) == list(range(2, 9))
        assert screen.seqs(SOUND, "--trace-id", trace_id.upper()) == list(range(2, 9))

    def test_open(self, screen: Screen) -> None:
        """--open shows the intents that no outcome names."""
        assert screen.seqs(str(LOGS / "intent_without_outcome" / "audit.jsonl"), "--open") == [4]
        assert screen.seqs(SOUND, "--open") == []

    def test_open_and_last(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """--open --last N shows the last N of those that are open."""
        writer, _ = begun(0)
        for _ in range(3):
            writer.record("mail.send", {"audit.phase": "intent"}, outcome="unknown")
        writer.closed()
        assert screen.seqs(written(tmp_path, writer), "--open", "--last", "2") == [3, 4]

    def test_open_with_forged_ids(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """An id that is no text does not stop --open."""
        writer, _ = begun(0)
        writer.record("a", {"audit.phase": "outcome", "audit.intent.id": [1]})
        writer.record("b", {"audit.phase": "intent"}, outcome="unknown")
        assert screen.seqs(written(tmp_path, writer), "--open") == [3]

    @pytest.mark.parametrize(
        "arguments",
        [["--seq", "0"], ["--seq", "x"], ["--last", "-1"], ["--seq", "1", "--last", "1"], ["--trace-id", "4bf92f"],
         ["--span-id", "4bf92f3577b34da6a3ce929d0e0e4736"], ["--seq", str(2**53)]],
    )  # fmt: skip
    def test_wrong_usage(self, arguments: list[str], screen: Screen) -> None:
        """A number or an id that is none, or two filters at once, are wrong usage."""
        assert screen.show(SOUND, *arguments) == 2
        assert screen.out == ""

    def test_none_match(self, screen: Screen) -> None:
        """Where nothing matches, stderr says so and the exit status is 1."""
        assert screen.show(SOUND, "--seq", "99") == 1
        assert screen.out == ""
        assert screen.err == f"otel-audit: {SOUND}: no entries to show\n"

    def test_none_match_in_a_file_of_any_name(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A path that is not UTF-8 is named with its bytes, as everywhere else."""
        path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jsonl")
        pathlib.Path(path).write_bytes(pathlib.Path(SOUND).read_bytes())
        assert screen.show(path, "--seq", "99") == 1
        assert screen.err == f"otel-audit: {tmp_path}/\\xff.jsonl: no entries to show\n"


class TestDetails:
    """What belongs to one entry."""

    def test_sound(self, screen: Screen) -> None:
        """An entry is shown with its check, its neighbours, and the intent that it ends."""
        assert screen.show(SOUND, "--seq", "8") == 0
        assert "check      hash right; follows #7; #9 follows it" in screen.out
        assert "before     #7  " in screen.out
        assert "behind     #9  " in screen.out
        assert "began      #7  " in screen.out
        screen.show(SOUND, "--seq", "4")
        assert "ended      #5  " in screen.out

    def test_ends_of_the_log(self, screen: Screen) -> None:
        """The first entry follows nothing, and nothing follows the last."""
        screen.show(SOUND, "--seq", "1")
        assert "check      hash right; first of the log; #2 follows it" in screen.out
        screen.show(SOUND, "--seq", "10")
        assert "check      hash right; follows #9; last of the log" in screen.out

    @pytest.mark.parametrize("name", ["audit.jsonl", "audit.000002.jsonl"])
    @pytest.mark.parametrize(
        ("rest", "said"),
        [
            (b"", "last of the log"),
            (b"garbage\n", "UNREADABLE BEHIND IT: expected an entry, or the end of the log, got 8 bytes"),
            (b"\n", "UNREADABLE BEHIND IT: expected an entry, or the end of the log, got 1 byte"),
            (
                b"x" * 2_000_000 + b"\nx",
                "UNREADABLE BEHIND IT: expected an entry, or the end of the log, got 2,000,002 bytes",
            ),
            (b'{"seq":11', "last of the log, but for 9 bytes of a line without its end"),
        ],
    )
    def test_no_entry_behind(self, rest: bytes, said: str, name: str, tmp_path: pathlib.Path, screen: Screen) -> None:
        """An entry is the last of the log only where no lines that are none stand behind it."""
        (tmp_path / "audit.jsonl").write_bytes(pathlib.Path(SOUND).read_bytes())
        with (tmp_path / name).open("ab") as file:
            file.write(rest)
        assert screen.show(str(tmp_path), "--seq", "10") == 0
        assert f"    check      hash right; follows #9; {said}\n" in screen.out

    def test_forged(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A wrong hash and a missing neighbour are said in capitals."""
        lines = pathlib.Path(SOUND).read_bytes().split(b"\n")
        lines[4] = lines[4].replace(b'"success"', b'"failure"')
        del lines[2]
        path = tmp_path / "audit.jsonl"
        path.write_bytes(b"\n".join(lines))
        screen.show(str(path), "--seq", "5")
        assert "check      HASH WRONG: expected hash " in screen.out
        screen.show(str(path), "--seq", "4")
        assert "DOES NOT FOLLOW THE ENTRY BEFORE: expected seq 3, got seq 4" in screen.out
        screen.show(str(path), "--seq", "2")
        assert "THE ENTRY BEHIND DOES NOT FOLLOW: expected seq 3, got seq 4" in screen.out

    @pytest.mark.parametrize("case", ["recovered", "recovered_short", "recovered_nul"])
    def test_recovered(self, case: str, screen: Screen) -> None:
        """What a crash left before an entry is no neighbour of it, and no alarm."""
        path = LOGS / case / "audit.jsonl"
        seq = next(entry.seq for entry in read_log(path) if entry.event_name == "audit.log.recovered")
        assert screen.show(str(path), "--seq", str(seq)) == 0
        assert f"check      hash right; follows #{seq - 1}; " in screen.out
        assert f"before     #{seq - 1}  " in screen.out

    @pytest.mark.parametrize("option", ["--seq", "--record-id"])
    def test_stdin(self, option: str) -> None:
        """A log that comes through a pipe is shown with all that belongs to an entry, as from a file."""
        data = pathlib.Path(SOUND).read_bytes()
        value = {"--seq": "8", "--record-id": json.loads(data.split(b"\n")[3])["attributes"]["audit.record.id"]}[option]
        shown = [
            subprocess.run(
                [sys.executable, "-m", "otel_audit", "show", path, option, value],
                cwd=ROOT, input=data, capture_output=True, timeout=60, check=True,
            ).stdout
            for path in ("-", SOUND)
        ]  # fmt: skip
        assert shown[0] == shown[1]
        assert b"    check      hash right; follows #" in shown[0]

    @pytest.mark.parametrize("rest", [b'{"seq":11', b"garbage\n", b'garbage\n{"se', b"x" * 1_100_000 + b"\nx"])
    def test_stdin_with_no_entry_behind(self, rest: bytes, tmp_path: pathlib.Path) -> None:
        """What stands behind the last entry of a log that comes through a pipe is told as of a file."""
        path = tmp_path / "audit.jsonl"
        path.write_bytes(pathlib.Path(SOUND).read_bytes() + rest)
        shown = [
            subprocess.run(
                [sys.executable, "-m", "otel_audit", "show", name, "--seq", "10"],
                cwd=ROOT, input=path.read_bytes(), capture_output=True, timeout=60, check=True,
            ).stdout
            for name in ("-", str(path))
        ]  # fmt: skip
        assert shown[0] == shown[1]
        assert f"{len(rest):,} bytes".encode() in shown[0]

    def test_record_id(self, screen: Screen) -> None:
        """With --record-id, intent and outcome have each their check."""
        intent = json.loads(pathlib.Path(SOUND).read_bytes().split(b"\n")[3])["attributes"]["audit.record.id"]
        assert screen.show(SOUND, "--record-id", intent) == 0
        assert [line[:3] for line in screen.out.splitlines() if line.startswith("#")] == ["#4 ", "#5 "]
        assert screen.out.count("check      hash right") == 2

    def test_integrity_none(self, screen: Screen) -> None:
        """Where the log has no hashes, that is said."""
        assert screen.show(str(LOGS / "none_sound"), "--seq", "2") == 0
        assert "no hash: the log is kept in integrity mode none" in screen.out

    def test_inert(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """What belongs to an entry is shown as carefully as the entry."""
        writer, _ = begun(0)
        for _ in range(3):
            writer.record("\x1b[2J\x07", {"audit.target.id": "\u202e"}, actor="\x1b]0;x\x07")
        assert screen.show(written(tmp_path, writer), "--seq", "3") == 0
        assert all(character.isprintable() or character == "\n" for character in screen.out)


class TestJson:
    """``--format json``: JSON Lines."""

    def test_lines_are_entries(self, screen: Screen) -> None:
        """Each line is the entry as it stands in the log, member for member, in its order."""
        assert screen.show(SOUND, "--format", "json") == 0
        shown = [json.loads(line) for line in screen.out.splitlines()]
        stored: list[dict[str, Any]] = [json.loads(line) for line in pathlib.Path(SOUND).read_bytes().splitlines()]
        assert shown == stored
        assert [list(one) for one in shown] == [list(one) for one in stored]
        assert screen.out.isascii()


class TestFiles:
    """Whatever lies at the path."""

    def test_missing(self, tmp_path: pathlib.Path, screen: Screen) -> None:
        """A log that is not there is said to be so, and the exit status is not 0."""
        assert screen.show(str(tmp_path / "audit.jsonl")) == 2
        assert str(tmp_path / "audit.jsonl") in screen.err

    def test_empty(self, screen: Screen) -> None:
        """An empty log has nothing to show."""
        assert screen.show(str(LOGS / "empty" / "audit.jsonl")) == 1
        assert "no entries to show" in screen.err

    def test_binary(self, screen: Screen) -> None:
        """A file of other bytes has nothing to show."""
        assert screen.show(str(LOGS / "binary" / "audit.jsonl")) in (1, 2)
        assert screen.out == ""
        assert str(LOGS / "binary" / "audit.jsonl") in screen.err

    def test_damaged(self, screen: Screen) -> None:
        """Entries around a line that cannot be read are shown."""
        assert screen.seqs(str(LOGS / "half_line" / "audit.jsonl")) == [1, 2, 3, 4, 5, 7, 8, 9, 10]

    def test_folder(self, screen: Screen) -> None:
        """A folder stands for the log in it."""
        assert screen.seqs(str(LOGS / "sound"), "--last", "1") == [10]
