"""Where smolagents is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call",
        "`BaseTool.__call__`, in every class, also a mixin; called by an agent, by generated code or by the program",
        note="the run ends, as the framework would tell the model of it",
    ),
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "generated code is executed",
        "`PythonExecutor.__call__`, in every class; the tool is `python_interpreter`",
        note="the run ends",
    ),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "model call",
        "`Model.generate`, `generate_stream`, in every class, also a mixin",
        note="the run ends",
    ),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "agent run",
        "`MultiStepAgent.run`; a managed agent's has the id of the call that asked for it",
    ),
    Hook(
        semconv.EVENT_GUARDRAIL_CHECK,
        "check of a final answer",
        "around each of `final_answer_checks` (private)",
        note="the answer is not given",
    ),
)
