"""Where openai-agents is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "run",
        "`Runner.run`, `run_sync`, `run_streamed`; the last is no coroutine, so its intent blocks",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "function tools, MCP servers, agents as tools",
        "where the runner invokes them (private)",
        note="inside an agent as tool, the outer model is told of an error",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "shell, apply-patch, computer and custom tools",
        "where the runner executes them, after approval (private)",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "hosted tools (web and file search, code interpreter, hosted MCP …)",
        "the model's answer: one entry, the outcome",
        stops=False,
        note="the provider ran them already",
    ),
    Hook(semconv.EVENT_MODEL_CALL, "model call", "each attempt, by the model that the runner is given (private)"),
    Hook(semconv.EVENT_AGENT_HANDOFF, "handoff", "before `on_handoff` (private)"),
    Hook(
        semconv.EVENT_GUARDRAIL_CHECK,
        "guardrails of input, output and tools",
        "`InputGuardrail.run` and its three siblings",
    ),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "approval",
        "`RunContextWrapper.approve_tool`, `reject_tool`",
        note="a decision that is not recorded has no effect",
    ),
)
