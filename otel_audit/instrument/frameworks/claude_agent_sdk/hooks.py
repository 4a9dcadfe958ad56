"""Where the Claude Agent SDK is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call, in the command line's process",
        "`PreToolUse`, `PostToolUse` and `PostToolUseFailure` hooks of ours in every session (`Query`, private)",
        note='the command line is answered `deny`, with `on_failure="block"`, and the session ends with the error. '
        "It is another process: that it honours the answer is its word",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call, in this process (in-process MCP servers)",
        "the same hooks; where none was called, the request to the server (private)",
        note="without a hook here, with one as above",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tools that ran without a hook (of the provider; hooks switched off)",
        "the session's messages: one entry, the outcome",
        stops=False,
        note="they ran already",
    ),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "run",
        "`InternalClient.process_query` (private), to which `query` comes; `ClaudeSDKClient.connect`, `query`",
    ),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "sub-agent's run",
        "`SubagentStart` and `SubagentStop` hooks of ours",
        note='the hook raises, with `on_failure="block"`: on the command line\'s word; each tool of it is refused too',
    ),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "model call",
        "the session's messages: one entry, the outcome",
        stops=False,
        note="the command line asked already",
    ),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "permission: `can_use_tool`, the program's own `PreToolUse` and `PermissionRequest` hooks that decide",
        "around the callback",
        note="a permission that is not recorded is answered `deny`",
    ),
    Hook(
        semconv.EVENT_GUARDRAIL_CHECK,
        "the program's own `UserPromptSubmit` hook that blocks",
        "around the callback",
        stops=None,
        note="it blocks in any case",
    ),
)
