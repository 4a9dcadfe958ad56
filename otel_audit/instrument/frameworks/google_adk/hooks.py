"""Where Google ADK is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

_HANDLED: Final = "where the program handles errors itself (`on_tool_error_callback`, a plugin) it can become an answer"

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call, of functions, agents, MCP servers and so on",
        "`BaseTool.run_async`, in every class, also a mixin",
        note=_HANDLED + ": the tool still did not run",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "task for a sub-agent",
        "where the framework runs the sub-agent for it (private)",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "code of a model's is executed",
        "`BaseCodeExecutor.execute_code`, in every class; no coroutine, so the intent blocks",
    ),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "model call",
        "`BaseLlm.generate_content_async`, in every class, also a mixin",
        note="as for tools (`on_model_error_callback`)",
    ),
    Hook(semconv.EVENT_AGENT_INVOKE, "agent run, of every kind of agent", "`BaseAgent.run_async`, `run_live`"),
    Hook(
        semconv.EVENT_AGENT_HANDOFF,
        "transfer",
        "the tool `transfer_to_agent`; of another tool that transfers, after it; one to nobody has no target",
    ),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "confirmation of a tool call",
        "where the answers of a message are matched with their calls (private)",
        note="a decision that is not recorded has no effect",
    ),
    Hook(
        semconv.EVENT_GUARDRAIL_CHECK,
        "callback or plugin that answers in place of a model, a tool or an agent",
        "agents' callbacks (private); `before_…_callback` of `BasePlugin`, in every class",
        note="the answer is not used; of those that let it go on there is no entry",
    ),
)
