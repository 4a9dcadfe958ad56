"""Where crewai is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call",
        "`BaseTool.run`, `arun`, `CrewStructuredTool.invoke`, `ainvoke`, in every class, also a mixin",
        note="the run ends, and is not tried again; calls beside it that run already are not interrupted",
    ),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "model call",
        "`BaseLLM.call`, `acall`, in every class, outside of the framework's retries",
    ),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "crew; an agent's task, or its run without a crew",
        "`Crew.kickoff`, `akickoff`; `BaseAgent.execute_task`, `kickoff` and their async forms, in every class; "
        "`LiteAgent.kickoff`",
    ),
    Hook(
        semconv.EVENT_AGENT_HANDOFF,
        "delegation to a co-worker",
        "the run of the co-worker's agent inside of `BaseAgentTool._execute` (private)",
        note="the crew ends",
    ),
    Hook(
        semconv.EVENT_GUARDRAIL_CHECK,
        "guardrail of a task or an agent",
        "`process_guardrail` (private); no coroutine, so it blocks",
    ),
    Hook(
        semconv.EVENT_GUARDRAIL_CHECK,
        "a person's feedback on an answer (`human_input`)",
        "`SyncHumanInputProvider._prompt_input`, `_prompt_input_async` (private)",
    ),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "a hook's refusal of a tool call",
        "`run_before_tool_call_hooks`",
        stops=None,
    ),
)
