"""`clean`: any Python value to a JSON value."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from otel_audit.value import (
    MAX_DEPTH,
    _Unprintable,
    clean,
    clean_body,
    clean_text,
    describe,
    escape_name,
    pairs_of,
    pointer_to,
)
from tests.hostile import (
    EndlessMapping,
    LyingMap,
    LyingText,
    NotAString,
    Raising,
    laughs,
    nested,
    payloads,
    resolve,
    same,
)
from tests.strategies import Shade


@pytest.mark.parametrize("payload", [p for p in payloads() if p.stored is not None], ids=lambda payload: payload.name)
def test_each_kind(payload: Any) -> None:
    """Each kind of value is stored in its form, and marked where that is another than was given."""
    altered: list[str] = []
    cleaned = clean(payload.given, "/body", altered, 2)
    assert same(cleaned, payload.stored)
    assert bool(altered) == payload.altered
    for pointer in altered:
        resolve({"body": cleaned}, pointer)


class TestDepth:
    def test_deepest(self) -> None:
        """A container at depth 64 is stored as it is, one below it as its text."""
        for given, marked in ((nested(3), []), (nested(4), ["/body/0/0/0"])):
            altered: list[str] = []
            clean(given, "/body", altered, MAX_DEPTH - 2)
            assert altered == marked

    def test_bytes_are_a_container(self) -> None:
        """Bytes take a level of their own, as ``$bytes`` is an object."""
        altered: list[str] = []
        assert clean([b"a"], "/body", altered, MAX_DEPTH) == ["b'a'"]
        assert altered == ["/body/0"]

    def test_deeper_than_the_stack(self) -> None:
        """A value too deep even for ``repr`` is stored as unprintable at the deepest level."""
        altered: list[str] = []
        cleaned = clean(nested(100_000), "/body", altered, 2)
        assert len(altered) == 1
        assert resolve({"body": cleaned}, altered[0]) == "<unprintable list>"

    def test_a_bomb_of_shared_lists(self) -> None:
        """A small graph that unfolds without end ends, marked."""
        altered: list[str] = []
        cleaned = clean(laughs(70), "/body", altered, 2)
        assert altered
        assert "<unprintable list>" in {resolve({"body": cleaned}, pointer) for pointer in altered}


class TestIntegers:
    @pytest.mark.parametrize("exponent", [19, 600, 700, 4299, 4300, 10_000, 30_001])
    @pytest.mark.parametrize("sign", [1, -1])
    def test_exact(self, exponent: int, sign: int) -> None:
        """An integer past 64 bits is stored with each of its digits, however many."""
        digits = "7" + "0123456789" * (exponent // 10) + "3" * (exponent % 10)
        limit = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(0)
        try:
            value = sign * int(digits)
        finally:
            sys.set_int_max_str_digits(limit)
        assert clean(value, "/body", [], 2) == ("-" if sign < 0 else "") + digits

    def test_whatever_the_interpreter_allows(self) -> None:
        """The interpreter's limit on digits has no say."""
        limit = sys.get_int_max_str_digits()
        sys.set_int_max_str_digits(640)
        try:
            assert clean(10**900, "/body", [], 2) == "1" + "0" * 900
        finally:
            sys.set_int_max_str_digits(limit)


class TestOwnCode:
    def test_keyboard_interrupt(self) -> None:
        """Whoever interrupts the program is not taken for a payload's error."""
        with pytest.raises(KeyboardInterrupt):
            clean(Raising(KeyboardInterrupt()), "/body", [], 2)

    def test_marks_of_a_failed_value_are_taken_back(self) -> None:
        """Where a map falls back to its text, no pointer is left to what was inside of it."""
        altered: list[str] = []
        cleaned = clean({"a": float("nan"), 1: 1, "1": 2}, "/body", altered, 2)
        assert isinstance(cleaned, str)
        assert altered == ["/body"]

    def test_null_body(self) -> None:
        """A body whose form would be null is stored as its text: a line has no null body."""
        altered: list[str] = []
        assert clean_body(Shade.NONE, altered) == "<Shade.NONE: None>"
        assert altered == ["/body"]
        assert clean_body(None, []) is None


class TestDescribe:
    def test_repr(self) -> None:
        """A value is described by its ``repr``."""
        assert describe([1]) == "[1]"

    @pytest.mark.parametrize("value", [Raising(SystemExit()), Raising(GeneratorExit()), NotAString()])
    def test_unprintable(self, value: object) -> None:
        """Where ``repr`` fails, its type is named."""
        assert describe(value) == f"<unprintable {type(value).__name__}>"

    def test_surrogates(self) -> None:
        """A description can always be encoded."""

        class Surrogate:
            def __repr__(self) -> str:
                return "\ud800"

        assert describe(Surrogate()) == "\ufffd"


class TestText:
    def test_same_object(self) -> None:
        """Text that can be encoded comes back as it is, unmarked."""
        altered: list[str] = []
        assert clean_text("grüße", "/x", altered) == "grüße"
        assert altered == []

    def test_pair_of_surrogates(self) -> None:
        """Two halves that belong together become their character, marked, as that is not what was given."""
        altered: list[str] = []
        assert clean_text("\ud83c\udf89", "/x", altered) == "🎉"
        assert altered == ["/x"]

    def test_exact_type(self) -> None:
        """A subclass of str gives a plain str of what it holds."""
        assert type(clean_text(LyingText("truth"), "", [])) is str
        assert clean_text(LyingText("truth"), "", []) == "truth"


def test_pointer() -> None:
    """``~`` and ``/`` in a name are escaped as RFC 6901 says, in this order."""
    assert pointer_to("/attributes", "a/b~1") == "/attributes/a~1b~01"
    assert resolve({"attributes": {"a/b~1": 5}}, "/attributes/a~1b~01") == 5


def test_escape_name() -> None:
    """Only names that begin with ``$`` get one more."""
    assert [escape_name(name) for name in ("$", "$x", "x$", "")] == ["$$", "$$x", "x$", ""]


def test_pairs() -> None:
    """Pairs come from what a dict holds, and never without end."""
    assert pairs_of(LyingMap(a=1)) == [("a", 1)]
    with pytest.raises(_Unprintable):
        pairs_of(EndlessMapping({}), 10)
