"""`otel_audit.compat.hummbl.bus_file`: the files that hummbl-governance wrote."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import hummbl_governance  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_audit.compat.hummbl import BusWriter
from otel_audit.compat.hummbl.bus_file import MAX_LINE_BYTES, BusLine, is_bus_file, parse_line, read_lines
from otel_audit.errors import AuditVerifyError
from tests import logs

ROW = b"2026-04-05T00:00:00Z\tagent-1\tall\tSTATUS\tdone"
PROMISED = {
    "timestamp": "2026-04-05T00:00:00Z",
    "from_id": "agent-1",
    "to_id": "all",
    "msg_type": "STATUS",
    "message": "done",
}
SHIPPED = {"timestamp": "2026-04-05T00:00:00Z", "from": "agent-1", "to": "all", "type": "STATUS", "message": "done"}


def lines(data: bytes, tmp_path: Path) -> list[BusLine]:
    """The lines of a file that holds these bytes."""
    path = tmp_path / "bus"
    path.write_bytes(data)
    with path.open("rb") as file:
        return list(read_lines(file.readline))


class TestReadAll:
    """A bus on a file that hummbl-governance wrote."""

    def test_reads_what_the_package_wrote(self, tmp_path: Path) -> None:
        """Each row of the shipped package is read as that package reads it."""
        theirs = hummbl_governance.BusWriter(tmp_path / "events.jsonl")
        theirs.post("agent-1", "all", "STATUS", "Grüße\tund\nmehr", timestamp="2026-04-05T00:00:00Z")
        theirs.append("agent-2", "read", "docs/report.md")
        ours = BusWriter(tmp_path / "events.jsonl")
        assert ours.read_all() == theirs.read_all()
        assert ours.message_count() == theirs.message_count() == 2
        assert ours.read_since(since="2026-04-06T00:00:00Z") == theirs.read_since("2026-04-06T00:00:00Z")

    def test_one_bad_byte_costs_one_line(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A byte that is no UTF-8 loses its own line, and says so; the package loses the file."""
        path = tmp_path / "bus.tsv"
        path.write_bytes(ROW + b"\n" + ROW.replace(b"done", b"d\xffne") + b"\n" + ROW + b"\n")
        with pytest.raises(UnicodeDecodeError):
            hummbl_governance.BusWriter(path).read_all()
        assert BusWriter(path).message_count() == 2
        assert caplog.record_tuples == [
            (
                "otel_audit.compat.hummbl.bus_file",
                logging.WARNING,
                f"{path}: passed over 1 lines that hold no message, the first is line 2",
            )
        ]

    def test_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that cannot be read is an error of ours that names it."""

        def refuse(*args: Any, **kwargs: Any) -> None:
            raise PermissionError(13, "Permission denied")

        path = tmp_path / "bus.tsv"
        path.write_bytes(ROW)
        monkeypatch.setattr("builtins.open", refuse)
        with pytest.raises(AuditVerifyError, match=r"bus\.tsv: Permission denied"):
            BusWriter(path).read_all()


class TestIsBusFile:
    """`is_bus_file`: theirs, or a log."""

    @pytest.mark.parametrize("data", [ROW, b"{", b'{"timestamp":"x"}', b"\n", b"\xff"])
    def test_theirs(self, data: bytes, tmp_path: Path) -> None:
        """A file with any content but a log's is a bus file, except for a lone brace, which a log can begin with."""
        path = tmp_path / "bus"
        path.write_bytes(data)
        assert is_bus_file(str(path)) is (data != b"{")

    def test_a_log(self, tmp_path: Path) -> None:
        """A log, torn anywhere in its first line or empty, is none; nor is what does not exist, or a folder."""
        whole = logs.join(logs.log(2))
        path = tmp_path / "audit.jsonl"
        for size in (0, 1, 5, 18, 40, len(whole)):
            path.write_bytes(whole[:size])
            assert not is_bus_file(str(path))
        assert not is_bus_file(str(tmp_path / "nothing"))
        assert not is_bus_file(str(tmp_path))


