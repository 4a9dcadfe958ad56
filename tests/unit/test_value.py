"""`clean`: any Python value to a JSON value."""

from __future__ import annotations

import decimal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from otel_audit.value import (
    MAX_DEPTH,
    clean,
    clean_body,
    clean_text,
    describe,
    escape_name,
    name_of,
    pairs_of,
    pointer_to,
)
from otel_audit.value_walk import Unprintable
from tests.hostile import (
    EndlessMapping,
    LyingMap,
    LyingText,
    Mapping,
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


def shared_sets(levels: int) -> object:
    """Return sets that unfold to two to the power of so many levels."""
    value: object = frozenset()
    for level in range(levels):
        value = frozenset([value, (value,), level])
    return value


def all_in_all(count: int) -> list[Any]:
    """Return lists each of which holds each."""
    lists: list[Any] = [[] for _ in range(count)]
    for each in lists:
        each.extend(lists)
    return lists


def laughing_nan(levels: int) -> object:
    """Return a list that unfolds to so many powers of ten, and is altered at every end."""
    value: object = float("nan")
    for _ in range(levels):
        value = [value] * 10
    return value


def family(children: int) -> dict[str, Any]:
    """Return a map whose children name their parent."""
    parent: dict[str, Any] = {"children": []}
    parent["children"] += [{"n": n, "parent": parent} for n in range(children)]
    return parent


def calls_in(run: Callable[[], object]) -> int:
    """Return how many functions were called: what work it was, whatever the machine."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count


ENDLESS: dict[str, object] = {
    "lists": laughs(9),
    "deeper than a line": laughs(70),
    "just deeper than a line": laughs(66),
    "in a map": {"a": [{"b": laughs(30)}]},
    "altered": laughing_nan(9),
    "sets": shared_sets(60),
    "names": {shared_sets(60): 1},
    "names that collide": {1: laughs(60), "1": 1},
    "everything in everything": all_in_all(12),
    "texts": ["x" * 1_000_000] * 1000,
    "texts in maps": [{"x" * 1_000_000: n} for n in range(1000)],
    "bytes": [b"x" * 1_000_000] * 1000,
    "integers": [10**30_000] * 10_000,
    "decimals": [decimal.Decimal(10**4000)] * 100_000,
    "objects": [Mapping({"a": laughs(8)})] * 10,
    "a long name over many": {"x" * 100_000: [float("nan")] * 100_000},
}


class TestShared:
    @pytest.mark.parametrize("value", ENDLESS.values(), ids=ENDLESS)
    def test_without_end(self, value: object) -> None:
        """What is small and would unfold without end is stored as its type, marked, with little work."""
        altered: list[str] = []
        stored: list[object] = []
        calls = calls_in(lambda: stored.append(clean(value, "/body", altered, 2)))
        assert stored == [f"<unprintable {type(value).__name__}>"]
        assert altered == ["/body"]
        assert calls < 3_000_000

    def test_ends(self) -> None:
        """What is shared and does end is stored whole, each time, with each of its marks."""
        row = [1, float("nan"), "é", {"b": b"x", "s": {2, 1}}]
        altered: list[str] = []
        cleaned = clean([row] * 5_000, "/body", altered, 2)
        assert cleaned == [[1, "NaN", "é", {"b": {"$bytes": "eA=="}, "s": [1, 2]}]] * 5_000
        assert altered == [f"/body/{n}/{part}" for n in range(5_000) for part in ("1", "3/s")]

    def test_large(self) -> None:
        """What is not shared has no bound: it is as large as was given."""
        rows = [[n, n, n] for n in range(260_000)]
        assert clean(rows, "/body", [], 2) == rows

    def test_depth(self) -> None:
        """What is shared at two depths is cut at the one where it is too deep, and whole at the other."""
        shared = nested(4)
        deep: Any = shared
        for _ in range(MAX_DEPTH - 5):
            deep = [deep]
        altered: list[str] = []
        cleaned: Any = clean([*range(5_000), shared, deep, shared], "/body", altered, 2)
        assert cleaned[5_000] == cleaned[5_002] == shared
        assert len(altered) == 1
        assert resolve({"body": cleaned}, altered[0]) == "[]"

    def test_cycles(self) -> None:
        """Of many cycles in one value only some are shown by their text: the value itself is kept."""
        altered: list[str] = []
        cleaned: Any = clean(family(3_000), "/body", altered, 2)
        assert [child["n"] for child in cleaned["children"]] == [*range(3_000)]
        assert altered == [f"/body/children/{n}/parent" for n in range(3_000)]
        assert cleaned["children"][0]["parent"].startswith("{'children': [{'n': 0, 'parent': {...}}")
        assert cleaned["children"][2_999]["parent"] == "<unprintable dict>"

    def test_mappings_that_make_new_ones(self) -> None:
        """A mapping that makes up its values as it is read ends, too: what comes late is stored as its text."""

        class Growing(Mapping):
            def items(self) -> Any:
                return [(str(n), Growing({})) for n in range(100)]

        altered: list[str] = []
        cleaned = clean(Growing({}), "/body", altered, 2)
        assert {resolve({"body": cleaned}, pointer) for pointer in altered} == {"Mapping({})"}


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

    def test_without_end(self) -> None:
        """A container whose text has no end is named by its type, an object's own text is its own affair."""
        assert describe(laughs(70)) == "<unprintable list>"
        assert describe([1, [all_in_all(12)]]) == "<unprintable list>"
        assert describe({1: ["x" * 10_000_000]}) == "<unprintable dict>"
        assert describe(Mapping({1: 2})) == "Mapping({1: 2})"
        assert len(describe([*range(10_000)])) > 50_000

    def test_name(self) -> None:
        """A name is what ``str()`` says; one that fails or has no end is refused."""
        assert name_of((1, "a")) == "(1, 'a')"
        for key in (Raising(SystemExit()), Raising(RecursionError()), shared_sets(60)):
            with pytest.raises(ValueError, match="expected a name, got <unprintable"):
                name_of(key)

    def test_a_class_that_hides_its_name(self) -> None:
        """The name of a type is asked of the interpreter, not of its metaclass."""

        class Meta(type):
            @property
            def __name__(cls) -> str:  # type: ignore[override]
                raise SystemExit

        class Hidden(Raising, metaclass=Meta):
            pass

        assert describe(Hidden(ValueError())) == "<unprintable Hidden>"

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
    with pytest.raises(Unprintable):
        pairs_of(EndlessMapping({}), 10)
