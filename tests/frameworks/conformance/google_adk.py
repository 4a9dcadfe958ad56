"""Google ADK, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Call, Driver, Script, Tool


class GoogleAdk(Driver):
    framework = "google_adk"
    cannot: ClassVar = {
        "closed_early, stream": "a blocking run goes on in a thread of its own, whether its events are read or not"
    }

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.google_adk_parts import agent

        return agent(name, _Answers(script), tools)

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.google_adk_parts import agent

        asked = Script((Call("transfer_to_agent", {"agent_name": back}, "call-0"),))
        return agent(front, _Answers(asked), sub_agents=[self.agent(back, script, tools)])

    def run(self, agent: Any, prompt: str) -> str:
        from tests.frameworks.google_adk_parts import text_of

        return text_of(list(self.stream(agent, prompt)))

    async def arun(self, agent: Any, prompt: str) -> str:
        from tests.frameworks.google_adk_parts import Chat, text_of

        return text_of(await Chat(agent).ask(prompt))

    def stream(self, agent: Any, prompt: str) -> Iterator[Any]:
        import asyncio

        from tests.frameworks.google_adk_parts import Chat, message

        chat = Chat(agent)
        asyncio.run(chat.begin())
        events = chat.runner.run(user_id="maya", session_id="one", new_message=message(prompt))
        try:
            yield from events
        finally:
            events.close()

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        from tests.frameworks.google_adk_parts import Chat

        chat = Chat(agent, stream=True)
        await chat.begin()
        async with aclosing(chat.events(prompt)) as events:
            async for event in events:
                yield event


class _Answers:
    """The script of a model, as this framework's test model takes it."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def pop(self, _index: int) -> Any:
        """Return what the model says now."""
        said = self._script.turn()
        return said if isinstance(said, str) else [(call.tool, call.id, {**call.arguments}) for call in said]


DRIVER = GoogleAdk()
