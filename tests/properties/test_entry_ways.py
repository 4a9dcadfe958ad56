"""The quick ways of the strict parser take what the exact ways take, and as the same."""

from __future__ import annotations

import random
from unittest import mock

import hypothesis.strategies as st
from hypothesis import example, given

from otel_audit import entry as parser
from otel_audit.entry import Entry, MalformedLineError, parse_entry
from otel_audit.line import MAX_LINE_BYTES
from otel_audit.query.columns import COLUMNS, row
from otel_audit.query.csv_rows import cell, csv_rows
from tests import logs
from tests.fuzz.line_target import mutate, seeds
from tests.fuzz.reference_line import exact
from tests.fuzz.values import VALUES

LINE = logs.log(3)[2]


def outcome(line: bytes) -> tuple[str, str]:
    """Return what becomes of a line: its members with their types, or the reason why it has none."""
    try:
        return exact({name: value for name, value in vars(parse_entry(line)).items() if name != "raw"}), ""
    except MalformedLineError as error:
        return "", error.reason


def assert_same(line: bytes) -> None:
    """Assert that all ways agree. Of several rules that a line breaks, another may be the first in the exact way."""
    members, reason = outcome(line)
    with mock.patch.object(parser, "_SHAPES", frozenset()):
        assert outcome(line) == (members, reason)
        with mock.patch.object(parser, "_parse_canonical", return_value=None):
            exact_members, exact_reason = outcome(line)
    assert (exact_members, bool(exact_reason)) == (members, bool(reason))


def with_value(value: bytes) -> bytes:
    """Return a line with a value in an attribute."""
    return LINE.replace(b'"lines":3', b'"lines":' + value)


@given(st.sampled_from([LINE, *seeds()]), st.randoms(use_true_random=False))
def test_mutated_lines(line: bytes, choose: random.Random) -> None:
    """A line of the format, and what becomes of it by some changes, give the same in both ways."""
    for _ in range(8):
        assert_same(line)
        line = mutate(line, choose)


@given(st.binary(max_size=12))
@example(b"-0")
@example(b"-0.0")
@example(b"1E5")
@example(b"1e400")
@example(b"1e-400")
@example(b"9007199254740993")
@example(b"9223372036854775807")
@example(b"9223372036854775808")
@example(b"18446744073709551615")
@example(b"0.1000000000000000055511151231257827")
@example(b'"\\ud800"')
@example(b'"\\ud83d\\ude00"')
@example(b'"\\u0000"')
@example(b'"\x00"')
@example(b'"\xed\xa0\x80"')
@example(b"[" * 62 + b"]" * 62)
@example(b"[" * 63 + b"]" * 63)
@example(b'"' + b"{[" * 40 + b'"')
@example(b'3,"lines":3')
@example(b'{"a":1,"\\u0061":1}')
@example(b'"' + b"x" * (MAX_LINE_BYTES - len(LINE) - 2) + b'"')
@example(b'"' + b"x" * (MAX_LINE_BYTES - len(LINE) - 1) + b'"')
def test_values(value: bytes) -> None:
    """So do any bytes where a value stands."""
    assert_same(with_value(value))


@given(st.sampled_from([LINE, *seeds()]), st.randoms(use_true_random=False))
def test_rows(line: bytes, choose: random.Random) -> None:
    """A row has what its columns have one by one, and its cells are those of these values."""
    for _ in range(8):
        try:
            entry = parse_entry(line)
        except MalformedLineError:
            break
        assert_same_row(entry)
        line = mutate(line, choose)


def test_rows_of_odd_values() -> None:
    """So it is where an attribute of the format has a value of another type, and where text is not plain."""
    texts = ("é", "\x7f", '"', "\\", ",", "=1", "'", "-", " ", "a b", "\u2028", "\n", "\r\n", "")
    names = ("reason", "delegation", "duration", "arguments", "altered")
    for name in (*(f"audit.{name}" for name in names), "error.type"):
        for value in (*(value for value in VALUES if value != "\ud800"), *texts, ["a", "=b"]):
            line = logs.seal(logs.log_entry(2, "x", **{name: value}))
            try:
                assert_same_row(parse_entry(line))
            except MalformedLineError:
                continue


def assert_same_row(entry: Entry) -> None:
    """Assert that both ways to make a row agree."""
    values = [column.value(entry) for column in COLUMNS]
    assert exact([_comparable(value) for value in row(entry)]) == exact([_comparable(value) for value in values])
    with mock.patch("otel_audit.query.csv_rows._cells", return_value=[cell(value) for value in values]):
        expected = list(csv_rows([(entry, None)]))
    assert list(csv_rows([(entry, None)])) == expected


def _comparable(value: object) -> object:
    return ["bytes", value.decode()] if isinstance(value, bytes) else value
