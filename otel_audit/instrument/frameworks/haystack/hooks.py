"""Where Haystack is audited, in words."""

from __future__ import annotations

from typing import Final

from otel_audit import semconv
from otel_audit.instrument.frameworks.hook import Hook

HOOKS: Final = (
    Hook(
        semconv.EVENT_TOOL_EXECUTE,
        "tool call, of functions, components, pipelines, agents and so on",
        "`Tool.invoke`, `invoke_async`, in every class, also a mixin",
        note="the run ends, also where the framework would tell the model of a tool's errors",
    ),
    Hook(
        semconv.EVENT_MODEL_CALL,
        "model call",
        "`run`, `run_async` of every component that takes `messages` and gives `replies`, and of what agents ask",
        note="`FallbackChatGenerator` asks its next one, with an intent of its own",
    ),
    Hook(semconv.EVENT_AGENT_INVOKE, "agent run", "`Agent.run`, `run_async`, in every class"),
    Hook(
        semconv.EVENT_TOOL_APPROVE,
        "what a confirmation strategy decides, by a person or a policy",
        "where the strategies are run (private)",
        note="a decision that is not recorded has no effect",
    ),
)
