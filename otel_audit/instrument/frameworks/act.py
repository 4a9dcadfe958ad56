"""What agents do, in one form for all frameworks.

The same act has the same event name, target type and attributes wherever it happens, so that
one query answers for all. The attributes are those of OpenTelemetry's semantic conventions
for generative AI. Pure: nothing is written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from otel_audit import semconv
from otel_audit.record import Target

MAX_TARGET_CHARS: Final = 1024
"""A target has a limit that would refuse the entry; the attribute beside it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One act, before it happens.

    Attributes:
        event_name: One of ``EVENT_…`` in `otel_audit.semconv`.
        action: The verb of ``audit.action``.
        target: What is acted upon; None where it has no name.
        attributes: Of both entries; those that are None stay out.
        arguments: As given; recorded only as far as the settings ask for it.
    """

    event_name: str
    target: Target | None
    attributes: Mapping[str, object]
    action: str = "EXECUTE"
    arguments: Mapping[str, object] | None = None


def tool_call(
    name: object,
    *,
    call_id: object = None,
    arguments: Mapping[str, object] | None = None,
    agent: object = None,
    tool_type: str | None = "function",
    **attributes: object,
) -> Act:
    """Return the act of running a tool.

    Args:
        name: The tool's.
        call_id: What the model calls this call.
        arguments: As given to the tool, by name.
        agent: Name of the agent that calls.
        tool_type: ``function``, ``extension`` or ``datastore``, as in the conventions.
        **attributes: Others, by name; for names with dots pass a mapping by ``**``.
    """
    return _act(
        semconv.EVENT_TOOL_EXECUTE,
        name,
        "tool",
        {
            semconv.GEN_AI_OPERATION_NAME: "execute_tool",
            semconv.GEN_AI_TOOL_NAME: name,
            semconv.GEN_AI_TOOL_CALL_ID: call_id,
            semconv.GEN_AI_TOOL_TYPE: tool_type,
            semconv.GEN_AI_AGENT_NAME: agent,
            **attributes,
        },
        arguments,
    )


def model_call(
    model: object, *, provider: object = None, agent: object = None, operation: str = "chat", **attributes: object
) -> Act:
    """Return the act of asking a model; nothing of what is asked or answered.

    Args:
        model: The model that is asked for.
        provider: ``gen_ai.provider.name``, such as ``openai``.
        agent: Name of the agent that asks.
        operation: ``chat``, ``text_completion``, ``embeddings`` and so on, as in the conventions.
        **attributes: Others, by name.
    """
    return _act(
        semconv.EVENT_MODEL_CALL,
        model,
        "model",
        {
            semconv.GEN_AI_OPERATION_NAME: operation,
            semconv.GEN_AI_PROVIDER_NAME: provider,
            semconv.GEN_AI_REQUEST_MODEL: model,
            semconv.GEN_AI_AGENT_NAME: agent,
            **attributes,
        },
    )


def agent_run(agent: object, *, agent_id: object = None, conversation_id: object = None, **attributes: object) -> Act:
    """Return the act of running an agent, by whoever runs it.

    Args:
        agent: The agent's name.
        agent_id: Its id, where it has one beside the name.
        conversation_id: Of the session or thread that the run belongs to.
        **attributes: Others, by name.
    """
    return _act(
        semconv.EVENT_AGENT_INVOKE,
        agent,
        "agent",
        {
            semconv.GEN_AI_OPERATION_NAME: "invoke_agent",
            semconv.GEN_AI_AGENT_NAME: agent,
            semconv.GEN_AI_AGENT_ID: agent_id,
            semconv.GEN_AI_CONVERSATION_ID: conversation_id,
            **attributes,
        },
    )


def handoff(to_agent: object, *, from_agent: object = None, call_id: object = None) -> Act:
    """Return the act of one agent handing the work to another.

    Args:
        to_agent: Name of the agent that goes on.
        from_agent: Name of the one that hands over.
        call_id: The model's id of the tool call that asked for it.
    """
    return _act(
        semconv.EVENT_AGENT_HANDOFF,
        to_agent,
        "agent",
        {semconv.GEN_AI_AGENT_NAME: from_agent, semconv.GEN_AI_TOOL_CALL_ID: call_id},
    )


def approval(tool: object, *, call_id: object = None, agent: object = None) -> Act:
    """Return the act of deciding whether a tool call may run, by a person or a policy.

    Args:
        tool: The tool's name.
        call_id: What the model calls this call.
        agent: Name of the agent that wants to call.
    """
    return _act(
        semconv.EVENT_TOOL_APPROVE,
        tool,
        "tool",
        {
            semconv.GEN_AI_TOOL_NAME: tool,
            semconv.GEN_AI_TOOL_CALL_ID: call_id,
            semconv.GEN_AI_AGENT_NAME: agent,
        },
    )


def guardrail(name: object, *, agent: object = None, **attributes: object) -> Act:
    """Return the act of checking what goes in or out of an agent.

    Args:
        name: The guardrail's.
        agent: Name of the agent that it guards.
        **attributes: Others, by name.
    """
    return _act(semconv.EVENT_GUARDRAIL_CHECK, name, "guardrail", {semconv.GEN_AI_AGENT_NAME: agent, **attributes})


def retrieval(source: object, *, agent: object = None) -> Act:
    """Return the act of looking something up for a model; nothing of the query or of what is found.

    Args:
        source: Name of the retriever or of the store.
        agent: Name of the agent that looks it up.
    """
    return _act(
        semconv.EVENT_RETRIEVAL_QUERY,
        source,
        "datastore",
        {semconv.GEN_AI_OPERATION_NAME: "retrieval", semconv.GEN_AI_AGENT_NAME: agent},
        action="READ",
    )


def short_name(name: object) -> str | None:
    """Return the name of an agent, a tool or a model as a target can hold it; None where it is none.

    Args:
        name: From the program or the wire, so of any type; a str's subclass is not asked anything.
    """
    return str.__str__(name)[:MAX_TARGET_CHARS] or None if isinstance(name, str) else None


def parsed_arguments(text: object) -> Mapping[str, object] | None:
    """Return the arguments that a model wrote as JSON; under ``input`` what is no object.

    Args:
        text: A mapping goes through; None is no arguments.
    """
    if text is None or isinstance(text, Mapping):
        return text
    value: Any = text
    if isinstance(text, (str, bytes)):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
    return value if isinstance(value, dict) else {"input": value}


def token_counts(input_tokens: object, output_tokens: object) -> dict[str, int]:
    """Return the attributes of a model call's usage; what is no count stays out."""
    counts = {
        semconv.GEN_AI_USAGE_INPUT_TOKENS: input_tokens,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS: output_tokens,
    }
    return {name: count for name, count in counts.items() if type(count) is int and count >= 0}


def _act(
    event_name: str,
    name: object,
    target_type: str,
    attributes: Mapping[str, object],
    arguments: Mapping[str, object] | None = None,
    action: str = "EXECUTE",
) -> Act:
    return Act(
        event_name=event_name,
        action=action,
        target=None if (target := short_name(name)) is None else Target(target, target_type),
        attributes={key: value for key, value in attributes.items() if value is not None},
        arguments=arguments,
    )
