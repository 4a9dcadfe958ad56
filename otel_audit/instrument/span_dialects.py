"""What a span of somebody else's instrumentation says was done.

Three dialects: OpenTelemetry's conventions for generative AI (``gen_ai.operation.name``),
OpenInference (``openinference.span.kind``) and OpenLLMetry (``traceloop.span.kind``, in older
releases ``llm.*``). Of a span's attributes only those are read that name something or count
tokens: never a message, an argument, a result or the text of an exception. Pure and total:
an attribute of an unexpected type counts as absent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.act import (
    Act,
    agent_run,
    guardrail,
    handoff,
    model_call,
    retrieval,
    token_counts,
    tool_call,
)

Attributes = Mapping[str, object]

OPENINFERENCE_AGENTS: Final = "openinference.instrumentation.openai_agents"
"""Its spans of a whole trace are of kind AGENT, and of a handoff of kind TOOL."""
OPENINFERENCE_LLAMA_INDEX: Final = "openinference.instrumentation.llama_index"
"""It opens a span for each method, also those that only prepare or carry out another's request."""
OTHER_ERROR: Final = "_OTHER"
"""``error.type`` where none is known, as in the conventions."""

_KIND: Final = "openinference.span.kind"
_TRACELOOP_KIND: Final = "traceloop.span.kind"
_TRACELOOP_NAME: Final = "traceloop.entity.name"
_OLD_REQUEST: Final = "llm.request.type"
_MAX_CHARS: Final = 1024
_MAX_REASONS: Final = 16
_UNKNOWN: Final = "unknown"
"""What some instrumentations write for a model that they cannot name."""

_MODEL_OPERATIONS: Final = frozenset({"chat", "generate_content", "text_completion", "embeddings"})
_NAMED_OPERATIONS: Final = ("execute_tool ", "invoke_agent ")
"""The conventions make the span's name of the operation and what it is done to."""
_OF_OLD_REQUEST: Final = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
_OF_TRACELOOP_KIND: Final = {"tool": "execute_tool", "agent": "invoke_agent", "handoff": "handoff"}
_ERROR_TYPE: Final = re.compile(r"[\w.:<>\-]{1,256}")


def act_of(name: str, attributes: Attributes, *, scope: str = "", parent: str | None = None) -> Act | None:
    """Return the act that a span stands for, as far as the span tells by now.

    Args:
        name: The span's.
        attributes: The span's; at its start they may be few, or none.
        scope: Name of the instrumentation that made it.
        parent: Name of the span that encloses it, where the same instrumentation made that.

    Returns:
        None where it is no act (a chain, a task, a workflow, a web request), or does not say.
    """
    if type(name) is not str:
        name = ""
    kind = _text(attributes, _KIND)
    if kind is not None:
        return _openinference(kind, name, attributes, scope, parent)
    operation = _text(attributes, semconv.GEN_AI_OPERATION_NAME)
    kind = _text(attributes, _TRACELOOP_KIND)
    if kind == "workflow":  # the run of an agent has a span of its own besides
        return None
    if operation is None:
        if kind is not None:
            operation = _OF_TRACELOOP_KIND.get(kind)
        elif _OLD_REQUEST in attributes:
            operation = _OF_OLD_REQUEST.get(_text(attributes, _OLD_REQUEST) or "")
        elif name.startswith(_NAMED_OPERATIONS):
            operation = name.partition(" ")[0]
        else:
            return None
    return None if operation is None else _by_operation(operation, name, attributes)


def outcome_attributes(attributes: Attributes) -> dict[str, object]:
    """Return what a finished span adds to an act: token counts, the response's model, id and finish reasons."""
    added: dict[str, object] = dict(
        token_counts(
            _first(
                attributes,
                semconv.GEN_AI_USAGE_INPUT_TOKENS,
                "llm.token_count.prompt",
                "gen_ai.usage.prompt_tokens",
                "llm.usage.prompt_tokens",
            ),
            _first(
                attributes,
                semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
                "llm.token_count.completion",
                "gen_ai.usage.completion_tokens",
                "llm.usage.completion_tokens",
            ),
        )
    )
    model = _model(attributes, semconv.GEN_AI_RESPONSE_MODEL, "llm.response.model_name", "llm.response.model")
    if model is not None:
        added[semconv.GEN_AI_RESPONSE_MODEL] = model
    response_id = _text(attributes, semconv.GEN_AI_RESPONSE_ID)
    if response_id is not None:
        added[semconv.GEN_AI_RESPONSE_ID] = response_id
    reasons = attributes.get(semconv.GEN_AI_RESPONSE_FINISH_REASONS, attributes.get("llm.finish_reason"))
    reasons = (reasons,) if isinstance(reasons, str) else reasons
    if isinstance(reasons, Sequence) and not isinstance(reasons, (bytes, bytearray)):
        words = [word[:_MAX_CHARS] for word in reasons[:_MAX_REASONS] if type(word) is str]
        if words:
            added[semconv.GEN_AI_RESPONSE_FINISH_REASONS] = words
    return added


def error_type(value: object) -> str:
    """Return ``error.type`` for the log: what looks like the name of a type, else ``_OTHER``.

    Some write an exception's message where its type belongs.
    """
    return value if type(value) is str and _ERROR_TYPE.fullmatch(value) else OTHER_ERROR


