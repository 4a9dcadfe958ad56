"""Where Microsoft's Agent Framework is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call: functions, agents and workflows as tools, skills, MCP servers' tools",
        "`FunctionTool.invoke` of every class, inside all function middleware",
        note="the framework tells the model of an error, as of any tool's; the tool still did not run",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "hosted tools (web and file search, code interpreter, hosted MCP …)",
        "the model's answer: one entry, the outcome",
        stops=False,
        note="the provider ran them already",
    ),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "agent run, whole or as a stream; a workflow as an agent",
        "`run` of every class of `BaseAgent`, outside all agent middleware",
    ),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "model call, embeddings",
        "`_inner_get_response` and `get_embeddings` of every class of `BaseChatClient` and `BaseEmbeddingClient`, "
        "inside all chat middleware",
    ),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "answer to an approval request",
        "where the framework collects the answers that take effect (private); no coroutine, so it blocks",
        note="an answer that is not recorded has no effect, and the run ends",
    ),
)
