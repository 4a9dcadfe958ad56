"""crewai, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Call, Driver, Script, Tool

STREAM = "an agent alone does not stream; what streams is a crew"


class CrewAI(Driver):
    framework = "crewai"
    warnings = ("ignore::DeprecationWarning", "ignore::ImportWarning")
    cannot: ClassVar = {
        "stream": STREAM,
        "astream": STREAM,
        "cancellation": "tools run in threads, which nothing can cancel: a tool has its outcome when it ends by itself",
    }

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.crewai_parts import agent

        return agent(name, script, tools)

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from crewai import Crew, Process, Task

        from tests.frameworks.crewai_parts import agent

        work = {"task": "it", "context": "none", "coworker": back}
        manager = agent(front, Script((Call("delegate_work_to_coworker", work, "call-0"),), "done"))
        worker = agent(back, script, tools)
        task = Task(description="Do it.", expected_output="It.")
        return Crew(agents=[worker], tasks=[task], manager_agent=manager, process=Process.hierarchical)

    def run(self, agent: Any, prompt: str) -> str:
        return str((agent.kickoff() if hasattr(agent, "tasks") else agent.kickoff(prompt)).raw)

    async def arun(self, agent: Any, prompt: str) -> str:
        return str((await (agent.akickoff() if hasattr(agent, "tasks") else agent.akickoff(prompt))).raw)


DRIVER = CrewAI()