def _openinference(kind: str, name: str, attributes: Attributes, scope: str, parent: str | None) -> Act | None:
    if scope == OPENINFERENCE_LLAMA_INDEX and _is_inner_half(name, parent):
        return None
    agent = _text(attributes, "agent.name")
    if kind == "TOOL":
        tool = _text(attributes, "tool.name")
        if scope == OPENINFERENCE_AGENTS and tool is None:
            to_agent = name.removeprefix("handoff to ")
            if to_agent != name:
                return handoff(to_agent[:_MAX_CHARS], from_agent=agent)
            if name == "handoff":  # or a tool of that name: the end tells
                return None
        return tool_call(tool or _cut(name), call_id=_call_id(attributes), agent=agent)
    if kind == "LLM":
        model = _model(attributes, "llm.request.model_name", "llm.model_name", semconv.GEN_AI_REQUEST_MODEL)
        return model_call(model, provider=_provider(attributes), agent=agent)
    if kind == "EMBEDDING":
        model = _model(attributes, "embedding.model_name", semconv.GEN_AI_REQUEST_MODEL)
        return model_call(model, provider=_provider(attributes), agent=agent, operation="embeddings")
    if kind == "AGENT":
        if scope == OPENINFERENCE_AGENTS and parent is None and agent is None:
            return None
        session = _text(attributes, "session.id", semconv.GEN_AI_CONVERSATION_ID)
        return agent_run(agent or _cut(name), conversation_id=session)
    if kind == "RETRIEVER":
        return retrieval(_cut(name), agent=agent)
    if kind == "GUARDRAIL":
        return guardrail(_cut(name), agent=agent)
    return None


def _is_inner_half(name: str, parent: str | None) -> bool:
    """Whether a method of llama-index is a private one of the class that is asked already, or asks nobody."""
    owner, _, method = name.rpartition(".")
    if method == "_prepare_chat_with_tools":
        return True
    return method.startswith("_") and parent is not None and parent.rpartition(".")[0] == owner != ""


def _by_operation(operation: str, name: str, attributes: Attributes) -> Act | None:
    after = name.removeprefix(f"{operation} ")
    from_name = _cut(after) if after != name else None
    if operation in _MODEL_OPERATIONS:
        model = _model(attributes, semconv.GEN_AI_REQUEST_MODEL, "llm.request.model")
        return model_call(
            model or (None if from_name == _UNKNOWN else from_name),
            provider=_provider(attributes),
            agent=_text(attributes, semconv.GEN_AI_AGENT_NAME),
            operation=operation,
            **{semconv.GEN_AI_CONVERSATION_ID: _text(attributes, semconv.GEN_AI_CONVERSATION_ID)},
        )
    build = _ACTS.get(operation)
    return None if build is None else build(attributes, from_name, name)


def _tool(attributes: Attributes, from_name: str | None, _name: str) -> Act:
    conversation: dict[str, Any] = {semconv.GEN_AI_CONVERSATION_ID: _text(attributes, semconv.GEN_AI_CONVERSATION_ID)}
    return tool_call(
        _text(attributes, semconv.GEN_AI_TOOL_NAME, _TRACELOOP_NAME) or from_name,
        call_id=_call_id(attributes),
        agent=_text(attributes, semconv.GEN_AI_AGENT_NAME),
        tool_type=_text(attributes, semconv.GEN_AI_TOOL_TYPE) or "function",
        **conversation,
    )


def _agent(attributes: Attributes, from_name: str | None, _name: str) -> Act:
    return agent_run(
        _text(attributes, semconv.GEN_AI_AGENT_NAME, _TRACELOOP_NAME) or from_name,
        agent_id=_text(attributes, semconv.GEN_AI_AGENT_ID),
        conversation_id=_text(attributes, semconv.GEN_AI_CONVERSATION_ID),
    )


def _retrieval(attributes: Attributes, from_name: str | None, name: str) -> Act:
    source = _text(attributes, "gen_ai.data_source.id", _TRACELOOP_NAME) or from_name or _cut(name)
    return retrieval(source, agent=_text(attributes, semconv.GEN_AI_AGENT_NAME))


def _handoff(attributes: Attributes, _from_name: str | None, _name: str) -> Act:
    return handoff(
        _text(attributes, "gen_ai.handoff.to_agent"),
        from_agent=_text(attributes, "gen_ai.handoff.from_agent", semconv.GEN_AI_AGENT_NAME),
    )


_ACTS: Final[Mapping[str, Callable[[Attributes, str | None, str], Act]]] = {
    "execute_tool": _tool,
    "invoke_agent": _agent,
    "retrieval": _retrieval,
    "vector_db_retrieve": _retrieval,
    "handoff": _handoff,
}


def _call_id(attributes: Attributes) -> str | None:
    return _text(attributes, semconv.GEN_AI_TOOL_CALL_ID, "tool_call.id")


def _provider(attributes: Attributes) -> str | None:
    return _text(attributes, semconv.GEN_AI_PROVIDER_NAME, "gen_ai.system", "llm.provider", "llm.system", "llm.vendor")


def _model(attributes: Attributes, *names: str) -> str | None:
    model = _text(attributes, *names)
    return None if model == _UNKNOWN else model


def _text(attributes: Attributes, *names: str) -> str | None:
    """Return the first of these attributes that is a text, cut to what a target can hold."""
    for name in names:
        value = attributes.get(name)
        if type(value) is str and value:
            return value[:_MAX_CHARS]
    return None


def _first(attributes: Attributes, *names: str) -> object:
    return next((attributes[name] for name in names if name in attributes), None)


def _cut(name: str) -> str:
    return name[:_MAX_CHARS]
