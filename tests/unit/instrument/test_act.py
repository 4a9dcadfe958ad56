"""What agents do, in one form for all frameworks."""

from __future__ import annotations

from typing import Any

import pytest

from otel_audit import Target
from otel_audit.instrument.frameworks.act import (
    MAX_TARGET_CHARS,
    agent_run,
    handoff,
    model_call,
    parsed_arguments,
    token_counts,
    tool_call,
)


def test_a_tool_call() -> None:
    """A tool call has the name, type and id that the conventions give it, and keeps its arguments apart."""
    act = tool_call("refund", call_id="call_1", arguments={"order": 7}, agent="desk")
    assert (act.event_name, act.action, act.target) == ("gen_ai.tool.execute", "EXECUTE", Target("refund", "tool"))
    assert act.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "refund",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": "desk",
    }
    assert act.arguments == {"order": 7}


def test_what_is_not_known_stays_out() -> None:
    """A value of None is no attribute, and what has no name has no target."""
    unknown: Any = {"gen_ai.response.id": None}
    act = model_call(None, provider="openai", **unknown)
    assert act.target is None
    assert act.attributes == {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
    assert tool_call(7).target is None
    assert tool_call("").target is None


def test_agents() -> None:
    """A run and a handoff are acts upon an agent."""
    assert agent_run("desk", conversation_id="c1").target == Target("desk", "agent")
    assert agent_run("desk", conversation_id="c1").attributes["gen_ai.conversation.id"] == "c1"
    act = handoff("billing", from_agent="desk", call_id="call_2")
    assert (act.event_name, act.target) == ("gen_ai.agent.handoff", Target("billing", "agent"))
    assert act.attributes == {"gen_ai.agent.name": "desk", "gen_ai.tool.call.id": "call_2"}


def test_a_long_name() -> None:
    """A name beyond the limit of a target is whole in its attribute."""
    act = tool_call("x" * 5000)
    assert act.target is not None
    assert len(act.target.id) == MAX_TARGET_CHARS
    assert act.attributes["gen_ai.tool.name"] == "x" * 5000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        (b'{"a": 1}', {"a": 1}),
        ("[1]", {"input": [1]}),
        ("", {"input": ""}),
        ("{broken", {"input": "{broken"}),
        ("[" * 100_000, {"input": "[" * 100_000}),
        (7, {"input": 7}),
    ],
)
def test_arguments_that_a_model_wrote(text: object, expected: object) -> None:
    """An object's members are arguments by name; anything else a model may write is one argument."""
    assert parsed_arguments(text) == expected


@pytest.mark.parametrize("bad", [None, "7", 7.0, True, -1])
def test_token_counts(bad: Any) -> None:
    """Only a count is a count."""
    assert token_counts(7, bad) == {"gen_ai.usage.input_tokens": 7}
