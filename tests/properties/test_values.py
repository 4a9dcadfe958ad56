"""Any value: `emit` never fails, the line is well formed, and says itself what was altered."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_audit.attributes import audit_attributes
from otel_audit.chain import GENESIS
from otel_audit.entry import parse_line, unescape
from otel_audit.line import encode, encode_context, format_time, seal
from otel_audit.record import Actor
from otel_audit.testing import capture_audit
from otel_audit.value import clean, clean_body
from otel_audit.value_sharing import SharingWalk
from otel_audit.value_walk import Walk
from tests.hostile import Mapping, resolve, same
from tests.strategies import any_text, any_values, clean_text, kept_values


class _Patient(Walk):
    """A walk that visits everything, however often it is met."""

    def __init__(self, altered: list[str]) -> None:
        super().__init__(altered)
        self.left = self.text_left = sys.maxsize


def mapping_of(items: list[Any]) -> Mapping:
    """Return a mapping that is no dict."""
    return Mapping({str(number): item for number, item in enumerate(items)})


KINDS: list[Callable[[list[Any]], Any]] = [list, tuple, lambda items: dict(enumerate(items)), mapping_of]
NAMES = st.one_of(any_text, st.integers(), st.sampled_from(["audit.outcome", "audit.x", "error.type", "$bytes"]))


def line_of(attributes: Any, body: Any = None, event_name: bytes = b'"event"') -> dict[str, Any]:
    """Return the members of the line that these make, parsed by the strict parser."""
    altered: list[str] = []
    if body is not None:
        body = clean_body(body, altered)
    whole = audit_attributes("id", Actor("agent"), attributes=attributes, altered=altered)
    draft = encode(event_name, 1, whole, encode_context({"service.name": "x"}, None), body=body)
    line, _ = seal(draft, 1, format_time(2), GENESIS)
    assert line.endswith(b"}\n")
    return parse_line(line[:-1])


def marked(line: dict[str, Any]) -> list[str]:
    """Return ``audit.altered``, each of whose pointers resolves."""
    pointers: list[str] = line["attributes"].get("audit.altered", [])
    for pointer in pointers:
        resolve(line, pointer)
    assert len(set(pointers)) == len(pointers)
    return pointers


@given(st.dictionaries(NAMES, any_values, max_size=5), any_values)
def test_any_value_makes_a_line(attributes: dict[Any, Any], body: Any) -> None:
    """Whatever the caller gives, the line parses, and each pointer in ``audit.altered`` leads to a value."""
    line = line_of(attributes, body)
    marked(line)
    assert line["attributes"]["audit.outcome"] == "success"
    assert ("body" in line) == (body is not None)


@given(st.dictionaries(clean_text.filter(lambda name: not name.startswith("audit.")), kept_values, max_size=5))
def test_what_is_not_marked_reads_back_equal(attributes: dict[str, Any]) -> None:
    """Values that JSON can hold, and bytes, are not marked, and read back as they were given."""
    line = line_of(attributes)
    assert marked(line) == []
    stored = {name: value for name, value in line["attributes"].items() if not name.startswith("audit.")}
    assert same(unescape(stored), attributes)
    assert len(stored) == len(attributes)


@given(st.dictionaries(clean_text, any_values, max_size=5))
def test_unmarked_parts_read_back_equal(value: dict[str, Any]) -> None:
    """What stands beside an altered value is stored as it was given."""
    line = line_of({"value": value})
    pointers = marked(line)
    stored: dict[str, Any] = line["attributes"]["value"]
    for name, item in value.items():
        kept = type(item) in (type(None), bool, str, float) or (type(item) is int and abs(item) < 2**63)
        escaped = f"${name}" if name.startswith("$") else name
        pointer = f"/attributes/value/{escaped.replace('~', '~0').replace('/', '~1')}"
        if kept and pointer not in pointers:
            assert same(stored[escaped], item)


@given(st.data(), st.lists(any_values, min_size=1, max_size=4))
def test_shared_parts_are_stored_each_time(data: st.DataObject, parts: list[Any]) -> None:
    """A value that holds the same objects again and again is stored as one that holds equal ones."""
    for _ in range(data.draw(st.integers(0, 5), "levels")):
        chosen = data.draw(st.lists(st.sampled_from(range(len(parts))), max_size=4), "parts")
        kind = data.draw(st.sampled_from(KINDS), "kind")
        parts.append(kind([parts[index] for index in chosen]))
    quick: list[str] = []
    sharing: list[str] = []
    for value in parts:
        assert same(_Patient(quick).clean(value, "/body", 2), SharingWalk(sharing).clean(value, "/body", 2))
    assert quick == sharing


@given(any_values)
def test_cleaning_is_done_once(value: Any) -> None:
    """What was cleaned needs no cleaning but for the ``$`` of its names: it is JSON."""
    altered: list[str] = []
    cleaned = clean(value, "/body", altered, 2)
    again: list[str] = []
    clean(cleaned, "/body", again, 2)
    assert again == []


@given(st.lists(st.tuples(st.dictionaries(NAMES, any_values, max_size=3), any_values), min_size=1, max_size=5))
def test_emit_never_fails(records: list[tuple[dict[Any, Any], Any]]) -> None:
    """Each emit returns a receipt, whatever its payload, and its entry is in the file."""
    with capture_audit() as log:
        audit = log.provider.get_audit_logger("shop")
        receipts = [audit.emit("event", attributes=attributes, body=body) for attributes, body in records]
        assert [entry.hash for entry in log.entries] == [receipt.hash for receipt in receipts]
