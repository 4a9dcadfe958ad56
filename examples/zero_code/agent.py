"""An agent that refunds an order: openai-agents, with a tool of its own and an MCP server's.

Nothing here knows of auditing. The model is a script, so that it runs offline.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, Usage, function_tool
from agents.mcp import MCPServerStdio
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

SERVER = Path(__file__).with_name("orders_server.py")
SCRIPT: list[tuple[str, dict[str, Any]]] = [
    ("find_order", {"order_id": "A-7"}),
    ("refund", {"order_id": "A-7", "amount": 12}),
    ("write_letter", {"customer": "Maya", "text": "You have your money back."}),
]


class ScriptedModel(Model):  # type: ignore[misc]  # untyped where types are checked
    """Calls one tool after the other, then says that it is done."""

    def __init__(self) -> None:
        self.turn = 0

    async def get_response(self, *_args: Any, **_kwargs: Any) -> ModelResponse:
        """Answer with the next line of the script."""
        self.turn += 1
        output: Any
        if self.turn <= len(SCRIPT):
            name, arguments = SCRIPT[self.turn - 1]
            output = ResponseFunctionToolCall(
                call_id=f"call-{self.turn}", name=name, arguments=json.dumps(arguments), type="function_call"
            )
        else:
            text = ResponseOutputText(text="Refunded.", type="output_text", annotations=[])
            output = ResponseOutputMessage(
                id="message", content=[text], role="assistant", status="completed", type="message"
            )
        usage = Usage(requests=1, input_tokens=20, output_tokens=5)
        return ModelResponse(output=[output], usage=usage, response_id=None)

    def stream_response(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Any]:
        """Be asked for nothing."""
        raise NotImplementedError


@function_tool
def write_letter(customer: str, text: str) -> str:
    """Write to a customer."""
    return f"to {customer}: {text}"


async def main() -> None:
    async with MCPServerStdio({"command": sys.executable, "args": [str(SERVER)]}, name="orders") as orders:
        agent = Agent("refund-desk", tools=[write_letter], mcp_servers=[orders], model=ScriptedModel())
        result = await Runner.run(agent, "Order A-7 came broken.", run_config=RunConfig(tracing_disabled=True))
    print(result.final_output)


if __name__ == "__main__":
    asyncio.run(main())
