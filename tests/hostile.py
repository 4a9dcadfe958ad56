"""Payloads that a recorder of other people's values has to survive, and what becomes of each."""

from __future__ import annotations

import collections
import collections.abc
import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pydantic

ESCAPES = "line\nfeed \x1b[31mred\x1b[0m \r\x00\x7f\u2028\ufeff"
LIKE_A_SEAL = ',"hash":"' + "0" * 64 + '"}'


class Payload(NamedTuple):
    """A value, and how it stands in the line: ``stored`` is None where only its mark matters."""

    name: str
    given: Any
    stored: Any = None
    altered: bool = False


class Colour(enum.Enum):
    """An enumeration with a value that is no string."""

    RED = (1, "r")


class Level(enum.IntEnum):
    """An enumeration whose members are integers."""

    HIGH = 3


class Model(pydantic.BaseModel):
    """A model of a library."""

    name: str = "x"
    password: pydantic.SecretStr = pydantic.SecretStr("hunter2")


class Raising:
    """An object that cannot be printed."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __repr__(self) -> str:
        raise self._error


class NotAString:
    """An object whose ``repr`` is no string."""

    def __repr__(self) -> str:
        return 5  # type: ignore[return-value]


class LyingText(str):
    """A string whose methods tell other things than it holds."""

    __slots__ = ()

    def __str__(self) -> str:
        return "lie"

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("lie")

    def isascii(self) -> bool:
        return True

    def encode(self, *_: Any) -> bytes:
        return b"lie"

    def startswith(self, *_: Any) -> bool:
        return False


class LyingInteger(int):
    """An integer whose methods tell other things than it holds."""

    def __index__(self) -> int:
        return 7

    def __int__(self) -> int:
        return 7

    def __str__(self) -> str:
        return "7"

    def __le__(self, other: object) -> bool:
        return True


class LyingFloat(float):
    """A float whose methods tell other things than it holds."""

    def __float__(self) -> float:
        return 7.0

    def __repr__(self) -> str:
        return "7"


class LyingBytes(bytes):
    """Bytes whose methods tell other things than they hold."""

    def __bytes__(self) -> bytes:
        return b"lie"


class LyingMap(dict[str, Any]):
    """A dict whose methods tell other things than it holds."""

    def items(self) -> Any:
        return [("lie", True)]

    def __iter__(self) -> Iterator[str]:
        return iter(["lie"])

    def __getitem__(self, key: str) -> Any:
        return "lie"


class LyingList(list[Any]):
    """A list whose methods tell other things than it holds."""

    def __iter__(self) -> Iterator[Any]:
        return iter(["lie"])

    def __len__(self) -> int:
        return 0


class GrowingMap(dict[str, Any]):
    """A dict that grows whenever it is looked at."""

    def items(self) -> Any:
        for name in list(self):
            self[name + "x"] = 1
            yield name, 1


class Mapping(collections.abc.Mapping[Any, Any]):
    """A mapping that is no dict."""

    def __init__(self, pairs: dict[Any, Any]) -> None:
        self._pairs = pairs

    def __getitem__(self, key: Any) -> Any:
        return self._pairs[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"Mapping({self._pairs!r})"


class FailingMapping(Mapping):
    """A mapping that cannot be read."""

    def items(self) -> Any:
        raise SystemExit(3)


class EndlessMapping(Mapping):
    """A mapping that never ends."""

    def items(self) -> Any:
        number = 0
        while True:
            number += 1
            yield str(number), number


def nested(depth: int) -> list[Any]:
    """Return lists inside one another."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def circular_list() -> list[Any]:
    """Return a list that holds itself."""
    value: list[Any] = [1]
    value.append(value)
    return value


def circular_map() -> dict[str, Any]:
    """Return a map that holds itself, in a list."""
    value: dict[str, Any] = {}
    value["self"] = [value]
    return value


def laughs(levels: int) -> list[Any]:
    """Return a list that unfolds to ten to the power of so many levels."""
    value: list[Any] = ["ha"]
    for _ in range(levels):
        value = [value] * 10
    return value


MOMENT = datetime.datetime(2026, 11, 22, 6, 0, 1, 5, datetime.UTC)
SOME_UUID = uuid.UUID("7b1f5b9e-7f0f-4c39-9d2e-3f6c2a1d0e55")


