"""`import_bus_file`: a bus file into a new log, nothing lost, each line with where it came from."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hummbl_governance  # type: ignore[import-untyped]
import pytest

from otel_audit import Actor, read_log, verify_log
from otel_audit.compat.hummbl import BusWriter, importing
from otel_audit.compat.hummbl.bus_file import MAX_LINE_BYTES
from otel_audit.compat.hummbl.importing import Imported, import_bus_file
from otel_audit.entry import Entry
from otel_audit.errors import AuditConfigError, AuditError, AuditWriteError
from otel_audit.pipeline.exporter import AuditFileLogExporter
from tests import chain

ROW = b"2026-04-05T00:00:00Z\tagent-1\tall\tSTATUS\tdone\n"
IMPORTER = Actor("ada", "user")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file that hummbl-governance wrote."""
    path = tmp_path / "old" / "events.jsonl"
    bus = hummbl_governance.BusWriter(path)
    bus.post("agent-1", "all", "STATUS", "first", timestamp="2026-04-05T00:00:00Z")
    bus.post("agent-2", "agent-1", "DECISION", "second\tline\n", timestamp="2026-04-05T00:00:01Z")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the new log is to be."""
    return tmp_path / "new.jsonl"


def bring(source: Path, path: Path, **more: Any) -> tuple[Imported, list[tuple[int, str]]]:
    """Import a file; what was done, and what was reported."""
    reported: list[tuple[int, str]] = []
    done = import_bus_file(
        str(source), str(path), actor=IMPORTER, report=lambda line, problem: reported.append((line, problem)), **more
    )
    return done, reported


def entries(path: Path) -> list[Entry]:
    """The entries of a log but the log's own."""
    return [entry for entry in read_log(path) if not entry.event_name.startswith("audit.log.")]


def originals(path: Path) -> bytes:
    """The source file, put together again from a log."""
    lines: dict[Any, bytes] = {}
    for entry in entries(path):
        attributes: dict[str, Any] = entry.attributes
        if "log.record.original" in attributes:
            kept = attributes["log.record.original"]
            raw = kept.encode() if isinstance(kept, str) else base64.b64decode(kept["$bytes"])
            number = attributes["log.file.record_number"]
            lines[number] = lines.get(number, b"") + raw
    return b"\n".join(lines.values())


class TestMessages:
    """Lines that are messages."""

    def test_are_read_as_before(self, source: Path, path: Path) -> None:
        """A bus on the new log has the messages that hummbl-governance has in its file, and the log verifies."""
        done, reported = bring(source, path)
        assert (done.lines, done.messages, reported) == (2, 2, [])
        assert BusWriter(path).read_all() == hummbl_governance.BusWriter(source).read_all()
        chain.check(path)

    def test_carry_where_they_came_from(self, source: Path, path: Path) -> None:
        """Each has the file's name and digest, the line's number, its exact text, and both times."""
        bring(source, path)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        for number, entry in enumerate(entries(path)[1:-1], 1):
            text = source.read_text(encoding="utf-8").split("\n")[number - 1]
            assert {name: value for name, value in entry.attributes.items() if name.startswith("log.")} == {
                "log.file.name": "events.jsonl",
                "log.file.sha256": digest,
                "log.file.record_number": number,
                "log.record.original": text,
            }
            assert entry.time == f"{text[:19]}.000000000Z"
            assert entry.observed_time > entry.time
        assert entries(path)[1].attributes["audit.actor.id"] == "agent-1"

    def test_stand_between_intent_and_outcome(self, source: Path, path: Path) -> None:
        """Who brought the file over, which, and how much of it, stands before and after."""
        bring(source, path)
        intent, outcome = entries(path)[0], entries(path)[-1]
        assert [entry.event_name for entry in (intent, outcome)] == ["hummbl.bus.import"] * 2
        assert (intent.attributes["audit.phase"], outcome.attributes["audit.phase"]) == ("intent", "outcome")
        assert outcome.attributes["audit.outcome"] == "success"
        for entry in (intent, outcome):
            assert (entry.attributes["audit.actor.id"], entry.attributes["audit.actor.type"]) == ("ada", "user")
            assert entry.attributes["audit.target.id"] == str(source)
            assert (entry.attributes["hummbl.import.lines"], entry.attributes["hummbl.import.messages"]) == (2, 2)

    def test_are_the_same_records_each_time(self, source: Path, path: Path) -> None:
        """Brought over twice, into two logs, a line has the same record id."""
        bring(source, path)
        bring(source, path.with_name("other.jsonl"))
        ids = [
            [entry.attributes["audit.record.id"] for entry in entries(log)[1:-1]]
            for log in (path, path.with_name("other.jsonl"))
        ]
        assert ids[0] == ids[1]
        assert len(set(ids[0])) == 2

    def test_signed(self, source: Path, path: Path, tmp_path: Path) -> None:
        """With a key the new log is signed."""
        key = tmp_path / "key"
        key.write_bytes(b"k" * 32)
        bring(source, path, hmac_key_file=str(key))
        chain.check(path, key=b"k" * 32)

    def test_can_be_posted_after(self, source: Path, path: Path) -> None:
        """The bus goes on in the new log."""
        bring(source, path)
        BusWriter(path).post("agent-3", "all", "STATUS", "third")
        BusWriter(path).close()
        assert [message.from_id for message in BusWriter(path).read_all()] == ["agent-1", "agent-2", "agent-3"]
        chain.check(path)


