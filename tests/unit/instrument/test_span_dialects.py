from __future__ import annotations

from typing import Any

import pytest

from otel_audit import semconv
from otel_audit.instrument.span_dialects import (
    OPENINFERENCE_AGENTS,
    OPENINFERENCE_LLAMA_INDEX,
    OTHER_ERROR,
    act_of,
    error_type,
    outcome_attributes,
)

CANARY = "canary-7d1e"
CONTENT = {
    "input.value": CANARY,
    "output.value": CANARY,
    "llm.input_messages.0.message.content": CANARY,
    "llm.prompts": [CANARY],
    "llm.invocation_parameters": CANARY,
    "metadata": CANARY,
    "tool.parameters": CANARY,
    "tool.description": CANARY,
    "gen_ai.input.messages": CANARY,
    "gen_ai.output.messages": CANARY,
    "gen_ai.prompt": CANARY,
    "gen_ai.completion": CANARY,
    "gen_ai.system_instructions": CANARY,
    "gen_ai.tool.call.arguments": CANARY,
    "gen_ai.tool.call.result": CANARY,
    "gen_ai.tool.description": CANARY,
    "traceloop.entity.input": CANARY,
    "traceloop.entity.output": CANARY,
    "exception.message": CANARY,
}

TOOL = ("gen_ai.tool.execute", "EXECUTE", "refund", "tool")
MODEL = ("gen_ai.model.call", "EXECUTE", "gpt-4o", "model")
AGENT = ("gen_ai.agent.invoke", "EXECUTE", "desk", "agent")
RETRIEVAL = ("gen_ai.retrieval.query", "READ", "orders", "datastore")


def told(name: str, attributes: Any, **where: Any) -> tuple[object, ...] | None:
    """Event, verb, and target of the act that a span stands for."""
    act = act_of(name, attributes, **where)
    if act is None:
        return None
    target = act.target
    return (act.event_name, act.action, *((None, None) if target is None else (target.id, target.type)))


