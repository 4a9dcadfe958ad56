"""Where Semantic Kernel is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

LATER: Final = ("semantic_kernel.agents.agent", "semantic_kernel.agents.orchestration.handoffs")

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "function: of plugins, MCP servers, agents as plugins; a prompt that a model calls",
        "`KernelFunction.invoke`, `invoke_stream` of every class, outside all function filters",
        note="the framework tells the model of an error, as of any function's; the function still did not run",
    ),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "agent run",
        "`get_response`, `invoke`, `invoke_stream` of every class of `Agent`",
    ),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "chat, text and embedding models",
        "what each connector asks by: `_inner_get_chat_message_contents`, `_inner_get_text_contents`, "
        "their streaming forms; `generate_embeddings`, `generate_raw_embeddings`",
    ),
    Hook(
        semconv.EVENT_AGENT_HANDOFF,
        "handoff of an orchestration",
        "`HandoffAgentActor._handoff_to_agent` (private), inside the function that the model calls",
    ),
)
