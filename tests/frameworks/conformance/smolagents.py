"""smolagents, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Call, Driver, Script, Tool


class Smolagents(Driver):
    framework = "smolagents"
    optional = ("timeout",)
    cannot: ClassVar = {
        "arun": "agents run blocking only",
        "astream": "agents run blocking only",
        "async_tool": "tools are no coroutines",
        "cancellation": "a run that blocks cannot be cancelled",
    }

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from smolagents import tool

        from tests.frameworks.smolagents_parts import calling

        return calling(name, _Answers(script), [tool(function) for function in tools])

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.smolagents_parts import calling

        asked = Script((Call(back, {"task": "do it"}, "call-0"),), "done")
        return calling(front, _Answers(asked), managed_agents=[self.agent(back, script, tools)])

    def run(self, agent: Any, prompt: str) -> str:
        return str(agent.run(prompt))

    def stream(self, agent: Any, prompt: str) -> Iterator[object]:
        steps = agent.run(prompt, stream=True)
        try:
            for step in steps:  # noqa: UP028  # closed below, not by a generator that has handed on to it
                yield step
        finally:
            with suppress(RuntimeError):  # the framework's generator yields once more when it is closed
                steps.close()
            steps.close()


class _Answers:
    """The script of a model, whose answers are all tool calls: this framework's agents end a run by one."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def pop(self, _index: int) -> Any:
        """Return what the model says now."""
        from tests.frameworks.smolagents_parts import answer

        said = self._script.turn()
        return answer(said) if isinstance(said, str) else [(call.tool, call.id, {**call.arguments}) for call in said]


DRIVER = Smolagents()
