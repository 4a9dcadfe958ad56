"""Haystack, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Driver, Script, Tool


class Haystack(Driver):
    framework = "haystack"
    cannot: ClassVar = {
        "stream": "a stream goes to a callback of the program's, inside of the run",
        "astream": "a stream goes to a callback of the program's, inside of the run",
    }

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.haystack_parts import in_pipeline

        return in_pipeline(name, self._agent(script, tools))

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from haystack.tools import AgentTool

        from tests.frameworks.haystack_parts import agent, in_pipeline, task_of

        inner = AgentTool(agent=self._agent(script, tools), name=back, description="Works.")
        return in_pipeline(front, agent([task_of(back, "call-0"), "done"], [inner]))

    def run(self, agent: Any, prompt: str) -> str:
        from tests.frameworks.haystack_parts import messages

        (output,) = agent.run({"messages": messages(prompt)}).values()
        return str(output["last_message"].text)

    async def arun(self, agent: Any, prompt: str) -> str:
        from tests.frameworks.haystack_parts import messages

        (output,) = (await agent.run_async({"messages": messages(prompt)})).values()
        return str(output["last_message"].text)

    def _agent(self, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.haystack_parts import agent

        return agent(_Answers(script), tools)


class _Answers:
    """The script of a model, as this framework's test model takes it."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def pop(self, _index: int) -> Any:
        """Return what the model says now."""
        said = self._script.turn()
        return said if isinstance(said, str) else [(call.tool, call.id, {**call.arguments}) for call in said]


DRIVER = Haystack()
