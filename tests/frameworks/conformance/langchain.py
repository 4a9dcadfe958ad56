"""LangChain, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from inspect import iscoroutinefunction
from typing import Any

from tests.frameworks.conformance.driver import MODEL, Call, Driver, Script, Tool


class LangChain(Driver):
    framework = "langchain"
    optional = ("_aiter_v2_events", "_iter_v2_events")
    package_note = "langchain 1.1 and langgraph 1.0.2 or newer, where they are installed"

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from langchain.agents import create_agent
        from langchain_core.tools import StructuredTool

        from tests.frameworks.langchain_conformance_model import ConformanceModel

        made = [_tool(StructuredTool, tool) for tool in tools]
        return create_agent(ConformanceModel(script=script, model_name=MODEL), made, name=name)

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        to = self.agent(back, script, tools)

        def ask(text: str) -> str:
            """Ask the other agent."""
            return self.run(to, text)

        return self.agent(front, Script((Call("ask", {"text": "go"}, "call-0"),), "done"), [ask])

    def run(self, agent: Any, prompt: str) -> str:
        return str(agent.invoke(_given(prompt))["messages"][-1].content)

    async def arun(self, agent: Any, prompt: str) -> str:
        return str((await agent.ainvoke(_given(prompt)))["messages"][-1].content)

    def stream(self, agent: Any, prompt: str) -> Iterator[object]:
        yield from agent.stream(_given(prompt))

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        events = agent.astream(_given(prompt))
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()


def _given(prompt: str) -> dict[str, Any]:
    return {"messages": [("user", prompt)]}


def _tool(made_by: Any, tool: Tool) -> Any:
    return made_by.from_function(coroutine=tool) if iscoroutinefunction(tool) else made_by.from_function(tool)


DRIVER = LangChain()