def payloads() -> list[Payload]:
    """Return them all, new ones each time."""
    return [
        Payload("null", None, None),
        Payload("true", True, True),
        Payload("text", "grüße 🎉", "grüße 🎉"),
        Payload("escapes", ESCAPES, ESCAPES),
        Payload("like_a_seal", LIKE_A_SEAL, LIKE_A_SEAL),
        Payload("largest_int", 2**63 - 1, 2**63 - 1),
        Payload("smallest_int", -(2**63), -(2**63)),
        Payload("minus_zero", -0.0, -0.0),
        Payload("smallest_float", 5e-324, 5e-324),
        Payload("nan", float("nan"), "NaN", True),
        Payload("infinity", float("inf"), "Infinity", True),
        Payload("minus_infinity", -float("inf"), "-Infinity", True),
        Payload("past_64_bits", 2**63, str(2**63), True),
        Payload("minus_past_64_bits", -(2**63) - 1, str(-(2**63) - 1), True),
        Payload("ten_to_400", 10**400, "1" + "0" * 400, True),
        Payload("ten_to_5000", -(10**5000) - 7, "-1" + "0" * 4999 + "7", True),
        Payload("bytes", b"\x00\xff", {"$bytes": "AP8="}),
        Payload("bytearray", bytearray(b"ab"), {"$bytes": "YWI="}),
        Payload("memoryview", memoryview(b"abcd")[::2], {"$bytes": "YWM="}),
        Payload("lone_surrogate", "a\ud800b\udfff", "a\ufffdb\ufffd", True),
        Payload("circular_list", circular_list(), [1, "[1, [...]]"], True),
        Payload("circular_map", circular_map(), {"self": ["{'self': [{...}]}"]}, True),
        Payload("shared_list", [[1]] * 2, [[1], [1]]),
        Payload("names_of_any_type", {1: "a", (1, 2): "b"}, {"1": "a", "(1, 2)": "b"}, True),
        Payload("names_that_collide", {1: "a", "1": "b"}, "{1: 'a', '1': 'b'}", True),
        Payload("names_that_collide_altered", {"\ud800": 1, "\ufffd": 2}, "{'\\ud800': 1, '�': 2}", True),
        Payload("datetime", MOMENT, "2026-11-22T06:00:01.000005+00:00", True),
        Payload("date", MOMENT.date(), "2026-11-22", True),
        Payload("time", datetime.time(1, 2), "01:02:00", True),
        Payload("decimal", decimal.Decimal("1.50"), "1.50", True),
        Payload("uuid", SOME_UUID, str(SOME_UUID), True),
        Payload("path", pathlib.PurePosixPath("/a/b"), "/a/b", True),
        Payload("enum", Colour.RED, [1, "r"], True),
        Payload("int_enum", Level.HIGH, 3),
        Payload("set", {"b", "a", 2}, ["a", "b", 2], True),
        Payload("frozenset", frozenset({10, 9}), [10, 9], True),
        Payload("tuple", (1, (2,)), [1, [2]]),
        Payload("ordered", collections.OrderedDict(z=1, a=2), {"z": 1, "a": 2}),
        Payload("mapping", Mapping({"a": b"b"}), {"a": {"$bytes": "Yg=="}}),
        Payload("model", Model(), "Model(name='x', password=SecretStr('**********'))", True),
        Payload("exception", ValueError("x"), "ValueError('x')", True),
        Payload("object_class", int, "<class 'int'>", True),
        Payload("repr_raises", Raising(ValueError()), "<unprintable Raising>", True),
        Payload("repr_exits", Raising(SystemExit(1)), "<unprintable Raising>", True),
        Payload("repr_recurses", Raising(RecursionError()), "<unprintable Raising>", True),
        Payload("repr_no_string", NotAString(), "<unprintable NotAString>", True),
        Payload("in_a_list", [1, Raising(ValueError())], [1, "<unprintable Raising>"], True),
        Payload("mapping_fails", FailingMapping({"a": 1}), "Mapping({'a': 1})", True),
        Payload("growing_map", GrowingMap(a=1), {"a": 1}),
        Payload("lying_text", LyingText("truth"), "truth"),
        Payload("lying_surrogate", LyingText("\ud800"), "\ufffd", True),
        Payload("lying_int", LyingInteger(5), 5),
        Payload("lying_large_int", LyingInteger(2**70), str(2**70), True),
        Payload("lying_float", LyingFloat(1.5), 1.5),
        Payload("lying_bytes", LyingBytes(b"truth"), {"$bytes": "dHJ1dGg="}),
        Payload("lying_map", LyingMap(a=1), {"a": 1}),
        Payload("lying_list", LyingList([1, 2]), [1, 2]),
        Payload("lying_name", Mapping({LyingText("truth"): 1}), {"truth": 1}),
        Payload("like_bytes", {"$bytes": "AP8="}, {"$$bytes": "AP8="}),
        Payload("like_a_digest", {"$sha256": "0", "$size": 1}, {"$$sha256": "0", "$$size": 1}),
        Payload("two_dollars", {"$$x": {"$": 1}}, {"$$$x": {"$$": 1}}),
        Payload("empty_name", {"": 1, "/": 2, "~": 3}, {"": 1, "/": 2, "~": 3}),
        Payload("slashes_altered", {"a/b~c": [{"": float("nan")}]}, {"a/b~c": [{"": "NaN"}]}, True),
        Payload("generator", iter(()), None, True),
        Payload("deep", nested(100_000), None, True),
        Payload("laughs", laughs(9), None, True),
        Payload("endless_mapping", EndlessMapping({}), "Mapping({})", True),
        Payload("five_mebibytes", "x" * (5 * 1024 * 1024), None, True),
        Payload("five_mebibytes_of_lf", "\n" * (5 * 1024 * 1024), None, True),
        Payload("ten_to_the_million", 10**1_000_000, None, True),
        Payload("many_altered", [float("nan")] * 100_000, None, True),
    ]


def resolve(document: Any, pointer: str) -> Any:
    """Return what a JSON Pointer (RFC 6901) points to; raise where it points to nothing."""
    assert pointer.startswith("/")
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            assert name == str(int(name))
            document = document[int(name)]
        else:
            document = document[name]
    return document


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal, 1, 1.0 and True told apart, and the sign of zero."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return repr(left) == repr(right) if isinstance(left, float) else bool(left == right)
