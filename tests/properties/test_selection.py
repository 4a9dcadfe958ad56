"""Searching passes over no line that matches, however the line spells its strings."""

from __future__ import annotations

import io
import json
import os
from typing import Any
from unittest import mock

import hypothesis.strategies as st
import pytest
from hypothesis import given

from otel_audit.entry import MalformedLineError, parse_entry
from otel_audit.reader import search_log
from otel_audit.scan import Scanner
from otel_audit.selection import Selection, parse_path
from tests import logs

WORDS = (
    *(
        "a",
        "ab",
        "agent",
        "Agent/1",
        "refund-agent",
        'he said "no"',
        "back\\slash",
        "a\nb",
        "\x1b[31m",
        "\x7f",
        "\u017f",
    ),
    *(
        "\u212a",
        "straße",
        "STRASSE",
        "\ufb01le",
        "İ",
        "grüße",
        "🎉",
        "\u2028",
        "\ud7ff",
        "\uffff",
        "3",
        "true",
        "null",
        "*",
    ),
    *("", '"', "\\u0061", ',"audit.actor.id":"agent"', "audit.actor.id"),
)
HOSTILE = st.sampled_from(WORDS) | st.text(max_size=6) | st.text('aA\\"/u0061\n\x1bé🎉', max_size=8)
VALUES = st.recursive(
    HOSTILE | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none() | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=5,
)
TRACE_IDS = ("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 31 + "1")
PATHS = st.sampled_from(["x", "x/0", "x/agent", "x/agent/0", "Agent~11", "audit.delegation/0", "audit.delegation", "é",
                         "/body", "/body/0", "/resource/host.name", "/scope/name", "/severity_number", "/attributes/x",
                         "/event_name", "/trace_id"])  # fmt: skip


@st.composite
def spelled(draw: st.DrawFn, members: dict[str, Any]) -> bytes:
    """Return members as JSON, each character of each string as itself or as one of its escapes."""
    draws = draw(st.randoms(use_true_random=False))
    rate = draw(st.sampled_from([0.0, 0.02, 1.0]))
    # one kind of escape in the whole line: nothing else makes it a candidate
    only = draw(st.none() | st.sampled_from(sorted(set(members["event_name"]))))

    def character(char: str) -> str:
        must = char < " " or char in '"\\'
        if not must and (char != only if only is not None else draws.random() >= rate):
            return char
        units = char.encode("utf-16-be")
        digits = [
            "".join(draws.choice([d, d.upper()]) for d in units[at : at + 2].hex()) for at in range(0, len(units), 2)
        ]
        ways = ["".join(f"\\u{one}" for one in digits)]
        if char in '"\\/':
            ways.append(f"\\{char}")
        if char in "\b\f\n\r\t":
            ways.append({"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}[char])
        return draws.choice(ways)

    def string(text: str) -> str:
        return '"' + "".join(map(character, text)) + '"'

    def value(given: Any, depth: int = 0) -> str:
        if isinstance(given, str):
            return string(given)
        if isinstance(given, list):
            return f"[{','.join(value(one, depth + 1) for one in given)}]"
        if isinstance(given, dict):
            name = (lambda text: f'"{text}"') if depth == 0 else string
            return "{" + ",".join(f"{name(key)}:{value(one, depth + 1)}" for key, one in given.items()) + "}"
        return json.dumps(given)

    return value(members).encode()


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Return a line, or what is none."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60).filter(lambda data: b"\n" not in data))
    seq = draw(st.integers(1, 6))
    attributes = {
        "audit.record.id": "r",
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "audit.actor.id": VALUES,
                    "audit.action": HOSTILE,
                    "audit.outcome": HOSTILE,
                    "audit.target.id": HOSTILE,
                    "audit.decision": HOSTILE,
                    "audit.delegation": st.lists(HOSTILE, max_size=3),
                    "x": VALUES,
                    "é": VALUES,
                    "Agent/1": VALUES,
                },
            )
        ),
    }
    members: dict[str, Any] = {
        "seq": seq,
        "time": logs.time_text(seq * 1000),
        "event_name": draw(HOSTILE.filter(bool)),
        **({"severity_number": draw(st.integers(0, 24))} if draw(st.booleans()) else {}),
        **({} if (body := draw(VALUES)) is None else {"body": body}),
        "attributes": attributes,
        **(
            {"trace_id": draw(st.sampled_from(TRACE_IDS)), "span_id": "00f067aa0ba90201", "trace_flags": "01"}
            if draw(st.booleans())
            else {}
        ),
        "observed_time": logs.time_text(seq),
        "resource": {"host.name": draw(HOSTILE)},
        **({"scope": {"name": draw(HOSTILE)}} if draw(st.booleans()) else {}),
    }
    return draw(spelled(members))


