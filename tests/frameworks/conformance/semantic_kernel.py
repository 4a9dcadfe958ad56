"""Semantic Kernel, for the checks of all frameworks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Driver, Script, Tool


class SemanticKernel(Driver):
    framework = "semantic_kernel"
    cannot: ClassVar = {
        "run": "agents are run by coroutines only",
        "stream": "the framework streams to coroutines only",
    }
    warnings: ClassVar = ("ignore::pydantic.PydanticDeprecationWarning",)
    imports: ClassVar = ("semantic_kernel.agents",)

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        return _agent(name, script, tools)

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.semantic_kernel_parts import agent

        call = [(f"{back}-{back}", "call-0", {"messages": "go"})]
        return agent(front, call, plugins=[_agent(back, script, tools)])

    async def arun(self, agent: Any, prompt: str) -> str:
        return str((await agent.get_response(messages=prompt)).content)

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        async with aclosing(agent.invoke_stream(messages=prompt)) as items:
            async for item in items:
                yield item


def _agent(name: str, script: Script, tools: Sequence[Tool]) -> Any:
    from semantic_kernel import Kernel
    from semantic_kernel.agents import ChatCompletionAgent
    from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
    from semantic_kernel.functions import kernel_function

    from tests.frameworks.semantic_kernel_parts import Connector

    def turn() -> Any:
        said = script.turn()
        return said if isinstance(said, str) else [(call.tool, call.id, dict(call.arguments)) for call in said]

    kernel = Kernel()
    for tool in tools:
        # A function's name has its plugin's before it: here it is called as the checks call it.
        kernel.add_function("tools", kernel_function(tool)).metadata.plugin_name = None
    return ChatCompletionAgent(
        service=Connector(ai_model_id="scripted-1", turn=turn),
        name=name,
        kernel=kernel,
        function_choice_behavior=FunctionChoiceBehavior.Auto(),
    )


DRIVER = SemanticKernel()
