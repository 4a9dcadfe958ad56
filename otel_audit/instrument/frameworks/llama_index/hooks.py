"""Where LlamaIndex is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call",
        "`BaseTool.__call__`, `AsyncBaseTool.call`, `acall`, in every class, also a mixin",
        note="the run ends, as the framework would tell the model of it",
    ),
    Hook(semconv.EVENT_MODEL_CALL, "model call", "the eight methods of `BaseLLM`, in every class, also a mixin"),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "agent run",
        "`BaseWorkflowAgent.run`, `AgentWorkflow.run`; no coroutines, so the intent blocks",
    ),
    Hook(
        semconv.EVENT_AGENT_HANDOFF,
        "handoff",
        "the workflow's own `handoff` tool; one to an agent that does not exist has no target",
    ),
    Hook(semconv.EVENT_GUARDRAIL_CHECK, "guardrail", "`EvalQueryEngineTool`"),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "approval",
        "a person's answer is an event of any form: only the tool's own entries tell of it",
        stops=None,
    ),
)
