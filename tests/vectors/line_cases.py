"""Single lines, legal and malformed: what the grammar of a line says, one rule each.

A line is written as the byte strings it is joined of, so that the long ones stay short here:
``{"text": …}``, ``{"base64": …}``, either with ``"times"`` where it is repeated.
"""

from __future__ import annotations

import base64
import hashlib
import json

from tests.vectors.sealing import (
    GENESIS,
    KEY,
    Members,
    bare,
    compact,
    seal,
    story,
)

MAX_LINE_BYTES = 1024 * 1024
BODY = b'"BODY"'


def base_members() -> Members:
    """Return the members of the line that most cases change."""
    return {
        "seq": 7,
        "time": "2025-03-01T09:00:07.000000000Z",
        "event_name": "file.read",
        "body": "BODY",
        "attributes": {"audit.action": "READ"},
        "observed_time": "2025-03-01T09:00:07.000250000Z",
        "resource": {"service.name": "refund-agent"},
        "prev_hash": GENESIS,
    }


LINE = seal(base_members())


def part(data: bytes, times: int = 1) -> Members:
    """Return one byte string as it is written in ``lines.json``."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    # U+2028 and its like would be lost on whoever reads the file in an editor
    if text is None or not text.isascii() or not text.isprintable():
        made: Members = {"base64": base64.b64encode(data).decode()}
    else:
        made = {"text": text}
    return made if times == 1 else {**made, "times": times}


class LineCases:
    """Collects the cases in the order in which they are written."""

    def __init__(self) -> None:
        self.all: list[Members] = []

    def legal(self, name: str, why: str, line: bytes | list[Members], **read: object) -> None:
        """Add a legal line; ``body`` is what a reader must find in it."""
        self.all.append({"name": name, "legal": True, "why": why, "line": parts(line), **read})

    def malformed(self, name: str, why: str, line: bytes | list[Members]) -> None:
        """Add a line that every reader must refuse."""
        self.all.append({"name": name, "legal": False, "why": why, "line": parts(line)})


def parts(line: bytes | list[Members]) -> list[Members]:
    """Return a line as it is written in ``lines.json``."""
    return [part(line)] if isinstance(line, bytes) else line


def with_body(body: bytes) -> bytes:
    """Return the line with this JSON text as its body. Its hash is right: only form is judged."""
    return resealed(LINE.replace(BODY, body, 1))


def resealed(line: bytes) -> bytes:
    """Return the line with its hash made anew."""
    at = line.rindex(b',"hash":"')
    return line[:at] + b',"hash":"' + hashlib.sha256(line[:at]).hexdigest().encode() + b'"}'


def with_members(**changes: object) -> bytes:
    """Return the line with members changed, or removed where None."""
    members = {**base_members(), **changes}
    return seal({n: v for n, v in members.items() if v is not None})


def with_text(old: bytes, new: bytes) -> bytes:
    """Return the line with ``new`` for ``old``, which must stand there once, and sealed anew."""
    if LINE.count(old) != 1:
        raise ValueError(f"expected {old!r} once, got {LINE.count(old)} times")
    return resealed(LINE.replace(old, new))


def whole_lines(cases: LineCases) -> None:
    """The line as a whole."""
    legal, malformed = cases.legal, cases.malformed
    legal("plain", "an entry as a writer spells it", LINE, body="BODY")
    log = story().lines
    legal("opened", "the first entry of a log", log[0])
    every = {
        "seq": 7,
        "time": "2025-03-01T09:00:07.000000000Z",
        "event_name": "file.read",
        "severity_text": "INFO",
        "severity_number": 9,
        "body": "BODY",
        "attributes": {"audit.action": "READ"},
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "trace_flags": "01",
        "observed_time": "2025-03-01T09:00:07.000250000Z",
        "resource": {"service.name": "refund-agent"},
        "scope": {"name": "shop.orders", "version": "1.2.0"},
        "prev_hash": GENESIS,
    }
    legal("every_member", "all members, with hmac", seal(every, KEY), body="BODY")
    few = {k: every[k] for k in ("seq", "time", "event_name", "attributes", "observed_time")}
    legal("fewest_members", "mode none, nothing optional", bare(few))
    legal("mode_hash", "hash without prev_hash", seal(few))
    long_body = MAX_LINE_BYTES - 1 - (len(LINE) - len(b"BODY"))
    head, tail = LINE.split(b"BODY")
    legal(
        "one_mebibyte",
        "1,048,576 bytes with its LF",
        [part(head), part(b"a", long_body), part(tail)],
    )
    malformed(
        "over_one_mebibyte",
        "1,048,577 bytes with its LF",
        [part(head), part(b"a", long_body + 1), part(tail)],
    )
    malformed("empty", "no bytes", b"")
    malformed("array", "an array on top", b"[" + LINE + b"]")
    malformed("string", "a string on top", b'"seq"')
    malformed("number", "a number on top", b"1")
    malformed("null", "null on top", b"null")
    malformed("empty_object", "no members", b"{}")
    malformed("two_objects", "two objects", LINE + LINE)
    malformed("trailing_bytes", "bytes behind the object", LINE + b"x")
    malformed("trailing_nul", "a NUL behind the object", LINE + b"\0")
    malformed("nul", "NUL bytes only", b"\0" * 16)
    malformed("unfinished", "the closing brace is missing", LINE[:-1])
    malformed("utf_16", "UTF-16", LINE.decode().encode("utf-16-le"))


def white_space(cases: LineCases) -> None:
    """Bytes outside tokens."""
    malformed = cases.malformed
    malformed("byte_order_mark", "U+FEFF before the object", b"\xef\xbb\xbf" + LINE)
    malformed("carriage_return", "CR LF as line end", LINE + b"\r")
    malformed("space_before", "a space before the object", b" " + LINE)
    malformed("space_behind", "a space behind the object", LINE + b" ")
    malformed("tab_behind", "a tab behind the object", LINE + b"\t")
    malformed("space_between", "a space behind a colon", with_text(b'"seq":7', b'"seq": 7'))
    malformed("space_nested", "a space in an array", with_body(b"[1, 2]"))
    malformed("space_in_empty", "a space in an empty object", with_body(b"{ }"))
    malformed("carriage_return_between", "CR between tokens", with_body(b"[1,\r2]"))
    malformed("form_feed_between", "a form feed between tokens", with_body(b"[1,\x0c2]"))
    malformed("no_break_space", "U+00A0 between tokens", with_body(b"[1,\xc2\xa02]"))
    cases.legal("space_in_string", "white space in a string", with_body(b'" a b "'), body=" a b ")


def strings(cases: LineCases) -> None:
    """Strings and UTF-8."""

    def legal(name: str, why: str, body: bytes) -> None:
        cases.legal(name, why, with_body(body), body=json.loads(body))

    def malformed(name: str, why: str, body: bytes) -> None:
        cases.malformed(name, why, with_body(body))

    legal("escaped_letter", "a letter spelled as an escape", b'"\\u0041"')
    legal("escaped_slash", "\\/ is JSON", b'"\\/"')
    legal("escapes", "every short escape", b'"\\"\\\\\\/\\b\\f\\n\\r\\t"')
    legal("escaped_nul", "\\u0000", b'"\\u0000"')
    legal("escape_upper_case", "digits of an escape in upper case", b'"\\u00E9"')
    legal("surrogate_pair", "an escaped pair is one character", b'"\\ud83d\\ude00"')
    legal("four_bytes", "a character of four bytes", b'"\xf0\x9f\x98\x80"')
    legal("line_separator", "U+2028 as itself", b'"\xe2\x80\xa8"')
    legal("paragraph_separator", "U+2029 as itself", b'"\xe2\x80\xa9"')
    legal("next_line", "U+0085 as itself", b'"\xc2\x85"')
    legal("delete", "U+007F as itself", b'"\x7f"')
    legal("byte_order_mark_in_string", "U+FEFF in a string", b'"\xef\xbb\xbf"')
    legal("noncharacter", "U+FFFF in a string", b'"\xef\xbf\xbf"')
    legal("replacement", "U+FFFD as itself", b'"\xef\xbf\xbd"')
    legal("last_code_point", "U+10FFFF", b'"\xf4\x8f\xbf\xbf"')
    legal("seal_in_string", "the bytes of a seal in a string", compact(',"hash":"' + "0" * 64 + '"}'))
    legal("seal_in_body", "the bytes of a seal as members of the body", b'{"a":1,"hash":"' + b"0" * 64 + b'"}')
    malformed("raw_tab", "a tab as itself in a string", b'"\t"')
    malformed("raw_nul", "a NUL as itself in a string", b'"\0"')
    malformed("raw_escape", "U+001B as itself in a string", b'"\x1b[31m"')
    malformed("unknown_escape", "\\x is no escape", b'"\\x41"')
    malformed("short_escape", "an escape of three digits", b'"\\u041"')
    malformed("escape_sign", "a sign in an escape", b'"\\u+041"')
    malformed("quote", "a string in single quotes", b"'a'")
    malformed("surrogate_high", "a high surrogate alone", b'"\\ud83d"')
    malformed("surrogate_low", "a low surrogate alone", b'"\\ude00"')
    malformed("surrogate_reversed", "a pair the wrong way round", b'"\\ude00\\ud83d"')
    malformed("surrogate_parted", "a pair with a letter between", b'"\\ud83da\\ude00"')
    malformed("surrogate_upper_case", "a lone surrogate, upper case", b'"\\uD83D"')
    malformed("surrogate_in_name", "a lone surrogate in a name", b'{"\\ud83d":1}')
    cases.legal(
        "escaped_backslash", "\\\\ud83d is a backslash and five letters", with_body(b'"\\\\ud83d"'), body="\\ud83d"
    )
    malformed("utf_8_continuation", "a continuation byte alone", b'"\x80"')
    malformed("utf_8_ff", "a byte that UTF-8 does not have", b'"\xff"')
    malformed("utf_8_overlong", "an overlong form", b'"\xc0\xaf"')
    malformed("utf_8_overlong_nul", "an overlong NUL", b'"\xc0\x80"')
    malformed("utf_8_surrogate", "a surrogate in UTF-8", b'"\xed\xa0\x80"')
    malformed("utf_8_surrogate_pair", "a pair of surrogates in UTF-8", b'"\xed\xa0\xbd\xed\xb8\x80"')
    malformed("utf_8_beyond", "a code point beyond U+10FFFF", b'"\xf4\x90\x80\x80"')
    malformed("utf_8_cut", "a character cut short", b'"\xe2\x82"')


def numbers(cases: LineCases) -> None:
    """Numbers."""

    def legal(name: str, why: str, body: bytes) -> None:
        cases.legal(name, why, with_body(body), body=json.loads(body))

    def malformed(name: str, why: str, body: bytes) -> None:
        cases.malformed(name, why, with_body(body))

    legal("zero", "0", b"0")
    legal("integer_largest", "2^63-1", b"9223372036854775807")
    legal("integer_smallest", "-2^63", b"-9223372036854775808")
    legal("integer_beyond_double", "2^53+1, exactly", b"9007199254740993")
    legal("float_negative_zero", "-0.0 is a number of its own", b"-0.0")
    legal("float_negative_zero_exponent", "-0e0 is no integer", b"-0e0")
    legal("float_exponent", "1E5", b"1E5")
    legal("float_exponent_plus", "1.0e+2", b"1.0e+2")
    legal("float_exponent_zero", "1e05", b"1e05")
    legal("float_largest", "the largest double", b"1.7976931348623157e308")
    legal("float_smallest", "the smallest double", b"5e-324")
    legal("float_underflow", "1e-400 is finite: zero", b"1e-400")
    legal(
        "float_many_digits",
        "more digits than a double keeps",
        b"0.1000000000000000055511151231257827021181583404541015625",
    )
    legal("float_large", "2^63 as a float", b"9223372036854775808.0")
    legal("float_whole", "1.0", b"1.0")
    malformed("integer_too_large", "2^63", b"9223372036854775808")
    malformed("integer_of_a_double", "an integer beyond 64 bits that a double holds", b"100000000000000000000")
    malformed("integer_of_a_double_less", "the same below zero", b"-9223372036854776000")
    malformed("integer_too_small", "-2^63-1", b"-9223372036854775809")
    malformed("integer_huge", "400 digits", b"1" + b"0" * 399)
    malformed("integer_huge_nested", "2^64 in an array", b"[18446744073709551616]")
    malformed("negative_zero", "-0", b"-0")
    malformed("negative_zero_nested", "-0 in an object", b'{"a":-0}')
    malformed("float_infinite", "1e400", b"1e400")
    malformed("float_infinite_negative", "-1e400", b"-1e400")
    malformed("float_rounds_up", "rounds to infinity", b"1.7976931348623159e308")
    malformed("nan", "NaN", b"NaN")
    malformed("infinity", "Infinity", b"Infinity")
    malformed("infinity_negative", "-Infinity", b"-Infinity")
    malformed("leading_zero", "01", b"01")
    malformed("leading_zero_negative", "-01", b"-01")
    malformed("leading_plus", "+1", b"+1")
    malformed("leading_point", ".5", b".5")
    malformed("trailing_point", "1.", b"1.")
    malformed("empty_exponent", "1e", b"1e")
    malformed("hexadecimal", "0x10", b"0x10")
    malformed("underscore", "1_000", b"1_000")
    malformed("lone_minus", "-", b"-")
    malformed("other_digits", "Arabic-Indic digits", "\u0661\u0662".encode())
    malformed("python_true", "True", b"True")
    malformed("undefined", "undefined", b"undefined")


def containers(cases: LineCases) -> None:
    """Objects, arrays and their depth."""

    def legal(name: str, why: str, body: bytes) -> None:
        cases.legal(name, why, with_body(body), body=json.loads(body))

    def malformed(name: str, why: str, body: bytes) -> None:
        cases.malformed(name, why, with_body(body))

    legal("object_empty", "an empty object", b"{}")
    legal("array_empty", "an empty array", b"[]")
    legal("true", "true", b"true")
    legal("false", "false", b"false")
    legal("null_nested", "null in an array", b"[null]")
    legal("name_empty", "an empty name", b'{"":1}')
    legal("name_escaped", "a name with an escape, but not on top", b'{"\\u0061":1}')
    legal("names_in_two_objects", "one name in two objects", b'[{"a":1},{"a":1}]')
    legal("names_nested", "one name at two depths", b'{"a":{"a":1}}')
    legal(
        "names_by_normalisation",
        "two names that only Unicode normalisation makes equal",
        b'{"\xc3\xa9":1,"e\xcc\x81":2}',
    )
    legal("names_by_case", "two names that differ in case", b'{"a":1,"A":2}')
    legal("name_of_member", "a member's name below", b'{"seq":0,"hash":null}')
    legal("bytes_form", "the form of bytes", b'{"$bytes":"AAE="}')
    legal("digest_form", "the form of a value that was too long", b'{"$sha256":"' + b"0" * 64 + b'","$size":2000000}')
    legal("depth_64", "62 arrays in the body's array, the line's object around them", b"[" * 63 + b"]" * 63)
    legal("depth_64_mixed", "objects and arrays in turn, 64 deep", b'{"a":[' * 31 + b"{}" + b"]}" * 31)
    legal("depth_in_string", "brackets in a string are no depth", compact("[" * 100))
    malformed("depth_65", "one array more", b"[" * 64 + b"]" * 64)
    malformed("depth_65_object", "objects, 65 deep", b'{"a":' * 63 + b"{}" + b"}" * 63)
    cases.malformed(
        "depth_100000",
        "100,000 arrays",
        [
            part(LINE.split(BODY)[0]),
            part(b"[", 100_000),
            part(b"]", 100_000),
            part(LINE.split(BODY)[1]),
        ],
    )
    malformed("doubled_nested", "a name twice", b'{"a":1,"a":1}')
    malformed("doubled_nested_apart", "a name twice, others between", b'{"a":1,"b":2,"a":3}')
    malformed("doubled_in_array", "a name twice, in an array", b'[[{"a":1,"a":2}]]')
    malformed("doubled_unescaped", "a name twice, once as an escape", b'{"a":1,"\\u0061":2}')
    malformed("doubled_slash", "a name twice, once with \\/", b'{"a/b":1,"a\\/b":2}')
    malformed("doubled_astral", "a name twice, once as a surrogate pair", b'{"\xf0\x9f\x98\x80":1,"\\ud83d\\ude00":2}')
    malformed("doubled_empty", "an empty name twice", b'{"":1,"":2}')
    malformed("comma_behind", "a comma behind the last element", b"[1,]")
    malformed("comma_behind_member", "a comma behind the last member", b'{"a":1,}')
    malformed("comma_missing", "no comma between elements", b"[1 2]")
    malformed("comment", "a comment", b"1/*a*/")
    malformed("name_unquoted", "a name without quotes", b"{a:1}")
    malformed("name_number", "a number for a name", b"{1:1}")
    malformed("bracket_crossed", "brackets that cross", b'[{"a":1]}')
