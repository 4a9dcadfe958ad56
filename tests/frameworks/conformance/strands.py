"""strands-agents, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Call, Driver, Script, Tool


class Strands(Driver):
    framework = "strands"
    cannot: ClassVar = {"stream": "the framework streams to coroutines only"}

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from strands import Agent, tool

        from tests.frameworks.strands_conformance_model import ScriptedModel

        made = [tool(function) for function in tools]
        return Agent(name=name, model=ScriptedModel(script), tools=made, callback_handler=None)

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from strands.multiagent import Swarm

        handoff = Call("handoff_to_agent", {"agent_name": back, "message": "yours"}, "call-0")
        return Swarm([self.agent(front, Script((handoff,), "handed"), []), self.agent(back, script, tools)])

    def run(self, agent: Any, prompt: str) -> str:
        return str(agent(prompt))

    async def arun(self, agent: Any, prompt: str) -> str:
        return str(await agent.invoke_async(prompt))

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        events = agent.stream_async(prompt)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()


DRIVER = Strands()
