"""A record to its line."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
from typing import Any

import pytest

from otel_audit.attributes import audit_attributes
from otel_audit.chain import GENESIS
from otel_audit.entry import parse_line
from otel_audit.errors import AuditRecordError
from otel_audit.line import MAX_LINE_BYTES, Draft, encode, encode_context, format_time, seal
from otel_audit.record import Actor
from otel_audit.semconv import IntegrityMode

TIME_NS = 1_795_330_801_000_000_005


def draft(attributes: dict[str, object] | None = None, after: bytes = b"", **members: Any) -> Draft:
    """Return the draft of a plain record."""
    return encode(b'"event"', TIME_NS, audit_attributes("id", Actor("agent"), attributes=attributes), after, **members)


def line_of(made: Draft, mode: IntegrityMode = "chain", key: bytes | None = None) -> bytes:
    """Return the sealed line without its LF."""
    line, _ = seal(made, 1, format_time(TIME_NS + 1), GENESIS, mode, key)
    assert line.endswith(b"}\n")
    return line[:-1]


class TestTime:
    @pytest.mark.parametrize(
        ("time_ns", "text"),
        [
            (0, b"1970-01-01T00:00:00.000000000Z"),
            (-1, b"1969-12-31T23:59:59.999999999Z"),
            (TIME_NS, b"2026-11-22T07:00:01.000000005Z"),
            (-62135596800 * 10**9, b"0001-01-01T00:00:00.000000000Z"),
            (253402300799 * 10**9 + 999_999_999, b"9999-12-31T23:59:59.999999999Z"),
        ],
    )
    def test_form(self, time_ns: int, text: bytes) -> None:
        """A time is RFC 3339 in UTC with nine digits of a second, all years from 1 to 9999."""
        assert format_time(time_ns) == text
        assert format_time(time_ns) == text

    @pytest.mark.parametrize("time_ns", [-62135596800 * 10**9 - 1, 253402300800 * 10**9, 10**40, -(10**40)])
    def test_outside(self, time_ns: int) -> None:
        """A time that no calendar has is refused."""
        with pytest.raises(AuditRecordError, match="years 1 to 9999"):
            format_time(time_ns)

    def test_cached_seconds(self) -> None:
        """Many different seconds in turn come out right: the cache of texts is no source of error."""
        for second in (*range(20), *range(20)):
            expected = datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%FT%T").encode()
            assert format_time(second * 10**9 + 7) == expected + b".000000007Z"


class TestMembers:
    def test_order(self) -> None:
        """The members stand in the order of the format, and the strict parser takes them."""
        context = encode_context({"service.name": "x"}, ("shop", "1"))
        made = draft(
            {"a": 1}, context, trace_id=1, span_id=2, trace_flags=1, body="b", severity_text="INFO", severity_number=9
        )
        line = line_of(made, key=b"k" * 16)
        assert list(parse_line(line)) == [
            *("seq", "time", "event_name", "severity_text", "severity_number", "body", "attributes"),
            *("trace_id", "span_id", "trace_flags", "observed_time", "resource", "scope", "prev_hash", "hash", "hmac"),
        ]

    def test_least(self) -> None:
        """What a record does not have is left out."""
        assert list(parse_line(line_of(draft(), "none"))) == [
            "seq",
            "time",
            "event_name",
            "attributes",
            "observed_time",
        ]

    @pytest.mark.parametrize(
        ("trace_id", "span_id"), [(0, 0), (1, 0), (0, 1), (2**128, 1), (1, 2**64), (-1, 1), (1, -1), (2**200, 2**200)]
    )
    def test_invalid_span_context(self, trace_id: int, span_id: int) -> None:
        """Ids that no valid span context has are left out."""
        assert "trace_id" not in parse_line(line_of(draft(trace_id=trace_id, span_id=span_id)))

    def test_span_context(self) -> None:
        """Ids are lower-case hexadecimal of full length; of the flags the eight bits that the standard has."""
        members = parse_line(line_of(draft(trace_id=0xAB, span_id=2**64 - 1, trace_flags=0x301)))
        assert members["trace_id"] == "ab".rjust(32, "0")
        assert members["span_id"] == "f" * 16
        assert members["trace_flags"] == "01"


class TestContext:
    def test_empty(self) -> None:
        """No resource and no scope of its own: nothing."""
        assert encode_context({}, None) == b""

    def test_no_version(self) -> None:
        """A scope without a version has only its name."""
        assert encode_context({}, ("shop", None)) == b',"scope":{"name":"shop"}'

    def test_large_scope(self) -> None:
        """The name and the version of a scope are kept short: they stand in each line."""
        context = encode_context({}, ("\ud800" * 5000, "v" * 5000))
        scope = json.loads(b"{%b}" % context[1:])["scope"]
        assert scope == {"name": "\ufffd" * 1024, "version": "v" * 1024}

    def test_large_value(self) -> None:
        """Of a resource over 64 KiB the large values become digests."""
        large = "x" * 100_000
        resource = json.loads(b"{%b}" % encode_context({"a": large, "service.name": "x"}, None)[1:])["resource"]
        digest = hashlib.sha256(json.dumps(large).encode()).hexdigest()
        assert resource == {"a": {"$sha256": digest, "$size": 100_002}, "service.name": "x"}

    def test_many_names(self) -> None:
        """A resource whose names alone are over 64 KiB becomes one digest."""
        names = {f"{number}{'n' * 1000}": 1 for number in range(1000)}
        resource = json.loads(b"{%b}" % encode_context(names, None)[1:])["resource"]
        assert list(resource) == ["$rest"]


class TestSeal:
    def test_hash(self) -> None:
        """The hash is SHA-256 over the line up to the seal, and the seal is its fixed tail."""
        line = line_of(draft({"forged": ',"hash":"' + "0" * 64 + '"}'}))
        digest = hashlib.sha256(line[:-75]).hexdigest()
        assert line[-75:] == f',"hash":"{digest}"}}'.encode()
        assert parse_line(line)["hash"] == digest

    def test_hmac(self) -> None:
        """The HMAC is over the 32 bytes that the hash denotes."""
        key = b"0123456789abcdef"
        members = parse_line(line_of(draft(), key=key))
        digest = bytes.fromhex(str(members["hash"]))
        assert members["hmac"] == hmac.digest(key, digest, "sha256").hex()

    def test_modes(self) -> None:
        """Mode ``hash`` has no ``prev_hash``, mode ``none`` neither; only ``chain`` links."""
        assert {"prev_hash", "hash"} <= set(parse_line(line_of(draft())))
        assert {"prev_hash", "hash"} & set(parse_line(line_of(draft(), "hash"))) == {"hash"}
        assert not {"prev_hash", "hash"} & set(parse_line(line_of(draft(), "none")))

    def test_returns_the_hash(self) -> None:
        """The hash is returned beside the line; there is none in mode ``none``."""
        for mode in ("chain", "hash", "none"):
            line, digest = seal(draft(), 1, format_time(0), GENESIS, mode)
            assert parse_line(line[:-1]).get("hash", "") == digest

    def test_largest(self) -> None:
        """The largest draft, sealed with the largest seq and a key, is a line of at most 1 MiB."""
        empty = len(draft({"x": ""}).before)
        fitting = "x" * (MAX_LINE_BYTES - 512 - empty)
        for text, whole in ((fitting, True), (fitting + "x", False)):
            line, _ = seal(draft({"x": text}), 2**53 - 1, format_time(TIME_NS), GENESIS, "chain", b"k" * 16)
            assert len(line) <= MAX_LINE_BYTES
            attributes: Any = parse_line(line[:-1])["attributes"]
            assert (attributes["x"] == text) == whole


class TestLimit:
    def test_rest_is_the_callers_own(self) -> None:
        """``audit.rest`` is the digest of everything outside ``audit.*``, as JSON."""
        given = {f"{number}{'n' * 1000}": number for number in range(2000)}
        attributes: Any = parse_line(line_of(draft({**given, "nan": float("nan")})))["attributes"]
        expected = json.dumps({**given, "nan": "NaN"}, separators=(",", ":")).encode()
        assert attributes["audit.rest"] == {"$sha256": hashlib.sha256(expected).hexdigest(), "$size": len(expected)}
        assert attributes["audit.altered"] == ["/attributes/audit.rest"]

    def test_pointers_into_a_digest(self) -> None:
        """What was altered inside of a value that became a digest is no longer pointed at."""
        attributes: Any = parse_line(line_of(draft({"a/b": [float("nan")] * 200_000, "c": float("nan")})))["attributes"]
        assert attributes["audit.altered"] == ["/attributes/a~1b", "/attributes/c"]
        assert "$sha256" in attributes["a/b"]
        assert attributes["c"] == "NaN"

    def test_equal_names_with_prefixes(self) -> None:
        """A digest of ``a`` leaves the pointers into ``ab`` alone."""
        attributes: Any = parse_line(line_of(draft({"a": "x" * 2_000_000, "ab": [float("nan")]})))["attributes"]
        assert sorted(attributes["audit.altered"]) == ["/attributes/a", "/attributes/ab/0"]
