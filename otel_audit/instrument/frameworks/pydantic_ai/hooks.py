"""Where Pydantic AI is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call, of every toolset",
        "`ToolManager.execute_tool_call`, outside all capabilities",
    ),
    Hook(semconv.EVENT_TOOL_EXECUTE, "output functions", "where the output is processed (private)"),
    Hook(semconv.EVENT_AGENT_INVOKE, "agent run", "`Agent.iter`, to which all other ways come"),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "model call, embedding, image",
        "`request`, `request_stream`, `embed`, `generate` of every class",
    ),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "approval",
        "`DeferredToolResults` of a run that goes on, `ToolManager.resolve_deferred_tool_calls`",
    ),
)
