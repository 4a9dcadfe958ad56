"""The attributes of an entry: the schema's checks, and what a caller cannot forge."""

from __future__ import annotations

from typing import Any

import pytest

from otel_audit.attributes import (
    MAX_EVENT_NAME_BYTES,
    MAX_ID_BYTES,
    audit_attributes,
    check_action,
    check_actor,
    check_event_name,
    check_text,
    check_word,
    with_altered,
)
from otel_audit.errors import AuditRecordError
from otel_audit.record import Actor, Source, Target
from otel_audit.semconv import OUTCOMES, REQUIRED_ATTRIBUTES
from tests.hostile import LyingText, Raising

AGENT = Actor("agent")


class TestEventName:
    @pytest.mark.parametrize("name", ["", None, 5, [], b"x", Raising(ValueError())])
    def test_refused(self, name: Any) -> None:
        """What is no string, or an empty one, is no event name."""
        with pytest.raises(AuditRecordError, match="event_name: expected a non-empty string, got"):
            check_event_name(name)

    @pytest.mark.parametrize("name", ["audit.log.opened", "audit.log.x", "audit.log.", LyingText("audit.log.opened")])
    def test_of_the_log(self, name: str) -> None:
        """The names of the log's own entries are refused, so that none can be forged."""
        with pytest.raises(AuditRecordError, match="the log's own"):
            check_event_name(name)

    @pytest.mark.parametrize("name", ["audit.logs", "audit.log", "Audit.log.opened", "x.audit.log.opened"])
    def test_near_to_the_log(self, name: str) -> None:
        """Only that prefix is the log's own."""
        assert check_event_name(name) == name

    def test_length(self) -> None:
        """1 KiB is counted in bytes of UTF-8."""
        assert check_event_name("ü" * (MAX_EVENT_NAME_BYTES // 2))
        with pytest.raises(AuditRecordError, match="at most 1024 bytes, got 1025"):
            check_event_name("ü" * (MAX_EVENT_NAME_BYTES // 2) + "x")


class TestWords:
    @pytest.mark.parametrize("word", ["", "SUCCESS", "ok", None, [], {}, 1])
    def test_unknown(self, word: Any) -> None:
        """A word outside its set is refused; the message names the set."""
        with pytest.raises(AuditRecordError, match=r"outcome: expected one of failure, success, unknown, got"):
            check_word("outcome", word, OUTCOMES)

    def test_exact_type(self) -> None:
        """A known word of a subclass of str is stored as a plain str."""

        class Word(str):
            __slots__ = ()

        assert type(check_word("outcome", Word("success"), OUTCOMES)) is str

    def test_lie(self) -> None:
        """A string that claims to equal a word is none."""
        with pytest.raises(AuditRecordError):
            check_word("outcome", LyingText("made up"), OUTCOMES)

    @pytest.mark.parametrize("action", ["EXECUTE", "READ", "SIGN_OFF", "A", "FILE.READ", "X-1"])
    def test_action(self, action: str) -> None:
        """Any upper-case verb is an action."""
        assert check_action(action) == action

    @pytest.mark.parametrize("action", ["", "execute", "Execute", "1X", "A B", "A\n", None, b"READ", "X" * 8193])
    def test_no_action(self, action: Any) -> None:
        """What is no upper-case verb is refused."""
        with pytest.raises(AuditRecordError, match="action: expected an upper-case verb"):
            check_action(action)


class TestText:
    def test_limit(self) -> None:
        """8 KiB are counted in bytes of UTF-8."""
        assert check_text("audit.reason", "ü" * (MAX_ID_BYTES // 2), [])
        with pytest.raises(AuditRecordError, match="audit.reason: expected at most 8192 bytes, got 8194"):
            check_text("audit.reason", "ü" * (MAX_ID_BYTES // 2 + 1), [])

    @pytest.mark.parametrize(
        ("given", "stored"),
        [(5, "5"), (None, "None"), (b"x", "b'x'"), ([1], "[1]"), ({"a": 1}, "{'a': 1}"), (1.5, "1.5")],
    )
    def test_no_string(self, given: object, stored: str) -> None:
        """An id that is no string is stored as its text, marked."""
        altered: list[str] = []
        assert check_text("audit.target.id", given, altered) == stored
        assert altered == ["/attributes/audit.target.id"]


class TestActor:
    @pytest.mark.parametrize("actor", [Actor(""), Actor(5), Actor(None), Actor(b"x")])  # type: ignore[arg-type]
    def test_empty(self, actor: Actor) -> None:
        """An actor whose id is empty or no string is refused: who acted is never left open."""
        with pytest.raises(AuditRecordError, match="audit.actor.id: expected a non-empty string"):
            audit_attributes("id", actor)

    @pytest.mark.parametrize("actor", [5, {"id": "x"}, object])
    def test_no_actor(self, actor: Any) -> None:
        """What is no actor is refused."""
        with pytest.raises(AuditRecordError, match="actor: expected an Actor or its id, got"):
            audit_attributes("id", actor)

    @pytest.mark.parametrize("kind", ["robot", "", None, []])
    def test_type(self, kind: Any) -> None:
        """The type is ``user``, ``service`` or ``system``."""
        with pytest.raises(AuditRecordError, match=r"audit.actor.type: expected one of service, system, user"):
            audit_attributes("id", Actor("x", kind))
        with pytest.raises(AuditRecordError):
            check_actor(Actor("x", kind))

    def test_too_long(self) -> None:
        """An id over 8 KiB is refused."""
        with pytest.raises(AuditRecordError, match="at most 8192 bytes"):
            audit_attributes("id", Actor("x" * 8193))


class TestWhole:
    def test_order(self) -> None:
        """The members stand in the order of the format's tables, whatever the order they came in."""
        whole = audit_attributes(
            "id",
            Actor("alice", "user"),
            "WRITE",
            "failure",
            Target("t", "file"),
            {"mine": float("nan")},
            source=Source("s", "ip"),
            error_type="ValueError",
            result=1,
            arguments={"a": 1},
            duration=0.5,
            delegation=["a", "b"],
            trail="gate",
            reason="because",
            decision="error",
            intent_id="before",
            phase="outcome",
        )
        names = [
            *("audit.record.id", "audit.actor.id", "audit.actor.type", "audit.action", "audit.outcome"),
            *("audit.target.id", "audit.target.type", "audit.source.id", "audit.source.type", "audit.schema.version"),
            *("audit.phase", "audit.intent.id", "audit.decision", "audit.reason", "audit.trail", "audit.delegation"),
            *("audit.duration", "audit.arguments", "audit.result", "audit.altered", "error.type", "mine"),
        ]
        assert list(whole) == names

    def test_required(self) -> None:
        """The least that an entry has is what the schema requires."""
        assert tuple(audit_attributes("id", AGENT)) == REQUIRED_ATTRIBUTES

    @pytest.mark.parametrize(
        ("member", "value"),
        [("phase", "middle"), ("decision", "maybe"), ("reason", "x" * 8193), ("trail", "x" * 8193)],
    )
    def test_refused(self, member: str, value: str) -> None:
        """A word outside its set and a text over 8 KiB are refused in any member."""
        with pytest.raises(AuditRecordError, match=member):
            audit_attributes("id", AGENT, attributes=None, altered=[], **{member: value})

    @pytest.mark.parametrize("value", ["abc", 5, {"a": 1}, iter(["a"])])
    def test_delegation(self, value: Any) -> None:
        """A delegation that is no list of ids is refused; the letters of a name are none."""
        with pytest.raises(AuditRecordError, match="delegation: expected a list or tuple of actor ids"):
            audit_attributes("id", AGENT, delegation=value)

    def test_empty_delegation(self) -> None:
        """A delegation of nobody is left out."""
        assert "audit.delegation" not in audit_attributes("id", AGENT, delegation=[])


class TestForgery:
    @pytest.mark.parametrize(
        "name", [*REQUIRED_ATTRIBUTES, "audit.altered", "audit.rest", "audit.integrity.hash", "audit."]
    )
    def test_members(self, name: str) -> None:
        """A caller's ``audit.*`` attribute sets no member: it stands as ``given.…``, marked."""
        plain = audit_attributes("id", AGENT)
        whole = audit_attributes("id", AGENT, attributes={name: "forged"})
        assert whole.pop("audit.altered") == [f"/attributes/given.{name}"]
        assert whole.pop(f"given.{name}") == "forged"
        assert whole == plain

    def test_given_twice(self) -> None:
        """Whoever gives ``given.audit.…`` as well replaces nothing."""
        whole = audit_attributes("id", AGENT, attributes={"given.audit.outcome": 1, "audit.outcome": 2})
        assert whole["given.audit.outcome"] == 1
        assert whole["given.given.audit.outcome"] == 2
        assert whole["audit.altered"] == ["/attributes/given.given.audit.outcome"]

    def test_error_type(self) -> None:
        """A caller's ``error.type`` stands where the action has none, else beside it."""
        assert audit_attributes("id", AGENT, attributes={"error.type": "x"})["error.type"] == "x"
        whole = audit_attributes("id", AGENT, attributes={"error.type": "x"}, error_type="real")
        assert (whole["error.type"], whole["given.error.type"]) == ("real", "x")

    def test_the_callers_map_stays(self) -> None:
        """The caller's map is read, never changed."""
        given = {"audit.outcome": [1], "x": {"y": float("nan")}}
        audit_attributes("id", AGENT, attributes=given)
        assert given.keys() == {"audit.outcome", "x"}
        assert given["audit.outcome"] == [1]


def test_with_altered() -> None:
    """``audit.altered`` stands behind the last ``audit.*``, each pointer once, in place of what was there."""
    whole = with_altered({"audit.x": 1, "audit.altered": ["/old"], "a": 2}, ["/a", "/a", "/b"])
    assert list(whole) == ["audit.x", "audit.altered", "a"]
    assert whole["audit.altered"] == ["/a", "/b"]
    assert with_altered({"audit.x": 1}, ["/a"]) == {"audit.x": 1, "audit.altered": ["/a"]}