class TestOpenTelemetry:
    @pytest.mark.parametrize(
        ("name", "attributes", "expected"),
        [
            ("execute_tool refund", {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"}, TOOL),
            ("execute_tool refund", {"gen_ai.operation.name": "execute_tool"}, TOOL),
            ("execute_tool refund", {}, TOOL),
            ("chat gpt-4o", {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}, MODEL),
            ("chat gpt-4o", {"gen_ai.operation.name": "chat"}, MODEL),
            ("x", {"gen_ai.operation.name": "generate_content", "gen_ai.request.model": "gpt-4o"}, MODEL),
            ("x", {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "gpt-4o"}, MODEL),
            ("chat", {"gen_ai.operation.name": "chat"}, ("gen_ai.model.call", "EXECUTE", None, None)),
            ("invoke_agent desk", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "desk"}, AGENT),
            ("invoke_agent desk", {}, AGENT),
            ("retrieval orders", {"gen_ai.operation.name": "retrieval"}, RETRIEVAL),
            ("x", {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "orders"}, RETRIEVAL),
        ],
    )
    def test_acts(self, name: str, attributes: dict[str, object], expected: tuple[str, ...]) -> None:
        """Operation and names come from the attributes, and where those are missing from the span's name."""
        assert told(name, attributes) == expected

    @pytest.mark.parametrize("operation", ["create_agent", "invoke_workflow", "execute_task", "plan", ""])
    def test_no_acts(self, operation: str) -> None:
        """Making an agent, a workflow and a task are no acts of their own."""
        assert told(f"{operation} desk", {"gen_ai.operation.name": operation}) is None

    def test_a_web_request_is_no_act(self) -> None:
        """A span of anything else is none, whatever it is called."""
        assert told("chat room", {"http.request.method": "GET"}) is None
        assert told("execute_tools", {}) is None

    def test_what_it_tells(self) -> None:
        """Call id, agent, conversation, provider and model are recorded under their names."""
        tool = act_of(
            "x",
            {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "refund",
                "gen_ai.tool.type": "extension",
                "gen_ai.tool.call.id": "call_1",
                "gen_ai.agent.name": "desk",
                "gen_ai.conversation.id": "c-1",
            },
        )
        assert tool is not None
        assert tool.attributes == {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "refund",
            "gen_ai.tool.type": "extension",
            "gen_ai.tool.call.id": "call_1",
            "gen_ai.agent.name": "desk",
            "gen_ai.conversation.id": "c-1",
        }
        model = act_of("x", {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "m"})
        assert model is not None
        assert model.attributes[semconv.GEN_AI_PROVIDER_NAME] == "openai"


class TestOpenInference:
    @pytest.mark.parametrize(
        ("kind", "name", "attributes", "expected"),
        [
            ("TOOL", "call", {"tool.name": "refund"}, TOOL),
            ("TOOL", "refund", {}, TOOL),
            ("LLM", "x", {"llm.model_name": "gpt-4o"}, MODEL),
            ("LLM", "x", {"llm.model_name": "unknown"}, ("gen_ai.model.call", "EXECUTE", None, None)),
            ("EMBEDDING", "x", {"embedding.model_name": "gpt-4o"}, MODEL),
            ("AGENT", "run", {"agent.name": "desk"}, AGENT),
            ("AGENT", "desk", {}, AGENT),
            ("RETRIEVER", "orders", {}, RETRIEVAL),
            ("GUARDRAIL", "pii", {}, ("gen_ai.guardrail.check", "EXECUTE", "pii", "guardrail")),
            ("CHAIN", "x", {}, None),
            ("EVALUATOR", "x", {}, None),
            ("tool", "x", {}, None),
        ],
    )
    def test_acts(self, kind: str, name: str, attributes: dict[str, object], expected: object) -> None:
        """The kind says what the span is, its own attributes or its name whose."""
        assert told(name, {"openinference.span.kind": kind, **attributes}) == expected

    def test_handoff_of_openai_agents(self) -> None:
        """A handoff is a TOOL there: nothing while it may be a tool of that name, then a handoff, or that tool."""
        tool = {"openinference.span.kind": "TOOL"}
        where = {"scope": OPENINFERENCE_AGENTS, "parent": "turn"}
        assert told("handoff", tool, **where) is None
        assert told("handoff to billing", tool, **where) == ("gen_ai.agent.handoff", "EXECUTE", "billing", "agent")
        assert told("handoff", {**tool, "tool.name": "handoff"}, **where) == (
            "gen_ai.tool.execute",
            "EXECUTE",
            "handoff",
            "tool",
        )
        assert told("handoff", tool, scope="another") == ("gen_ai.tool.execute", "EXECUTE", "handoff", "tool")

    def test_trace_of_openai_agents(self) -> None:
        """The span of a whole trace is of kind AGENT there, and is no agent."""
        agent = {"openinference.span.kind": "AGENT"}
        assert told("Agent workflow", agent, scope=OPENINFERENCE_AGENTS) is None
        assert told("desk", agent, scope=OPENINFERENCE_AGENTS, parent="Agent workflow") == AGENT
        assert told("desk", agent, scope="another") == AGENT

    def test_methods_of_llama_index(self) -> None:
        """A private method that carries out the request of its own class's public one is no act of its own."""
        kind = {"openinference.span.kind": "RETRIEVER"}
        where = {"scope": OPENINFERENCE_LLAMA_INDEX}
        assert told("Store._retrieve", kind, parent="Store.retrieve", **where) is None
        assert told("Store._retrieve", kind, parent="Fusion.retrieve", **where) is not None
        assert told("Store._retrieve", kind, **where) is not None
        assert told("Store._retrieve", kind, scope="another", parent="Store.retrieve") is not None
        assert told("Store.retrieve", kind, parent="Store.retrieve", **where) is not None
        assert told("_retrieve", kind, parent="retrieve", **where) is not None
        assert told("Model._prepare_chat_with_tools", {"openinference.span.kind": "LLM"}, **where) is None


class TestOpenLLMetry:
    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            ({"traceloop.span.kind": "tool", "traceloop.entity.name": "refund"}, TOOL),
            ({"traceloop.span.kind": "agent", "traceloop.entity.name": "desk"}, AGENT),
            ({"traceloop.span.kind": "agent", "gen_ai.agent.name": "desk"}, AGENT),
            ({"traceloop.span.kind": "workflow", "gen_ai.operation.name": "invoke_agent"}, None),
            ({"traceloop.span.kind": "task", "traceloop.entity.name": "x"}, None),
            (
                {
                    "traceloop.span.kind": "task",
                    "traceloop.entity.name": "orders",
                    "gen_ai.operation.name": "vector_db_retrieve",
                },
                RETRIEVAL,
            ),
            (
                {"traceloop.span.kind": "handoff", "gen_ai.handoff.to_agent": "desk"},
                ("gen_ai.agent.handoff", "EXECUTE", "desk", "agent"),
            ),
            ({"llm.request.type": "chat", "gen_ai.request.model": "gpt-4o"}, MODEL),
            ({"llm.request.type": "completion", "llm.request.model": "gpt-4o"}, MODEL),
            ({"llm.request.type": "rerank"}, None),
        ],
    )
    def test_acts(self, attributes: dict[str, object], expected: object) -> None:
        """Kind and entity, the conventions' operation beside them, and what older releases wrote."""
        assert told("some.name", attributes) == expected


