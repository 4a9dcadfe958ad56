"""Where strands-agents is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call",
        "`_run_tool` (private), behind all hooks and middleware: tools of every kind, each attempt, also `agent.tool`, "
        "in the background and in bidirectional sessions",
        note="the run ends, as the framework would tell the model of it (in the background the model is told)",
    ),
    Hook(semconv.EVENT_MODEL_CALL, "model call", "`Model.stream`, `structured_output`, in every class, also a mixin"),
    Hook(
        semconv.EVENT_AGENT_INVOKE,
        "agent run, swarm, graph",
        "`Agent.stream_async`, `Swarm.stream_async`, `Graph.stream_async`, to which all other ways come",
    ),
    Hook(
        semconv.EVENT_AGENT_HANDOFF,
        "handoff in a swarm",
        "`Swarm._handle_handoff` (private)",
        note="the swarm ends as failed",
    ),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "a person's answer to an interrupt of a hook or a `Confirm`, a hook that cancels a call",
        "`HookRegistry.invoke_callbacks_async`, before the decision takes effect",
    ),
    Hook(
        semconv.EVENT_GUARDRAIL_CHECK,
        "interventions: `Proceed`, `Deny`, `Guide`, `Transform`",
        "`HookRegistry.invoke_callbacks_async`, before the decision takes effect",
    ),
)