SOME = st.lists(HOSTILE, max_size=2).map(tuple)
TIMES = (
    st.none()
    | st.sampled_from([0, -(10**30), 10**30])
    | st.integers(0, 7000).map(lambda ms: 1795305600 * 10**9 + ms * 10**6)
)


def selected(fields: dict[str, Any]) -> Selection:
    return Selection(**fields)


SELECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "event_names": st.lists(HOSTILE | HOSTILE.map(lambda text: f"{text}*"), max_size=2).map(tuple)
        | st.lists(st.text("abc", min_size=1), min_size=10, max_size=12).map(tuple),
        "actors": SOME,
        "actions": SOME,
        "outcomes": SOME,
        "decisions": SOME,
        "targets": SOME,
        "trace_id": st.sampled_from(TRACE_IDS),
        "span_id": st.just("00f067aa0ba90201"),
        "min_severity_number": st.integers(-1, 25),
        "since_ns": TIMES,
        "until_ns": TIMES,
        "since_seq": st.integers(0, 7),
        "until_seq": st.integers(0, 7),
        "attributes": st.lists(st.tuples(PATHS.map(parse_path), st.none() | HOSTILE), max_size=2).map(tuple),
        "text": HOSTILE,
    },
).map(selected)


def wanted(line: bytes, selection: Selection) -> bool:
    """Return whether a line is wanted, the slow way."""
    try:
        return selection.matches(parse_entry(line))
    except MalformedLineError:
        return False


@given(st.lists(lines(), min_size=1, max_size=6), SELECTIONS)
def test_scanning_misses_nothing(given_lines: list[bytes], selection: Selection) -> None:
    """What is wanted of a block, line by line, is among what the scan yields, at its place, in its order."""
    data = b"\n".join(given_lines)
    found = list(Scanner(selection).lines(data))
    assert all(data[at : at + len(line)] == line and b"\n" not in line for at, line in found)
    places, at = [], 0
    for line in given_lines:
        if wanted(line, selection):
            places.append((at, line))
        at += len(line) + 1
    assert [one for one in found if wanted(one[1], selection)] == places


