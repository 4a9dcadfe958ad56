"""An agent and a sub-agent of the Claude Agent SDK, audited without a change to them.

    python3 -m uv run --with claude-agent-sdk==0.2.187 examples/frameworks/with_claude_agent_sdk.py

Offline: in place of the Claude Code command line there is a stand-in that speaks as much of its protocol as
this takes. Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new
temporary folder.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ResultMessage, Transport, create_sdk_mcp_server, query, tool

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


@tool("refund", "Give the money back.", {"order_id": str})
async def refund(given: dict[str, Any]) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": f"{given['order_id']} refunded"}]}


class StandIn(Transport):  # type: ignore[misc]
    """Has a sub-agent called ``clerk`` use the tool, and says that it is done."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answers: dict[str, asyncio.Future[Any]] = {}
        self.ids = itertools.count(1)

    async def ask(self, **request: Any) -> Any:
        """Ask the SDK."""
        request_id = str(next(self.ids))
        answer = self.answers[request_id] = asyncio.get_running_loop().create_future()
        self.said.put_nowait({"type": "control_request", "request_id": request_id, "request": request})
        return await answer

    async def hook(self, event: str, call_id: str, **data: Any) -> None:
        """Ask all hooks of an event."""
        for matcher in self.hooks.get(event, ()):
            for hook in matcher["hookCallbackIds"]:
                given = {"hook_event_name": event, "session_id": "1", **data}
                await self.ask(subtype="hook_callback", callback_id=hook, tool_use_id=call_id, input=given)

    async def work(self) -> None:
        """Take one turn."""
        to_clerk, clerk = {"subagent_type": "clerk"}, {"agent_id": "1", "agent_type": "clerk"}
        call = {"tool_name": "mcp__orders__refund", "tool_input": {"order_id": "A-1027"}, **clerk}
        await self.hook("PreToolUse", "call-1", tool_name="Agent", tool_input=to_clerk)
        await self.hook("SubagentStart", "", **clerk)
        await self.hook("PreToolUse", "call-2", **call)
        for number, method in enumerate(("initialize", "notifications/initialized", "tools/call")):
            message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
            if method == "initialize":
                info = {"name": "stand-in", "version": "1"}
                message["params"] = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": info}
            elif method == "tools/call":
                message["params"] = {"name": "refund", "arguments": call["tool_input"]}
            if "params" in message:
                message["id"] = number
            await self.ask(subtype="mcp_message", server_name="orders", message=message)
        await self.hook("PostToolUse", "call-2", tool_response="refunded", **call)
        await self.hook("SubagentStop", "", **clerk)
        await self.hook("PostToolUse", "call-1", tool_name="Agent", tool_response="done")
        result = {"subtype": "success", "duration_ms": 1, "duration_api_ms": 1, "is_error": False, "num_turns": 1}
        self.said.put_nowait({"type": "result", "session_id": "1", "result": "done", **result})

    async def connect(self) -> None:
        """There is nothing to start."""

    async def write(self, data: str) -> None:
        """Take a line from the SDK."""
        message = json.loads(data)
        if message["type"] == "control_response":
            self.answers[message["response"]["request_id"]].set_result(message["response"])
        elif message["type"] == "control_request":
            self.hooks = message["request"]["hooks"] or {}
            answer = {"subtype": "success", "response": {"hook_on_failure_supported": True}}
            response = {**answer, "request_id": message["request_id"]}
            self.said.put_nowait({"type": "control_response", "response": response})
        else:
            self.task = asyncio.create_task(self.work())

    async def read_messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what is said to the SDK."""
        while (message := await self.said.get())["type"] != "end":
            yield message

    async def end_input(self) -> None:
        """End the session."""
        self.said.put_nowait({"type": "end"})

    async def close(self) -> None:
        """End the session."""
        self.said.put_nowait({"type": "end"})

    def is_ready(self) -> bool:
        """Say so."""
        return True


async def serve() -> None:
    orders = create_sdk_mcp_server("orders", tools=[refund])
    options = ClaudeAgentOptions(mcp_servers={"orders": orders}, extra_args={"agent": "front-desk"})
    async for message in query(prompt="I want my money back.", options=options, transport=StandIn()):
        if isinstance(message, ResultMessage):
            print(message.result)


def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["claude_agent_sdk"], capture=["order_id"])
    with acting_as("maya@example.com", type="user"):
        asyncio.run(serve())
    for entry in otel_audit.read_log(path):
        said: Any = entry.attributes
        if entry.event_name.startswith("gen_ai."):
            who = " > ".join(map(str, said.get("audit.delegation") or [said["audit.actor.id"]]))
            print(f"{entry.seq:2} {who}: {said['audit.phase']} {entry.event_name} {said['audit.target.id']}")


if __name__ == "__main__":
    main()
