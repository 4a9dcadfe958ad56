"""The target ``line``: the bytes of one line, without LF, to the strict parser."""

from __future__ import annotations

import base64
import functools
import json
import random
from pathlib import Path

from otel_audit import entry as parser
from otel_audit.entry import MalformedLineError, parse_entry, parse_line, unescape
from otel_audit.line import MAX_LINE_BYTES
from otel_audit.strict_json import parse_object
from tests import logs
from tests.fuzz.edits import TOKENS
from tests.fuzz.reference_line import ORDER, exact, read_line
from tests.fuzz.values import NAMES, VALUES

MAX_INPUT_BYTES = 1 << 17
_LINES = Path(__file__).parents[1] / "vectors" / "lines.json"


def check(line: bytes) -> None:
    """Parse a line in every way that there is, and hold the results against each other.

    Raises:
        AssertionError: They differ.
        Exception: Any but the documented one is a fault, too.
    """
    members = read_line(line)
    refused = None
    try:
        parsed = parse_line(line)
    except MalformedLineError as error:
        refused = error.reason
    if refused is not None:
        assert members is None, f"refused ({refused}), and it is a line of the format"
        _check_refused(line)
        return
    assert members is not None, "taken, and it is no line of the format"
    assert exact(parsed) == exact(members), f"expected {exact(members)}, got {exact(parsed)}"
    _check_ways(line, exact(members))
    entry = parse_entry(line)
    assert entry.raw == line
    for name in ORDER:
        if name != "body":
            assert exact(getattr(entry, name)) == exact(members.get(name, {} if name == "resource" else None))
    assert exact(entry.body) == exact(members.get("body"))
    for name in entry.attributes:
        entry.value(name)
    unescape(entry.body)


def _check_ways(line: bytes, expected: str) -> None:
    """Hold the quick way and the exact way against each other."""
    assert exact(parse_object(line.decode())) == expected
    quick = parser._parse_canonical(line)
    assert quick is None or exact(quick) == expected


def _check_refused(line: bytes) -> None:
    """What the quick way leads to is not refused by it alone."""
    try:
        members = parser._parse_exactly(line)
        parser._check_members(members, line)
    except MalformedLineError:
        return
    assert len(line) >= MAX_LINE_BYTES, "refused by the quick way alone"


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Return the lines of the vectors that are no longer than usual, and others."""
    cases = json.loads(_LINES.read_bytes())
    lines = [
        b"".join(
            (part["text"].encode() if "text" in part else base64.b64decode(part["base64"])) * part.get("times", 1)
            for part in case["line"]
        )
        for case in cases
    ]
    values = [logs.seal(logs.entry(2, value=value)) for value in VALUES if value != "\ud800"]
    return tuple(line for line in [*lines, *values] if len(line) <= 4096)


def mutate(data: bytes, choose: random.Random) -> bytes:
    """Return a line a little different: as JSON, or as bytes."""
    for _ in range(1 + choose.randrange(3)):
        data = choose.choice((_bytes, _token, _token, _splice, _value, _value, _members))(data, choose)
    return data


def _bytes(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data) + 1)
    return data[:at] + choose.randbytes(choose.randrange(3)) + data[at + choose.randrange(3) :]


def _token(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data) + 1)
    token = choose.choice(TOKENS)
    if choose.randrange(200) == 0:
        token *= 1 << choose.randrange(18)
    return data[:at] + token + data[at + choose.choice((0, 0, 1, len(token))) :]


def _splice(data: bytes, choose: random.Random) -> bytes:
    other = choose.choice(seeds())
    at, start = choose.randrange(len(data) + 1), choose.randrange(len(other) + 1)
    return data[:at] + other[start:]


def _value(data: bytes, choose: random.Random) -> bytes:
    """Put a value where one stands."""
    places = [at for at in range(len(data)) if data[at] == 58]  # :
    if not places:
        return data
    at = choose.choice(places) + 1
    stop = min((stop for stop in (data.find(b",", at), data.find(b"}", at)) if stop >= 0), default=len(data))
    value = json.dumps(choose.choice(VALUES), ensure_ascii=choose.randrange(2) == 0, separators=(",", ":"))
    return data[:at] + value.encode("utf-8", "surrogatepass") + data[stop:]


def _members(data: bytes, choose: random.Random) -> bytes:
    """Set, remove or rename a member, and keep the order of the format or not."""
    try:
        members = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if not isinstance(members, dict):
        return data
    name = choose.choice(NAMES)
    kind = choose.randrange(4)
    if kind == 0:
        members.pop(choose.choice([*members, ""]), None)
    elif kind == 1 and isinstance(members.get("attributes"), dict):
        members["attributes"][name] = choose.choice(VALUES)
    else:
        members[name] = choose.choice(VALUES)
    if choose.randrange(4):
        members = {name: members[name] for name in ORDER if name in members}
    text = json.dumps(members, ensure_ascii=choose.randrange(2) == 0, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")
