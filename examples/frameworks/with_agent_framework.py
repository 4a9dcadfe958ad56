"""Two agents of Microsoft's Agent Framework, audited without a change to them; offline, with a model of its own.

    python3 -m uv run --with agent-framework-core==1.23.0 examples/frameworks/with_agent_framework.py

Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new
temporary folder.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from agent_framework import Agent, BaseChatClient, ChatResponse, Content, FunctionInvocationLayer, Message

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


class Model(FunctionInvocationLayer, BaseChatClient):  # type: ignore[misc]
    """Calls the tool that there is, then says that it is done."""

    model = "fake"

    async def _inner_get_response(self, *, messages: Any, stream: bool, options: Any, **kwargs: Any) -> ChatResponse:
        if any(message.role == "tool" for message in messages):
            said = Content.from_text("done")
        else:
            said = Content.from_function_call("call-1", options["tools"][0].name, arguments={"order_id": "A-1027"})
        return ChatResponse(messages=[Message("assistant", [said])])


def refund(order_id: str) -> str:
    """Give the money back."""
    return f"{order_id} refunded"


clerk = Agent(Model(), name="clerk", tools=[refund])


async def ask_clerk(order_id: str) -> str:
    """Leave it to the clerk."""
    return str((await clerk.run(f"refund {order_id}")).text)


desk = Agent(Model(), name="front_desk", tools=[ask_clerk])


def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["agent_framework"], capture=["order_id"])
    with acting_as("maya@example.com", type="user"):
        print(asyncio.run(desk.run("I want my money back for A-1027.")).text)
    for entry in otel_audit.read_log(path):
        said: Any = entry.attributes
        if entry.event_name.startswith("gen_ai."):
            who = " > ".join(map(str, said.get("audit.delegation") or [said["audit.actor.id"]]))
            print(f"{entry.seq:2} {who}: {said['audit.phase']} {entry.event_name} {said['audit.target.id']}")


if __name__ == "__main__":
    main()
