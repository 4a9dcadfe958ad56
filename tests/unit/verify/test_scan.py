"""One pass over the files: what the quick way must leave to the exact one, what a region must not hide."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from otel_audit.line import MAX_SEQ
from otel_audit.verify.finding import Finding
from otel_audit.verify.report import VerifyReport
from otel_audit.verify.segment import Segment
from otel_audit.verify.verifier import verify
from tests import logs

READ_BYTES = (1 << 16, 1500)
"""All at once, short logs go line by line; in small blocks, most lines go the quick way."""


def judge(lines: list[bytes], read_bytes: int, *, chain_only: bool = False) -> VerifyReport:
    """Verify a log of one segment."""
    data = logs.join(lines)
    segment = Segment("audit.jsonl", "audit.jsonl", 1, len(data), lambda at, n: data[at : at + min(n, read_bytes)])
    return verify([segment], path="audit.jsonl", first_name="audit.jsonl", chain_only=chain_only)


def brief(findings: tuple[Finding, ...]) -> list[tuple[str, int | None, int | None, int]]:
    """Return kind, line, seq and count of each finding."""
    return [(f.kind, f.line, f.seq, f.count) for f in findings]


@pytest.mark.parametrize("mode", ["chain", "hash", "none"])
@pytest.mark.parametrize("read_bytes", READ_BYTES)
@pytest.mark.parametrize("chain_only", [False, True])
def test_no_line_follows_on_the_greatest_seq(mode: str, read_bytes: int, chain_only: bool) -> None:
    """A line with a seq of 2**53 is malformed, however well it is linked."""
    lines = logs.log(3, mode=mode)
    prev = logs.GENESIS if mode == "none" else logs.hash_of(lines[-1])
    entries = ({**logs.entry(4), "seq": MAX_SEQ + more} for more in range(-3, 2))
    beyond = list(logs.chain(entries, prev, mode=mode))
    report = judge([*lines, *beyond], read_bytes, chain_only=chain_only)
    found = [each for each in brief(report.findings) if each[0] != "downgraded"]
    assert found == [("gap", 4, 4, MAX_SEQ - 3 - 4), ("malformed", 8, None, 1)]


def declared(lines: list[bytes], region: bytes, *, observed: str, **said: Any) -> list[bytes]:
    """Return a log with a fragment behind its lines, and the entry that declares it."""
    all_said: dict[str, Any] = {
        "audit.fragment.offset": len(logs.join(lines)),
        "audit.fragment.length": len(region),
        "audit.fragment.sha256": hashlib.sha256(region).hexdigest(),
        **said,
    }
    event = "audit.log.recovered" if lines else "audit.log.opened"
    members = logs.log_entry(9, event, **all_said) if lines else logs.opened(1, **all_said)
    prev = logs.hash_of(lines[-1]) if lines else logs.GENESIS
    return [*lines, region, logs.seal({**members, "observed_time": observed}, prev)]


@pytest.mark.parametrize("read_bytes", READ_BYTES)
@pytest.mark.parametrize("region", [b"half a line", b"two\nlines"])
def test_a_clock_set_back_during_a_crash_is_found(read_bytes: int, region: bytes) -> None:
    """The entry behind a declared fragment is compared with the one before it."""
    report = judge(declared(logs.log(8), region, observed=logs.time_text(1)), read_bytes)
    count = region.count(b"\n") + 1
    assert brief(report.findings) == [("recovered", 9, 9, count), ("clock_backwards", 9 + count, 9, 1)]
    assert report.intact


@pytest.mark.parametrize("said", [{"audit.fragment.offset": False}, {"audit.fragment.offset": 0.0}])
def test_an_offset_that_is_no_integer_declares_nothing(said: dict[str, object]) -> None:
    """Two verifiers must see one declaration: neither false nor 0.0 is the offset 0."""
    assert judge(declared([], b'{"seq":1,', observed=logs.time_text(1)), 1 << 16).intact
    report = judge(declared([], b'{"seq":1,', observed=logs.time_text(1), **said), 1 << 16)
    assert brief(report.findings) == [("malformed", 1, None, 1)]


def test_a_length_that_is_no_integer_declares_nothing() -> None:
    """A region of 4.0 bytes is none of 4."""
    report = judge(
        declared(logs.log(8), b"half", observed=logs.time_text(9), **{"audit.fragment.length": 4.0}), 1 << 16
    )
    assert brief(report.findings) == [("malformed", 9, None, 1)]


def sealed(seq: int, middle: bytes, prev: str, time: str, observed: str) -> bytes:
    """Return a line with any bytes between its times, under a right seal."""
    head = b'{"seq":%d,"time":"%s",' % (seq, time.encode())
    tail = b',"observed_time":"%s","resource":{"service.name":"x"},"prev_hash":"%s"' % (
        observed.encode(),
        prev.encode(),
    )
    digest = hashlib.sha256(head + middle + tail).hexdigest()
    return head + middle + tail + b',"hash":"%s"}' % digest.encode()


@pytest.mark.parametrize("before", range(20, 27))
def test_lines_that_are_sound_only_together(before: int) -> None:
    """Lines of which one begins what the next one ends are malformed, also where a third makes up for the number."""
    lines = logs.log(before)
    required = b",".join(b'"%s":"%s"' % (n.encode(), v.encode()) for n, v in logs.attributes(1).items())
    whole = b'"event_name":"e","attributes":{%s}' % required
    middles = (
        b'"event_name":"e","attributes":{%s,"x":[{"a":1' % required,
        b'"event_name":"e"}]}',
        whole + b'},"------------------------",{' + whole,
    )
    for middle in (whole, *middles, whole):
        seq = len(lines) + 1
        prev = lines[-1][-66:-2].decode()
        lines.append(sealed(seq, middle, prev, logs.time_text(seq), logs.time_text(seq)))
    assert brief(judge(lines, 5500).findings) == [("malformed", before + 2, None, 3)]


@pytest.mark.parametrize("read_bytes", READ_BYTES)
@pytest.mark.parametrize("member", ["time", "observed_time"])
@pytest.mark.parametrize(
    "wrong",
    [
        *("2026-11-22T00:00:60.000000000Z", "2026-11-22T00:60:00.000000000Z", "2026-11-22T24:00:00.000000000Z"),
        *("2026-02-30T00:00:00.000000000Z", "2026-11-22T00:00:59.00000000aZ", "2026-11-22 00:00:59.000000000Z"),
    ],
)
def test_times_that_are_none(wrong: str, member: str, read_bytes: int) -> None:
    """A time that no clock shows makes a line malformed, among many that are sound."""
    members = [logs.opened(), *(logs.entry(seq) for seq in range(2, 41))]
    members[30][member] = wrong
    found = brief(judge(list(logs.chain(members)), read_bytes).findings)
    assert found == [("malformed", 31, None, 1)]