class TestLines:
    """`read_lines`: split at LF alone, long ones in parts."""

    def test_numbers(self, tmp_path: Path) -> None:
        """Lines are counted from 1; a line separator or a lone CR inside a message ends none."""
        data = ROW + b"\n\n" + "2026-04-05T00:00:00Z\ta\tb\tc\tone\u2028two\rthree\n".encode()
        first, empty, last = lines(data, tmp_path)
        assert [line.number for line in (first, empty, last)] == [1, 2, 3]
        assert (empty.message, empty.problem) == (None, "expected 5 columns, got 1")
        assert last.message is not None
        assert last.message.message == "one\u2028two\rthree"

    def test_without_its_line_feed(self, tmp_path: Path) -> None:
        """A last line without LF may be cut short, so it is no message, whole as it looks."""
        [line] = lines(ROW, tmp_path)
        assert line.message is None
        assert line.raw == ROW
        assert "may be cut short" in str(line.problem)

    @pytest.mark.parametrize("beyond", [0, 1, MAX_LINE_BYTES, 2 * MAX_LINE_BYTES + 7])
    @pytest.mark.parametrize("end", [b"\n", b""])
    def test_long_lines_come_in_parts(self, beyond: int, end: bytes, tmp_path: Path) -> None:
        """A line longer than an entry holds comes in parts, which joined are the line; the next one is whole."""
        long = ROW + b"x" * (MAX_LINE_BYTES - len(ROW) + beyond)
        parts = lines(ROW + b"\n" + long + end + (ROW + b"\n" if end else b""), tmp_path)
        mine = [line for line in parts if line.number == 2]
        assert b"".join(line.raw for line in mine) == long
        assert all(len(line.raw) <= MAX_LINE_BYTES + 1 for line in mine)
        if beyond:
            assert [line.part for line in mine] == list(range(1, len(mine) + 1))
            assert {line.problem for line in mine} == {f"expected at most {MAX_LINE_BYTES} bytes, got more"}
            assert [line.number for line in parts if line.message is not None] == ([1, 3] if end else [1])

    @given(data=st.binary(max_size=300))
    def test_nothing_is_lost(self, data: bytes) -> None:
        """Whatever a file holds, its lines joined are the file."""
        parts = list(read_lines(io.BytesIO(data).readline))
        joined = b"\n".join(line.raw for line in parts)
        assert joined + (b"\n" if data.endswith(b"\n") else b"") == data


class TestParseLine:
    """`parse_line`: a message, or why there is none."""

    @pytest.mark.parametrize(
        "raw",
        [
            ROW,
            ROW + b"\r",
            json.dumps(PROMISED).encode(),
            json.dumps(SHIPPED, separators=(",", ":")).encode(),
            b"  " + json.dumps({"signature": "00", **PROMISED}).encode(),
        ],
    )
    def test_forms(self, raw: bytes) -> None:
        """TSV as shipped and JSON as promised, under either set of names, give the same message."""
        line = parse_line(7, raw)
        assert (line.message, line.problem, line.raw, line.number, line.part) == (SHIPPED, None, raw, 7, 0)
        assert line.message is not None
        assert line.message.time_ns == 1_775_347_200 * 10**9

    @pytest.mark.parametrize(
        ("raw", "problem"),
        [
            (ROW + b"\tmore", "expected 5 columns, got 6"),
            (ROW[:25] + ROW, "expected 5 columns, got 6"),
            (b"timestamp_utc\tfrom\tto\ttype\tmessage", "timestamp: expected a time such as"),
            (ROW.replace(b"agent-1", b" "), "from_id: expected a non-empty string, got none"),
            (ROW.replace(b"agent-1", b"a" * 9000), "from_id: expected at most 8192 bytes, got 9000"),
            (ROW + b"\0", "message: expected text without NUL"),
            (b"\xff" + ROW, "expected UTF-8, got another byte at 0"),
            (b"{", "expected a JSON object, got another text"),
            (b"{" + b'"a":[' * 5000, "expected a JSON object, got another text"),
            (json.dumps({**PROMISED, "from": "b"}).encode(), "expected one text as from_id or from, got str, str"),
            (json.dumps({**PROMISED, "to_id": 5}).encode(), "expected one text as to_id or to, got int"),
            (b'{"message":"a","message":"b"}', "expected each member once, got one twice"),
            (b'{"tuple_type":"DCT"}', "expected one text as from_id or from, got none"),
        ],
    )
    def test_no_message(self, raw: bytes, problem: str) -> None:
        """Two rows grown together, a forged row, a half or ambiguous object: each says what is wrong with it."""
        line = parse_line(1, raw)
        assert line.message is None
        assert str(line.problem).startswith(problem)
        assert line.raw == raw
