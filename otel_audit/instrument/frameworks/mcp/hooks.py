"""Where MCP is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call, resource, prompt: client",
        "`ClientSession.call_tool`, `read_resource`, `get_prompt`; of mcp 1 also `experimental.call_tool_as_task`",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "the same: server",
        "middleware (mcp 2), the registered handlers (mcp 1)",
        note="the client gets an error, the server lives",
    ),
)
