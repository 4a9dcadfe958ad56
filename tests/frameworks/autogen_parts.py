"""autogen, offline: a model that says what a script says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.models import ChatCompletionClient, CreateResult, ModelInfo, RequestUsage

from tests.frameworks.conformance.driver import MODEL, Script


class ScriptedModel(ChatCompletionClient):  # type: ignore[misc]  # not installed where the types are checked
    """Answers with the script's turns."""

    component_type = "model"

    def __init__(self, script: Script, model: str = MODEL) -> None:
        self.script = script
        self.model = model

    async def create(self, messages: Any, **kwargs: Any) -> Any:
        """Return one answer: a text, or tool calls."""
        said = self.script.turn()
        if not isinstance(said, str):
            calls = [FunctionCall(id=call.id, name=call.tool, arguments=json.dumps(call.arguments)) for call in said]
            return self._result(calls, "function_calls")
        return self._result(said, "stop")

    async def create_stream(self, messages: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Yield one answer, a text word by word."""
        result = await self.create(messages)
        if isinstance(result.content, str):
            for word in result.content.split(" "):
                yield word
        yield result

    def _result(self, content: Any, reason: str) -> Any:
        usage = RequestUsage(prompt_tokens=3, completion_tokens=5)
        return CreateResult(finish_reason=reason, content=content, usage=usage, cached=False)

    async def close(self) -> None:
        """Nothing to close."""

    def actual_usage(self) -> Any:
        return RequestUsage(prompt_tokens=0, completion_tokens=0)

    def total_usage(self) -> Any:
        return self.actual_usage()

    def count_tokens(self, *args: Any, **kwargs: Any) -> int:
        return 0

    def remaining_tokens(self, *args: Any, **kwargs: Any) -> int:
        return 99

    @property
    def capabilities(self) -> Any:
        return self.model_info

    @property
    def model_info(self) -> Any:
        return ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            family="unknown",
            structured_output=False,
            multiple_system_messages=True,
        )


def agent(name: str, script: Script, tools: Any = (), **options: Any) -> Any:
    """Return an agent whose model says this."""
    return AssistantAgent(
        name, model_client=ScriptedModel(script), tools=list(tools) or None, max_tool_iterations=9, **options
    )
