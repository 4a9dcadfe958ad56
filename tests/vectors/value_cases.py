"""Values as they are given, how they stand in the line, and what ``audit.altered`` says.

A given value is ``{"type": …}`` with what makes it, so that each language can build its own:
JSON has no bytes, no NaN and no date.
"""

from __future__ import annotations

from tests.vectors.sealing import Members


def plain(value: object) -> Members:
    """Return a value that JSON can hold."""
    return {"type": "json", "value": value}


def text(*code_points: int | str) -> Members:
    """Return a string by its code points."""
    points = [p if isinstance(p, int) else ord(p) for p in code_points]
    return {"type": "string", "code_points": points}


def number(kind: str, spelling: str) -> Members:
    """Return a value that is made of its text."""
    return {"type": kind, "text": spelling}


def array(*items: Members) -> Members:
    """Return an array."""
    return {"type": "array", "items": list(items)}


def mapping(*pairs: tuple[Members, Members]) -> Members:
    """Return a map, whose names need not be strings."""
    return {"type": "map", "entries": [list(pair) for pair in pairs]}


def nested(arrays: int) -> Members:
    """Return arrays inside one another."""
    return {"type": "nested_arrays", "depth": arrays}


def deep(arrays: int) -> object:
    """Return what `nested` is stored as."""
    value: object = []
    for _ in range(arrays - 1):
        value = [value]
    return value


def value_cases() -> list[Members]:
    """Return all cases, in order."""
    cases: list[Members] = []

    def case(name: str, given: Members, stored: object, *altered: str) -> None:
        cases.append({"name": name, "given": given, "stored": stored, "altered": list(altered)})

    for name, value in (
        ("null", None),
        ("true", True),
        ("false", False),
        ("string", "merci ☕"),
        ("empty", ""),
        ("control", "\x00\x1b[31m\n"),
        ("separators", "\u2028\u2029\u0085"),
        ("zero", 0),
        ("float", 0.1),
        ("whole_float", 1.0),
        ("negative_zero", -0.0),
        ("largest_float", 1.7976931348623157e308),
        ("smallest_float", 5e-324),
        ("array", [1, "a", None, [True]]),
        ("map", {"b": 1, "a": {"c": [2.5]}}),
        ("seal", ',"hash":"' + "0" * 64 + '"}'),
        ("string_with_dollar", "$bytes"),
    ):
        case(name, plain(value), value)
    case("integer_largest", number("integer", "9223372036854775807"), 9223372036854775807)
    case("integer_smallest", number("integer", "-9223372036854775808"), -9223372036854775808)
    for name, spelling in (
        ("integer_2_63", "9223372036854775808"),
        ("integer_below", "-9223372036854775809"),
        ("integer_10_400", "1" + "0" * 400),
    ):
        case(name, number("integer", spelling), spelling, "/body")
    for name, spelling in (("nan", "NaN"), ("infinity", "Infinity"), ("minus", "-Infinity")):
        case(name, number("float", spelling), spelling, "/body")
    case("nan_nested", array(plain(1), number("float", "NaN")), [1, "NaN"], "/body/1")

    case("bytes", {"type": "bytes", "base64": "AAH/"}, {"$bytes": "AAH/"})
    case("bytes_padded", {"type": "bytes", "base64": "AA=="}, {"$bytes": "AA=="})
    case("bytes_empty", {"type": "bytes", "base64": ""}, {"$bytes": ""})
    case("bytes_nested", array({"type": "bytes", "base64": "AAE="}), [{"$bytes": "AAE="}])
    case("given_bytes_form", plain({"$bytes": "AAH/"}), {"$$bytes": "AAH/"})
    case("given_dollar_names", plain({"$": 1, "$$a": {"$b": 2}, "a$": 3}), {"$$": 1, "$$$a": {"$$b": 2}, "a$": 3})

    case("lone_surrogate", text("a", 0xD83D, "b"), "a\ufffdb", "/body")
    case("lone_surrogates", text(0xDE00, 0xD83D), "\ufffd\ufffd", "/body")
    case("surrogate_in_name", mapping((text("a", 0xD83D), plain(1))), {"a\ufffd": 1}, "/body/a\ufffd")
    case("surrogate_under_slash", mapping((plain("a/b~c"), text(0xD83D))), {"a/b~c": "\ufffd"}, "/body/a~1b~0c")
    case("surrogate_under_dollar", mapping((plain("$a"), text(0xD83D))), {"$$a": "\ufffd"}, "/body/$$a")

    case("date", number("date", "2025-03-01"), "2025-03-01", "/body")
    case("time", number("time", "09:00:07"), "09:00:07", "/body")
    case("datetime", number("datetime", "2025-03-01T09:00:07+00:00"), "2025-03-01T09:00:07+00:00", "/body")
    case("decimal", number("decimal", "12.50"), "12.50", "/body")
    case(
        "uuid", number("uuid", "7b0c1f7e-3d0a-4c52-9a44-0d6f3f6f1a01"), "7b0c1f7e-3d0a-4c52-9a44-0d6f3f6f1a01", "/body"
    )
    case("path", number("path", "reports/refunds.csv"), "reports/refunds.csv", "/body")
    case("enum", {"type": "enum", "value": plain("high")}, "high", "/body")
    case("enum_nested", array({"type": "enum", "value": plain(3)}), [3], "/body/0")
    case("set", {"type": "set", "items": [plain(9), plain(10), plain("a"), plain(True)]}, ["a", 10, 9, True], "/body")
    case("set_empty", {"type": "set", "items": []}, [], "/body")
    case("map_integer_name", mapping((plain(1), plain("a"))), {"1": "a"}, "/body")
    case("map_mixed_names", mapping((plain("b"), plain(1)), (plain(2), plain("c"))), {"b": 1, "2": "c"}, "/body")
    case("map_inside", mapping((plain("a"), mapping((plain(1), plain("b"))))), {"a": {"1": "b"}}, "/body/a")
    case(
        "two_altered",
        array(number("float", "NaN"), plain(1), number("float", "Infinity")),
        ["NaN", 1, "Infinity"],
        "/body/0",
        "/body/2",
    )
    case("depth_64", nested(63), deep(63))
    return cases
