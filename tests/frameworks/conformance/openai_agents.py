"""openai-agents, for the checks of all frameworks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import MODEL, Driver, Script, Tool


class OpenAIAgents(Driver):
    framework = "openai_agents"
    cannot: ClassVar = {"stream": "the framework streams to coroutines only"}

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from agents import Agent, function_tool, set_trace_processors

        set_trace_processors([])  # the one there is by default goes to a service on the internet
        # a tool's error is the program's; by default the framework tells the model of it instead
        made = [function_tool(tool, failure_error_function=None) for tool in tools]
        return Agent(name=name, model=_model(script), tools=made)

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from agents import Agent

        from tests.frameworks.openai_agents_script import Script as Model
        from tests.frameworks.openai_agents_script import call

        to = self.agent(back, script, tools)
        return Agent(name=front, model=Model([call(f"transfer_to_{back}", "call-0")]), handoffs=[to])

    def run(self, agent: Any, prompt: str) -> str:
        from agents import Runner

        return str(Runner.run_sync(agent, prompt).final_output)

    async def arun(self, agent: Any, prompt: str) -> str:
        from agents import Runner

        return str((await Runner.run(agent, prompt)).final_output)

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        from agents import Runner

        result = Runner.run_streamed(agent, prompt)
        try:
            async for event in result.stream_events():
                yield event
        finally:
            result.cancel()


def _model(script: Script) -> Any:
    from tests.frameworks.openai_agents_script import Script as Model
    from tests.frameworks.openai_agents_script import call, say

    class Scripted(Model):
        model = MODEL

        async def _next(self) -> list[Any]:
            said = script.turn()
            if isinstance(said, str):
                return [say(said)]
            return [call(asked.tool, asked.id, json.dumps(asked.arguments)) for asked in said]

    return Scripted()


DRIVER = OpenAIAgents()
