"""Audit records from other loggers: completed, never refused but for the log's own names."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context, attach, detach, get_current

from otel_audit import AuditRecordError, acting_as
from otel_audit.pipeline.foreign import complete_attributes, complete_event_name, complete_time
from otel_audit.semconv import REQUIRED_ATTRIBUTES


def record(attributes: dict[str, Any] | None = None, **members: Any) -> LogRecord:
    """Return a log record as any logger makes it."""
    return LogRecord(attributes={"audit.action": "READ", **(attributes or {})}, **members)


def complete(attributes: dict[str, Any] | None = None, **members: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the completed attributes, and what was altered; each pointer resolves."""
    altered: list[str] = []
    whole = complete_attributes(record(attributes, **members), "shop", altered)
    for pointer in altered:
        top = pointer.split("/")[2].replace("~1", "/").replace("~0", "~")
        assert top in whole, pointer
    return whole, altered


class TestRequired:
    def test_filled_in(self) -> None:
        """What is missing is filled in: an id, the service as actor, an unknown outcome."""
        whole, altered = complete()
        assert tuple(whole) == REQUIRED_ATTRIBUTES
        assert (whole["audit.actor.id"], whole["audit.actor.type"]) == ("shop", "service")
        assert (whole["audit.outcome"], whole["audit.schema.version"]) == ("unknown", "1.0.0")
        assert altered == []

    @pytest.mark.parametrize(("decision", "outcome"), [("allow", "success"), ("error", "failure")])
    def test_decision(self, decision: str, outcome: str) -> None:
        """A decision without phase has its own outcome."""
        assert complete({"audit.decision": decision})[0]["audit.outcome"] == outcome

    def test_actor_of_the_context(self) -> None:
        """Who acts is the actor of the record's context, with the delegation."""
        with acting_as("alice", type="user"), acting_as("agent"):
            context = get_current()
        whole, _ = complete(context=context)
        assert whole["audit.actor.id"] == "agent"
        assert whole["audit.delegation"] == ["alice", "agent"]

    def test_actor_given(self) -> None:
        """An actor that the record names stands; its type is a service unless given."""
        token = attach(Context())
        try:
            whole, _ = complete({"audit.actor.id": "bob"})
        finally:
            detach(token)
        assert (whole["audit.actor.id"], whole["audit.actor.type"]) == ("bob", "service")

    def test_all_members(self) -> None:
        """Members that the schema allows are kept, in the format's order."""
        given = {
            "x": 1,
            "error.type": "E",
            "audit.duration": 1.5,
            "audit.phase": "outcome",
            "audit.intent.id": "i",
            "audit.target.id": "t",
            "audit.record.id": "r",
            "audit.outcome": "failure",
            "audit.arguments": {"a": b"1"},
            "audit.schema.version": "1.0.0",
        }
        whole, altered = complete(given)
        assert altered == []
        assert {name: whole[name] for name in given} == given | {"audit.arguments": {"a": {"$bytes": "MQ=="}}}
        assert next(iter(whole)) == "audit.record.id"
        assert list(whole)[-2:] == ["error.type", "x"]


class TestMovedAside:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("audit.outcome", "splendid"),
            ("audit.phase", "middle"),
            ("audit.decision", 5),
            ("audit.actor.type", "robot"),
            ("audit.actor.id", ""),
            ("audit.actor.id", "x" * 8193),
            ("audit.record.id", 5),
            ("audit.target.id", "\ud800" * 8193),
            ("audit.reason", "x" * 8193),
            ("audit.schema.version", "2.0.0"),
            ("audit.altered", ["/attributes/x"]),
            ("audit.rest", {}),
            ("audit.sequence.number", 7),
            ("audit.integrity.hash", "0" * 64),
            ("audit.made.up", 1),
        ],
    )
    def test_wrong_member(self, name: str, value: Any) -> None:
        """What the schema does not allow is kept as ``given.…``, marked, and the member filled in."""
        whole, altered = complete({name: value})
        assert f"given.{name}" in whole
        assert f"/attributes/given.{name}" in altered
        assert set(REQUIRED_ATTRIBUTES) <= set(whole)
        assert whole.get(name) != value

    def test_action(self) -> None:
        """An action in lower case is raised; one that is no verb is moved aside."""
        assert complete({"audit.action": "read"})[0]["audit.action"] == "READ"
        whole, _ = complete({"audit.action": "a b"})
        assert (whole["audit.action"], whole["given.audit.action"]) == ("EXECUTE", "a b")


class TestEventName:
    @pytest.mark.parametrize(
        ("given", "name"), [(None, "audit.event"), ("", "audit.event"), ("e", "e"), ("\ud800", "\ufffd")]
    )
    def test_default(self, given: str | None, name: str) -> None:
        """A record without a name has a general one."""
        assert complete_event_name(LogRecord(event_name=given)) == name

    def test_long(self) -> None:
        """A long name is cut between characters."""
        assert complete_event_name(LogRecord(event_name="x" + "ü" * 2000)) == "x" + "ü" * 511

    def test_forged(self) -> None:
        """The names of the log's own entries are refused."""
        with pytest.raises(AuditRecordError, match="the log's own"):
            complete_event_name(LogRecord(event_name="audit.log.opened"))


class TestTime:
    def test_order(self) -> None:
        """The time is the record's, else when it was observed, else now."""
        assert complete_time(LogRecord(timestamp=5, observed_timestamp=6)) == 5
        assert complete_time(LogRecord(timestamp=None, observed_timestamp=6)) == 6
        assert complete_time(LogRecord(timestamp=0, observed_timestamp=6)) == 6

    @pytest.mark.parametrize("time_ns", [10**40, -(10**40), "now", 1.5, True])
    def test_nonsense(self, time_ns: Any) -> None:
        """A time that none can be is passed over."""
        assert complete_time(LogRecord(timestamp=time_ns, observed_timestamp=7)) == 7
        log = LogRecord(timestamp=time_ns)
        log.observed_timestamp = time_ns
        assert complete_time(log) > 10**18