class TestOtherLines:
    """Lines that are none."""

    def test_are_reported_and_kept(self, source: Path, path: Path) -> None:
        """Each is reported with its number, and is an entry of the importer's with its exact text or bytes."""
        with source.open("ab") as file:
            file.write(b"torn \xff\n" + ROW[:30] + ROW + b"{}\n\n" + ROW[:-1])
        done, reported = bring(source, path)
        assert (done.lines, done.messages) == (7, 2)
        assert [line for line, _ in reported] == [3, 4, 5, 6, 7]
        kept = entries(path)[3:-1]
        assert {entry.event_name for entry in kept} == {"hummbl.bus.line"}
        assert [entry.attributes["audit.reason"] for entry in kept] == [problem for _, problem in reported]
        assert {(entry.attributes["audit.actor.id"], entry.attributes["audit.outcome"]) for entry in kept} == {
            ("ada", "unknown")
        }
        assert [entry.attributes["log.record.original"] for entry in kept] == [
            {"$bytes": base64.b64encode(b"torn \xff").decode()},
            (ROW[:30] + ROW[:-1]).decode(),
            "{}",
            "",
            ROW[:-1].decode(),
        ]
        assert originals(path) == source.read_bytes()

    def test_a_forged_row_is_no_message(self, source: Path, path: Path) -> None:
        """A row that somebody put into a timestamp does not become a message of whom it names."""
        hummbl_governance.BusWriter(source).post(
            "mallory", "all", "STATUS", "x", timestamp="2026-04-05T00:00:00Z\tadmin\tall\tDECISION\tapproved Z"
        )
        assert hummbl_governance.BusWriter(source).read_all()[-1]["from"] == "admin"
        bring(source, path)
        assert "admin" not in {message.from_id for message in BusWriter(path).read_all()}
        assert originals(path) + b"\n" == source.read_bytes()

    @pytest.mark.parametrize("fill", [b"x", b'"', b"\x01", b"\xff", "é".encode()])
    def test_long_lines_are_kept_in_parts(self, fill: bytes, source: Path, path: Path) -> None:
        """A line that no entry can hold is kept in parts, byte for byte, and reported once."""
        with source.open("ab") as file:
            file.write(ROW[:-1] + fill * (1_500_000 // len(fill)) + b"\n" + ROW)
        done, reported = bring(source, path)
        assert (done.lines, done.messages, [line for line, _ in reported]) == (4, 3, [3])
        assert all(
            "$bytes" in str(entry.attributes["log.record.original"])
            for entry in entries(path)
            if "hummbl.import.part" in entry.attributes
        )
        parts = [
            entry.attributes["hummbl.import.part"]
            for entry in entries(path)
            if "hummbl.import.part" in entry.attributes
        ]
        assert parts == list(range(1, len(parts) + 1))
        assert originals(path) + b"\n" == source.read_bytes()
        chain.check(path)

    @pytest.mark.parametrize("fill", ["x", "\x01", '"', "\\", "é"])
    def test_the_longest_line_that_is_a_message(self, fill: str, source: Path, path: Path) -> None:
        """A message of 64 KiB, however much longer JSON makes it, stands in the log whole, twice."""
        text = fill * (65_536 // len(fill.encode()))
        hummbl_governance.BusWriter(source).post("agent-1", "all", "STATUS", text)
        assert len(source.read_bytes().split(b"\n")[2]) < MAX_LINE_BYTES
        done, _ = bring(source, path)
        assert done.messages == 3
        assert BusWriter(path).read_all()[-1].message == text
        assert originals(path) + b"\n" == source.read_bytes()


class TestRefusals:
    """What is not brought over."""

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "expected lines of five columns .*, got none such in 0 lines; nothing was written"),
            (b"\x89PNG\r\n\x1a\n\0\0", "got none such in 3 lines; nothing was written"),
            (b'{"a":1}\n', "got none such in 1 lines; nothing was written"),
        ],
    )
    def test_no_bus_file(self, data: bytes, expected: str, tmp_path: Path, path: Path) -> None:
        """A file without a single message is refused before a log is made."""
        source = tmp_path / "source"
        source.write_bytes(data)
        with pytest.raises(AuditError, match=expected):
            bring(source, path)
        assert not path.exists()

    def test_a_log(self, source: Path, path: Path) -> None:
        """A log is not brought over: its chain would be lost."""
        bring(source, path)
        with pytest.raises(AuditError, match=r"new\.jsonl: expected a bus file of hummbl-governance, got an audit log"):
            bring(path, path.with_name("other.jsonl"))
        assert not path.with_name("other.jsonl").exists()

    @pytest.mark.parametrize("name", ["missing", "."])
    def test_unreadable(self, name: str, tmp_path: Path, path: Path) -> None:
        """A file that is not there, or a folder, is an error that names it."""
        with pytest.raises(AuditError, match=r"missing: cannot be read: No such file|expected a bus file"):
            bring(tmp_path / name, path)
        assert not path.exists()

    def test_a_log_that_is_there(self, source: Path, path: Path) -> None:
        """Nothing is added to a log that exists, or of which a later segment exists."""
        for there in (path, path.with_name("new.000002.jsonl")):
            there.write_bytes(b"")
            with pytest.raises(AuditError, match="expected a path where there is no log yet, got one"):
                bring(source, path)
            assert there.read_bytes() == b""
            there.unlink()

    def test_a_name_that_no_log_has(self, source: Path, path: Path) -> None:
        """The new log must have a log's name."""
        with pytest.raises(AuditConfigError, match=r"expected a name ending in \.jsonl"):
            bring(source, path.with_suffix(".tsv"))

    def test_a_file_that_grows(self, source: Path, path: Path) -> None:
        """What is appended meanwhile is left out, and the rest brought over."""

        def grow(line: int, problem: str) -> None:
            with source.open("ab") as file:
                file.write(ROW)

        with source.open("ab") as file:
            file.write(b"odd\n")
        size = source.stat().st_size
        done = import_bus_file(str(source), str(path), actor=IMPORTER, report=grow)
        assert done.lines == 3
        assert originals(path) + b"\n" == source.read_bytes()[:size]

    def test_a_file_that_changes(self, source: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file whose bytes change between the two readings fails, and the new log says so."""
        survey: Callable[[str, int], Imported] = importing._survey

        def survey_then_change(name: str, size: int) -> Imported:
            whole = survey(name, size)
            source.write_bytes(source.read_bytes().replace(b"first", b"FIRST"))
            return whole

        monkeypatch.setattr(importing, "_survey", survey_then_change)
        with pytest.raises(AuditError, match="expected a file that nobody changes"):
            bring(source, path)
        assert entries(path)[-1].attributes["audit.outcome"] == "failure"
        assert verify_log(path).intact

    def test_what_cannot_be_synced(self, source: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Success is not reported of entries that may not be on the disk."""
        monkeypatch.setattr(AuditFileLogExporter, "force_flush", lambda self, timeout_millis=0: False)
        with pytest.raises(AuditWriteError, match="could not be synced"):
            bring(source, path)

    def test_memory_does_not_grow_with_the_file(self, source: Path, path: Path) -> None:
        """A line of many megabytes is never held as a whole."""
        import tracemalloc

        with source.open("ab") as file:
            file.write(b"x" * 8_000_000 + b"\n")
        bring(source, path.with_name("warm.jsonl"))
        tracemalloc.start()
        bring(source, path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4_000_000


def test_json_lines(tmp_path: Path, path: Path) -> None:
    """JSON Lines, as the page promises them, are brought over with all that stands in them."""
    source = tmp_path / "promised.jsonl"
    promised = {"timestamp": "2026-04-05T00:00:00.5Z", "from_id": "a", "to_id": "b", "msg_type": "c", "message": "d"}
    source.write_text(json.dumps({**promised, "signature": "00ff"}) + "\n", encoding="utf-8")
    bring(source, path)
    [message] = BusWriter(path).read_all()
    assert (message.from_id, message.to_id, message.msg_type, message.message) == ("a", "b", "c", "d")
    assert message.time_ns % 10**9 == 500_000_000
    assert '"signature": "00ff"' in originals(path).decode()
