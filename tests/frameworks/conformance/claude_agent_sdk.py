"""Claude Agent SDK, for the checks of all frameworks: with a command line of ours, whose tools they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, ClassVar

from tests.frameworks.conformance.driver import Driver, Script, Tool


class ClaudeAgentSDK(Driver):
    framework = "claude_agent_sdk"
    cannot: ClassVar = {
        "run": "the SDK is used by coroutines only",
        "stream": "the SDK streams to coroutines only",
        "model": "the model is asked by the command line, another process: each answer has one entry, the outcome",
        "failing_model": "the model is asked by the command line: that it failed is the run's outcome",
    }
    tool_error = "tool_error"

    def agent(self, name: str, script: Script, tools: Sequence[Tool]) -> Any:
        return _session(name, script, tools)

    def pair(self, front: str, back: str, script: Script, tools: Sequence[Tool]) -> Any:
        from tests.frameworks.claude_agent_sdk_cli import scripted

        turn = scripted([("Agent", "call-0", {"subagent_type": back, "prompt": "go"})])
        return _session(front, script, tools, turn, back)

    async def arun(self, agent: Any, prompt: str) -> str:
        from tests.frameworks.claude_agent_sdk_cli import ask

        cli, options = agent()
        return await ask(cli, options, prompt)

    async def astream(self, agent: Any, prompt: str) -> AsyncIterator[object]:
        from tests.frameworks.claude_agent_sdk_cli import messages

        cli, options = agent()
        async with aclosing(messages(cli, options, prompt)) as stream:
            async for message in stream:
                yield message


def _session(
    name: str, script: Script, tools: Sequence[Tool], front: Callable[[], Any] | None = None, back: str = ""
) -> Callable[[], Any]:
    def turn() -> Any:
        said = script.turn()
        return said if isinstance(said, str) else [(call.tool, call.id, dict(call.arguments)) for call in said]

    def made() -> Any:
        from claude_agent_sdk import ClaudeAgentOptions

        from tests.frameworks.claude_agent_sdk_cli import CLI

        cli = CLI(front or turn, {tool.__name__: tool for tool in tools}, {back: turn})
        return cli, ClaudeAgentOptions(extra_args={"agent": name})

    return made


DRIVER = ClaudeAgentSDK()