class TestOutcome:
    @pytest.mark.parametrize(
        "names",
        [
            ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
            ("llm.token_count.prompt", "llm.token_count.completion"),
            ("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),
            ("llm.usage.prompt_tokens", "llm.usage.completion_tokens"),
        ],
    )
    def test_token_counts(self, names: tuple[str, str]) -> None:
        """Token counts have one name, whatever the dialect calls them."""
        assert outcome_attributes(dict(zip(names, (5, 0), strict=True))) == {
            "gen_ai.usage.input_tokens": 5,
            "gen_ai.usage.output_tokens": 0,
        }

    def test_response(self) -> None:
        """The response's model, id and finish reasons are added."""
        given = {
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.response.id": "r-1",
            "gen_ai.response.finish_reasons": ("stop", "length"),
        }
        assert outcome_attributes(given) == {**given, "gen_ai.response.finish_reasons": ["stop", "length"]}
        assert outcome_attributes({"llm.finish_reason": "stop"}) == {"gen_ai.response.finish_reasons": ["stop"]}

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("ValueError", "ValueError"),
            ("pkg.mod.Error", "pkg.mod.Error"),
            ("500", "500"),
            (f"{CANARY} is no order", OTHER_ERROR),
            ("x" * 257, OTHER_ERROR),
            ("a\nb", OTHER_ERROR),
            ("", OTHER_ERROR),
            (None, OTHER_ERROR),
            (5, OTHER_ERROR),
        ],
    )
    def test_error_type(self, given: object, expected: str) -> None:
        """What does not look like a type's name is not recorded as one."""
        assert error_type(given) == expected


class Raises:
    """A value whose every method raises."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError(CANARY)

    def __str__(self) -> str:
        raise RuntimeError(CANARY)

    __hash__ = None  # type: ignore[assignment]


class Text(str):
    """A text that claims to be everything."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


HOSTILE = {
    "nothing": None,
    "bool": True,
    "int": 7,
    "negative": -1,
    "huge": 2**80,
    "float": 1.5,
    "bytes": b"refund",
    "empty list": [],
    "list": ["refund", 7],
    "map": {},
    "empty text": "",
    "object": object(),
    "raises": Raises(),
    "text": Text("tool"),
}
NAMES = [
    "openinference.span.kind",
    "gen_ai.operation.name",
    "traceloop.span.kind",
    "traceloop.entity.name",
    "llm.request.type",
    "tool.name",
    "agent.name",
    "llm.model_name",
    "gen_ai.tool.name",
    "gen_ai.tool.call.id",
    "gen_ai.agent.name",
    "gen_ai.request.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
]


class TestHostile:
    @pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
    @pytest.mark.parametrize("name", NAMES)
    def test_values_of_any_type(self, name: str, value: object) -> None:
        """An attribute of an unexpected type counts as absent."""
        for others in (
            {},
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"},
            {"gen_ai.operation.name": "chat"},
            {"openinference.span.kind": "TOOL"},
            {"openinference.span.kind": "AGENT"},
        ):
            attributes = {**others, name: value}
            act = act_of("desk", attributes)
            if act is not None:
                assert all(type(text) is str for text in act.attributes.values())
            for key, added in outcome_attributes(attributes).items():
                if key == semconv.GEN_AI_RESPONSE_FINISH_REASONS:
                    assert isinstance(added, list)
                    assert added
                else:
                    assert type(added) in (str, int)

    @pytest.mark.parametrize("name", [None, 7, b"x", ""])
    def test_names_of_any_type(self, name: Any) -> None:
        """A span without a name is an act all the same."""
        assert told(name, {"gen_ai.operation.name": "execute_tool"}) == ("gen_ai.tool.execute", "EXECUTE", None, None)
        assert told(name, {"openinference.span.kind": "TOOL"}) == ("gen_ai.tool.execute", "EXECUTE", None, None)

    def test_sizes(self) -> None:
        """Texts of a megabyte are cut, lists of thousands too."""
        long = "x" * 1_000_000
        act = act_of(long, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": long})
        assert act is not None
        assert act.target is not None
        assert len(act.target.id) == 1024
        assert len(str(act.attributes)) < 4096
        added = outcome_attributes({"gen_ai.response.finish_reasons": [long] * 5000})
        assert len(str(added)) < 20_000

    @pytest.mark.parametrize(
        "attributes",
        [
            {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"},
            {"gen_ai.operation.name": "chat"},
            {"gen_ai.operation.name": "invoke_agent"},
            {"gen_ai.operation.name": "retrieval"},
            {"traceloop.span.kind": "tool"},
            {"openinference.span.kind": "LLM"},
            {"openinference.span.kind": "TOOL"},
            {"openinference.span.kind": "AGENT"},
            {"openinference.span.kind": "RETRIEVER"},
        ],
    )
    def test_no_content(self, attributes: dict[str, object]) -> None:
        """Of messages, arguments, results and exceptions nothing is read."""
        whole = {**CONTENT, **attributes}
        assert CANARY not in str(act_of("desk", whole)) + str(outcome_attributes(whole))
