"""autogen, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Call, Driver, Script, Tool

BLOCKING = "agents run as coroutines only"


class AutoGen(Driver):
    framework = "autogen"
    cannot: ClassVar = {"run": BLOCKING, "stream": BLOCKING}

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.autogen_parts import agent

        return agent(name, script, tools)

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from autogen_agentchat.conditions import SourceMatchTermination
        from autogen_agentchat.teams import Swarm

        from tests.frameworks.autogen_parts import agent

        handing = (Call(f"transfer_to_{back}", {}, "call-0"),)
        team = [agent(front, Script(handing), handoffs=[back]), self.agent(back, script, tools)]
        return Swarm(team, termination_condition=SourceMatchTermination([back]))

    async def arun(self, agent: Any, prompt: str) -> str:
        return str((await agent.run(task=prompt)).messages[-1].content)

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        events = agent.run_stream(task=prompt)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()


DRIVER = AutoGen()
