"""Pydantic AI, for the checks of all frameworks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from tests.frameworks.conformance.driver import MODEL, Call, Driver, Script, Tool


class PydanticAI(Driver):
    framework = "pydantic_ai"
    optional = ("execute_choice_action",)

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from pydantic_ai import Agent

        return Agent(_model(script), name=name, tools=list(tools))

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        to = self.agent(back, script, tools)

        async def ask(text: str) -> str:
            """Ask the other agent."""
            return await self.arun(to, text)

        return self.agent(front, Script((Call("ask", {"text": "go"}, "call-0"),), "done"), [ask])

    def run(self, agent: Any, prompt: str) -> str:
        return str(agent.run_sync(prompt).output)

    async def arun(self, agent: Any, prompt: str) -> str:
        return str((await agent.run(prompt)).output)

    def stream(self, agent: Any, prompt: str) -> Iterator[object]:
        with agent.run_stream_sync(prompt) as result:
            yield from result.stream_text(delta=True, debounce_by=None)

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        async with agent.run_stream_events(prompt) as events:
            async for event in events:
                yield event


def _model(script: Script) -> Any:
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import DeltaToolCall, FunctionModel

    def respond(_messages: list[Any], _info: Any) -> ModelResponse:
        said = script.turn()
        if isinstance(said, str):
            return ModelResponse([TextPart(said)])
        return ModelResponse([ToolCallPart(call.tool, dict(call.arguments), call.id) for call in said])

    async def stream(_messages: list[Any], _info: Any) -> AsyncIterator[Any]:
        said = script.turn()
        if isinstance(said, str):
            for word in said.split(" "):
                yield word + " "
            return
        for number, call in enumerate(said):
            yield {number: DeltaToolCall(call.tool, json.dumps(dict(call.arguments)), tool_call_id=call.id)}

    return FunctionModel(respond, stream_function=stream, model_name=MODEL)


DRIVER = PydanticAI()
