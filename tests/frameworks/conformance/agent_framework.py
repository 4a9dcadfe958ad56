"""Microsoft's Agent Framework, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Driver, Script, Tool


class AgentFramework(Driver):
    framework = "agent_framework"
    cannot: ClassVar = {
        "run": "the framework's agents are run by coroutines only",
        "stream": "the framework streams to coroutines only",
    }

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from agent_framework import Agent

        from tests.frameworks.agent_framework_parts import Client

        def turn() -> Any:
            said = script.turn()
            return said if isinstance(said, str) else [(call.tool, call.id, dict(call.arguments)) for call in said]

        return Agent(Client(turn), name=name, tools=list(tools))

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from agent_framework import Agent

        from tests.frameworks.agent_framework_parts import scripted

        to = self.agent(back, script, tools)
        return Agent(scripted([(back, "call-0", {"task": "go"})]), name=front, tools=[to.as_tool()])

    async def arun(self, agent: Any, prompt: str) -> str:
        return str((await agent.run(prompt)).text)

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        async with agent.run(prompt, stream=True) as updates:
            async for update in updates:
                yield update


DRIVER = AgentFramework()
