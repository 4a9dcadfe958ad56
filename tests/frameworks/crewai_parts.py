"""crewai, offline: a model that says what a script says, and nothing that goes to a service or into the home folder."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from typing import Any

from tests.frameworks.conformance.driver import MODEL, Script

QUIET = {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_TRACKING": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_TESTING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "CREWAI_STORAGE_DIR": tempfile.mkdtemp(prefix="otel-audit-crewai-"),
}
"""Else it reports its use, asks about traces, looks for a newer version, and writes into the home folder."""

os.environ |= QUIET  # before it is imported

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the framework's own modules
    import crewai
    from crewai import Agent
    from crewai.agents.agent_builder.base_agent import BaseAgent
    from crewai.hooks import register_before_tool_call_hook, unregister_before_tool_call_hook
    from crewai.llms.base_llm import BaseLLM
    from crewai.mcp import MCPServerStdio
    from crewai.state.checkpoint_config import CheckpointConfig
    from crewai.tools import BaseTool, tool
    from crewai.tools.structured_tool import CrewStructuredTool
    from crewai.tools.tool_failure import ToolFailure

__all__ = [
    "BaseAgent",
    "BaseTool",
    "CheckpointConfig",
    "CrewStructuredTool",
    "MCPServerStdio",
    "ScriptedModel",
    "ToolFailure",
    "agent",
    "crewai",
    "register_before_tool_call_hook",
    "tool",
    "unregister_before_tool_call_hook",
]


class ScriptedModel(BaseLLM):  # type: ignore[misc]  # not installed where the types are checked
    """Answers with the script's turns."""

    script: Any

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        """Return one answer: a text, or tool calls."""
        said = self.script.turn()
        if isinstance(said, str):
            return said
        return [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.tool, "arguments": json.dumps(call.arguments)},
            }
            for call in said
        ]

    async def acall(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        """Return one answer."""
        return self.call(messages)

    def supports_function_calling(self) -> bool:
        """Tools are called by the model's own calls."""
        return True


def agent(role: str, script: Script, tools: Any = (), cls: Any = Agent, **options: Any) -> Any:
    """Return an agent whose model says this."""
    os.environ |= QUIET  # each test has an environment of its own
    return cls(
        role=role,
        goal="To do it.",
        backstory="None.",
        llm=ScriptedModel(model=MODEL, script=script),
        tools=[tool(function.__name__)(function) for function in tools],
        **options,
    )
