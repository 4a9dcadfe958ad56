"""Two agents of Pydantic AI, audited without a change to them; offline, with the framework's own function model.

    python3 -m uv run --with pydantic-ai-slim==2.68.0 examples/frameworks/with_pydantic_ai.py

Prints the lines of its log in short, which goes where OTEL_AUDIT_FILE says, else into a new
temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

import otel_audit
from otel_audit import AuditInstrumentor, acting_as


def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call the tool that there is, then say that it is done."""
    if len(messages) > 1:
        return ModelResponse([TextPart("done")])
    return ModelResponse([ToolCallPart(info.function_tools[0].name, {"order_id": "A-1027"})])


clerk = Agent(FunctionModel(think, model_name="fake"), name="clerk")
desk = Agent(FunctionModel(think, model_name="fake"), name="front-desk")


@clerk.tool_plain
def refund(order_id: str) -> str:
    """Give the money back."""
    return f"{order_id} refunded"


@desk.tool_plain
async def ask_clerk(order_id: str) -> str:
    """Leave it to the clerk."""
    return str((await clerk.run(f"refund {order_id}")).output)


def main() -> None:
    path = Path(os.environ.get("OTEL_AUDIT_FILE") or Path(tempfile.mkdtemp(prefix="otel-audit-")) / "audit.jsonl")
    otel_audit.configure(path)
    AuditInstrumentor().instrument(frameworks=["pydantic_ai"], capture=["order_id"])
    with acting_as("maya@example.com", type="user"):
        print(desk.run_sync("I want my money back for A-1027.").output)
    for entry in otel_audit.read_log(path):
        said: Any = entry.attributes
        if entry.event_name.startswith("gen_ai."):
            who = " > ".join(map(str, said.get("audit.delegation") or [said["audit.actor.id"]]))
            print(f"{entry.seq:2} {who}: {said['audit.phase']} {entry.event_name} {said['audit.target.id']}")


if __name__ == "__main__":
    main()
