"""A second reader of lines, by the standard library's ``json`` and docs/format.md alone.

Slow and plain on purpose: what `otel_audit.entry` takes or refuses is held against it.
"""

from __future__ import annotations

import datetime
import functools
import json
import math
import re
from typing import Any

Members = dict[str, Any]

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
ORDER = (
    *("seq", "time", "event_name", "severity_text", "severity_number", "body", "attributes"),
    *("trace_id", "span_id", "trace_flags", "observed_time", "resource", "scope", "prev_hash", "hash", "hmac"),
)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]: \t\r\n]|[^"{}\[\]: \t\r\n]+', re.DOTALL)
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.[0-9]{9}Z")


def read_line(line: bytes) -> Members | None:
    """Return the members of a line without its LF, None where it is malformed.

    Those of short lines are kept and shared: nobody may change them.
    """
    return _read_short(line) if len(line) < 4096 else _read(line)


def _read(line: bytes) -> Members | None:
    if len(line) + 1 > MAX_BYTES:
        return None
    try:
        text = line.decode()
        members = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
        )
    except (ValueError, RecursionError):
        return None
    if type(members) is not dict or not _is_plain(text) or not _has_form(members, text):
        return None
    return members


_read_short = functools.lru_cache(maxsize=4096)(_read)


def exact(value: object) -> str:
    """Return text that tells 1 from 1.0 and true, 0.0 from -0.0, and one order of members from another."""
    return json.dumps(value)


def _object(pairs: list[tuple[str, Any]]) -> Members:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a member twice")
    return dict(pairs)


def _integer(digits: str) -> int:
    if digits == "-0" or len(digits) > 20 or not -(2**63) <= int(digits) < 2**63:
        raise ValueError("an integer outside 64 bits")
    return int(digits)


def _float(digits: str) -> float:
    if not math.isfinite(float(digits)):
        raise ValueError("not finite")
    return float(digits)


def _constant(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _is_plain(text: str) -> bool:
    """Return whether a JSON text has no white space, lone surrogate, deep nesting or name spelled otherwise."""
    depth, before = 0, ""
    for token in _TOKEN.findall(text):
        if token in " \t\r\n":
            return False
        depth += (token in "{[") - (token in "}]")
        if depth > MAX_DEPTH:
            return False
        if token[0] == '"':
            try:
                json.loads(token).encode()
            except UnicodeEncodeError:
                return False
        # Of all names that the line's own members may have, none needs an escape.
        if token == ":" and depth == 1 and before[1:-1] not in ORDER:
            return False
        before = token
    return True


def _has_form(members: Members, text: str) -> bool:
    names = list(members)
    if names != [name for name in ORDER if name in members]:
        return False
    trace = [name in members for name in ("trace_id", "span_id", "trace_flags")]
    if any(trace) != all(trace) or ("hmac" in members and "hash" not in members):
        return False
    if any(name not in members for name in ("seq", "time", "event_name", "attributes", "observed_time")):
        return False
    return all(_is_of_form(name, value) for name, value in members.items()) and _ends_in_its_seal(members, text)


def _is_of_form(name: str, value: Any) -> bool:
    hexadecimal = {"trace_id": 32, "span_id": 16, "trace_flags": 2, "prev_hash": 64, "hash": 64, "hmac": 64}
    if name in hexadecimal:
        return type(value) is str and re.fullmatch(f"[0-9a-f]{{{hexadecimal[name]}}}", value) is not None
    match name:
        case "seq":
            return type(value) is int and 1 <= value <= 2**53 - 1
        case "time" | "observed_time":
            return type(value) is str and _is_time(value)
        case "event_name":
            return type(value) is str and 1 <= len(value.encode()) <= 1024
        case "severity_text":
            return type(value) is str
        case "severity_number":
            return type(value) is int
        case "body":
            return value is not None
        case "attributes":
            return type(value) is dict
        case "resource":
            return type(value) is dict and value != {}
        case _:
            parts = {"name": str, "version": str}
            return (
                type(value) is dict
                and list(value) in (["name"], ["name", "version"])
                and all(type(value[part]) is parts[part] for part in value)
            )


def _is_time(value: str) -> bool:
    match = _TIME.fullmatch(value)
    try:
        return match is not None and _is_date(*map(int, match.groups()))
    except ValueError:
        return False


def _is_date(year: int, month: int, day: int, hour: int, minute: int, second: int) -> bool:
    return bool(datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC))


def _ends_in_its_seal(members: Members, text: str) -> bool:
    if "hash" not in members:
        return True
    hmac = f',"hmac":"{members["hmac"]}"' if "hmac" in members else ""
    return text.endswith(f',"hash":"{members["hash"]}"{hmac}}}')
