"""LlamaIndex, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import MODEL, Driver, Script, Tool


class LlamaIndex(Driver):
    framework = "llama_index"
    warnings = ("ignore::DeprecationWarning",)
    cannot: ClassVar = {
        "run": "agents run as coroutines only",
        "stream": "agents run as coroutines only",
    }

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        from llama_index.core.agent.workflow import FunctionAgent

        return FunctionAgent(name=name, description=f"The {name}.", tools=list(tools), llm=_model(script))

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from llama_index.core.agent.workflow import AgentWorkflow

        from tests.frameworks.llama_index_parts import agent, call_of

        first = agent(front, [[call_of("handoff", to_agent=back, reason="asked")]])
        return AgentWorkflow(agents=[first, self.agent(back, script, tools)], root_agent=front)

    async def arun(self, agent: Any, prompt: str) -> str:
        return str(await agent.run(prompt))

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        handler = agent.run(prompt)
        try:
            async for event in handler.stream_events():
                yield event
            await handler
        finally:
            if not handler.done():
                await handler.cancel_run()


def _model(script: Script) -> Any:
    from llama_index.core.llms import ChatResponse

    from tests.frameworks.llama_index_parts import ScriptedModel, call_of

    class Scripted(ScriptedModel):
        model: str = MODEL

        def _answer(self) -> ChatResponse:
            said = script.turn()
            calls = [] if isinstance(said, str) else [call_of(call.tool, call.id, **call.arguments) for call in said]
            self.script.append(calls or said)
            return super()._answer()

    return Scripted(script=[])


DRIVER = LlamaIndex()
