"""The strict parser (docs/format.md, "The line")."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from otel_audit.entry import MalformedLineError, parse_entry, parse_line, unescape
from otel_audit.line import MAX_LINE_BYTES
from tests import logs

LINE = logs.log(3)[2]
KEYED = logs.log(3, key=b"k" * 16)[2]


def reason(line: bytes) -> str:
    """Return why a line is malformed."""
    with pytest.raises(MalformedLineError) as caught:
        parse_line(line)
    return caught.value.reason


def sealed(**changes: Any) -> bytes:
    """Return a line with other members; None takes one away."""
    members = {**logs.entry(3), **changes}
    return logs.seal({name: value for name, value in members.items() if value is not ...})


class TestParseLine:
    """`parse_line`."""

    def test_returns_the_members_in_order(self) -> None:
        """The members of a sound line are those of its JSON, in its order."""
        assert list(parse_line(LINE).items()) == list(json.loads(LINE).items())

    @pytest.mark.parametrize("value", ["1E5", "1.0e+2", '"\\u0041\\/"', "-0.0", "9223372036854775807", '"\u2028"'])
    def test_takes_other_spellings(self, value: str) -> None:
        """Another writer may spell a value otherwise: what RFC 8259 allows is legal."""
        line = LINE.replace(b'"lines":3', b'"lines":' + value.encode())
        assert parse_line(line)["attributes"] == json.loads(line)["attributes"]

    @pytest.mark.parametrize(
        ("old", "new", "why"),
        [
            (b'"lines":3', b'"lines":-0', "integer -0"),
            (b'"lines":3', b'"lines":9223372036854775808', "outside 64 bits"),
            (b'"lines":3', b'"lines":-9223372036854775809', "outside 64 bits"),
            (b'"lines":3', b'"lines":' + b"9" * 5000, "outside 64 bits"),
            (b'"lines":3', b'"lines":1e400', "not finite"),
            (b'"lines":3', b'"lines":NaN', "expected a value"),
            (b'"lines":3', b'"lines":"\\ud800"', "lone surrogate"),
            (b'"lines":3', b'"lines":"\xff"', "not UTF-8"),
            (b'"lines":3', b'"lines":3,"lines":4', "twice"),
            (b'"lines":3', b'"lines":3,"\\u006cines":4', "twice"),
            (b'"lines":3', b'"lines":[{"a":1,"a":1}]', "twice"),
            (b'"lines":3', b'"lines":' + b"[" * 63 + b"]" * 63, "deeper than 64"),
            (b'"lines":3', b'"lines": 3', "expected a value"),
            (b'{"seq"', b'{"s\\u0065q"', "spelled with an escape"),
            (b'{"seq"', b'\xef\xbb\xbf{"seq"', "byte order mark"),
            (b'{"seq":3', b'{"seq":3.0', "seq is not"),
            (b'{"seq":3', b'{"seq":0', "seq is not"),
            (b'{"seq":3', b'{"seq":9007199254740992', "seq is not"),
            (b'{"seq":3', b'{"seq":true', "seq is not"),
            (b'{"seq":3,', b"{", "no member 'seq'"),
            (b'"trace_id"', b'"trace"', "unknown member 'trace'"),
            (b'"2026-11-22T', b'"2026-02-29T', "time is not"),
            (b":00:00.", b":00:60.", "time is not"),
            (b"2026-11-22T", "2026-11-2\u0662T".encode(), "time is not"),
        ],
    )
    def test_refuses(self, old: bytes, new: bytes, why: str) -> None:
        """One rule broken is the reason given."""
        assert why in reason(LINE.replace(old, new, 1))

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"event_name": ""}, "event_name"),
            ({"event_name": "\u00e9" * 513}, "event_name"),
            ({"attributes": []}, "attributes"),
            ({"trace_id": "0" * 31}, "trace_id"),
            ({"trace_id": "A" * 32}, "trace_id"),
            ({"span_id": ...}, "span_id"),
            ({"resource": {}}, "resource"),
            ({"scope": {"version": "1"}}, "scope"),
            ({"scope": {"name": 1}}, "scope"),
            ({"observed_time": "2026-11-22T00:00:00Z"}, "observed_time"),
        ],
    )
    def test_refuses_a_member_of_the_wrong_form(self, changes: dict[str, Any], why: str) -> None:
        """A member of the wrong type or form is named."""
        assert why in reason(sealed(**changes))

    def test_refuses_members_out_of_order(self) -> None:
        """A body behind the attributes is out of order."""
        assert "out of order" in reason(LINE.replace(b',"trace_id"', b',"body":1,"trace_id"'))

    def test_leaves_the_mode_to_the_verifier(self) -> None:
        """A line without prev_hash, without hash, or with hmac is a line."""
        assert "prev_hash" not in parse_line(logs.seal(logs.entry(3), mode="hash"))
        assert "hash" not in parse_line(logs.seal(logs.entry(3), mode="none"))
        assert len(str(parse_line(KEYED)["hmac"])) == 64

    def test_demands_the_fixed_tail(self) -> None:
        """A hash spelled with an escape, or followed by a member, is no seal; nor is hmac alone."""
        digits = logs.hash_of(LINE)
        escaped = f"\\u00{ord(digits[0]):02x}{digits[1:]}"
        assert "fixed tail" in reason(LINE.replace(digits.encode(), escaped.encode()))
        assert reason(KEYED[: -len(b',"hmac":""}') - 64] + b',"x":1}') == "unknown member 'x'"
        bare = KEYED.replace(b',"hash":"%s"' % logs.hash_of(KEYED).encode(), b"")
        assert reason(bare) == "hmac without hash"

    @pytest.mark.parametrize("members", [b'"%b":1', b'"%b":1,"%b":2'])
    def test_long_name(self, members: bytes) -> None:
        """A name as long as a line may be is not told in full."""
        name = b"x" * 900_000 if b"2" not in members else b"x" * 400_000
        line = KEYED[: -len(b',"hmac":""}') - 64] + b"," + members.replace(b"%b", name) + b"}"
        assert len(reason(line)) < 120

    def test_counts_the_line_feed(self) -> None:
        """With its LF a line may have 1 MiB, and not a byte more."""
        room = MAX_LINE_BYTES - 1 - len(LINE)
        line = LINE.replace(b'"lines":3', b'"lines":3,"a":"' + b"x" * (room - 7) + b'"')
        assert len(parse_line(line)["attributes"]["a"]) == room - 7  # type: ignore[index]
        assert reason(line.replace(b"xx", b"xxx", 1)) == "longer than 1 MiB"

    @pytest.mark.parametrize("hostile", [b"[" * 100_000, b'{"a":' * 100_000, b'"' * 500_000, b"\\" * 500_000])
    def test_is_linear_on_hostile_input(self, hostile: bytes) -> None:
        """Half a megabyte of openings ends in a reason, not in a RecursionError or in minutes."""
        start = time.monotonic()
        reason(hostile)
        reason(LINE.replace(b'"lines":3', b'"lines":' + hostile))
        assert time.monotonic() - start < 10


class TestEntry:
    """`parse_entry` and `unescape`."""

    def test_has_the_members_of_the_line(self) -> None:
        """An entry gives each member by name, and the raw bytes."""
        entry = parse_entry(LINE)
        assert (entry.seq, entry.event_name, entry.trace_flags) == (3, "mcp.tool.call", "01")
        assert entry.scope == {"name": "shop"}
        assert entry.severity_number is None
        assert entry.raw == LINE

    def test_undoes_the_dollar_forms(self) -> None:
        """Bytes come back as bytes, and one dollar goes off a name that was given with one."""
        stored = {"$$bytes": 1, "a": [{"$bytes": "AAE="}], "$sha256": "x", "$size": 3}
        assert unescape(stored) == {"$bytes": 1, "a": [b"\0\1"], "$sha256": "x", "$size": 3}
        assert unescape({"$bytes": "no base64"}) == {"$bytes": "no base64"}

    @pytest.mark.parametrize("text", ["\u00e9", "AA==\u2028", "=", "A", "AA=A", "\x00"])
    def test_leaves_bytes_that_are_none(self, text: str) -> None:
        """Whatever text somebody wrote in the place of base64, it is no reason to fail."""
        assert unescape([{"$bytes": text}]) == [{"$bytes": text}]


@pytest.mark.parametrize("module", ["otel_audit.entry", "otel_audit.verify.verifier", "otel_audit.reader"])
def test_reading_imports_no_opentelemetry(module: str) -> None:
    """Whoever only reads a log loads neither the SDK nor the API."""
    code = f"import {module}, sys; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