def by_text(word: str, draw: Any) -> Selection:
    """Return the selection of a part of a word, in another case."""
    start = draw(st.sampled_from([0, len(word) // 2]))
    part = word[start:]
    return Selection(text=draw(st.sampled_from([part, part.upper(), part.lower(), part.casefold(), part.title()])))


BY = {
    "event name": lambda word, _: Selection(event_names=(word,)),
    "beginning": lambda word, draw: Selection(event_names=("no", f"{word[: draw(st.integers(0, len(word)))]}*")),
    "actor": lambda word, _: Selection(actors=(word,)),
    "one of many": lambda word, _: Selection(targets=(*(f"no{number}" for number in range(12)), word)),
    "attribute": lambda word, _: Selection(attributes=(((word,), None),)),
    "value": lambda word, _: Selection(attributes=(((word,), word),)),
    "inside": lambda word, _: Selection(attributes=((("x", "1", word, "0"), word),)),
    "resource": lambda word, _: Selection(attributes=((("", "resource", word), word),)),
    "text": by_text,
}


FOLDED = st.sampled_from(
    ["\u212aelvin", "ma\u017f\u017fe", "straße", "\ufb01les", "Agent/1", "a/b/c", "grüße", "Ünï", "\u00ac\u00fe"]
)


@pytest.mark.parametrize("by", BY)
@given(
    word=(HOSTILE | FOLDED).filter(lambda word: word not in ("", "x", "audit.actor.id", "audit.target.id")),
    data=st.data(),
)
def test_finds_an_entry_by_each_of_its_values(by: str, word: str, data: st.DataObject) -> None:
    """An entry is found by what it says, whatever it says, and however its line spells that."""
    attributes = {"audit.actor.id": word, "audit.target.id": word, word: word, "x": [0, {word: [word]}]}
    members = {
        "seq": 1,
        "time": logs.time_text(1),
        "event_name": word,
        "attributes": attributes,
        "observed_time": logs.time_text(1),
        "resource": {word: word},
    }
    line = data.draw(spelled(members))
    entry = parse_entry(line)
    selection = BY[by](word, data.draw)
    assert selection.matches(entry) or by == "text"
    if selection.matches(entry):
        other = b'{"seq":2,"x":"y"}'
        assert line in [found for _, found in Scanner(selection).lines(b"\n".join([other, line, other]))]


@pytest.mark.parametrize(
    ("selection", "spelled_as"),
    [
        (Selection(text="STRASSE"), "straße"),
        (Selection(text="kelvin"), "\u212aelvin"),
        (Selection(text="kelvin"), "\\u212aelvin"),
        (Selection(text="a/b"), "a\\/b"),
        (Selection(actors=("a/b",)), "a\\/b"),
        (Selection(actors=("a/b",)), "a\\u002fb"),
        (Selection(actors=("a/b",)), "a\\u002Fb"),
        (Selection(actors=("\u00ace",)), "\\u00ACe"),
        (Selection(actors=("🎉!",)), "\\uD83C\\uDF89!"),
    ],
    ids=str,
)
def test_one_other_spelling(selection: Selection, spelled_as: str) -> None:
    """One character spelled in another way than the writer's, in a line that has nothing else of the kind."""
    members = {"seq": 1, "time": logs.time_text(1), "event_name": "e", "attributes": {"audit.actor.id": "?"}}
    line = logs.dump(members | {"observed_time": logs.time_text(1)}).replace(b"?", spelled_as.encode())
    assert selection.matches(parse_entry(line))
    assert [found for _, found in Scanner(selection).lines(line)] == [line]


@pytest.mark.parametrize("member", ["trace_id", "span_id"])
@given(data=st.data())
def test_finds_an_entry_by_its_ids(member: str, data: st.DataObject) -> None:
    """A trace and a span are found though their digits are spelled with escapes."""
    ids = {"trace_id": TRACE_IDS[0], "span_id": "00f067aa0ba90201"}
    times = {"time": logs.time_text(1), "event_name": "a", "attributes": {}}
    line = data.draw(spelled({"seq": 1, **times, **ids, "trace_flags": "01", "observed_time": logs.time_text(1)}))
    selection = Selection(**{member: ids[member]})  # type: ignore[arg-type]
    assert selection.matches(parse_entry(line))
    assert [found for _, found in Scanner(selection).lines(line)] == [line]


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_stdin_in_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gives bytes as they come: the entries are those of the file, with their numbers."""
    given_lines = [*logs.log(5), b"torn", *logs.log(3)]
    stream = io.BytesIO(logs.join(given_lines) + b'{"seq":')
    monkeypatch.setattr(os, "read", lambda _, length: stream.read(min(length, size)))
    with mock.patch("sys.stdin") as stdin:
        stdin.fileno.return_value = 0
        found = list(search_log("-"))
    assert [(one.line_number, one.path) for one in found] == [(n, "stdin") for n in (1, 2, 3, 4, 5, 7, 8, 9)]
