from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path

from otel_audit.ledger.lifecycle import Lifecycle
from otel_audit.ledger.tail import Fragment
from otel_audit.line import Draft, format_time, seal
from tests.chain import GENESIS, Line, check
from tests.ledgers import draft, in_child, ledger

WRITER = Lifecycle("writer", "shop", {"service.name": "shop", "host.name": "h"}, {"service.name": "shop"}, "1.2.3")
OWN = {
    "audit.record.id": "id",
    "audit.actor.id": "shop",
    "audit.actor.type": "system",
    "audit.action": "EXECUTE",
    "audit.outcome": "success",
    "audit.schema.version": "1.0.0",
}


def line(made: Draft) -> dict[str, object]:
    """Return the members of the line that a draft becomes."""
    sealed, _ = seal(made, 1, format_time(0), GENESIS)
    members = json.loads(sealed)
    assert isinstance(members, dict)
    return members


def test_opened_says_what_the_log_is() -> None:
    """The first entry says version, stream, mode, segment, writer and key, and has the whole resource."""
    members = line(WRITER.opened("id", 0, stream_id="s", integrity="chain", key_id="k"))
    assert members["event_name"] == "audit.log.opened"
    assert members["resource"] == {"service.name": "shop", "host.name": "h"}
    assert members["attributes"] == OWN | {
        "audit.writer.id": "writer",
        "audit.format.version": "1",
        "audit.stream.id": "s",
        "audit.integrity.mode": "chain",
        "audit.segment.number": 1,
        "audit.writer.version": "1.2.3",
        "audit.key.id": "k",
    }


def test_opened_with_a_fragment() -> None:
    """Where the segment begins with a fragment, opened declares it; without a key it names none."""
    made = WRITER.opened("id", 0, stream_id="s", integrity="hash", key_id=None, fragment=Fragment(0, 5, "abc"))
    attributes = line(made)["attributes"]
    assert isinstance(attributes, dict)
    assert "audit.key.id" not in attributes
    assert attributes["audit.fragment.offset"] == 0
    assert attributes["audit.fragment.length"] == 5
    assert attributes["audit.fragment.sha256"] == "abc"


def test_the_other_entries() -> None:
    """Closed, recovered, dropped and voided say what the format names, and nothing else."""
    fragment = {"audit.fragment.offset": 9, "audit.fragment.length": 5, "audit.fragment.sha256": "abc"}
    cases = {
        "audit.log.closed": (
            WRITER.closed("id", 0, 7, 2),
            OWN | {"audit.writer.id": "writer", "audit.writer.entries": 7, "audit.writer.dropped": 2},
        ),
        "audit.log.recovered": (WRITER.recovered("id", 0, Fragment(9, 5, "abc")), OWN | fragment),
        "audit.log.dropped": (
            WRITER.dropped("id", 0, 3, 0, 1_000_000_001, "OSError"),
            OWN
            | {
                "audit.outcome": "failure",
                "audit.writer.id": "writer",
                "audit.dropped.count": 3,
                "audit.dropped.first_time": "1970-01-01T00:00:00.000000000Z",
                "audit.dropped.last_time": "1970-01-01T00:00:01.000000001Z",
                "error.type": "OSError",
            },
        ),
        "audit.log.voided": (
            WRITER.voided("id", 0, 4, 6, "OSError"),
            OWN | {"audit.voided.first": 4, "audit.voided.last": 6, "error.type": "OSError"},
        ),
    }
    for event_name, (made, attributes) in cases.items():
        members = line(made)
        assert members["event_name"] == event_name
        assert members["attributes"] == attributes
        assert members["resource"] == {"service.name": "shop"}


def test_the_life_of_a_log(tmp_path: Path) -> None:
    """Opened begins a log, closed counts its writer's records; a child opens and counts for itself."""
    path = tmp_path / "a.jsonl"
    one = ledger(path)
    for _ in range(3):
        one.append(draft())

    def child() -> str:
        one.append(draft("in.child"))
        one.close()
        return str(os.getpid())

    pid = int(in_child(child))
    one.append(draft())
    one.close()
    lines = check(path)
    opened = [entry for entry in lines if entry.name == "audit.log.opened"]
    assert [entry.members["resource"]["process.pid"] for entry in opened] == [os.getpid(), pid]
    assert [uuid.UUID(entry.attributes["audit.stream.id"]).version for entry in opened] == [4, 4]
    closed = [entry for entry in lines if entry.name == "audit.log.closed"]
    assert [_counts(entry) for entry in closed] == [(1, 0), (4, 0)]
    assert [entry.attributes["audit.writer.id"] for entry in reversed(closed)] == [
        entry.attributes["audit.writer.id"] for entry in opened
    ]


def _counts(entry: Line) -> tuple[int, int]:
    return entry.attributes["audit.writer.entries"], entry.attributes["audit.writer.dropped"]


def test_a_key_is_named_by_its_public_id(tmp_path: Path) -> None:
    """Opened names the key by the start of a digest, never by the key."""
    (tmp_path / "key").write_bytes(b"0123456789abcdef\n")
    one = ledger(tmp_path / "a.jsonl", hmac_key_file=tmp_path / "key")
    one.append(draft())
    one.close()
    lines = check(tmp_path / "a.jsonl", key=b"0123456789abcdef")
    expected = hashlib.sha256(b"otel-audit key\n0123456789abcdef").hexdigest()[:16]
    assert lines[0].attributes["audit.key.id"] == expected
    assert b"0123456789abcdef" not in (tmp_path / "a.jsonl").read_bytes()
